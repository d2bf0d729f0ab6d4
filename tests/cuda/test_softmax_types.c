/* The fused softmax over every pair of dtypes, aligned or not, at the lengths where its kernels change over;
 * more rows, longer rows and wider strides than 16 or 32 bits count; what its kernels ask of memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "support_cuda.h"

static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_BF16};
enum { ROWS = 6 };
static const float scale = 0.37F;

/* Half of the distance between neighbours, relative, and the smallest step. */
static double rounding_of(xattn_dtype t) {
  return t == XATTN_F32 ? 0x1p-24 : t == XATTN_F16 ? 0x1p-11 : 0x1p-8;
}

static double step_of(xattn_dtype t) {
  return t == XATTN_F16 ? 0x1p-24 : 0x1p-126;
}

/* The roundings of F32 inside are those of tests/test_softmax.c; that of the output comes on top. */
static void check_row(const float *in, const float *out, int64_t n, int64_t keys,
                      xattn_dtype type) {
  double largest = -INFINITY, sum = 0.0;
  bool nan = false;
  for (int64_t j = 0; j < keys; j++) {
    nan |= isnan(in[j]);
    largest = fmax(largest, (double)in[j]);
  }
  for (int64_t j = 0; j < keys; j++) sum += exp((double)scale * ((double)in[j] - largest));
  for (int64_t j = 0; j < n; j++) {
    if (nan && j < keys) {
      ck_assert_msg(isnan(out[j]), "[%lld] of %lld is %g, not NaN", (long long)j, (long long)n,
                    (double)out[j]);
      continue;
    }
    const bool none = j >= keys || largest == -INFINITY;
    const double x = none ? 0.0 : (double)scale * ((double)in[j] - largest);
    const double exact = none || isinf(x) ? 0.0 : exp(x) / sum;
    const double most = (8.0 + 2.0 * (isinf(x) ? 0.0 : fabs(x)) + sqrt((double)n / 16.0)) * 0x1p-24;
    ck_assert_msg(
        fabs((double)out[j] - exact) <= (most + rounding_of(type)) * exact + step_of(type),
        "[%lld] of %lld keys in %lld is %.9g, not %.9g", (long long)j, (long long)keys,
        (long long)n, (double)out[j], exact);
  }
}

/* Rows: of numbers, of -inf alone, with a NaN, of one number among -inf; and lengths. */
static void check_pair(xattn_handle *handle, xattn_dtype from, xattn_dtype to, int64_t n,
                       int64_t gap, int64_t shift) {
  const int64_t shape[2] = {ROWS, n};
  guarded in = guarded_new(DENSE, 2, shape), out = guarded_new(DENSE, 2, shape);
  rng r = {(uint64_t)n};
  guarded_fill(&in, &r, 20.0);
  for (int64_t j = 0; j < n; j++) *guarded_at(&in, 1, j, 0, 0) = -INFINITY;
  *guarded_at(&in, 2, n / 2, 0, 0) = NAN;
  for (int64_t j = 0; j < n; j++)
    if (j != n / 3) *guarded_at(&in, 3, j, 0, 0) = -INFINITY;
  quantise(&in.t, from);
  int32_t lengths[ROWS] = {(int32_t)n, (int32_t)n, (int32_t)n, (int32_t)n, (int32_t)n / 2, 0};
  const xattn_tensor lengths_tensor = XATTN_TENSOR(lengths, XATTN_I32, ROWS);
  const xattn_options options = {.size = sizeof options, .key_lengths = &lengths_tensor};
  xattn_tensor like = in.t;
  like.strides[0] = n + gap;
  device_tensor d_in = device_new(handle, &like, from, shift);
  device_tensor d_out = device_new(handle, &like, to, shift);
  device_put(&d_in, &in.t);
  ASSERT_OK(handle, xattn_scale_softmax(handle, &d_in.t, scale, &options, &d_out.t));
  device_get(&d_out, &out.t);
  device_check(&d_out, "out");
  device_check(&d_in, "scores");
  for (int64_t row = 0; row < ROWS; row++)
    check_row(guarded_at(&in, row, 0, 0, 0), guarded_at(&out, row, 0, 0, 0), n, lengths[row], to);
  if (from == to) { /* in place gives the same bits */
    guarded again = guarded_new(DENSE, 2, shape);
    ASSERT_OK(handle, xattn_scale_softmax(handle, &d_in.t, scale, &options, &d_in.t));
    device_get(&d_in, &again.t);
    device_check(&d_in, "in place");
    for (int64_t i = 0; i < ROWS * n; i++) {
      const float a = ((float *)again.t.data)[i], b = ((float *)out.t.data)[i];
      ck_assert(a == b || (isnan(a) && isnan(b)));
    }
    guarded_free(&again);
  }
  device_free(&d_in);
  device_free(&d_out);
  guarded_free(&in);
  guarded_free(&out);
}

START_TEST(every_pair_of_dtypes) {
  static const int64_t lengths[] = {1,
                                    7,
                                    8,
                                    9,
                                    XATTN_SOFTMAX_SHORT - 1,
                                    XATTN_SOFTMAX_SHORT,
                                    XATTN_SOFTMAX_SHORT + 1,
                                    XATTN_SOFTMAX_MEDIUM - 1,
                                    XATTN_SOFTMAX_MEDIUM,
                                    XATTN_SOFTMAX_MEDIUM + 1,
                                    XATTN_SOFTMAX_SHARED - 1,
                                    XATTN_SOFTMAX_SHARED,
                                    XATTN_SOFTMAX_SHARED + 1,
                                    20000};
  const xattn_dtype from = dtypes[_i / 3], to = dtypes[_i % 3];
  xattn_handle *handle = cuda_handle();
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    const int64_t n = lengths[i];
    check_pair(handle, from, to, n, (8 - n % 8) % 8, 0); /* aligned */
    check_pair(handle, from, to, n, 5, 0);
    if (n < 300) check_pair(handle, from, to, n, (8 - n % 8) % 8, 1);
  }
  xattn_destroy(handle);
}
END_TEST

/* ---- sizes */

/* 65,535 is where the grid's y and z, and cuBLAS's batches, end. */
START_TEST(more_items_than_a_grid_has) {
  enum { ITEMS = 65540, KEYS = 2 };
  xattn_handle *handle = cuda_handle();
  float *q = malloc(ITEMS * sizeof *q), *k = malloc(ITEMS * KEYS * sizeof *k);
  float *out = malloc(ITEMS * sizeof *out), *p = malloc(ITEMS * KEYS * sizeof *p);
  ck_assert(q && k && out && p);
  for (int i = 0; i < ITEMS; i++) {
    q[i] = 1.0F;
    k[2 * i] = 0.0F;
    k[2 * i + 1] = i % 7 == 0 ? 100.0F : -100.0F; /* the second key, or the first, is chosen */
  }
  const xattn_tensor tq = XATTN_TENSOR(q, XATTN_F32, ITEMS, 1, 1, 1);
  const xattn_tensor tk = XATTN_TENSOR(k, XATTN_F32, ITEMS, KEYS, 1, 1);
  const xattn_tensor tout = XATTN_TENSOR(out, XATTN_F32, ITEMS, 1, 1, 1);
  ASSERT_OK(handle, xattn_attention(handle, &tq, &tk, &tk, 1.0F, NULL, &tout));
  for (int i = 0; i < ITEMS; i++)
    ck_assert_msg(fabsf(out[i] - (i % 7 == 0 ? 100.0F : 0.0F)) < 1e-30F, "item %d is %g", i,
                  (double)out[i]);
  const xattn_tensor scores = XATTN_TENSOR(k, XATTN_F32, ITEMS, 1, 1, KEYS);
  const xattn_tensor result = XATTN_TENSOR(p, XATTN_F32, ITEMS, 1, 1, KEYS);
  ASSERT_OK(handle, xattn_scale_softmax(handle, &scores, 1.0F, NULL, &result));
  for (int i = 0; i < ITEMS; i++)
    ck_assert(fabsf(p[2 * i + 1] - (i % 7 == 0 ? 1.0F : 0.0F)) < 1e-30F);
  free(q);
  free(k);
  free(out);
  free(p);
  xattn_destroy(handle);
}
END_TEST

/* [items, keys] with two dimensions of 1 around the items. */
static xattn_tensor at_level(const xattn_tensor *t, int level) {
  const int64_t shape[4] = {1, 1, 1, t->shape[1]};
  xattn_tensor result = xattn_tensor_dense(t->data, t->dtype, 4, shape);
  result.device_type = t->device_type;
  result.device_index = t->device_index;
  result.shape[level] = t->shape[0];
  result.strides[level] = t->strides[0];
  return result;
}

/* The second item lies 2^31 + 8 elements behind the first. The simulator takes memory only where it is
 * written; a GPU needs 13 GB. */
START_TEST(offsets_beyond_31_bits) {
  (void)setenv("CUDASIM_MEMORY", "20000000000", 1);
  enum { KEYS = 40 };
  const int64_t wide = ((int64_t)1 << 31) + 8;
  xattn_handle *handle = cuda_handle();
  float values[2 * KEYS], back[2 * KEYS];
  const xattn_tensor host = XATTN_TENSOR(values, XATTN_F32, 2, KEYS);
  const xattn_tensor result = XATTN_TENSOR(back, XATTN_F32, 2, KEYS);
  rng r = {171};
  for (int i = 0; i < 2 * KEYS; i++) values[i] = (float)(rng_uniform(&r) * 20.0);
  quantise(&host, XATTN_F16);
  void *memory[2];
  xattn_tensor t[2];
  for (int i = 0; i < 2; i++) {
    if (xattn_device_alloc(handle, (size_t)(wide + KEYS) * 2, &memory[i])) {
      printf("offsets_beyond_31_bits: %s, skipped\n", xattn_last_error(handle));
      xattn_destroy(handle);
      return;
    }
    t[i] = XATTN_TENSOR(memory[i], XATTN_F16, 2, KEYS);
    t[i].strides[0] = wide;
    t[i].device_type = XATTN_CUDA;
  }
  ASSERT_OK(handle, xattn_tensor_copy(handle, &host, &t[0]));
  ASSERT_OK(handle, xattn_scale_softmax(handle, &t[0], scale, NULL, &t[1]));
  device_tensor d = {.t = t[1], .handle = handle};
  device_get(&d, &result);
  for (int i = 0; i < 2; i++) check_row(values + i * KEYS, back + i * KEYS, KEYS, KEYS, XATTN_F16);
  for (int level = 0; level < 3; level++) { /* of the copy kernel's four */
    const xattn_tensor from = at_level(&t[0], level), to = at_level(&t[1], level);
    ASSERT_OK(handle, xattn_scale_softmax(handle, &t[0], scale, NULL, &t[1]));
    ASSERT_OK(handle, xattn_tensor_copy(handle, &from, &to));
    device_get(&d, &result);
    ck_assert(memcmp(values, back, sizeof values) == 0);
  }
  xattn_destroy(handle);
}
END_TEST

/* A launch carries 64 lengths. */
START_TEST(lengths_of_many_items) {
  enum { ITEMS = 131, QUERIES = 2, KEYS = 20 };
  xattn_handle *handle = cuda_handle();
  guarded in = guarded_new(DENSE, 3, (int64_t[]){ITEMS, QUERIES, KEYS});
  guarded out = guarded_new(DENSE, 3, (int64_t[]){ITEMS, QUERIES, KEYS});
  int32_t lengths[ITEMS];
  rng r = {172};
  guarded_fill(&in, &r, 10.0);
  for (int b = 0; b < ITEMS; b++) lengths[b] = (int32_t)rng_range(&r, 0, KEYS);
  const xattn_tensor lengths_tensor = XATTN_TENSOR(lengths, XATTN_I32, ITEMS);
  const xattn_options options = {.size = sizeof options, .key_lengths = &lengths_tensor};
  ASSERT_OK(handle, xattn_scale_softmax(handle, &in.t, scale, &options, &out.t));
  for (int b = 0; b < ITEMS; b++)
    for (int i = 0; i < QUERIES; i++)
      check_row(guarded_at(&in, b, i, 0, 0), guarded_at(&out, b, i, 0, 0), KEYS, lengths[b],
                XATTN_F32);
  guarded_free(&in);
  guarded_free(&out);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_softmax(void) {
  Suite *suite = suite_create("cuda-softmax");
  TCase *tests = cuda_tests("softmax");
  tcase_add_loop_test(tests, every_pair_of_dtypes, 0, 9);
  tcase_add_test(tests, more_items_than_a_grid_has);
  tcase_add_test(tests, offsets_beyond_31_bits);
  tcase_add_test(tests, lengths_of_many_items);
  suite_add_tcase(suite, tests);
  return suite;
}
