#include "convert.h"

#include <string.h>

#include "tensor.h"

/* A binary floating-point format: sign, exponent, mantissa. */
typedef struct format {
  int exponent; /* bits */
  int mantissa; /* bits */
} format;

static const format f64 = {11, 52}, f32 = {8, 23}, f16 = {5, 10}, bf16 = {8, 7};

/* value / 2^shift to the nearest integer, ties to even; shift is 1 to 63. */
static inline uint64_t shift_right_to_nearest(uint64_t value, int shift) {
  uint64_t quotient = value >> shift;
  uint64_t rest = value & ((UINT64_C(1) << shift) - 1);
  uint64_t half = UINT64_C(1) << (shift - 1);
  return quotient + (rest > half || (rest == half && (quotient & 1)));
}

/* A number narrowed on its bits, in one rounding whatever the widths: F64 to F16 by way of F32
 * would round twice. Integers only, so neither rounding mode nor flush-to-zero matter. */
static inline uint16_t narrow(uint64_t bits, format from, format to) {
  int dropped = from.mantissa - to.mantissa;
  int bias_gap = (1 << (from.exponent - 1)) - (1 << (to.exponent - 1));
  uint64_t mantissa = bits & ((UINT64_C(1) << from.mantissa) - 1);
  int exponent = (int)(bits >> from.mantissa) & ((1 << from.exponent) - 1);
  uint64_t sign = (bits >> (from.exponent + from.mantissa)) << (to.exponent + to.mantissa);
  uint64_t infinity = (UINT64_C(1) << (to.exponent + to.mantissa)) - (UINT64_C(1) << to.mantissa);
  uint64_t result;
  if (exponent == (1 << from.exponent) - 1 && mantissa) {
    /* The quiet bit is set: the payload that is left may be 0, which would mean infinity. */
    result = infinity | UINT64_C(1) << (to.mantissa - 1) | mantissa >> dropped;
  } else if (exponent - bias_gap >= (1 << to.exponent) - 1) {
    result = infinity;
  } else if (exponent - bias_gap >= 1) {
    /* Exponent and mantissa side by side: a carry out of the mantissa does the right thing, up to
     * and including infinity. */
    uint64_t number = (uint64_t)(exponent - bias_gap) << from.mantissa | mantissa;
    result = shift_right_to_nearest(number, dropped);
  } else {
    /* Subnormal in the target: shift the whole significand to the target's smallest unit. */
    uint64_t significand = exponent ? mantissa | UINT64_C(1) << from.mantissa : mantissa;
    int shift = dropped + 1 - (exponent ? exponent : 1) + bias_gap;
    /* Beyond that even the largest significand is below half a unit. */
    result = shift > from.mantissa + 1 ? 0 : shift_right_to_nearest(significand, shift);
  }
  return (uint16_t)(sign | result);
}

static inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float widen_f16(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13; /* exponent and mantissa, wrong bias */
  uint32_t exponent = magnitude & 0x0f800000;
  if (exponent == 0) { /* 0 or subnormal: count in units of 2^-24, exact in F32 */
    float value = (float)(half & 0x3ff) * 0x1p-24f;
    return sign ? -value : value;
  }
  /* Infinity and NaN move from the top exponent of F16 to that of F32. */
  uint32_t rebias = exponent == 0x0f800000 ? (255 - 31) : (127 - 15);
  return float_of(sign | (magnitude + (rebias << 23)));
}

static inline uint16_t load16(const unsigned char *src) {
  uint16_t bits;
  memcpy(&bits, src, sizeof bits);
  return bits;
}

static inline double load64(const unsigned char *src) {
  double value;
  memcpy(&value, src, sizeof value);
  return value;
}

bool xattn_convert_supports(xattn_dtype dtype) {
  return dtype == XATTN_F32 || dtype == XATTN_F16 || dtype == XATTN_BF16 || dtype == XATTN_F64;
}

/* Copies n elements of `item` bytes, which is constant where this is inlined. */
static inline void copy_items(unsigned char *dst, int64_t dst_stride, const unsigned char *src,
                              int64_t src_stride, int64_t n, int64_t item) {
  if (src_stride == 1 && dst_stride == 1) {
    memcpy(dst, src, (size_t)(n * item));
    return;
  }
  for (int64_t i = 0; i < n; i++)
    memcpy(dst + i * dst_stride * item, src + i * src_stride * item, (size_t)item);
}

static void convert_row_to_f32(const unsigned char *from, xattn_dtype dtype, int64_t stride,
                               int64_t n, float *dst) {
  switch ((int)dtype) {
    case XATTN_F32:
      copy_items((unsigned char *)dst, 1, from, stride, n, 4);
      break;
    case XATTN_F16:
      for (int64_t i = 0; i < n; i++) dst[i] = widen_f16(load16(from + i * stride * 2));
      break;
    case XATTN_BF16:
      for (int64_t i = 0; i < n; i++)
        dst[i] = float_of((uint32_t)load16(from + i * stride * 2) << 16);
      break;
    case XATTN_F64:
      for (int64_t i = 0; i < n; i++) dst[i] = (float)load64(from + i * stride * 8);
      break;
    default: /* excluded by xattn_convert_supports */
      break;
  }
}

/* Stores n narrowed or widened values; src is dense. */
static void store_row(unsigned char *dst, xattn_dtype dtype, int64_t stride, const float *src,
                      int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (dtype == XATTN_F32) {
      memcpy(dst + i * stride * 4, &src[i], 4);
    } else if (dtype == XATTN_F64) {
      double wide = src[i];
      memcpy(dst + i * stride * 8, &wide, 8);
    } else {
      uint32_t bits;
      memcpy(&bits, &src[i], sizeof bits);
      uint16_t half = dtype == XATTN_F16 ? narrow(bits, f32, f16) : narrow(bits, f32, bf16);
      memcpy(dst + i * stride * 2, &half, 2);
    }
  }
}

static void narrow_f64_row(unsigned char *dst, xattn_dtype dtype, int64_t dst_stride,
                           const unsigned char *src, int64_t src_stride, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint64_t bits;
    memcpy(&bits, src + i * src_stride * 8, sizeof bits);
    uint16_t half = dtype == XATTN_F16 ? narrow(bits, f64, f16) : narrow(bits, f64, bf16);
    memcpy(dst + i * dst_stride * 2, &half, 2);
  }
}

/* All the other pairs go by way of F32, which holds F16 and BF16 exactly. */
void xattn_convert_row(void *dst_data, xattn_dtype dst_dtype, int64_t dst_stride,
                       const void *src_data, xattn_dtype src_dtype, int64_t src_stride, int64_t n) {
  unsigned char *dst = dst_data;
  const unsigned char *src = src_data;
  if (src_dtype == dst_dtype) {
    switch (xattn_dtype_size(src_dtype)) {
      case 2:
        copy_items(dst, dst_stride, src, src_stride, n, 2);
        return;
      case 4:
        copy_items(dst, dst_stride, src, src_stride, n, 4);
        return;
      default:
        copy_items(dst, dst_stride, src, src_stride, n, 8);
        return;
    }
  }
  if (src_dtype == XATTN_F64 && dst_dtype != XATTN_F32) {
    narrow_f64_row(dst, dst_dtype, dst_stride, src, src_stride, n);
    return;
  }
  enum { CHUNK = 256 };
  float chunk[CHUNK];
  const int64_t src_step = src_stride * (int64_t)xattn_dtype_size(src_dtype);
  const int64_t dst_step = dst_stride * (int64_t)xattn_dtype_size(dst_dtype);
  for (int64_t i = 0; i < n; i += CHUNK) {
    int64_t count = n - i < CHUNK ? n - i : CHUNK;
    convert_row_to_f32(src + i * src_step, src_dtype, src_stride, count, chunk);
    store_row(dst + i * dst_step, dst_dtype, dst_stride, chunk, count);
  }
}

/* Row by row; a pair of dense tensors is one long row. */
static void convert_elements(const xattn_tensor *src, const xattn_tensor *dst) {
  int64_t elements = xattn_tensor_elements(src);
  if (elements == 0) return;
  const int64_t src_item = (int64_t)xattn_dtype_size(src->dtype);
  const int64_t dst_item = (int64_t)xattn_dtype_size(dst->dtype);
  const unsigned char *from = src->data;
  unsigned char *to = dst->data;
  if (src->rank == 0 || (xattn_tensor_is_dense(src) && xattn_tensor_is_dense(dst))) {
    xattn_convert_row(to, dst->dtype, 1, from, src->dtype, 1, elements);
    return;
  }
  const int32_t last = src->rank - 1;
  int64_t index[XATTN_MAX_RANK] = {0};
  for (;;) {
    xattn_convert_row(to, dst->dtype, dst->strides[last], from, src->dtype, src->strides[last],
                      src->shape[last]);
    int32_t i = last - 1;
    while (i >= 0 && ++index[i] == src->shape[i]) {
      from -= (src->shape[i] - 1) * src->strides[i] * src_item;
      to -= (src->shape[i] - 1) * dst->strides[i] * dst_item;
      index[i--] = 0;
    }
    if (i < 0) return;
    from += src->strides[i] * src_item;
    to += dst->strides[i] * dst_item;
  }
}

static xattn_status check_side(xattn_error *error, const char *name, const xattn_tensor *tensor) {
  xattn_status status = xattn_tensor_check(error, name, tensor, false);
  if (status || xattn_convert_supports(tensor->dtype)) return status;
  return xattn_fail(error, XATTN_ERROR_DTYPE, "%s: dtype is %s, must be F32, F16, BF16 or F64",
                    name, xattn_dtype_name(tensor->dtype));
}

xattn_status xattn_convert(xattn_error *error, const char *src_name, const xattn_tensor *src,
                           const char *dst_name, const xattn_tensor *dst) {
  xattn_status status = check_side(error, src_name, src);
  if (!status) status = check_side(error, dst_name, dst);
  if (status) return status;
  bool same = src->rank == dst->rank;
  for (int32_t i = 0; same && i < src->rank; i++) same = src->shape[i] == dst->shape[i];
  xattn_text src_text, dst_text;
  if (!same)
    return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: shape is %s, that of %s is %s", dst_name,
                      xattn_shape_text(&dst_text, dst), src_name, xattn_shape_text(&src_text, src));
  status = xattn_tensor_distinct(error, dst_name, dst);
  if (!status) status = xattn_tensor_disjoint(error, dst_name, dst, src_name, src);
  if (!status) convert_elements(src, dst);
  return status;
}

xattn_status xattn_tensor_convert(const xattn_tensor *src, const xattn_tensor *dst) {
  return xattn_convert(xattn_thread_error(), "src", src, "dst", dst);
}
