#include "oracle.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double at2(const xattn_tensor *t, int64_t i, int64_t j) {
  return (double)((const float *)t->data)[i * t->strides[0] + j * t->strides[1]];
}

static double at4(const xattn_tensor *t, int64_t b, int64_t n, int64_t h, int64_t d) {
  return (double)((const float *)t->data)[b * t->strides[0] + n * t->strides[1] +
                                          h * t->strides[2] + d * t->strides[3]];
}

/* [B, N, D], or [N, D] as item 0. */
static double at3(const xattn_tensor *t, int64_t b, int64_t n, int64_t d) {
  const int64_t *s = t->strides + t->rank - 2;
  int64_t batch = t->rank == 3 ? t->strides[0] : 0;
  return (double)((const float *)t->data)[b * batch + n * s[0] + d * s[1]];
}

static double bias_at(const xattn_tensor *bias, int64_t i) {
  return bias ? (double)((const float *)bias->data)[i * bias->strides[0]] : 0.0;
}

static double *doubles(int64_t count) {
  double *memory = calloc((size_t)(count > 0 ? count : 1), sizeof *memory);
  if (!memory) abort();
  return memory;
}

/* scores to probabilities, in place; a row without a key stays all zero. */
static void softmax(double *s, int64_t n) {
  double largest = -INFINITY, sum = 0.0;
  bool nan = false;
  for (int64_t j = 0; j < n; j++) {
    nan |= isnan(s[j]);
    if (s[j] > largest) largest = s[j];
  }
  for (int64_t j = 0; j < n; j++) {
    s[j] = largest == -INFINITY && !nan ? 0.0 : exp(s[j] - largest);
    sum += s[j];
  }
  for (int64_t j = 0; j < n && sum != 0.0; j++) s[j] /= sum;
}

void oracle_attention(const xattn_tensor *q, const xattn_tensor *k, const xattn_tensor *v,
                      double scale, const int32_t *lengths, double *out, double *bracket) {
  int64_t heads = q->shape[2], in_group = heads / k->shape[2], width = v->shape[3];
  const double unit = 0x1p-24;
  double *p = doubles(k->shape[1]);
  for (int64_t b = 0; b < q->shape[0]; b++)
    for (int64_t i = 0; i < q->shape[1]; i++)
      for (int64_t h = 0; h < heads; h++) {
        int64_t keys = lengths ? lengths[b] : k->shape[1], g = h / in_group;
        double largest_product = 0.0;
        for (int64_t j = 0; j < keys; j++) {
          double sum = 0.0, product = 0.0;
          for (int64_t d = 0; d < q->shape[3]; d++) {
            double term = at4(q, b, i, h, d) * at4(k, b, j, g, d);
            sum += term;
            product += fabs(term);
          }
          p[j] = scale * sum;
          largest_product = fmax(largest_product, fabs(scale) * product);
        }
        softmax(p, keys);
        for (int64_t d = 0; d < width; d++) {
          double sum = 0.0, absolute = 0.0;
          for (int64_t j = 0; j < keys; j++) {
            sum += p[j] * at4(v, b, j, g, d);
            absolute += p[j] * fabs(at4(v, b, j, g, d));
          }
          int64_t index = ((b * q->shape[1] + i) * heads + h) * width + d;
          out[index] = sum;
          bracket[index] = unit * fabs(sum) + absolute * (unit + 2.0 * unit * largest_product);
        }
      }
  free(p);
}

typedef struct widths {
  int64_t heads, in_group, head_dim, value_dim, context_dim;
  double scale;
} widths;

static widths widths_of(const xattn_layer_weights *w) {
  widths n = {.heads = w->heads ? w->heads : 1, .context_dim = w->key_weight->shape[1]};
  int64_t kv_heads = w->kv_heads ? w->kv_heads : n.heads;
  n.in_group = n.heads / kv_heads;
  n.head_dim = w->query_weight->shape[0] / n.heads;
  n.value_dim = w->value_weight->shape[0] / kv_heads;
  n.scale = w->scale != 0.0F ? (double)w->scale : 1.0 / sqrt((double)n.head_dim);
  return n;
}

void oracle_layer_row(const xattn_layer_weights *w, const xattn_tensor *x, const xattn_tensor *y,
                      int64_t item, int64_t row, int64_t length, double *out) {
  widths n = widths_of(w);
  int64_t query_dim = w->query_weight->shape[1];
  double *pushed = doubles(n.context_dim), *p = doubles(length), *mean = doubles(n.context_dim);
  double *joined = doubles(n.heads * n.value_dim);
  for (int64_t h = 0; h < n.heads; h++) {
    int64_t g = h / n.in_group;
    double constant = 0.0; /* q·bk */
    for (int64_t c = 0; c < n.context_dim; c++) pushed[c] = mean[c] = 0.0;
    for (int64_t d = 0; d < n.head_dim; d++) {
      double q = bias_at(w->query_bias, h * n.head_dim + d);
      for (int64_t c = 0; c < query_dim; c++)
        q += at3(x, item, row, c) * at2(w->query_weight, h * n.head_dim + d, c);
      constant += q * bias_at(w->key_bias, g * n.head_dim + d);
      for (int64_t c = 0; c < n.context_dim; c++)
        pushed[c] += q * at2(w->key_weight, g * n.head_dim + d, c);
    }
    for (int64_t j = 0; j < length; j++) {
      double sum = constant;
      for (int64_t c = 0; c < n.context_dim; c++) sum += pushed[c] * at3(y, item, j, c);
      p[j] = n.scale * sum;
    }
    softmax(p, length);
    double total = 0.0; /* 1, or 0 without a key */
    for (int64_t j = 0; j < length; j++) {
      total += p[j];
      for (int64_t c = 0; c < n.context_dim; c++) mean[c] += p[j] * at3(y, item, j, c);
    }
    for (int64_t d = 0; d < n.value_dim; d++) {
      double sum = total * bias_at(w->value_bias, g * n.value_dim + d);
      for (int64_t c = 0; c < n.context_dim; c++)
        sum += mean[c] * at2(w->value_weight, g * n.value_dim + d, c);
      joined[h * n.value_dim + d] = sum;
    }
  }
  int64_t width = n.heads * n.value_dim, out_dim = w->out_weight ? w->out_weight->shape[0] : width;
  for (int64_t o = 0; o < out_dim; o++) {
    out[o] = w->out_weight ? bias_at(w->out_bias, o) : joined[o];
    for (int64_t i = 0; w->out_weight && i < width; i++)
      out[o] += joined[i] * at2(w->out_weight, o, i);
  }
  free(joined);
  free(mean);
  free(p);
  free(pushed);
}

struct plain {
  const xattn_layer_weights *weights;
  int64_t item, length;
  float *k, *v; /* [length, rows of the weight] */
};

static float *floats(int64_t count) {
  float *memory = calloc((size_t)(count > 0 ? count : 1), sizeof *memory);
  if (!memory) abort();
  return memory;
}

/* Σ a·b in float32, in eight partial sums, as any vectorised code would: the yardstick must not be
 * made generous by summing thousands of terms one after another. */
static float dot(const float *a, const float *b, int64_t n) {
  float lane[8] = {0};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int l = 0; l < 8; l++) lane[l] += a[i + l] * b[i + l];
  for (; i < n; i++) lane[0] += a[i] * b[i];
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/* out = in·Wᵀ + bias, with a dense W. */
static void project(const xattn_tensor *w, const xattn_tensor *bias, const float *in, float *out) {
  for (int64_t o = 0; o < w->shape[0]; o++)
    out[o] = dot(in, (const float *)w->data + o * w->shape[1], w->shape[1]) +
             (float)bias_at(bias, o);
}

plain *plain_new(const xattn_layer_weights *weights, const xattn_tensor *y, int64_t item,
                 int64_t length) {
  plain *p = malloc(sizeof *p);
  if (!p) abort();
  int64_t k_width = weights->key_weight->shape[0], v_width = weights->value_weight->shape[0];
  int64_t context_dim = weights->key_weight->shape[1];
  *p = (plain){weights, item, length, floats(length * k_width), floats(length * v_width)};
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < length; j++) {
    float *row = floats(context_dim);
    for (int64_t c = 0; c < context_dim; c++) row[c] = (float)at3(y, item, j, c);
    project(weights->key_weight, weights->key_bias, row, p->k + j * k_width);
    project(weights->value_weight, weights->value_bias, row, p->v + j * v_width);
    free(row);
  }
  return p;
}

void plain_free(plain *p) {
  free(p->k);
  free(p->v);
  free(p);
}

void plain_row(const plain *p, const xattn_tensor *x, int64_t row, float *out) {
  const xattn_layer_weights *w = p->weights;
  widths n = widths_of(w);
  int64_t query_dim = w->query_weight->shape[1];
  int64_t k_width = w->key_weight->shape[0], v_width = w->value_weight->shape[0];
  float *in = floats(query_dim), *q = floats(w->query_weight->shape[0]);
  float *s = floats(p->length), *joined = floats(n.heads * n.value_dim);
  for (int64_t c = 0; c < query_dim; c++) in[c] = (float)at3(x, p->item, row, c);
  project(w->query_weight, w->query_bias, in, q);
  for (int64_t h = 0; h < n.heads; h++) {
    int64_t g = h / n.in_group;
    float largest = -INFINITY, sum = 0.0F;
    for (int64_t j = 0; j < p->length; j++) {
      s[j] = dot(q + h * n.head_dim, p->k + j * k_width + g * n.head_dim, n.head_dim);
      s[j] *= (float)n.scale;
      largest = fmaxf(largest, s[j]);
    }
    for (int64_t j = 0; j < p->length; j++) sum += s[j] = expf(s[j] - largest);
    for (int64_t j = 0; j < p->length; j++)
      for (int64_t d = 0; d < n.value_dim; d++)
        joined[h * n.value_dim + d] += s[j] / sum * p->v[j * v_width + g * n.value_dim + d];
  }
  if (w->out_weight)
    project(w->out_weight, w->out_bias, joined, out);
  else
    for (int64_t i = 0; i < n.heads * n.value_dim; i++) out[i] = joined[i];
  free(joined);
  free(s);
  free(q);
  free(in);
}

layer_verdict oracle_check_layer(const xattn_layer_weights *weights, const xattn_tensor *x,
                                 const xattn_tensor *y, const int32_t *lengths,
                                 const xattn_tensor *out, int64_t rows_per_item) {
  layer_verdict verdict = {0};
  int64_t batch = x->rank == 3 ? x->shape[0] : 1, queries = x->shape[x->rank - 2];
  int64_t width = out->shape[out->rank - 1];
  if (rows_per_item > queries) rows_per_item = queries;
  bool nan = false;
  for (int64_t b = 0; b < batch; b++) {
    int64_t length = lengths ? lengths[b] : y->shape[y->rank - 2];
    plain *p = plain_new(weights, y, b, length);
#pragma omp parallel for schedule(dynamic)
    for (int64_t r = 0; r < rows_per_item; r++) {
      int64_t row = rows_per_item > 1 ? r * (queries - 1) / (rows_per_item - 1) : queries / 2;
      double *exact = doubles(width);
      float *simple = floats(width);
      oracle_layer_row(weights, x, y, b, row, length, exact);
      plain_row(p, x, row, simple);
#pragma omp critical
      for (int64_t d = 0; d < width; d++) {
        double value = at3(out, b, row, d);
        nan |= isnan(value);
        verdict.error = fmax(verdict.error, fabs(value - exact[d]));
        verdict.plain_error = fmax(verdict.plain_error, fabs((double)simple[d] - exact[d]));
        verdict.largest = fmax(verdict.largest, fabs(exact[d]));
      }
      free(simple);
      free(exact);
    }
    plain_free(p);
  }
  double ulp = verdict.largest * (double)FLT_EPSILON;
  verdict.right = !nan && verdict.error <= 2.0 * verdict.plain_error + 2.0 * ulp;
  return verdict;
}
