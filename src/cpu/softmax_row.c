/* One softmax row, compiled once per instruction set with XATTN_ISA and XATTN_LANES from the
 * Makefile.
 *
 * Numerics. With m the largest score and a scale above 0, every (in - m)·scale is at most 0 and that
 * of the largest is exactly 0: exp lies in [0, 1], nothing overflows, the sum is at least 1 and its
 * inverse is harmless. Subtracting before scaling also keeps equal scores equal, however large they
 * are, and leaves nothing for the compiler to fuse. -inf gives exactly 0. A NaN, or +inf (inf - inf),
 * makes the sum NaN and so the whole row, as it must. Only where m is -inf (every key masked) is
 * in - m not a number without being an error: that row is 0. */
#include "exponential.h"

/* The last, partial vector, filled up with -inf: neither the maximum nor the sum sees it. */
static inline vec load_tail(const float *from, int64_t count) {
  float part[XATTN_LANES];
  for (int i = 0; i < XATTN_LANES; i++) part[i] = i < count ? from[i] : -INFINITY;
  return load(part);
}

static inline void store_tail(float *to, vec v, int64_t count) {
  float part[XATTN_LANES];
  store(part, v);
  memcpy(to, part, (size_t)count * sizeof *to);
}

/* The largest of the row is that of the lanes. */
static inline __attribute__((always_inline)) vec row_maximum(const float *in, int64_t n) {
  vec m0 = all(-INFINITY), m1 = m0, m2 = m0, m3 = m0;
  int64_t j = 0;
  for (; j + 4 * W <= n; j += 4 * W) {
    m0 = greater(load(in + j), m0);
    m1 = greater(load(in + j + W), m1);
    m2 = greater(load(in + j + 2 * W), m2);
    m3 = greater(load(in + j + 3 * W), m3);
  }
  for (; j + W <= n; j += W) m0 = greater(load(in + j), m0);
  if (j < n) m1 = greater(load_tail(in + j, n - j), m1);
  return greater(greater(m0, m1), greater(m2, m3));
}

/* A row whose maximum is -inf holds -inf (no key: 0) and perhaps NaN, which comparisons skip. */
static void row_without_maximum(const float *in, float *out, int64_t n) {
  bool nan = false;
  for (int64_t j = 0; j < n; j++) nan |= isnan(in[j]);
  for (int64_t j = 0; j < n; j++) out[j] = nan ? NAN : 0.0F;
}

static inline __attribute__((always_inline)) void some_exponentials(const int count,
                                                                    const float *in, float *out,
                                                                    vec by, vec m, vec sum[GROUP]) {
  vec e[GROUP];
  EACH e[i] = (load(in + i * W) - m) * by;
  exp_negative(count, e);
  EACH store(out + i * W, e[i]);
  EACH sum[i] += e[i];
}

/* out[j] = exp(scale·(in[j] - maximum)); returns their sum, that of the lanes. */
static inline __attribute__((always_inline)) vec exponentials(const float *in, float *out,
                                                              int64_t n, float scale,
                                                              float maximum) {
  vec m = all(maximum), by = all(scale), sum[GROUP];
  const int count = GROUP;
  EACH sum[i] = all(0.0F);
  int64_t j = 0;
  for (; j + GROUP * W <= n; j += GROUP * W) some_exponentials(GROUP, in + j, out + j, by, m, sum);
  if (j + 2 * W <= n) {
    some_exponentials(2, in + j, out + j, by, m, sum);
    j += 2 * W;
  }
  if (j + W <= n) {
    some_exponentials(1, in + j, out + j, by, m, sum);
    j += W;
  }
  if (j < n) {
    vec e[GROUP] = {(load_tail(in + j, n - j) - m) * by};
    exp_negative(1, e);
    store_tail(out + j, e[0], n - j);
    sum[1] += e[0];
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static inline __attribute__((always_inline)) void times(const float *in, float *out, int64_t n,
                                                        float factor) {
  vec by = all(factor);
  int64_t j = 0;
  for (; j + W <= n; j += W) store(out + j, load(in + j) * by);
  for (; j + 4 <= n; j += 4) {
    float part[4];
    memcpy(part, in + j, sizeof part);
    for (int i = 0; i < 4; i++) part[i] *= factor;
    memcpy(out + j, part, sizeof part);
  }
  for (; j < n; j++) out[j] = in[j] * factor;
}

void XATTN_KERNEL(xattn_row_scale)(const float *in, float *out, int64_t n, float factor) {
  times(in, out, n, factor);
}

void XATTN_KERNEL(xattn_finish_rows)(int64_t rows, int64_t n, const float *o, int64_t ldo,
                                     const float *l, float *c, int64_t ldc) {
  for (int64_t i = 0; i < rows; i++) {
    if (l[i] == 0.0F)
      memset(c + i * ldc, 0, (size_t)n * sizeof *c);
    else
      times(o + i * ldo, c + i * ldc, n, 1.0F / l[i]);
  }
}

void XATTN_KERNEL(xattn_softmax_row)(const float *in, float *out, int64_t n, float scale) {
  vec most = row_maximum(in, n);
  float maximum[4];
  largest_of((vec[4]){most, most, most, most}, maximum);
  if (maximum[0] == -INFINITY) {
    row_without_maximum(in, out, n);
    return;
  }
  times(out, out, n, 1.0F / sum_of(exponentials(in, out, n, scale, maximum[0])));
}

/* The same of some rows, ld apart, side by side: of short ones no vectors are left over. A long row is summed in blocks,
 * so that the sums that are added to stay small. */
static inline __attribute__((always_inline)) void rows_of_exponentials(const int count, float *s,
                                                                       int64_t ld, int64_t n,
                                                                       float scale,
                                                                       const float maximum[4],
                                                                       vec sum[4]) {
  const int64_t block = 32 * W;
  vec m[4], by = all(scale), e[GROUP], part[4];
  EACH m[i] = all(maximum[i]);
  EACH sum[i] = all(0.0F);
  for (int64_t j = 0; j < n;) {
    const int64_t end = n - j < block ? n : j + block;
    EACH part[i] = all(0.0F);
    for (; j + W <= end; j += W) {
      EACH e[i] = (load(s + i * ld + j) - m[i]) * by;
      exp_negative(count, e);
      EACH store(s + i * ld + j, e[i]);
      EACH part[i] += e[i];
    }
    if (j < end) {
      EACH e[i] = (load_tail(s + i * ld + j, end - j) - m[i]) * by;
      exp_negative(count, e);
      EACH store_tail(s + i * ld + j, e[i], end - j);
      EACH part[i] += e[i];
      j = end;
    }
    EACH sum[i] += part[i];
  }
}

static inline __attribute__((always_inline)) void add_part(const int count, float *s, int64_t ld,
                                                           int64_t n, float scale,
                                                           const float *maximum,
                                                           const float *factor, float *sum) {
  vec part[4];
  float total[4];
  rows_of_exponentials(count, s, ld, n, scale, maximum, part);
  for (int i = count; i < 4; i++) part[i] = part[0];
  sums_of(part, total);
  EACH sum[i] = sum[i] * factor[i] + total[i];
}

/* While the maximum is still -inf nothing has been summed but NaN, if there was one, which 0 times it keeps. */
static void add_row(float *s, int64_t n, float scale, const float *maximum, const float *factor,
                    float *sum) {
  if (*maximum != -INFINITY) {
    add_part(1, s, 0, n, scale, maximum, factor, sum);
  } else {
    row_without_maximum(s, s, n);
    *sum += n ? s[0] : 0.0F;
  }
}

static inline __attribute__((always_inline)) void softmax_part(const int count, int64_t n, float *s,
                                                               int64_t ld, float scale,
                                                               float *maximum, float *sum,
                                                               float *factor) {
  vec part[4], f[GROUP] = {all(0.0F)};
  float now[4];
  bool none = false;
  EACH part[i] = all(-INFINITY);
  int64_t j = 0;
  for (; j + W <= n; j += W) EACH part[i] = greater(load(s + i * ld + j), part[i]);
  if (j < n) EACH part[i] = greater(load_tail(s + i * ld + j, n - j), part[i]);
  for (int i = count; i < 4; i++) part[i] = part[0];
  largest_of(part, now);
  EACH {
    if (now[i] < maximum[i]) now[i] = maximum[i];
    none |= now[i] == -INFINITY;
    f[0][i] = now[i] == -INFINITY ? 0.0F : (maximum[i] - now[i]) * scale;
    maximum[i] = now[i];
  }
  exp_negative(1, f);
  EACH factor[i] = f[0][i];
  if (count == 4 && !none)
    add_part(4, s, ld, n, scale, maximum, factor, sum);
  else
    EACH add_row(s + i * ld, n, scale, maximum + i, factor + i, sum + i);
}

void XATTN_KERNEL(xattn_softmax_part)(int64_t rows, int64_t n, float *s, int64_t ld, float scale,
                                      float *maximum, float *sum, float *factor) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4)
    softmax_part(4, n, s + i * ld, ld, scale, maximum + i, sum + i, factor + i);
  for (; i < rows; i++) softmax_part(1, n, s + i * ld, ld, scale, maximum + i, sum + i, factor + i);
}
