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

static float *floats(int64_t count) {
  float *memory = calloc((size_t)(count > 0 ? count : 1), sizeof *memory);
  if (!memory) abort();
  return memory;
}

/* A weight as [in, out], so that project's inner loop runs over the outputs. */
typedef struct linear {
  int64_t in, out;
  float *weight;
  const xattn_tensor *bias;
} linear;

static linear linear_new(const xattn_tensor *weight, const xattn_tensor *bias) {
  if (!weight) return (linear){0};
  linear l = {weight->shape[1], weight->shape[0], NULL, bias};
  l.weight = floats(l.in * l.out);
  for (int64_t o = 0; o < l.out; o++)
    for (int64_t c = 0; c < l.in; c++) l.weight[c * l.out + o] = (float)at2(weight, o, c);
  return l;
}

/* out[o] = Σ in[c]·W[o, c] + bias[o], each sum in order, in float32. */
static void project(const linear *l, const float *in, float *out) {
  for (int64_t o = 0; o < l->out; o++) out[o] = 0.0F;
  for (int64_t c = 0; c < l->in; c++)
    for (int64_t o = 0; o < l->out; o++) out[o] += in[c] * l->weight[c * l->out + o];
  for (int64_t o = 0; o < l->out; o++) out[o] += (float)bias_at(l->bias, o);
}

struct plain {
  widths n;
  int64_t item, length;
  linear query, out;
  float *k, *v; /* [length, rows of the weight] */
  int64_t k_width, v_width;
};

plain *plain_new(const xattn_layer_weights *weights, const xattn_tensor *y, int64_t item,
                 int64_t length) {
  plain *p = malloc(sizeof *p);
  if (!p) abort();
  linear key = linear_new(weights->key_weight, weights->key_bias);
  linear value = linear_new(weights->value_weight, weights->value_bias);
  *p = (plain){.n = widths_of(weights),
               .item = item,
               .length = length,
               .query = linear_new(weights->query_weight, weights->query_bias),
               .out = linear_new(weights->out_weight, weights->out_bias),
               .k = floats(length * key.out),
               .v = floats(length * value.out),
               .k_width = key.out,
               .v_width = value.out};
#pragma omp parallel for schedule(static)
  for (int64_t j = 0; j < length; j++) {
    float *row = floats(key.in);
    for (int64_t c = 0; c < key.in; c++) row[c] = (float)at3(y, item, j, c);
    project(&key, row, p->k + j * key.out);
    project(&value, row, p->v + j * value.out);
    free(row);
  }
  free(key.weight);
  free(value.weight);
  return p;
}

void plain_free(plain *p) {
  free(p->query.weight);
  free(p->out.weight);
  free(p->k);
  free(p->v);
  free(p);
}

void plain_row(const plain *p, const xattn_tensor *x, int64_t row, float *out) {
  widths n = p->n;
  float *in = floats(p->query.in), *q = floats(p->query.out);
  float *s = floats(p->length), *joined = floats(n.heads * n.value_dim);
  for (int64_t c = 0; c < p->query.in; c++) in[c] = (float)at3(x, p->item, row, c);
  project(&p->query, in, q);
  for (int64_t h = 0; h < n.heads; h++) {
    int64_t g = h / n.in_group;
    float largest = -INFINITY, sum = 0.0F;
    for (int64_t j = 0; j < p->length; j++) {
      for (int64_t d = 0; d < n.head_dim; d++)
        s[j] += q[h * n.head_dim + d] * p->k[j * p->k_width + g * n.head_dim + d];
      s[j] *= (float)n.scale;
      largest = fmaxf(largest, s[j]);
    }
    for (int64_t j = 0; j < p->length; j++) sum += s[j] = expf(s[j] - largest);
    for (int64_t j = 0; j < p->length; j++) {
      for (int64_t d = 0; d < n.value_dim; d++)
        joined[h * n.value_dim + d] += s[j] / sum * p->v[j * p->v_width + g * n.value_dim + d];
      s[j] = 0.0F;
    }
  }
  if (p->out.weight)
    project(&p->out, joined, out);
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
