/* xattn_tensor_convert, exhaustively where the type is 16 bits wide. The expected values come from
 * arithmetic (ldexp, midpoints of neighbours), never from bit patterns of the wider type. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

/* What the 16-bit formats mean, by their definition. */
static double value_of(xattn_dtype dtype, unsigned bits) {
  int mantissa_bits = dtype == XATTN_F16 ? 10 : 7;
  int exponent_bits = 15 - mantissa_bits;
  int bias = (1 << (exponent_bits - 1)) - 1;
  int exponent = (int)(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  int mantissa = (int)bits & ((1 << mantissa_bits) - 1);
  double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * (double)INFINITY;
  if (exponent == 0) return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

static unsigned infinity_of(xattn_dtype dtype) {
  return dtype == XATTN_F16 ? 0x7c00 : 0x7f80;
}

static xattn_tensor vector(const void *data, xattn_dtype dtype, int64_t n) {
  return XATTN_TENSOR(data, dtype, n);
}

static void convert(const void *src, xattn_dtype from, void *dst, xattn_dtype to, int64_t n) {
  xattn_tensor a = vector(src, from, n), b = vector(dst, to, n);
  ck_assert_int_eq(xattn_tensor_convert(&a, &b), XATTN_OK);
}

static unsigned narrowed(double value, xattn_dtype from, xattn_dtype to) {
  float single = (float)value;
  uint16_t result = 0xdead;
  convert(from == XATTN_F64 ? (const void *)&value : &single, from, &result, to, 1);
  return result;
}

static const xattn_dtype halves[] = {XATTN_F16, XATTN_BF16};

START_TEST(test_widening_is_exact) {
  static uint16_t bits[65536];
  static float single[65536];
  static double wide[65536];
  for (unsigned i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
  convert(bits, halves[_i], single, XATTN_F32, 65536);
  convert(bits, halves[_i], wide, XATTN_F64, 65536);
  for (unsigned i = 0; i < 65536; i++) {
    double expected = value_of(halves[_i], i);
    if (isnan(expected)) {
      ck_assert(isnan(single[i]) && isnan(wide[i]));
      continue;
    }
    ck_assert_msg((double)single[i] == expected && wide[i] == expected, "%#x: %g", i, expected);
    ck_assert(!!signbit(single[i]) == !!signbit(expected) &&
              !!signbit(wide[i]) == !!signbit(expected));
  }
}
END_TEST

START_TEST(test_round_trips) {
  static uint16_t bits[65536], back[65536], back64[65536];
  static float single[65536];
  static double wide[65536];
  for (unsigned i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
  convert(bits, halves[_i], single, XATTN_F32, 65536);
  convert(bits, halves[_i], wide, XATTN_F64, 65536);
  convert(single, XATTN_F32, back, halves[_i], 65536);
  convert(wide, XATTN_F64, back64, halves[_i], 65536);
  for (unsigned i = 0; i < 65536; i++) {
    if (isnan(value_of(halves[_i], i))) {
      ck_assert(isnan(value_of(halves[_i], back[i])) && isnan(value_of(halves[_i], back64[i])));
    } else {
      ck_assert_uint_eq(back[i], i);
      ck_assert_uint_eq(back64[i], i);
    }
  }
}
END_TEST

/* Narrowing is monotone, so it is right everywhere if it is right around the midpoint of every two
 * neighbours: the tie goes to the even one, its neighbours to the nearer. The midpoint beyond the
 * largest finite number has infinity as its other neighbour, as if the range went on. */
START_TEST(test_rounding_edges) {
  xattn_dtype to = halves[_i];
  unsigned infinity = infinity_of(to);
  for (unsigned low = 0; low < infinity; low++) {
    double a = value_of(to, low);
    double b = low + 1 < infinity ? value_of(to, low + 1) : a + (a - value_of(to, low - 1));
    double middle = a + (b - a) / 2;
    unsigned even = low % 2 == 0 ? low : low + 1;
    for (unsigned sign = 0; sign < 2; sign++) {
      double s = sign ? -1 : 1;
      unsigned top = sign << 15;
      ck_assert_uint_eq(narrowed(s * middle, XATTN_F64, to), top | even);
      ck_assert_uint_eq(narrowed(s * nextafter(middle, 0), XATTN_F64, to), top | low);
      ck_assert_uint_eq(narrowed(s * nextafter(middle, HUGE_VAL), XATTN_F64, to), top | (low + 1));
      if ((double)(float)middle != middle) continue; /* half of BF16's smallest: below F32 */
      float single = (float)middle;
      ck_assert_uint_eq(narrowed(s * middle, XATTN_F32, to), top | even);
      ck_assert_uint_eq(narrowed(s * (double)nextafterf(single, 0), XATTN_F32, to), top | low);
      ck_assert_uint_eq(narrowed(s * (double)nextafterf(single, HUGE_VALF), XATTN_F32, to),
                        top | (low + 1));
    }
  }
}
END_TEST

START_TEST(test_extremes) {
  xattn_dtype to = halves[_i];
  unsigned infinity = infinity_of(to);
  ck_assert_uint_eq(narrowed(DBL_MAX, XATTN_F64, to), infinity);
  ck_assert_uint_eq(narrowed(-DBL_MAX, XATTN_F64, to), 0x8000 | infinity);
  ck_assert_uint_eq(narrowed(FLT_MAX, XATTN_F32, to), infinity);
  ck_assert_uint_eq(narrowed(HUGE_VAL, XATTN_F64, to), infinity);
  ck_assert_uint_eq(narrowed(HUGE_VAL, XATTN_F32, to), infinity);
  ck_assert_uint_eq(narrowed(-HUGE_VAL, XATTN_F32, to), 0x8000 | infinity);
  ck_assert_uint_eq(narrowed(0x1p-1074, XATTN_F64, to), 0);
  ck_assert_uint_eq(narrowed(-0x1p-1074, XATTN_F64, to), 0x8000);
  ck_assert_uint_eq(narrowed(-0.0, XATTN_F64, to), 0x8000);
  ck_assert_uint_eq(narrowed(-0.0, XATTN_F32, to), 0x8000);
  ck_assert_uint_eq(narrowed(DBL_MIN, XATTN_F64, to), 0);
}
END_TEST

/* NaNs whose payload is only in the bits that are dropped must not become infinity. */
START_TEST(test_nan_stays_nan) {
  xattn_dtype to = halves[_i];
  static const uint32_t singles[] = {0x7f800001, 0x7fc00000, 0xff800001, 0x7fffffff};
  static const uint64_t doubles[] = {0x7ff0000000000001, 0x7ff8000000000000, 0xfff0000000000001};
  uint16_t half[4];
  float single[3];
  convert(singles, XATTN_F32, half, to, 4);
  for (int i = 0; i < 4; i++) ck_assert(isnan(value_of(to, half[i])));
  ck_assert_uint_ge(half[2], 0x8000); /* with its sign */
  convert(doubles, XATTN_F64, half, to, 3);
  for (int i = 0; i < 3; i++) ck_assert(isnan(value_of(to, half[i])));
  convert(doubles, XATTN_F64, single, XATTN_F32, 3);
  for (int i = 0; i < 3; i++) ck_assert(isnan(single[i]));
}
END_TEST

/* 1 + 2^-11 + 2^-40 is above the tie in F16; rounded to F32 first it would be the tie itself. */
START_TEST(test_no_double_rounding) {
  ck_assert_uint_eq(narrowed(1 + 0x1p-11 + 0x1p-40, XATTN_F64, XATTN_F16), 0x3c01);
  ck_assert_uint_eq(narrowed(1 + 0x1p-8 + 0x1p-40, XATTN_F64, XATTN_BF16), 0x3f81);
  ck_assert_uint_eq(narrowed(0x1p-25 + 0x1p-60, XATTN_F64, XATTN_F16), 1);
  /* Half of BF16's smallest subnormal, and just above it: both below F32's own. */
  ck_assert_uint_eq(narrowed(0x1p-134, XATTN_F64, XATTN_BF16), 0);
  ck_assert_uint_eq(narrowed(0x1p-134 + 0x1p-180, XATTN_F64, XATTN_BF16), 1);
}
END_TEST

START_TEST(test_between_the_halves) {
  static uint16_t bits[65536], other[65536], expected[65536];
  static double wide[65536];
  xattn_dtype from = halves[_i], to = halves[1 - _i];
  for (unsigned i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
  convert(bits, from, other, to, 65536);
  convert(bits, from, wide, XATTN_F64, 65536);
  convert(wide, XATTN_F64, expected, to, 65536);
  for (unsigned i = 0; i < 65536; i++)
    if (!isnan(value_of(from, i))) ck_assert_uint_eq(other[i], expected[i]);
}
END_TEST

static const xattn_dtype all[] = {XATTN_F32, XATTN_F16, XATTN_BF16, XATTN_F64};

static void store(unsigned char *at, xattn_dtype dtype, double value) {
  convert(&value, XATTN_F64, at, dtype, 1);
}

static double load(const unsigned char *at, xattn_dtype dtype) {
  double value;
  convert(at, dtype, &value, XATTN_F64, 1);
  return value;
}

/* Every pair of dtypes over permuted strides with gaps, both sides unaligned. The values, -30 to
 * 29, are exact in each dtype. What lies between the elements must stay. */
START_TEST(test_strides) {
  xattn_dtype from = all[_i / 4], to = all[_i % 4];
  int64_t a = (int64_t)xattn_dtype_size(from), b = (int64_t)xattn_dtype_size(to);
  unsigned char src[1 + 200 * 8], dst[1 + 200 * 8];
  memset(src, 0x55, sizeof src);
  memset(dst, 0x77, sizeof dst);
  xattn_tensor s = XATTN_TENSOR(src + 1, from, 3, 4, 5), d = XATTN_TENSOR(dst + 1, to, 3, 4, 5);
  static const int64_t s_strides[] = {1, 3, 12}, d_strides[] = {60, 2, 8};
  memcpy(s.strides, s_strides, sizeof s_strides);
  memcpy(d.strides, d_strides, sizeof d_strides);
  bool written[200] = {false};
  for (int64_t i = 0; i < 60; i++) {
    int64_t x = i / 20, y = i / 5 % 4, z = i % 5;
    store(src + 1 + (x * 1 + y * 3 + z * 12) * a, from, (double)(i - 30));
    written[x * 60 + y * 2 + z * 8] = true;
  }
  ck_assert_int_eq(xattn_tensor_convert(&s, &d), XATTN_OK);
  for (int64_t i = 0; i < 60; i++) {
    int64_t x = i / 20, y = i / 5 % 4, z = i % 5;
    ck_assert_double_eq(load(dst + 1 + (x * 60 + y * 2 + z * 8) * b, to), (double)(i - 30));
  }
  for (int64_t i = 0; i < 200; i++)
    for (int64_t k = 0; k < b && !written[i]; k++) ck_assert_uint_eq(dst[1 + i * b + k], 0x77);
}
END_TEST

/* More elements than one chunk, dense to dense and dense to every other. */
START_TEST(test_long_rows) {
  enum { N = 1000 };
  xattn_dtype from = all[_i / 4], to = all[_i % 4];
  static unsigned char src[N * 8 + 1], dst[2 * N * 8 + 1];
  int64_t a = (int64_t)xattn_dtype_size(from), b = (int64_t)xattn_dtype_size(to);
  for (int i = 0; i < N; i++) store(src + 1 + i * a, from, i % 251 - 125);
  for (int64_t stride = 1; stride <= 2; stride++) {
    xattn_tensor s = vector(src + 1, from, N), d = vector(dst + 1, to, N);
    d.strides[0] = stride;
    memset(dst, 0, sizeof dst);
    ck_assert_int_eq(xattn_tensor_convert(&s, &d), XATTN_OK);
    for (int i = 0; i < N; i++)
      ck_assert_double_eq(load(dst + 1 + i * stride * b, to), (double)(i % 251 - 125));
  }
}
END_TEST

START_TEST(test_rows_to_f32) {
  enum { N = 300 };
  static unsigned char src[3 * N * 8 + 1];
  static float dst[N + 1];
  int64_t a = (int64_t)xattn_dtype_size(all[_i]);
  for (int64_t stride = 0; stride <= 3; stride++) {
    for (int i = 0; i < N; i++) store(src + 1 + i * stride * a, all[_i], i % 100);
    dst[N] = 7;
    xattn_convert_row(dst, XATTN_F32, 1, src + 1, all[_i], stride, N);
    for (int i = 0; i < N; i++)
      ck_assert_float_eq(dst[i], (float)(stride ? i % 100 : (N - 1) % 100));
    ck_assert_float_eq(dst[N], 7);
  }
}
END_TEST

START_TEST(test_scalars_empties_and_broadcasts) {
  float one = 3.5f;
  double wide = 0;
  xattn_tensor s = xattn_tensor_dense(&one, XATTN_F32, 0, NULL);
  xattn_tensor d = xattn_tensor_dense(&wide, XATTN_F64, 0, NULL);
  ck_assert_int_eq(xattn_tensor_convert(&s, &d), XATTN_OK);
  ck_assert_double_eq(wide, 3.5);

  s = XATTN_TENSOR(NULL, XATTN_F32, 4, 0, 3);
  d = XATTN_TENSOR(NULL, XATTN_F16, 4, 0, 3);
  ck_assert_int_eq(xattn_tensor_convert(&s, &d), XATTN_OK);

  uint16_t many[6];
  s = XATTN_TENSOR(&one, XATTN_F32, 2, 3);
  s.strides[0] = s.strides[1] = 0;
  d = XATTN_TENSOR(many, XATTN_F16, 2, 3);
  ck_assert_int_eq(xattn_tensor_convert(&s, &d), XATTN_OK);
  for (int i = 0; i < 6; i++) ck_assert_uint_eq(many[i], 0x4300);
}
END_TEST

static void refused(const xattn_tensor *s, const xattn_tensor *d, xattn_status status,
                    const char *text) {
  ck_assert_int_eq(xattn_tensor_convert(s, d), status);
  ck_assert_msg(strstr(xattn_last_error(NULL), text), "\"%s\" in \"%s\"", text,
                xattn_last_error(NULL));
}

START_TEST(test_refusals) {
  float src[12] = {0}, dst[12];
  xattn_tensor s = XATTN_TENSOR(src, XATTN_F32, 2, 3), d = XATTN_TENSOR(dst, XATTN_F32, 2, 3), x;
  refused(NULL, &d, XATTN_ERROR_ARGUMENT, "src: is NULL");
  refused(&s, NULL, XATTN_ERROR_ARGUMENT, "dst: is NULL");
  x = XATTN_TENSOR(dst, XATTN_F32, 3, 2);
  refused(&s, &x, XATTN_ERROR_SHAPE, "dst: shape is [3, 2], that of src is [2, 3]");
  x = XATTN_TENSOR(dst, XATTN_F32, 6);
  refused(&s, &x, XATTN_ERROR_SHAPE, "dst: shape is [6], that of src is [2, 3]");
  x = XATTN_TENSOR(dst, XATTN_I32, 2, 3);
  refused(&s, &x, XATTN_ERROR_DTYPE, "dst: dtype is I32");
  refused(&x, &d, XATTN_ERROR_DTYPE, "src: dtype is I32");
  x = XATTN_TENSOR(src, XATTN_F8_E4M3, 2, 3);
  refused(&x, &d, XATTN_ERROR_DTYPE, "src: dtype is F8_E4M3");
  x = d;
  x.device_type = XATTN_CUDA;
  refused(&s, &x, XATTN_ERROR_LAYOUT, "dst: device_type is 2");
  x = d;
  x.strides[1] = 0;
  refused(&s, &x, XATTN_ERROR_LAYOUT, "dst: strides[1] is 0");
  refused(&s, &s, XATTN_ERROR_OVERLAP, "dst: bytes");
  x = XATTN_TENSOR(src + 5, XATTN_F32, 2, 3);
  refused(&s, &x, XATTN_ERROR_OVERLAP, "overlap src");
  x = XATTN_TENSOR(src + 6, XATTN_F32, 2, 3);
  ck_assert_int_eq(xattn_tensor_convert(&s, &x), XATTN_OK);
}
END_TEST

Suite *suite_convert(void);
Suite *suite_convert(void) {
  Suite *suite = suite_create("convert");
  TCase *values = tcase_create("values");
  tcase_set_timeout(values, 120);
  tcase_add_loop_test(values, test_widening_is_exact, 0, 2);
  tcase_add_loop_test(values, test_round_trips, 0, 2);
  tcase_add_loop_test(values, test_rounding_edges, 0, 2);
  tcase_add_loop_test(values, test_extremes, 0, 2);
  tcase_add_loop_test(values, test_nan_stays_nan, 0, 2);
  tcase_add_test(values, test_no_double_rounding);
  tcase_add_loop_test(values, test_between_the_halves, 0, 2);
  suite_add_tcase(suite, values);
  TCase *layouts = tcase_create("layouts");
  tcase_add_loop_test(layouts, test_strides, 0, 16);
  tcase_add_loop_test(layouts, test_long_rows, 0, 16);
  tcase_add_loop_test(layouts, test_rows_to_f32, 0, 4);
  tcase_add_test(layouts, test_scalars_empties_and_broadcasts);
  tcase_add_test(layouts, test_refusals);
  suite_add_tcase(suite, layouts);
  return suite;
}
