/* The fused scale-softmax: every kernel against float64, and the public call's edges. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support.h"
#include "support_device.h"

/* Units in the last place between a float and an exact value. */
static double ulps(float got, double exact) {
  float near = (float)exact;
  double unit = near < 0x1p-126F ? 0x1p-149 : (double)(nextafterf(near, INFINITY) - near);
  return fabs((double)got - exact) / unit;
}

/* A kernel under test: the row function of one of the processor's instruction sets, or the call of the
 * device under test. */
typedef struct kernel {
  const char *name;
  const xattn_isa *isa;
  xattn_handle *handle;
} kernel;

/* Kernel number `index`; false past the last. */
static bool kernel_open(int index, kernel *k) {
  *k = (kernel){.name = test_device()};
  if (on_cpu()) {
    k->isa = xattn_isa_list(index);
    if (k->isa) k->name = k->isa->name;
    return k->isa != NULL;
  }
  if (index == 0) k->handle = test_handle(1);
  return index == 0;
}

static void kernel_close(kernel *k) {
  xattn_destroy(k->handle);
}

#define EACH_KERNEL(k) for (int i_ = 0; kernel_open(i_, &(k)); kernel_close(&(k)), i_++)

static void run_rows(const kernel *k, const float *in, float *out, int64_t rows, int64_t n,
                     float scale) {
  for (int64_t row = 0; k->isa && row < rows; row++)
    k->isa->softmax_row(in + row * n, out + row * n, n, scale);
  if (k->isa) return;
  xattn_tensor from = XATTN_TENSOR(in, XATTN_F32, rows, n),
               to = XATTN_TENSOR(out, XATTN_F32, rows, n);
  ASSERT_OK(k->handle, xattn_scale_softmax(k->handle, &from, scale, NULL, &to));
}

/* With the first element at 0 and the second at x <= 0, the row is 1/(1+e^x) and e^x/(1+e^x): their
 * ratio is the kernel's exp. 3 further roundings come on top of it. */
START_TEST(exp_is_right_to_2_ulp) {
  enum { ROWS = 235135 };
  static float in[ROWS][2], out[ROWS][2];
  const int rows = on_cpu() ? ROWS : ROWS / 8; /* the simulator of CUDA is slow */
  for (int row = 0; row < rows; row++) in[row][1] = (float)(row * (-87.0 / rows));
  kernel k;
  EACH_KERNEL(k) {
    run_rows(&k, in[0], out[0], rows, 2, 1.0F);
    double worst = 0.0;
    for (int row = 0; row < rows; row++) {
      double e = exp((double)in[row][1]);
      worst = fmax(worst, ulps(out[row][1], e / (1.0 + e)));
      worst = fmax(worst, ulps(out[row][0], 1.0 / (1.0 + e)));
    }
    ck_assert_msg(worst <= 3.5, "%s: %.2f ulp", k.name, worst);
  }
}
END_TEST

/* Scores of a panel of every width, in two parts, with and without a bias of the keys: powers to 1.5 ulp of what they are for
 * the constant that the scale becomes (where products are rounded, further ones for that), maxima, sums and factors. Some
 * columns have no key above -inf, or a NaN, at first or for good. */
static void check_columns(const xattn_isa *isa, rng *r, int64_t width, int64_t keys, bool biased) {
  enum { MOST_KEYS = 77, WIDEST = XATTN_TILE_PANEL };
  static float s[MOST_KEYS * WIDEST], e[MOST_KEYS * WIDEST];
  float bias[MOST_KEYS], maximum[WIDEST], sum[WIDEST], factor[WIDEST];
  double total[WIDEST] = {0};
  const float scale = 0.37F;
  const double by = (double)(scale * 1.44269504F), rounded = isa->lanes == 4 ? 1.0 : 0.0;
  for (int64_t i = 0; i < width; i++) maximum[i] = -INFINITY;
  memset(sum, 0, sizeof sum);
  for (int part = 0; part < 2; part++) {
    for (int64_t j = 0; j < keys; j++) bias[j] = (float)(rng_uniform(r) * 5.0);
    for (int64_t j = 0; j < keys * width; j++) s[j] = (float)(rng_uniform(r) * 90.0);
    for (int64_t j = 0; j < keys; j++) {
      s[j * width] = -INFINITY;
      if (part == 0) s[j * width + 1] = -INFINITY;
    }
    if (part == 0) s[(keys - 1) * width + 2] = NAN;
    memcpy(e, s, sizeof e);
    float before[WIDEST];
    memcpy(before, maximum, sizeof before);
    isa->softmax_columns(keys, width, e, biased ? bias : NULL, scale, maximum, sum, factor);
    for (int64_t i = 0; i < width; i++) {
      float most = before[i];
      for (int64_t j = 0; j < keys; j++)
        most = fmaxf(most, s[j * width + i] + (biased ? bias[j] : 0.0F));
      ck_assert(maximum[i] == most);
      const double f = most == -INFINITY ? 0.0 : exp2(by * (double)(before[i] - most));
      ck_assert(ulps(factor[i], f) <= 1.5 + rounded * fabs(log2(f)) || factor[i] == f);
      total[i] *= f;
      for (int64_t j = 0; j < keys; j++) {
        const float score = s[j * width + i] + (biased ? bias[j] : 0.0F);
        const float got = e[j * width + i];
        const double x = by * (double)(score - most);
        const double exact = score == -INFINITY || x < -126.5 ? 0.0 : exp2(x);
        if (isnan(score)) {
          ck_assert(isnan(got));
        } else {
          ck_assert_msg(exact == 0.0 ? got == 0.0F : ulps(got, exact) <= 1.5 + rounded * fabs(x),
                        "%s width %lld: 2^%g is %.9g", isa->name, (long long)width, x, (double)got);
        }
        total[i] += isnan(score) ? NAN : exact;
      }
      ck_assert(isnan(total[i]) ? isnan(sum[i])
                                : fabs((double)sum[i] - total[i]) <= total[i] * 100 * 0x1p-24);
    }
  }
}

START_TEST(columns_are_right_to_2_ulp) {
  rng r = {6};
  const xattn_isa *isa;
  for (int i = 0; (isa = xattn_isa_list(i)) != NULL; i++)
    for (int64_t width = isa->lanes; width <= isa->panel; width += isa->lanes)
      for (int64_t keys = 1; keys <= 77; keys += 4)
        for (int biased = 0; biased < 2; biased++) check_columns(isa, &r, width, keys, biased);
}
END_TEST

/* x = scale·(in - max) takes two roundings, which exp turns into a relative error of |x| each; exp
 * itself and the division take a few more. The sum runs in 16 parts or more at once, and the roundings of
 * each part's n/16 additions walk at random. */
static void check_row(const kernel *k, const float *in, int64_t n, float scale) {
  float *out = malloc((size_t)(n + 1) * sizeof *out);
  ck_assert_ptr_nonnull(out);
  out[n] = 42.0F;
  double largest = -INFINITY, sum = 0.0, total = 0.0;
  for (int64_t j = 0; j < n; j++) largest = fmax(largest, (double)in[j]);
  for (int64_t j = 0; j < n; j++) sum += exp((double)scale * ((double)in[j] - largest));
  run_rows(k, in, out, 1, n, scale);
  for (int64_t j = 0; j < n; j++) {
    double x = (double)scale * ((double)in[j] - largest), exact = exp(x) / sum;
    double most = (8.0 + 2.0 * fabs(x) + sqrt((double)n / 16.0)) * 0x1p-24;
    ck_assert_msg(fabs((double)out[j] - exact) <= most * exact + 1e-37,
                  "%s n %lld: out[%lld] is %.9g, not %.9g", k->name, (long long)n, (long long)j,
                  (double)out[j], exact);
    total += (double)out[j];
  }
  ck_assert(n == 0 || fabs(total - 1.0) < (16.0 + sqrt((double)n / 16.0)) * 0x1p-24);
  ck_assert(out[n] == 42.0F);
  free(out);
}

/* Every short length, and those where kernels change over. */
START_TEST(every_length_matches_float64) {
  static const int64_t longer[] = {255,  256,  257,   511,   513,   597,   1023, 1024,
                                   1025, 1031, 12279, 12280, 12281, 12290, 30001};
  rng r = {1};
  static float in[30001];
  kernel k;
  EACH_KERNEL(k) {
    for (int64_t n = 1; n < 140; n++) {
      for (int64_t j = 0; j < n; j++) in[j] = (float)(rng_uniform(&r) * 20.0);
      check_row(&k, in, n, 0.37F);
    }
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++) {
      for (int64_t j = 0; j < longer[i]; j++) in[j] = (float)(rng_uniform(&r) * 20.0);
      check_row(&k, in, longer[i], 0.37F);
      for (int64_t j = 0; j < longer[i]; j++) in[j] = (float)j * 0.01F; /* the maximum comes last */
      check_row(&k, in, longer[i], 0.37F);
    }
  }
}
END_TEST

/* Where exp alone would overflow or every term would underflow. */
START_TEST(large_scores_do_not_overflow) {
  kernel k;
  EACH_KERNEL(k)
  for (float base = -3e38F; base <= 3e38F; base += 1e38F) {
    float in[37];
    for (int j = 0; j < 37; j++) in[j] = base;
    check_row(&k, in, 37, 1.0F);
    in[5] = 95.0F;
    in[20] = 90.0F;
    if (base < 0.0F) check_row(&k, in, 37, 1.0F);
  }
}
END_TEST

/* Equal scores give equal weights, in the body of a row and in its tail, of any size. */
START_TEST(equal_scores_of_any_size_are_equal) {
  kernel k;
  EACH_KERNEL(k)
  for (int64_t n = 1; n < 70; n++)
    for (float score = 1.0F; score < 3e38F; score *= 7.3F) {
      float in[70], out[70];
      for (int64_t j = 0; j < n; j++) in[j] = n & 1 ? -score : score;
      run_rows(&k, in, out, 1, n, 0.15811388F);
      for (int64_t j = 0; j < n; j++)
        ck_assert(out[j] == out[0] && fabsf(out[j] * (float)n - 1.0F) < 1e-6F);
      in[n / 2] = score * 1.1F;
      for (int64_t j = 0; j < n; j++)
        if (j != n / 2) in[j] = 0.0F;
      check_row(&k, in, n, 0.15811388F);
    }
}
END_TEST

static void check_special_values(const kernel *k, int64_t n, int64_t at) {
  float *in = calloc((size_t)n, sizeof *in), *out = calloc((size_t)n, sizeof *out);
  ck_assert(in && out);
  for (int64_t j = 0; j < n; j++) in[j] = -INFINITY;
  run_rows(k, in, out, 1, n, 0.5F);
  for (int64_t j = 0; j < n; j++) ck_assert(out[j] == 0.0F);
  in[at] = -7.0F; /* the only key */
  run_rows(k, in, out, 1, n, 0.5F);
  for (int64_t j = 0; j < n; j++) ck_assert(out[j] == (j == at ? 1.0F : 0.0F));
  in[at] = NAN;
  run_rows(k, in, out, 1, n, 0.5F);
  for (int64_t j = 0; j < n; j++) ck_assert(isnan(out[j]));
  in[(at + 1) % n] = 3.0F;
  run_rows(k, in, out, 1, n, 0.5F);
  for (int64_t j = 0; j < n; j++) ck_assert(isnan(out[j]));
  in[at] = INFINITY;
  run_rows(k, in, out, 1, n, 0.5F);
  ck_assert(isnan(out[at]));
  /* Far below the largest: exactly 0. */
  for (int64_t j = 0; j < n; j++) in[j] = j == at ? 0.0F : -200.0F;
  run_rows(k, in, out, 1, n, 1.0F);
  for (int64_t j = 0; j < n; j++) ck_assert(out[j] == (j == at ? 1.0F : 0.0F));
  free(in);
  free(out);
}

START_TEST(special_values) {
  static const int64_t longer[] = {300, 1025, 12281};
  kernel k;
  EACH_KERNEL(k) {
    for (int64_t n = 2; n < 70; n++)
      for (int64_t at = 0; at < n; at += 7) check_special_values(&k, n, at);
    for (int i = 0; i < 3; i++)
      for (int64_t at = 0; at < longer[i]; at += longer[i] / 2)
        check_special_values(&k, longer[i], at);
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
  xattn_handle *handle = test_handle(2);
  for (int32_t rank = 1; rank <= 4; rank++) {
    check_public(handle, rank, false);
    check_public(handle, rank, true);
  }
  xattn_destroy(handle);
}
END_TEST

START_TEST(public_call_refuses) {
  xattn_handle *handle = test_handle(1);
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

/* The backend's own function over three batch levels and rows, each with strides of its own: nested with and
 * without gaps, and the other way round. Input and output differ in theirs; what lies between is not
 * touched. */
static void check_levels(xattn_handle *handle, const int64_t in_stride[4],
                         const int64_t out_stride[4], bool limited) {
  enum { ITEMS = 2, GROUPS = 3, HEADS = 2, ROWS = 4, KEYS = 7, SIZE = 4096 };
  static float in[SIZE], out[SIZE];
  int32_t count[ITEMS] = {5, 7};
  rng r = {17};
  for (int i = 0; i < SIZE; i++) {
    in[i] = (float)rng_uniform(&r);
    out[i] = -1.0F;
  }
  xattn_memory from = to_device(handle, in, SIZE), to = to_device(handle, out, SIZE);
  xattn_softmax s = {.m = ROWS, .n = KEYS, .batch = {ITEMS, GROUPS, HEADS}, .scale = 2.0F};
  s.in = (xattn_matrix){.data = from.data, .dtype = XATTN_F32, .ld = in_stride[3]};
  s.out = (xattn_matrix){.data = to.data, .dtype = XATTN_F32, .ld = out_stride[3]};
  memcpy(s.in.stride, in_stride, sizeof s.in.stride);
  memcpy(s.out.stride, out_stride, sizeof s.out.stride);
  if (limited) s.limit = (xattn_lengths){.count = count, .step = 1};
  ASSERT_OK(handle, handle->backend->softmax(&handle->error, handle->device, &s));
  from_device(handle, &to, out, SIZE);
  xattn_memory_free(&from);
  int written = 0;
  for (int64_t at = 0; at < ITEMS * GROUPS * HEADS * ROWS; at++) {
    int64_t index[4] = {at / (GROUPS * HEADS * ROWS), at / (HEADS * ROWS) % GROUPS,
                        at / ROWS % HEADS, at % ROWS};
    int64_t a = 0, b = 0, keys = limited ? count[index[0]] : KEYS;
    for (int i = 0; i < 4; i++) {
      a += index[i] * in_stride[i];
      b += index[i] * out_stride[i];
    }
    double sum = 0.0;
    for (int64_t j = 0; j < keys; j++) sum += exp(2.0 * (double)in[a + j]);
    for (int64_t j = 0; j < KEYS; j++, written++) {
      double exact = j < keys ? exp(2.0 * (double)in[a + j]) / sum : 0.0;
      ck_assert_msg(fabs((double)out[b + j] - exact) <= 1e-6, "[%lld, %lld, %lld, %lld, %lld]",
                    (long long)index[0], (long long)index[1], (long long)index[2],
                    (long long)index[3], (long long)j);
    }
  }
  for (int i = 0; i < SIZE; i++) written -= out[i] >= 0.0F;
  ck_assert_int_eq(written, 0);
}

START_TEST(levels_of_any_strides) {
  static const int64_t strides[][4] = {
      {168, 56, 28, 7},    /* dense */
      {400, 120, 50, 11},  /* a gap at every level */
      {600, 192, 96, 24},  /* rows and heads join, groups do not */
      {900, 288, 144, 36}, /* ... in another place */
      {7, 1000, 300, 14},  /* the other way round */
      {400, 112, 56, 8},   /* aligned rows */
  };
  enum { KINDS = sizeof strides / sizeof *strides };
  xattn_handle *handle = test_handle(2);
  for (int i = 0; i < KINDS; i++)
    for (int j = 0; j < KINDS; j++) {
      check_levels(handle, strides[i], strides[j], false);
      check_levels(handle, strides[i], strides[j], true);
    }
  xattn_destroy(handle);
}
END_TEST

Suite *suite_softmax(void) {
  Suite *suite = suite_create("softmax");
  TCase *tests = tcase_create("softmax");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, exp_is_right_to_2_ulp);
  tcase_add_test(tests, columns_are_right_to_2_ulp);
  tcase_add_test(tests, every_length_matches_float64);
  tcase_add_test(tests, large_scores_do_not_overflow);
  tcase_add_test(tests, equal_scores_of_any_size_are_equal);
  tcase_add_test(tests, special_values);
  tcase_add_test(tests, levels_of_any_strides);
  tcase_add_test(tests, public_call_with_ranks_lengths_and_in_place);
  tcase_add_test(tests, public_call_refuses);
  suite_add_tcase(suite, tests);
  return suite;
}
