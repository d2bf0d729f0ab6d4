/* The fused scale-softmax: every kernel against float64, and the public call's edges. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support.h"

/* Units in the last place between a float and an exact value. */
static double ulps(float got, double exact) {
  float near = (float)exact;
  double unit = near < 0x1p-126F ? 0x1p-149 : (double)(nextafterf(near, INFINITY) - near);
  return fabs((double)got - exact) / unit;
}

/* With the first element at 0 and the second at x <= 0, the row is 1/(1+e^x) and e^x/(1+e^x): their
 * ratio is the kernel's exp. 3 further roundings come on top of it. */
START_TEST(exp_is_right_to_2_ulp) {
  for (int i = 0; xattn_isa_list(i); i++) {
    double worst = 0.0;
    for (double x = 0.0; x > -87.0; x -= 0.00037) {
      float in[2] = {0.0F, (float)x}, out[2];
      xattn_isa_list(i)->softmax_row(in, out, 2, 1.0F);
      double e = exp((double)in[1]);
      worst = fmax(worst, ulps(out[1], e / (1.0 + e)));
      worst = fmax(worst, ulps(out[0], 1.0 / (1.0 + e)));
    }
    ck_assert_msg(worst <= 3.5, "%s: %.2f ulp", xattn_isa_list(i)->name, worst);
  }
}
END_TEST

/* x = scale·(in - max) takes two roundings, which exp turns into a relative error of |x| each; exp
 * itself, the sum and the division take a few more. */
static void check_row(const xattn_isa *isa, const float *in, int64_t n, float scale) {
  float *out = malloc((size_t)(n + 1) * sizeof *out);
  ck_assert_ptr_nonnull(out);
  out[n] = 42.0F;
  double largest = -INFINITY, sum = 0.0, total = 0.0;
  for (int64_t j = 0; j < n; j++) largest = fmax(largest, (double)in[j]);
  for (int64_t j = 0; j < n; j++) sum += exp((double)scale * ((double)in[j] - largest));
  isa->softmax_row(in, out, n, scale);
  for (int64_t j = 0; j < n; j++) {
    double x = (double)scale * ((double)in[j] - largest), exact = exp(x) / sum;
    double most = (8.0 + 2.0 * fabs(x)) * 0x1p-24;
    ck_assert_msg(fabs((double)out[j] - exact) <= most * exact + 1e-37,
                  "%s n %lld: out[%lld] is %.9g, not %.9g", isa->name, (long long)n, (long long)j,
                  (double)out[j], exact);
    total += (double)out[j];
  }
  ck_assert(n == 0 || fabs(total - 1.0) < 1e-6);
  ck_assert(out[n] == 42.0F);
  free(out);
}

START_TEST(every_length_matches_float64) {
  rng r = {1};
  float in[600];
  for (int i = 0; xattn_isa_list(i); i++)
    for (int64_t n = 1; n < 600; n = n < 140 ? n + 1 : n + 97) {
      for (int64_t j = 0; j < n; j++) in[j] = (float)(rng_uniform(&r) * 20.0);
      check_row(xattn_isa_list(i), in, n, 0.37F);
    }
}
END_TEST

/* Where exp alone would overflow or every term would underflow. */
START_TEST(large_scores_do_not_overflow) {
  for (int i = 0; xattn_isa_list(i); i++)
    for (float base = -3e38F; base <= 3e38F; base += 1e38F) {
      float in[37];
      for (int j = 0; j < 37; j++) in[j] = base;
      check_row(xattn_isa_list(i), in, 37, 1.0F);
      in[5] = 95.0F;
      in[20] = 90.0F;
      if (base < 0.0F) check_row(xattn_isa_list(i), in, 37, 1.0F);
    }
}
END_TEST

/* Equal scores give equal weights, in the body of a row and in its tail, of any size. */
START_TEST(equal_scores_of_any_size_are_equal) {
  for (int i = 0; xattn_isa_list(i); i++)
    for (int64_t n = 1; n < 70; n++)
      for (float score = 1.0F; score < 3e38F; score *= 7.3F) {
        float in[70], out[70];
        for (int64_t j = 0; j < n; j++) in[j] = n & 1 ? -score : score;
        xattn_isa_list(i)->softmax_row(in, out, n, 0.15811388F);
        for (int64_t j = 0; j < n; j++)
          ck_assert(out[j] == out[0] && fabsf(out[j] * (float)n - 1.0F) < 1e-6F);
        in[n / 2] = score * 1.1F;
        for (int64_t j = 0; j < n; j++)
          if (j != n / 2) in[j] = 0.0F;
        check_row(xattn_isa_list(i), in, n, 0.15811388F);
      }
}
END_TEST

START_TEST(special_values) {
  for (int i = 0; xattn_isa_list(i); i++)
    for (int64_t n = 2; n < 70; n++)
      for (int64_t at = 0; at < n; at += 7) {
        float in[70], out[70];
        xattn_softmax_row row = xattn_isa_list(i)->softmax_row;
        for (int64_t j = 0; j < n; j++) in[j] = -INFINITY;
        row(in, out, n, 0.5F);
        for (int64_t j = 0; j < n; j++) ck_assert(out[j] == 0.0F);
        in[at] = -7.0F; /* the only key */
        row(in, out, n, 0.5F);
        for (int64_t j = 0; j < n; j++) ck_assert(out[j] == (j == at ? 1.0F : 0.0F));
        in[at] = NAN;
        row(in, out, n, 0.5F);
        for (int64_t j = 0; j < n; j++) ck_assert(isnan(out[j]));
        in[(at + 1) % n] = 3.0F;
        row(in, out, n, 0.5F);
        for (int64_t j = 0; j < n; j++) ck_assert(isnan(out[j]));
        in[at] = INFINITY;
        row(in, out, n, 0.5F);
        ck_assert(isnan(out[at]));
        /* Far below the largest: exactly 0. */
        for (int64_t j = 0; j < n; j++) in[j] = j == at ? 0.0F : -200.0F;
        row(in, out, n, 1.0F);
        for (int64_t j = 0; j < n; j++) ck_assert(out[j] == (j == at ? 1.0F : 0.0F));
      }
}
END_TEST

/* Row number `row` of a tensor whose last dimension is the row. */
static float *row_of(const guarded *g, int64_t row) {
  int64_t offset = 0;
  for (int32_t i = g->t.rank - 2; i >= 0; i--) {
    offset += row % g->t.shape[i] * g->t.strides[i];
    row /= g->t.shape[i];
  }
  return (float *)g->t.data + offset;
}

static void check_public(xattn_handle *handle, int32_t rank, bool in_place) {
  enum { KEYS = 19, ITEMS = 3 };
  static const int64_t shapes[4][4] = {
      {KEYS}, {ITEMS, KEYS}, {ITEMS, 5, KEYS}, {ITEMS, 2, 5, KEYS}};
  const int64_t *shape = shapes[rank - 1];
  int32_t lengths[ITEMS] = {KEYS, 0, 4};
  xattn_tensor tensor = XATTN_TENSOR(lengths, XATTN_I32, ITEMS);
  xattn_options options = {.size = sizeof options, .key_lengths = &tensor};
  guarded in = guarded_new(GAPS, rank, shape), out = guarded_new(GAPS, rank, shape);
  int64_t rows = 1, rows_per_item = 1;
  for (int32_t i = 0; i < rank - 1; i++) rows *= shape[i];
  for (int32_t i = 1; i < rank - 1; i++) rows_per_item *= shape[i];
  rng r = {(uint64_t)rank};
  guarded_fill(&in, &r, 4.0);
  double expected[30][KEYS];
  for (int64_t row = 0; row < rows; row++) {
    int64_t keys = rank == 1 ? KEYS : lengths[row / rows_per_item];
    float *values = row_of(&in, row);
    double sum = 0.0;
    for (int64_t j = 0; j < keys; j++) sum += exp(0.5 * (double)values[j]);
    for (int64_t j = 0; j < KEYS; j++)
      expected[row][j] = j < keys ? exp(0.5 * (double)values[j]) / sum : 0.0;
    for (int64_t j = keys; j < KEYS; j++) values[j] = NAN; /* must not matter */
  }
  guarded *result = in_place ? &in : &out;
  ASSERT_OK(handle,
            xattn_scale_softmax(handle, &in.t, 0.5F, rank > 1 ? &options : NULL, &result->t));
  guarded_check(result, "out");
  for (int64_t row = 0; row < rows; row++)
    for (int64_t j = 0; j < KEYS; j++)
      ck_assert(fabs((double)row_of(result, row)[j] - expected[row][j]) <= 1e-6);
  guarded_free(&in);
  guarded_free(&out);
}

START_TEST(public_call_with_ranks_lengths_and_in_place) {
  xattn_handle *handle = cpu_handle(2);
  for (int32_t rank = 1; rank <= 4; rank++) {
    check_public(handle, rank, false);
    check_public(handle, rank, true);
  }
  xattn_destroy(handle);
}
END_TEST

START_TEST(public_call_refuses) {
  xattn_handle *handle = cpu_handle(1);
  float a[24], b[24];
  xattn_tensor in = XATTN_TENSOR(a, XATTN_F32, 4, 6), out = XATTN_TENSOR(b, XATTN_F32, 4, 6);
  xattn_tensor wrong = XATTN_TENSOR(b, XATTN_F32, 6, 4);
  ASSERT_FAILS(handle, xattn_scale_softmax(handle, &in, 1.0F, NULL, &wrong), XATTN_ERROR_SHAPE,
               "out: shape is [6, 4], scores have [4, 6]");
  wrong = XATTN_TENSOR(a + 1, XATTN_F32, 4, 6);
  ASSERT_FAILS(handle, xattn_scale_softmax(handle, &in, 1.0F, NULL, &wrong), XATTN_ERROR_OVERLAP,
               "overlap scores");
  ASSERT_FAILS(handle, xattn_scale_softmax(handle, &in, NAN, NULL, &out), XATTN_ERROR_ARGUMENT,
               "scale");
  ASSERT_FAILS(handle, xattn_scale_softmax(handle, &in, 0.0F, NULL, &out), XATTN_ERROR_ARGUMENT,
               "scale: 0 must be finite and above 0");
  int32_t lengths[4] = {6, 6, 6, 6};
  memcpy(b, lengths, sizeof lengths);
  wrong = XATTN_TENSOR(b, XATTN_I32, 4);
  xattn_options options = {.size = sizeof options, .key_lengths = &wrong};
  ASSERT_FAILS(handle, xattn_scale_softmax(handle, &in, 1.0F, &options, &out), XATTN_ERROR_OVERLAP,
               "overlap options.key_lengths");
  options = (xattn_options){.size = sizeof options, .plan = "direct"};
  ASSERT_FAILS(handle, xattn_scale_softmax(handle, &in, 1.0F, &options, &out), XATTN_ERROR_ARGUMENT,
               "options.plan");
  wrong = in;
  wrong.strides[0] = 1;
  wrong.strides[1] = 4;
  ASSERT_FAILS(handle, xattn_scale_softmax(handle, &wrong, 1.0F, NULL, &out), XATTN_ERROR_LAYOUT,
               "last stride is 4");
  ASSERT_FAILS(NULL, xattn_scale_softmax(NULL, &in, 1.0F, NULL, &out), XATTN_ERROR_ARGUMENT,
               "handle");
  xattn_destroy(handle);
}
END_TEST

Suite *suite_softmax(void) {
  Suite *suite = suite_create("softmax");
  TCase *tests = tcase_create("softmax");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, exp_is_right_to_2_ulp);
  tcase_add_test(tests, every_length_matches_float64);
  tcase_add_test(tests, large_scores_do_not_overflow);
  tcase_add_test(tests, equal_scores_of_any_size_are_equal);
  tcase_add_test(tests, special_values);
  tcase_add_test(tests, public_call_with_ranks_lengths_and_in_place);
  tcase_add_test(tests, public_call_refuses);
  suite_add_tcase(suite, tests);
  return suite;
}
