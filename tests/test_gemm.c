/* The backend's strided-batched GEMM and copy, on exact integers. */
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support.h"
#include "support_device.h"

static float small_integer(rng *r) {
  return (float)rng_range(r, -4, 4);
}

/* A stack of matrices [b0, b1, b2] with gaps; level 2 shared if `shared`. Elements are integers, the
 * rest NaN. */
typedef struct stack {
  xattn_matrix m;
  float *memory;
  int64_t size;
} stack;

static float *element(const stack *s, const int64_t at[3], int64_t i, int64_t j) {
  return s->memory + at[0] * s->m.stride[0] + at[1] * s->m.stride[1] + at[2] * s->m.stride[2] +
         i * s->m.ld + j;
}

/* `like` asks for a leading dimension, 0 for one with a gap, and in stride[0] for a wider gap between items. */
static stack stack_new(rng *r, const int64_t batch[3], int64_t rows, int64_t columns, bool shared,
                       const xattn_matrix *like) {
  stack s = {.m = {.dtype = XATTN_F32, .ld = like->ld ? like->ld : columns + 2}};
  int64_t item = (rows * s.m.ld > columns ? rows * s.m.ld : columns) + 5;
  s.m.stride[2] = shared ? 0 : item;
  s.m.stride[1] = shared ? item : item * batch[2];
  s.m.stride[0] = s.m.stride[1] * batch[1] + like->stride[0];
  s.size = s.m.stride[0] * batch[0] + item;
  s.memory = malloc((size_t)s.size * sizeof(float));
  ck_assert_ptr_nonnull(s.memory);
  memset(s.memory, 0xFF, (size_t)s.size * sizeof(float)); /* NaN */
  int64_t at[3];
  for (at[0] = 0; r && at[0] < batch[0]; at[0]++)
    for (at[1] = 0; at[1] < batch[1]; at[1]++)
      for (at[2] = 0; at[2] < (shared ? 1 : batch[2]); at[2]++)
        for (int64_t i = 0; i < rows; i++)
          for (int64_t j = 0; j < columns; j++) *element(&s, at, i, j) = small_integer(r);
  return s;
}

static int64_t limit_of(xattn_lengths limit, int64_t item, int64_t all) {
  return limit.count ? limit.count[item * limit.step] : all;
}

static void check_gemm(xattn_handle *handle, rng *r, xattn_gemm g, bool bias) {
  stack a = stack_new(r, g.batch, g.m, g.k, false, &g.a);
  stack b =
      stack_new(r, g.batch, g.b_transposed ? g.n : g.k, g.b_transposed ? g.k : g.n, true, &g.b);
  stack c = stack_new(NULL, g.batch, g.m, g.n, false, &g.c);
  float *before = malloc((size_t)c.size * sizeof *before), biases[200];
  ck_assert_ptr_nonnull(before);
  memcpy(before, c.memory, (size_t)c.size * sizeof *before);
  for (int64_t j = 0; j < g.n; j++) biases[j] = small_integer(r);
  xattn_memory on_device[4] = {to_device(handle, a.memory, a.size),
                               to_device(handle, b.memory, b.size),
                               to_device(handle, c.memory, c.size), to_device(handle, biases, g.n)};
  g.a = a.m;
  g.b = b.m;
  g.c = c.m;
  g.a.data = on_device[0].data;
  g.b.data = on_device[1].data;
  g.c.data = on_device[2].data;
  g.bias = bias ? on_device[3].data : NULL;
  ASSERT_OK(handle, handle->backend->gemm(&handle->error, handle->device, &g));
  from_device(handle, &on_device[2], c.memory, c.size);
  xattn_memory_free(&on_device[0]);
  xattn_memory_free(&on_device[1]);
  xattn_memory_free(&on_device[3]);
  int64_t at[3];
  for (at[0] = 0; at[0] < g.batch[0]; at[0]++)
    for (at[1] = 0; at[1] < g.batch[1]; at[1]++)
      for (at[2] = 0; at[2] < g.batch[2]; at[2]++)
        for (int64_t i = 0; i < g.m; i++)
          for (int64_t j = 0; j < limit_of(g.n_limit, at[0], g.n); j++) {
            float sum = bias ? biases[j] : 0.0F;
            for (int64_t l = 0; l < limit_of(g.k_limit, at[0], g.k); l++)
              sum += *element(&a, at, i, l) *
                     (g.b_transposed ? *element(&b, at, j, l) : *element(&b, at, l, j));
            float *got = element(&c, at, i, j);
            ck_assert_msg(*got == sum, "%lld×%lld×%lld: %g, not %g", (long long)g.m, (long long)g.n,
                          (long long)g.k, (double)*got, (double)sum);
            memcpy(before + (got - c.memory), got, sizeof *got);
          }
  ck_assert_msg(memcmp(before, c.memory, (size_t)c.size * sizeof *before) == 0,
                "%lld×%lld×%lld: written beside C", (long long)g.m, (long long)g.n, (long long)g.k);
  free(before);
  free(a.memory);
  free(b.memory);
  free(c.memory);
}

START_TEST(gemm_on_an_edge_grid) {
  static const int64_t edges[] = {0, 1, 2, 31, 33, 64};
  enum { EDGES = sizeof edges / sizeof *edges };
  xattn_handle *handle = test_handle(_i);
  rng r = {3};
  for (int m = 0; m < EDGES; m++)
    for (int n = 0; n < EDGES; n++)
      for (int k = 0; k < EDGES; k++)
        for (int variant = 0; variant < 4; variant++) {
          xattn_gemm g = {.m = edges[m],
                          .n = edges[n],
                          .k = edges[k],
                          .batch = {2, 1, 3},
                          .b_transposed = variant & 1};
          check_gemm(handle, &r, g, variant & 2);
        }
  xattn_destroy(handle);
}
END_TEST

START_TEST(gemm_of_one_large_item_uses_all_threads) {
  xattn_handle *handle = test_handle(2);
  rng r = {4};
  xattn_gemm g = {
      .m = 130,
      .n = 190,
      .k = 70,
      .batch = {1, 1, 1},
  };
  check_gemm(handle, &r, g, false);
  g.b_transposed = true;
  check_gemm(handle, &r, g, true);
  xattn_destroy(handle);
}
END_TEST

/* The gaps hold NaN, so that what lies behind a limit is seen if it is read. */
START_TEST(gemm_with_limits) {
  xattn_handle *handle = test_handle(2);
  rng r = {5};
  int32_t counts[8] = {3, -1, 0, -1, 17, -1, 40, -1};
  xattn_lengths limit = {.count = counts, .step = 2};
  for (int64_t m = 1; m < 40; m += 12) {
    xattn_gemm g = {
        .m = m,
        .n = 40,
        .k = 9,
        .batch = {4, 2, 1},
    };
    g.b_transposed = true;
    g.n_limit = limit;
    check_gemm(handle, &r, g, false);
    g = (xattn_gemm){
        .m = m,
        .n = 9,
        .k = 40,
        .batch = {4, 2, 1},
    };
    g.k_limit = limit;
    check_gemm(handle, &r, g, false);
    g.k_limit = (xattn_lengths){.count = counts + 4, .step = 0};
    check_gemm(handle, &r, g, false);
  }
  xattn_destroy(handle);
}
END_TEST

/* Items that do not follow one another without a gap, in each of A, B and C. */
START_TEST(gemm_with_gaps_between_items) {
  xattn_handle *handle = test_handle(2);
  rng r = {7};
  for (int gaps = 0; gaps < 8; gaps++)
    for (int bias = 0; bias < 2; bias++) {
      xattn_gemm g = {.m = 5, .n = 6, .k = 7, .batch = {3, 2, 4}, .b_transposed = gaps & 1};
      g.a.stride[0] = gaps & 1 ? 40 : 0;
      g.b.stride[0] = gaps & 2 ? 50 : 0;
      g.c.stride[0] = gaps & 4 ? 60 : 0;
      check_gemm(handle, &r, g, bias);
    }
  xattn_destroy(handle);
}
END_TEST

/* Where there is one row, its distance to the next means nothing. */
START_TEST(gemm_of_one_row_with_any_leading_dimension) {
  xattn_handle *handle = test_handle(2);
  rng r = {8};
  for (int transposed = 0; transposed < 2; transposed++) {
    xattn_gemm g = {.m = 1, .n = transposed ? 1 : 9, .k = transposed ? 9 : 1, .batch = {2, 1, 2}};
    g.b_transposed = transposed;
    g.a.ld = g.b.ld = g.c.ld = 1;
    check_gemm(handle, &r, g, false);
    check_gemm(handle, &r, g, true);
  }
  xattn_destroy(handle);
}
END_TEST

START_TEST(copy_between_any_strides) {
  xattn_handle *handle = test_handle(2);
  rng r = {6};
  for (int how = 0; how < 2; how++) {
    int64_t shape[4] = {2, 37, 3, 111};
    guarded in = guarded_new(how ? REVERSED : BROADCAST, 4, shape);
    guarded out = guarded_new(how ? GAPS : REVERSED, 4, shape);
    guarded_fill(&in, &r, 1.0);
    int64_t in_size = in.size - (int64_t)((float *)in.t.data - in.memory);
    xattn_memory from = to_device(handle, in.t.data, in_size);
    int64_t before = (int64_t)((float *)out.t.data - out.memory);
    xattn_memory to = to_device(handle, out.memory, out.size);
    xattn_copy copy = {.dtype = XATTN_F32, .in = from.data, .out = (float *)to.data + before};
    memcpy(copy.shape, shape, sizeof shape);
    memcpy(copy.in_stride, in.t.strides, sizeof copy.in_stride);
    memcpy(copy.out_stride, out.t.strides, sizeof copy.out_stride);
    ASSERT_OK(handle, handle->backend->copy(&handle->error, handle->device, &copy));
    from_device(handle, &to, out.memory, out.size);
    xattn_memory_free(&from);
    guarded_check(&out, "out");
    for (int64_t i = 0; i < 2; i++)
      for (int64_t j = 0; j < 37; j++)
        for (int64_t k = 0; k < 3; k++)
          for (int64_t l = 0; l < 111; l++)
            ck_assert(*guarded_at(&in, i, j, k, l) == *guarded_at(&out, i, j, k, l));
    guarded_free(&in);
    guarded_free(&out);
  }
  xattn_destroy(handle);
}
END_TEST

START_TEST(blas_is_right_here) {
  xattn_error error = {""};
  ck_assert_msg(xattn_cpu_check_blas(&error) == XATTN_OK, "%s", error.text);
}
END_TEST

Suite *suite_gemm(void) {
  Suite *suite = suite_create("gemm");
  TCase *tests = tcase_create("gemm");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, gemm_on_an_edge_grid, 1, 4);
  tcase_add_test(tests, gemm_of_one_large_item_uses_all_threads);
  tcase_add_test(tests, gemm_with_limits);
  tcase_add_test(tests, gemm_with_gaps_between_items);
  tcase_add_test(tests, gemm_of_one_row_with_any_leading_dimension);
  tcase_add_test(tests, copy_between_any_strides);
  tcase_add_test(tests, blas_is_right_here);
  suite_add_tcase(suite, tests);
  return suite;
}
