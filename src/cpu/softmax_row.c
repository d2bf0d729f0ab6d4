/* One softmax row, compiled once per instruction set with XATTN_ISA and XATTN_LANES from the
 * Makefile.
 *
 * Numerics. With m the largest score and a scale above 0, every (in - m)·scale is at most 0 and that
 * of the largest is exactly 0: exp lies in [0, 1], nothing overflows, the sum is at least 1 and its
 * inverse is harmless. Subtracting before scaling also keeps equal scores equal, however large they
 * are, and leaves nothing for the compiler to fuse. -inf gives exactly 0. A NaN, or +inf (inf - inf),
 * makes the sum NaN and so the whole row, as it must. Only where m is -inf (every key masked) is
 * in - m not a number without being an error: that row is 0. */
#include <math.h>

#include "lanes.h"
#if XATTN_LANES >= 8
#include <immintrin.h>
#endif

typedef uint32_t uvec __attribute__((vector_size(XATTN_LANES * sizeof(uint32_t))));
typedef int32_t ivec __attribute__((vector_size(XATTN_LANES * sizeof(int32_t))));

static inline vec choose(ivec condition, vec yes, vec no) {
  return (vec)((condition & (ivec)yes) | (~condition & (ivec)no));
}

/* exp(x) of GROUP or fewer vectors, for x <= 0 or NaN, to 1 ulp (tests/test_softmax.c measures it); below -87.33, where
 * the result is no longer a normal number, 0.
 *
 *     n = round(x / ln 2),  r = x - n·ln 2 in two parts (Cody and Waite),  |r| <= ln 2 / 2
 *     exp(x) = 2^n · (1 + r + r²·p(r)),  p of degree 5 (Cephes expf)
 *
 * Adding 1.5·2^23 rounds to an integer and leaves it in the low bits; 2^n is built in the exponent. Each step is taken for
 * all vectors before the next: the steps of one wait for one another. */
enum { GROUP = 4 };
#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < count; i++)

static inline __attribute__((always_inline)) void exp_negative(const int count, vec x[GROUP]) {
  static const float polynomial[] = {1.3981999507E-3F, 8.3334519073E-3F, 4.1665795894E-2F,
                                     1.6666665459E-1F, 5.0000001201E-1F};
  const vec magic = all(12582912.0F);
  vec shifted[GROUP], r[GROUP], p[GROUP];
  EACH shifted[i] = x[i] * all(1.44269504088896341F) + magic;
  EACH r[i] = x[i] - (shifted[i] - magic) * all(0.693359375F);
  EACH r[i] = r[i] - (shifted[i] - magic) * all(-2.12194440e-4F);
  EACH p[i] = r[i] * all(1.9875691500E-4F) + all(polynomial[0]);
#pragma GCC unroll 4
  for (int term = 1; term < 5; term++) EACH p[i] = p[i] * r[i] + all(polynomial[term]);
  EACH p[i] = p[i] * (r[i] * r[i]) + r[i] + all(1.0F);
  /* (bits of shifted - bits of magic) is n; the bias of the exponent is 127. Unsigned, since lanes far
   * below -87 wrap around before they are replaced. */
  EACH p[i] *= (vec)(((uvec)shifted[i] - (uvec)magic + 127) << 23);
  EACH x[i] = choose((ivec)(x[i] < all(-87.33F)), all(0.0F), p[i]);
}

/* b where one of them is not a number. */
static inline vec greater(vec a, vec b) {
#if XATTN_LANES == 16
  return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif XATTN_LANES == 8
  return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return choose((ivec)(a > b), a, b);
#endif
}

static inline float largest(vec v) {
  float lane[XATTN_LANES], most = -INFINITY;
  store(lane, v);
  for (int i = 0; i < XATTN_LANES; i++) most = lane[i] > most ? lane[i] : most;
  return most;
}

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

static inline __attribute__((always_inline)) float row_maximum(const float *in, int64_t n) {
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
  return largest(greater(greater(m0, m1), greater(m2, m3)));
}

/* A row whose maximum is -inf holds -inf (no key: 0) and perhaps NaN, which comparisons skip. */
static void row_without_maximum(const float *in, float *out, int64_t n) {
  bool nan = false;
  for (int64_t j = 0; j < n; j++) nan |= isnan(in[j]);
  for (int64_t j = 0; j < n; j++) out[j] = nan ? NAN : 0.0F;
}

/* out[j] = exp(scale·(in[j] - maximum)); returns their sum. */
static inline __attribute__((always_inline)) float exponentials(const float *in, float *out,
                                                                int64_t n, float scale,
                                                                float maximum) {
  vec m = all(maximum), by = all(scale), sum[GROUP], e[GROUP];
  const int count = GROUP;
  EACH sum[i] = all(0.0F);
  int64_t j = 0;
  for (; j + GROUP * W <= n; j += GROUP * W) {
    EACH e[i] = (load(in + j + i * W) - m) * by;
    exp_negative(GROUP, e);
    EACH store(out + j + i * W, e[i]);
    EACH sum[i] += e[i];
  }
  for (; j + W <= n; j += W) {
    e[0] = (load(in + j) - m) * by;
    exp_negative(1, e);
    store(out + j, e[0]);
    sum[0] += e[0];
  }
  if (j < n) {
    e[0] = (load_tail(in + j, n - j) - m) * by;
    exp_negative(1, e);
    store_tail(out + j, e[0], n - j);
    sum[1] += e[0];
  }
  return sum_of((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

void XATTN_KERNEL(xattn_row_scale)(const float *in, float *out, int64_t n, float factor) {
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

void XATTN_KERNEL(xattn_softmax_row)(const float *in, float *out, int64_t n, float scale) {
  float maximum = row_maximum(in, n);
  if (maximum == -INFINITY) {
    row_without_maximum(in, out, n);
    return;
  }
  XATTN_KERNEL(xattn_row_scale)
  (out, out, n, 1.0F / exponentials(in, out, n, scale, maximum));
}

/* While the maximum is still -inf nothing has been summed but NaN, if there was one, which 0 times it keeps. */
static inline __attribute__((always_inline)) float softmax_part(float *s, int64_t n, float scale,
                                                                float *maximum, float *sum) {
  float before = *maximum, now = row_maximum(s, n);
  if (now < before) now = before;
  if (now == -INFINITY) {
    row_without_maximum(s, s, n);
    for (int64_t j = 0; j < n; j++) *sum += s[j];
    return 1.0F;
  }
  vec factor[GROUP] = {all(1.0F)};
  if (before == -INFINITY) {
    factor[0] = all(0.0F);
  } else if (now != before) {
    factor[0] = all((before - now) * scale);
    exp_negative(1, factor);
  }
  *maximum = now;
  *sum = *sum * factor[0][0] + exponentials(s, s, n, scale, now);
  return factor[0][0];
}

void XATTN_KERNEL(xattn_softmax_part)(int64_t rows, int64_t n, float *s, int64_t ld, float scale,
                                      float *maximum, float *sum, float *factor) {
  for (int64_t i = 0; i < rows; i++)
    factor[i] = softmax_part(s + i * ld, n, scale, &maximum[i], &sum[i]);
}
