/* The backend's strided-batched GEMM and copy, on exact integers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "cpu/cpu.h"
#include "support_gemm.h"

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

/* Around the few rows that B is not packed for, the blocks that are, and their panels. */
START_TEST(gemm_across_blocks) {
  static const int64_t sizes[][3] = {
      {8, 70, 50},    {9, 70, 50},    {13, 97, 385},   {97, 33, 384},  {100, 513, 20},
      {12, 545, 400}, {107, 80, 769}, {1, 1000, 1000}, {7, 130, 100},  {34, 530, 1201},
      {50, 545, 400}, {40, 190, 384}, {40, 190, 512},  {33, 40, 2310}, {35, 609, 90},
      {40, 1123, 33}, {37, 1000, 5}};
  xattn_handle *handle = test_handle(_i);
  rng r = {17};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int variant = 0; variant < 6; variant++) {
      xattn_gemm g = {.m = sizes[i][0],
                      .n = sizes[i][1],
                      .k = sizes[i][2],
                      .batch = {1, 1, 1},
                      .b_transposed = variant & 1,
                      .accumulate = variant >= 4};
      check_gemm(handle, &r, g, variant & 2);
    }
  xattn_destroy(handle);
}
END_TEST

/* How columns are cut into panels depends on how many there are, and so does what is left of the last one. */
START_TEST(gemm_of_every_width) {
  xattn_handle *handle[] = {test_handle(1), test_handle(3)};
  rng r = {18};
  for (int64_t n = 1; n <= 210; n++) {
    xattn_gemm g = {.m = 33 + n % 16,
                    .n = n,
                    .k = 3 + n % 5,
                    .batch = {1, 1, 1},
                    .b_transposed = n / 2 & 1,
                    .accumulate = n % 3 == 2};
    check_gemm(handle[n & 1], &r, g, n % 3 == 1);
  }
  xattn_destroy(handle[0]);
  xattn_destroy(handle[1]);
}
END_TEST

/* Of BF16 by BF16, which some processors multiply in pairs: odd k and odd distances of rows, rows 4 KiB apart, blocks. */
START_TEST(gemm_of_pairs) {
  static const int64_t sizes[][3] = {{5, 1, 1},      {12, 33, 2},    {13, 97, 385},  {97, 33, 384},
                                     {25, 513, 20},  {107, 80, 769}, {7, 130, 99},   {50, 70, 1201},
                                     {40, 190, 512}, {33, 40, 2310}, {100, 100, 767}};
  xattn_handle *handle = test_handle(_i);
  rng r = {19};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int variant = 0; variant < 12; variant++) {
      xattn_gemm g = {.m = sizes[i][0],
                      .n = sizes[i][1],
                      .k = sizes[i][2],
                      .batch = {1, 1 + variant % 2, 1},
                      .b_transposed = variant & 1,
                      .accumulate = variant % 3 == 2,
                      .a = {.dtype = XATTN_BF16, .ld = variant < 4 ? 4096 : sizes[i][2] + variant},
                      .b = {.dtype = XATTN_BF16}};
      if (on_cpu()) /* what fills up an odd k counts as 0, whatever lay there */
        memset(handle->device->scratch, 0xFF,
               (size_t)(_i * xattn_cpu_scratch()) * sizeof(float)); /* NaN */
      check_gemm(handle, &r, g, variant % 3 == 1);
    }
  xattn_destroy(handle);
}
END_TEST

/* A sum of 512 in one piece would round half as much again as two of 256: beyond what SEMANTICS.md allows beside PyTorch.
 * Rounding walks at random: the root of its mean square, in units of 2^-24 of that of a result. */
START_TEST(long_sums_are_taken_in_parts) {
  enum { M = 61, N = 70, K = 512 };
  static float a[M * K], b[N * K], c[M * N];
  if (!on_cpu()) return; /* what a BLAS does is its own */
  xattn_handle *handle = test_handle(1);
  rng r = {21};
  for (int i = 0; i < M * K; i++) a[i] = (float)rng_uniform(&r);
  for (int i = 0; i < N * K; i++) b[i] = (float)rng_uniform(&r);
  xattn_memory memory[] = {to_device(handle, a, M * K), to_device(handle, b, N * K),
                           to_device(handle, c, M * N)};
  xattn_gemm g = {.m = M, .n = N, .k = K, .batch = {1, 1, 1}, .b_transposed = true};
  g.a = (xattn_matrix){memory[0].data, XATTN_F32, K, {0}};
  g.b = (xattn_matrix){memory[1].data, XATTN_F32, K, {0}};
  g.c = (xattn_matrix){memory[2].data, XATTN_F32, N, {0}};
  ASSERT_OK(handle, handle->backend->gemm(&handle->error, handle->device, &g, 1));
  from_device(handle, &memory[2], c, M * N);
  double errors = 0.0, results = 0.0;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      double exact = 0.0;
      for (int l = 0; l < K; l++) exact += (double)a[i * K + l] * (double)b[j * K + l];
      errors += pow((double)c[i * N + j] - exact, 2);
      results += exact * exact;
    }
  for (int i = 0; i < 2; i++) xattn_memory_free(&memory[i]);
  const double rounding = sqrt(errors / results) * 0x1p24;
  ck_assert_msg(rounding < 5.8, "%.2f", rounding);
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

/* A bias an item, a group and a head, each alone and together; items of other lengths begin runs of their own. */
START_TEST(gemm_with_a_bias_of_each_level) {
  enum { N = 40 };
  xattn_handle *handle = test_handle(2);
  rng r = {9};
  int32_t columns[5] = {17, 17, 0, N, 3}, depths[5] = {4, 4, 0, 9, 3};
  for (int levels = 0; levels < 8; levels++)
    for (int how = 0; how < 4; how++) {
      xattn_gemm g = {.m = 6, .n = N, .k = 9, .batch = {5, 3, 2}, .b_transposed = how & 1};
      if (levels & HEADS) g.bias_stride[2] = N + 3;
      if (levels & GROUPS) g.bias_stride[1] = 2 * (N + 3);
      if (levels & ITEMS) g.bias_stride[0] = 6 * (N + 3) + 1;
      if (how == 1) g.n_limit = (xattn_lengths){.count = columns, .step = 1};
      if (how == 2) g.k_limit = (xattn_lengths){.count = depths, .step = 1};
      if (how == 3) g.batch[levels % 3] = 1;
      check_gemm(handle, &r, g, true);
    }
  xattn_destroy(handle);
}
END_TEST

START_TEST(gemm_that_adds) {
  static const int64_t depths[] = {0, 1, 33};
  xattn_handle *handle = test_handle(2);
  rng r = {10};
  int32_t counts[4] = {17, 0, 33, 5};
  for (int depth = 0; depth < 3; depth++)
    for (int how = 0; how < 6; how++) {
      xattn_gemm g = {.m = 7,
                      .n = 33,
                      .k = depths[depth],
                      .batch = {4, 2, 3},
                      .b_transposed = how & 1,
                      .accumulate = true};
      if (how / 2 == 1) g.n_limit = (xattn_lengths){.count = counts, .step = 1};
      if (how / 2 == 2 && g.k == 33) g.k_limit = (xattn_lengths){.count = counts, .step = 1};
      check_gemm(handle, &r, g, false);
    }
  xattn_gemm large = {.m = 130, .n = 190, .k = 70, .batch = {1, 1, 1}, .accumulate = true};
  check_gemm(handle, &r, large, false);
  xattn_destroy(handle);
}
END_TEST

/* A is the same for all items, or groups, or heads, and so is B: a weight may be either. */
START_TEST(gemm_of_shared_operands) {
  xattn_handle *handle = test_handle(2);
  rng r = {11};
  int32_t counts[4] = {9, 9, 0, 4};
  for (int shared = 0; shared < 64; shared++)
    for (int how = 0; how < 3; how++) {
      xattn_gemm g = {.m = 3, .n = 9, .k = 9, .batch = {4, 2, 3}, .b_transposed = shared & 1};
      if (how == 1) g.n_limit = (xattn_lengths){.count = counts, .step = 1};
      if (how == 2) g.k_limit = (xattn_lengths){.count = counts, .step = 1};
      g.a.ld = shared & 2 ? 9 : 20; /* rows without a gap, as those of folded heads */
      check_shared_gemm(handle, &r, g, how == 0, shared % 8, shared / 8);
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
    xattn_copy copy = {.in_dtype = XATTN_F32,
                       .out_dtype = XATTN_F32,
                       .in = from.data,
                       .out = (float *)to.data + before};
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

/* What F32 becomes: as it is, rounded to F16, rounded to BF16. */
static const struct {
  float from, f16, bf16;
} roundings[] = {{0.0F, 0.0F, 0.0F},
                 {-0.0F, -0.0F, -0.0F},
                 {0x1.002p0F, 0x1p0F, 0x1p0F},          /* halfway in F16, to even: down */
                 {0x1.006p0F, 0x1.008p0F, 0x1p0F},      /* up */
                 {-0x1.00201p0F, -0x1.004p0F, -0x1p0F}, /* above halfway */
                 {0x1.01p0F, 0x1.01p0F, 0x1p0F},        /* halfway in BF16, to even: down */
                 {0x1.03p0F, 0x1.03p0F, 0x1.04p0F},     /* up */
                 {-0x1.01001p0F, -0x1.01p0F, -0x1.02p0F},
                 {65504.0F, 65504.0F, 65536.0F}, /* the largest of F16 */
                 {65519.0F, 65504.0F, 65536.0F},
                 {65520.0F, INFINITY, 65536.0F}, /* halfway to what it does not have */
                 {-1e30F, -INFINITY, -0x1.94p99F},
                 {0x1.FEp127F, INFINITY, 0x1.FEp127F}, /* the largest of BF16 */
                 {0x1.FFp127F, INFINITY, INFINITY},
                 {0x1p-24F, 0x1p-24F, 0x1p-24F}, /* the least of F16 */
                 {0x1p-25F, 0.0F, 0x1p-25F},
                 {-0x1.8p-25F, -0x1p-24F, -0x1.8p-25F},
                 {0x1p-133F, 0.0F, 0x1p-133F}, /* the least of BF16 */
                 {0x1p-134F, 0.0F, 0.0F},
                 {0x1.8p-134F, 0.0F, 0x1p-133F},
                 {INFINITY, INFINITY, INFINITY},
                 {-INFINITY, -INFINITY, -INFINITY},
                 {NAN, NAN, NAN}};
enum { ROUNDINGS = sizeof roundings / sizeof *roundings };

static bool same_number(float a, float b) {
  return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

/* F32 to a tensor of the dtype with gaps and its dimensions in another order, and back. */
static void check_conversion(xattn_handle *handle, xattn_dtype dtype) {
  enum { I = 2, J = 3, K = 5, ROW = 2 * K * I + 1, SIZE = ROUNDINGS * J * ROW };
  const int64_t shape[4] = {I, J, ROUNDINGS, K}, half[4] = {2 * K, ROW, J * ROW, 2};
  guarded in = guarded_new(REVERSED, 4, shape), out = guarded_new(GAPS, 4, shape);
  for (int64_t index = 0; index < I * J * ROUNDINGS * K; index++)
    *guarded_at(&in, index / (J * ROUNDINGS * K), index / (ROUNDINGS * K) % J,
                index / K % ROUNDINGS, index % K) = roundings[index / K % ROUNDINGS].from;
  uint16_t marks[SIZE], middle[SIZE];
  memset(marks, 0xFF, sizeof marks);
  const int64_t size = SIZE, in_size = in.size - (int64_t)((float *)in.t.data - in.memory);
  const int64_t before = (int64_t)((float *)out.t.data - out.memory);
  const xattn_tensor marked = xattn_tensor_dense(marks, dtype, 1, &size);
  const xattn_tensor seen = xattn_tensor_dense(middle, dtype, 1, &size);
  xattn_memory narrow, from = to_device(handle, in.t.data, in_size);
  xattn_memory to = to_device(handle, out.memory, out.size);
  const xattn_backend *backend = handle->backend;
  ASSERT_OK(handle, xattn_memory_new(handle, sizeof marks, &narrow));
  ASSERT_OK(handle, backend->upload(&handle->error, handle->device, narrow.data, dtype, &marked));
  xattn_copy there = {
      .in_dtype = XATTN_F32, .out_dtype = dtype, .in = from.data, .out = narrow.data};
  xattn_copy back = {.in_dtype = dtype,
                     .out_dtype = XATTN_F32,
                     .in = narrow.data,
                     .out = (float *)to.data + before};
  for (int i = 0; i < 4; i++) {
    there.shape[i] = back.shape[i] = shape[i];
    there.in_stride[i] = in.t.strides[i];
    there.out_stride[i] = back.in_stride[i] = half[i];
    back.out_stride[i] = out.t.strides[i];
  }
  ASSERT_OK(handle, backend->copy(&handle->error, handle->device, &there));
  ASSERT_OK(handle, backend->copy(&handle->error, handle->device, &back));
  ASSERT_OK(handle, backend->download(&handle->error, handle->device, narrow.data, &seen));
  from_device(handle, &to, out.memory, out.size);
  xattn_memory_free(&from);
  xattn_memory_free(&narrow);
  guarded_check(&out, "out");
  for (int64_t i = 0; i < I; i++)
    for (int64_t j = 0; j < J; j++)
      for (int64_t n = 0; n < ROUNDINGS; n++)
        for (int64_t k = 0; k < K; k++) {
          const float wanted = dtype == XATTN_F16 ? roundings[n].f16 : roundings[n].bf16;
          const float got = *guarded_at(&out, i, j, n, k);
          ck_assert_msg(same_number(got, wanted), "%s of %a is %a, not %a", xattn_dtype_name(dtype),
                        (double)roundings[n].from, (double)got, (double)wanted);
          middle[i * half[0] + j * half[1] + n * half[2] + k * half[3]] = 0xFFFF;
        }
  ck_assert_msg(memcmp(middle, marks, sizeof marks) == 0, "%s: written beside",
                xattn_dtype_name(dtype));
  guarded_free(&in);
  guarded_free(&out);
}

START_TEST(copy_converts) {
  xattn_handle *handle = test_handle(2);
  check_conversion(handle, XATTN_F16);
  check_conversion(handle, XATTN_BF16);
  xattn_destroy(handle);
}
END_TEST

/* Every number of 16 bits, on every instruction set, in pieces that do not fill a vector. */
START_TEST(widening_is_exact) {
  static const xattn_dtype dtypes[] = {XATTN_F16, XATTN_BF16};
  enum { ALL = 1 << 16, PIECE = 77 };
  static uint16_t narrow[ALL];
  static float wide[ALL + 1], wanted[ALL];
  for (int i = 0; i < ALL; i++) narrow[i] = (uint16_t)i;
  xattn_convert_row(wanted, XATTN_F32, 1, narrow, dtypes[_i], 1, ALL);
  for (int isa = 0; xattn_isa_list(isa); isa++)
    for (int64_t from = 0, rows, count; from < ALL; from += rows * count) {
      rows = ALL - from < 2 * PIECE ? 1 : 2;
      count = ALL - from < PIECE ? ALL - from : PIECE;
      wide[from + rows * count] = 42.0F;
      xattn_isa_list(isa)->widen(dtypes[_i], rows, count, narrow + from, PIECE, wide + from);
      ck_assert(wide[from + rows * count] == 42.0F);
      for (int64_t j = from; j < from + rows * count; j++)
        ck_assert_msg(same_number(wide[j], wanted[j]), "%s: %s %04x is %a, not %a",
                      xattn_isa_list(isa)->name, xattn_dtype_name(dtypes[_i]), narrow[j],
                      (double)wide[j], (double)wanted[j]);
    }
}
END_TEST

/* Every upper half of an F32 with lower halves that are halfway in F16 or BF16, below, above, or all ones, on every
 * instruction set: the bits of xattn_convert_row, those of NaN too. Lengths fill vectors or do not. */
START_TEST(narrowing_has_the_bits_of_a_conversion) {
  static const xattn_dtype dtypes[] = {XATTN_F16, XATTN_BF16};
  static const uint32_t lower[] = {0x0000, 0x0001, 0x0FFF, 0x1000, 0x1001, 0x1FFF, 0x2FFF, 0x3000,
                                   0x3001, 0x7FFF, 0x8000, 0x8001, 0xAAAA, 0xEFFF, 0xF000, 0xFFFF};
  enum { ALL = 1 << 16, LONGEST = 40, UNTOUCHED = 0x1234 };
  static float wide[ALL];
  static uint16_t wanted[ALL], narrow[ALL + 1];
  for (size_t half = 0; half < sizeof lower / sizeof *lower; half++) {
    for (uint32_t upper = 0; upper < ALL; upper++) {
      const uint32_t bits = upper << 16 | lower[half];
      memcpy(&wide[upper], &bits, sizeof bits);
    }
    xattn_convert_row(wanted, dtypes[_i], 1, wide, XATTN_F32, 1, ALL);
    for (int isa = 0; xattn_isa_list(isa); isa++)
      for (int64_t from = 0, count = 1; from < ALL; from += count, count = count % LONGEST + 1) {
        if (count > ALL - from) count = ALL - from;
        narrow[from + count] = UNTOUCHED;
        xattn_isa_list(isa)->narrow(dtypes[_i], count, wide + from, narrow + from);
        ck_assert(narrow[from + count] == UNTOUCHED);
        for (int64_t j = from; j < from + count; j++)
          ck_assert_msg(narrow[j] == wanted[j], "%s: %s of %04x%04x is %04x, not %04x",
                        xattn_isa_list(isa)->name, xattn_dtype_name(dtypes[_i]), (unsigned)j,
                        (unsigned)lower[half], narrow[j], wanted[j]);
      }
  }
}
END_TEST

Suite *suite_gemm(void) {
  Suite *suite = suite_create("gemm");
  TCase *tests = tcase_create("gemm");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, gemm_on_an_edge_grid, 1, 4);
  tcase_add_loop_test(tests, gemm_across_blocks, 1, 4);
  tcase_add_test(tests, gemm_of_every_width);
  tcase_add_loop_test(tests, gemm_of_pairs, 1, 4);
  tcase_add_test(tests, long_sums_are_taken_in_parts);
  tcase_add_test(tests, gemm_of_one_large_item_uses_all_threads);
  tcase_add_test(tests, gemm_with_limits);
  tcase_add_test(tests, gemm_with_gaps_between_items);
  tcase_add_test(tests, gemm_of_one_row_with_any_leading_dimension);
  tcase_add_test(tests, gemm_with_a_bias_of_each_level);
  tcase_add_test(tests, gemm_that_adds);
  tcase_add_test(tests, gemm_of_shared_operands);
  tcase_add_test(tests, copy_between_any_strides);
  tcase_add_test(tests, copy_converts);
  tcase_add_loop_test(tests, widening_is_exact, 0, 2);
  tcase_add_loop_test(tests, narrowing_has_the_bits_of_a_conversion, 0, 2);
  suite_add_tcase(suite, tests);
  return suite;
}
