/* The fused softmax over every pair of dtypes, aligned or not, at the lengths where kernels change over. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support_rules.h"
#include "support_typed.h"

static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_BF16};
enum { ROWS = 6 };
static const float scale = 0.37F;

/* In a long row the sum's own roundings would hide all others: one key of 1000 counts, those around the ends of pieces
 * among them. One row has equal scores, whose sum is exact. */
static void thin_out(const guarded *in, int64_t n) {
  const int64_t piece = XATTN_SOFTMAX_PIECE;
  for (int64_t row = 0; row < ROWS; row++)
    for (int64_t j = 0; j < n; j++) {
      float *at = guarded_at(in, row, j, 0, 0);
      const bool counts = j % 997 == 0 || j % piece < 2 || j % piece > piece - 3 || j > n - 3;
      if (row == 4)
        *at = 3.0F;
      else if (!counts)
        *at = -1000.0F;
    }
}

/* Rows: of numbers, of -inf alone, with a NaN, of one number among -inf; and lengths. */
static void check_pair(xattn_handle *handle, xattn_dtype from, xattn_dtype to, int64_t n,
                       int64_t gap, int64_t shift, bool thin) {
  const int64_t shape[2] = {ROWS, n};
  guarded in = guarded_new(DENSE, 2, shape), out = guarded_new(DENSE, 2, shape);
  rng r = {(uint64_t)n};
  guarded_fill(&in, &r, 20.0);
  if (thin) thin_out(&in, n);
  for (int64_t j = 0; j < n; j++) *guarded_at(&in, 1, j, 0, 0) = -INFINITY;
  *guarded_at(&in, 2, n / 2, 0, 0) = NAN;
  const int64_t only = thin ? n - 1 : n / 3;
  for (int64_t j = 0; j < n; j++)
    if (j != only) *guarded_at(&in, 3, j, 0, 0) = -INFINITY;
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
    check_softmax_row(guarded_at(&in, row, 0, 0, 0), guarded_at(&out, row, 0, 0, 0), n,
                      lengths[row], scale, to);
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

/* Of CUDA's kernels (see tests/cuda/test_softmax_sizes.c), and of vectors. */
START_TEST(every_pair_of_dtypes) {
  static const int64_t lengths[] = {1,   7,   8,   9,    15,   16,   17,    31,    33,    67,
                                    255, 256, 257, 1023, 1024, 1025, 12279, 12280, 12281, 20000};
  const xattn_dtype from = dtypes[_i / 3], to = dtypes[_i % 3];
  xattn_handle *handle = test_handle(2);
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    const int64_t n = lengths[i];
    check_pair(handle, from, to, n, (8 - n % 8) % 8, 0, false); /* aligned */
    check_pair(handle, from, to, n, 5, 0, false);
    if (n < 300) check_pair(handle, from, to, n, (8 - n % 8) % 8, 1, false);
  }
  xattn_destroy(handle);
}
END_TEST

/* Rows of 16 bits that the CPU takes in pieces, whose maximum and sum it finds in a pass of their
 * own. */
START_TEST(rows_of_several_pieces) {
  if (!on_cpu()) return;
  const xattn_dtype from = dtypes[_i / 3], to = dtypes[_i % 3];
  const int64_t size = XATTN_SOFTMAX_PIECE, lengths[] = {size - 1, size, size + 1, 2 * size + 77};
  xattn_handle *handle = test_handle(2);
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    check_pair(handle, from, to, lengths[i], 5, 1, true);
  xattn_destroy(handle);
}
END_TEST

/* A launch of CUDA carries 64 lengths. */
START_TEST(lengths_of_many_items) {
  enum { ITEMS = 131, QUERIES = 2, KEYS = 20 };
  xattn_handle *handle = test_handle(2);
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
      check_softmax_row(guarded_at(&in, b, i, 0, 0), guarded_at(&out, b, i, 0, 0), KEYS, lengths[b],
                        scale, XATTN_F32);
  guarded_free(&in);
  guarded_free(&out);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_softmax_types(void) {
  Suite *suite = suite_create("softmax-types");
  TCase *tests = tcase_create("softmax-types");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, every_pair_of_dtypes, 0, 9);
  tcase_add_loop_test(tests, rows_of_several_pieces, 0, 9);
  tcase_add_test(tests, lengths_of_many_items);
  suite_add_tcase(suite, tests);
  return suite;
}
