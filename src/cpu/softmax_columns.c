/* The softmax of scores that lie in a panel of tile.c, compiled once per instruction set: S [keys, width], whole vectors
 * wide, a query a column. Everything goes from row to row of S: nothing is summed across a vector, and no vector is part
 * of a row.
 *
 *                 width
 *              ┌─┬─┬─┬─┐         m' = max(m, S)          f = exp(scale·(m - m'))
 *         keys │ │ │ │ │         S  = exp(scale·(S - m'))
 *              │ ▼ ▼ ▼ │         l  = f·l + ΣS           with the numerics of softmax_row.c
 *              └───────┘
 *
 * A column without a key above -inf takes 0 as its maximum: exp(-inf - 0) = 0, and a NaN stays one. */
#include "exponential.h"

typedef int32_t mask __attribute__((vector_size(XATTN_LANES * sizeof(int32_t))));

static inline vec choose(mask condition, vec yes, vec no) {
  return (vec)((condition & (mask)yes) | (~condition & (mask)no));
}

/* Rows at a time, so that as many vectors are at hand as exp_negative wants. */
static inline __attribute__((always_inline)) int rows_at_once(const int vectors) {
  return vectors == 1 ? 4 : vectors == 2 ? 2 : 1;
}

/* Scores of a few rows with their bias. */
static inline __attribute__((always_inline)) void some_scores(const int rows, const int vectors,
                                                              const float *s, const float *bias,
                                                              vec e[GROUP]) {
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) {
      e[i * vectors + v] = load(s + (i * vectors + v) * W);
      if (bias) e[i * vectors + v] += all(bias[i]);
    }
}

static inline __attribute__((always_inline)) void some_exponentials(
    const int rows, const int vectors, float *s, const float *bias, const power *of,
    const vec m[MOST], vec sum[MOST]) {
  const int count = rows * vectors;
  vec e[GROUP];
  some_scores(rows, vectors, s, bias, e);
  EACH e[i] = e[i] - m[i % vectors];
  power_negative(count, of, e);
  EACH store(s + i * W, e[i]);
  EACH sum[i % vectors] += e[i];
}

/* Sums are taken of some rows and then added, so that what is added to stays small; in the order of rows, so that a query's
 * bits do not depend on how wide its panel is. */
static inline __attribute__((always_inline)) void exponentials(const int vectors, int64_t keys,
                                                               float *s, const float *bias,
                                                               const power *of, const vec m[MOST],
                                                               vec total[MOST]) {
  enum { BLOCK = 32 };
  const int rows = rows_at_once(vectors), count = vectors, width = vectors * (int)W;
  for (int64_t j = 0; j < keys;) {
    const int64_t end = keys - j < BLOCK ? keys : j + BLOCK;
    vec sum[MOST];
    EACH sum[i] = all(0.0F);
    for (; j + rows <= end; j += rows)
      some_exponentials(rows, vectors, s + j * width, bias ? bias + j : NULL, of, m, sum);
    for (; j < end; j++)
      some_exponentials(1, vectors, s + j * width, bias ? bias + j : NULL, of, m, sum);
    EACH total[i] += sum[i];
  }
}

static inline __attribute__((always_inline)) void largest(const int vectors, int64_t keys,
                                                          const float *s, const float *bias,
                                                          vec most[MOST]) {
  const int rows = rows_at_once(vectors), count = rows * vectors, width = vectors * (int)W;
  vec m[GROUP], e[GROUP];
  EACH m[i] = all(-INFINITY);
  int64_t j = 0;
  for (; j + rows <= keys; j += rows) {
    some_scores(rows, vectors, s + j * width, bias ? bias + j : NULL, e);
    EACH m[i] = greater(e[i], m[i]);
  }
  for (; j < keys; j++) {
    some_scores(1, vectors, s + j * width, bias ? bias + j : NULL, e);
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) m[v] = greater(e[v], m[v]);
  }
#pragma GCC unroll 3
  for (int v = 0; v < vectors; v++) {
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) most[v] = greater(m[i * vectors + v], most[v]);
  }
}

static inline __attribute__((always_inline)) void softmax(const int vectors, int64_t keys, float *s,
                                                          const float *bias, float scale,
                                                          float *maximum, float *sum,
                                                          float *factor) {
  const int count = vectors;
  const power of = power_of(scale);
  vec before[MOST], most[MOST], f[GROUP], total[MOST];
  EACH before[i] = most[i] = load(maximum + i * W);
  largest(vectors, keys, s, bias, most);
  EACH store(maximum + i * W, most[i]);
  EACH {
    const mask none = most[i] == all(-INFINITY);
    most[i] = choose(none, all(0.0F), most[i]);
    f[i] = before[i] - most[i];
    total[i] = all(0.0F);
  }
  power_negative(count, &of, f);
  exponentials(vectors, keys, s, bias, &of, most, total);
  EACH store(factor + i * W, f[i]);
  EACH store(sum + i * W, load(sum + i * W) * f[i] + total[i]);
}

#define SOFTMAX(vectors, bias) softmax(vectors, keys, s, bias, scale, maximum, sum, factor)

void XATTN_KERNEL(xattn_softmax_columns)(int64_t keys, int64_t width, float *s, const float *bias,
                                         float scale, float *maximum, float *sum, float *factor) {
  const int64_t vectors = width / W;
  if (vectors == 1 && !bias)
    SOFTMAX(1, NULL);
  else if (vectors == 1)
    SOFTMAX(1, bias);
  else if (vectors == 2 && !bias)
    SOFTMAX(2, NULL);
  else if (vectors == 2)
    SOFTMAX(2, bias);
  else if (!bias)
    SOFTMAX(MOST, NULL);
  else
    SOFTMAX(MOST, bias);
}

/* ------------------------------------------------------------------ O */

static inline float finished(float o, float l) {
  return l == 0.0F ? 0.0F : o * (1.0F / l);
}

void XATTN_KERNEL(xattn_finish_columns)(int64_t rows, int64_t n, const float *o, int64_t width,
                                        const float *l, float *c, int64_t ldc) {
  int64_t i = 0, j;
  for (; i + 4 <= rows; i += 4) {
    quad sum, in[4];
    memcpy(&sum, l + i, sizeof sum);
    const quad by = 1.0F / sum;
    const quad_mask some = sum != (quad){0};
    for (j = 0; j + 4 <= n; j += 4) {
      for (int r = 0; r < 4; r++) {
        memcpy(&in[r], o + (j + r) * width + i, sizeof in[r]);
        in[r] = (quad)(some & (quad_mask)(in[r] * by));
      }
      turn(in, c + i * ldc + j, ldc);
    }
    for (; j < n; j++)
      for (int64_t r = i; r < i + 4; r++) c[r * ldc + j] = finished(o[j * width + r], l[r]);
  }
  for (; i < rows; i++)
    for (j = 0; j < n; j++) c[i * ldc + j] = finished(o[j * width + i], l[i]);
}
