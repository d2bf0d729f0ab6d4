#include "support_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

const rule rule_f32 = {"F32", 0x1p-24, 0x1p-24, 0.0, 0x1p-24, 8.0, 2.0, 0.0};
const rule rule_tf32 = {"TF32", 0x1p-24, 0x1p-11, 0x1p-11, 0x1p-10, 1.0, 0.35, 0.0};
const rule rule_f16 = {"F16", 0x1p-11, 0x1p-11, 0.0, 0x1p-24, 2.0, 0.5, 0x1p-25};
const rule rule_bf16 = {"BF16", 0x1p-8, 0x1p-8, 0.0, 0x1p-24, 2.0, 0.5, 0.0};

const rule *rule_of(xattn_dtype dtype) {
  return dtype == XATTN_F16 ? &rule_f16 : dtype == XATTN_BF16 ? &rule_bf16 : &rule_f32;
}

static double *doubles(int64_t count) {
  double *memory = calloc((size_t)count + 1, sizeof *memory);
  ck_assert_ptr_nonnull(memory);
  return memory;
}

static float *floats(int64_t count) {
  float *memory = calloc((size_t)count + 1, sizeof *memory);
  ck_assert_ptr_nonnull(memory);
  return memory;
}

static float at4(const xattn_tensor *t, int64_t b, int64_t n, int64_t h, int64_t d) {
  const int64_t *s = t->strides;
  return ((const float *)t->data)[b * s[0] + n * s[1] + h * s[2] + d * s[3]];
}

/* |v|, dense. */
static xattn_tensor absolute(const xattn_tensor *v) {
  const int64_t *n = v->shape;
  float *data = floats(n[0] * n[1] * n[2] * n[3]);
  int64_t index = 0;
  for (int64_t b = 0; b < n[0]; b++)
    for (int64_t i = 0; i < n[1]; i++)
      for (int64_t h = 0; h < n[2]; h++)
        for (int64_t d = 0; d < n[3]; d++) data[index++] = fabsf(at4(v, b, i, h, d));
  return xattn_tensor_dense(data, XATTN_F32, 4, n);
}

/* The oracle's bracket is 2^-24·(|o*| + A + 2·A·S). With A, its result for |v|, that gives A·S. */
void check_attention_rule(const rule *by, const xattn_tensor *q, const xattn_tensor *k,
                          const xattn_tensor *v, double scale, const int32_t *lengths,
                          const xattn_tensor *out) {
  const int64_t *n = out->shape, count = n[0] * n[1] * n[2] * n[3];
  double *exact = doubles(count), *f32 = doubles(count), *a = doubles(count);
  double *unused = doubles(count);
  xattn_tensor positive = absolute(v);
  oracle_attention(q, k, v, scale, lengths, exact, f32);
  oracle_attention(q, k, &positive, scale, lengths, a, unused);
  double error2 = 0.0, bracket2 = 0.0;
  int64_t index = 0;
  for (int64_t b = 0; b < n[0]; b++)
    for (int64_t i = 0; i < n[1]; i++)
      for (int64_t h = 0; h < n[2]; h++)
        for (int64_t d = 0; d < n[3]; d++, index++) {
          const double o = fabs(exact[index]), a_s = (f32[index] * 0x1p24 - o - a[index]) / 2.0;
          const double bracket =
              by->u_out * o + a[index] * (by->u_p + by->u_v) + 2.0 * by->u_s * a_s;
          const double got = (double)at4(out, b, i, h, d), error = fabs(got - exact[index]);
          ck_assert_msg(error <= by->c * bracket + by->floor,
                        "%s: out[%lld, %lld, %lld, %lld] is %.9g, not %.9g; %.3g of the bracket",
                        by->name, (long long)b, (long long)i, (long long)h, (long long)d, got,
                        exact[index], error / bracket);
          const double above = error > by->floor ? error - by->floor : 0.0;
          error2 += above * above;
          bracket2 += bracket * bracket;
        }
  ck_assert_msg(count < 64 || error2 <= by->r * by->r * bracket2,
                "%s: rms error %.3g of the bracket", by->name, sqrt(error2 / bracket2));
  free(positive.data);
  free(unused);
  free(a);
  free(f32);
  free(exact);
}

void check_attention(xattn_handle *handle, const rule *by, xattn_dtype dtype,
                     const attention_shape *s, const layout how[4], bool with_lengths,
                     uint64_t seed) {
  rng r = {seed};
  guarded all[4] = {
      guarded_new(how[0], 4, (int64_t[]){s->batch, s->queries, s->heads, s->head_dim}),
      guarded_new(how[1], 4, (int64_t[]){s->batch, s->keys, s->kv_heads, s->head_dim}),
      guarded_new(how[2], 4, (int64_t[]){s->batch, s->keys, s->kv_heads, s->value_dim}),
      guarded_new(how[3], 4, (int64_t[]){s->batch, s->queries, s->heads, s->value_dim})};
  device_tensor d[4];
  int32_t lengths[16] = {(int32_t)s->keys, 0, (int32_t)s->keys / 2};
  for (int64_t b = 3; b < s->batch; b++) lengths[b] = (int32_t)rng_range(&r, 0, s->keys);
  const xattn_tensor lengths_tensor = XATTN_TENSOR(lengths, XATTN_I32, s->batch);
  const xattn_options options = {.size = sizeof options,
                                 .key_lengths = with_lengths ? &lengths_tensor : NULL};
  for (int i = 0; i < 3; i++) {
    guarded_fill(&all[i], &r, i < 2 ? 2.0 : 1.0);
    quantise(&all[i].t, dtype);
    d[i] = device_copy(handle, &all[i].t, dtype);
  }
  d[3] = device_new(handle, &all[3].t, dtype, 0);
  ASSERT_OK(handle, xattn_attention(handle, &d[0].t, &d[1].t, &d[2].t, 0.0F, &options, &d[3].t));
  device_get(&d[3], &all[3].t);
  check_attention_rule(by, &all[0].t, &all[1].t, &all[2].t, 1.0 / sqrt((double)s->head_dim),
                       with_lengths ? lengths : NULL, &all[3].t);
  for (int i = 0; i < 4; i++) {
    device_check(&d[i], "a tensor of attention");
    device_free(&d[i]);
    guarded_free(&all[i]);
  }
}

/* ---- the plain layer in half precision */

static void round_all(float *values, int64_t count, xattn_dtype dtype) {
  uint16_t *memory = malloc((size_t)(count + 1) * sizeof *memory);
  ck_assert_ptr_nonnull(memory);
  const xattn_tensor wide = xattn_tensor_dense(values, XATTN_F32, 1, &count);
  const xattn_tensor narrow = xattn_tensor_dense(memory, dtype, 1, &count);
  ASSERT_OK(NULL, xattn_tensor_convert(&wide, &narrow));
  ASSERT_OK(NULL, xattn_tensor_convert(&narrow, &wide));
  free(memory);
}

/* out [rows, W's rows] = in [rows, W's columns]·Wᵀ + bias, rounded. */
static float *linear(const float *in, int64_t rows, const xattn_tensor *weight,
                     const xattn_tensor *bias, xattn_dtype dtype) {
  const int64_t columns = weight->shape[1], width = weight->shape[0];
  const float *w = weight->data;
  float *out = floats(rows * width);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t o = 0; o < width; o++) {
      float sum = 0.0F;
      for (int64_t c = 0; c < columns; c++) sum += in[i * columns + c] * w[o * columns + c];
      out[i * width + o] = sum + (bias && bias->data ? ((const float *)bias->data)[o] : 0.0F);
    }
  round_all(out, rows * width, dtype);
  return out;
}

/* One row of one head: o [value_dim], from q [head_dim] and the rows of K and V. */
static void plain_attend(const test_layer *l, xattn_dtype dtype, const float *q, const float *k,
                         const float *v, int64_t keys, float *o) {
  const int64_t k_row = l->kv_heads * l->head_dim, v_row = l->kv_heads * l->value_dim;
  const float scale = (float)(1.0 / sqrt((double)l->head_dim));
  float *p = floats(keys), largest = -INFINITY, sum = 0.0F;
  for (int64_t j = 0; j < keys; j++) {
    for (int64_t d = 0; d < l->head_dim; d++) p[j] += q[d] * k[j * k_row + d];
    largest = fmaxf(largest, p[j]);
  }
  for (int64_t j = 0; j < keys; j++) sum += p[j] = expf(scale * (p[j] - largest));
  for (int64_t j = 0; j < keys; j++) p[j] /= sum;
  round_all(p, keys, dtype);
  for (int64_t d = 0; d < l->value_dim; d++) {
    o[d] = 0.0F;
    for (int64_t j = 0; j < keys; j++) o[d] += p[j] * v[j * v_row + d];
  }
  free(p);
}

/* The rows of one batch item, dense. */
static float *item_of(const xattn_tensor *t, int64_t item) {
  float *rows = floats(t->shape[1] * t->shape[2]);
  for (int64_t i = 0; i < t->shape[1]; i++)
    for (int64_t c = 0; c < t->shape[2]; c++)
      rows[i * t->shape[2] + c] =
          ((const float *)t->data)[item * t->strides[0] + i * t->strides[1] + c * t->strides[2]];
  return rows;
}

static float *plain_item(const test_layer *l, xattn_dtype dtype, const xattn_tensor *x,
                         const xattn_tensor *y, int64_t item, int64_t keys) {
  const xattn_tensor *t = l->tensor;
  float *x_rows = item_of(x, item), *y_rows = item_of(y, item);
  float *q = linear(x_rows, x->shape[1], &t[0], &t[4], dtype);
  float *k = linear(y_rows, keys, &t[1], &t[5], dtype);
  float *v = linear(y_rows, keys, &t[2], &t[6], dtype);
  const int64_t joined = l->heads * l->value_dim;
  float *o = floats(x->shape[1] * joined);
  for (int64_t i = 0; i < x->shape[1]; i++)
    for (int64_t h = 0; h < l->heads; h++) {
      const int64_t g = h / (l->heads / l->kv_heads);
      plain_attend(l, dtype, q + (i * l->heads + h) * l->head_dim, k + g * l->head_dim,
                   v + g * l->value_dim, keys, o + i * joined + h * l->value_dim);
    }
  round_all(o, x->shape[1] * joined, dtype);
  float *out = o;
  if (l->out_dim) {
    out = linear(o, x->shape[1], &t[3], &t[7], dtype);
    free(o);
  }
  float *all[] = {x_rows, y_rows, q, k, v};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
  return out;
}

half_truth half_truth_of(xattn_dtype dtype, const test_layer *l, const xattn_tensor *x,
                         const xattn_tensor *y, const int32_t *lengths) {
  const int64_t width = l->out_dim ? l->out_dim : l->heads * l->value_dim, rows = x->shape[1];
  half_truth truth = {.dtype = dtype, .exact = doubles(x->shape[0] * rows * width)};
  double *exact = truth.exact;
  for (int64_t b = 0; b < x->shape[0]; b++) {
    const int64_t keys = lengths ? lengths[b] : y->shape[1];
    float *simple = plain_item(l, dtype, x, y, b, keys);
    for (int64_t i = 0; i < rows; i++, exact += width) {
      oracle_layer_row(&l->weights, x, y, b, i, keys, exact);
      for (int64_t d = 0; d < width; d++) {
        const double error = fabs((double)simple[i * width + d] - exact[d]);
        truth.plain_error = fmax(truth.plain_error, error);
        truth.largest = fmax(truth.largest, fabs(exact[d]));
      }
    }
    free(simple);
  }
  return truth;
}

void half_truth_check(const half_truth *truth, const xattn_tensor *out) {
  const int64_t count = out->shape[1] * out->shape[2];
  double error = 0.0;
  for (int64_t b = 0; b < out->shape[0]; b++) {
    float *got = item_of(out, b);
    for (int64_t i = 0; i < count; i++) {
      ck_assert(!isnan(got[i]));
      error = fmax(error, fabs((double)got[i] - truth->exact[b * count + i]));
    }
    free(got);
  }
  const double ulp = truth->largest * 2.0 * rule_of(truth->dtype)->u_out;
  ck_assert_msg(error <= 2.0 * truth->plain_error + 2.0 * ulp,
                "%s: error %.3g, plain %.3g, ulp %.3g", xattn_dtype_name(truth->dtype), error,
                truth->plain_error, ulp);
}

/* ---- softmax */

/* Half of the distance between neighbours, relative, and the smallest step. */
static double rounding_of(xattn_dtype t) {
  return t == XATTN_F32 ? 0x1p-24 : t == XATTN_F16 ? 0x1p-11 : 0x1p-8;
}

static double step_of(xattn_dtype t) {
  return t == XATTN_F16 ? 0x1p-24 : 0x1p-126;
}

/* The roundings of F32 inside are those of tests/test_softmax.c; that of the output comes on top. */
void check_softmax_row(const float *in, const float *out, int64_t n, int64_t keys, float scale,
                       xattn_dtype dtype) {
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
        fabs((double)out[j] - exact) <= (most + rounding_of(dtype)) * exact + step_of(dtype),
        "[%lld] of %lld keys in %lld is %.9g, not %.9g", (long long)j, (long long)keys,
        (long long)n, (double)out[j], exact);
  }
}
