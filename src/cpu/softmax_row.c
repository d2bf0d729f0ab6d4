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

typedef uint32_t uvec __attribute__((vector_size(XATTN_LANES * sizeof(uint32_t))));
typedef int32_t ivec __attribute__((vector_size(XATTN_LANES * sizeof(int32_t))));

static inline vec select(ivec condition, vec yes, vec no) {
  return (vec)((condition & (ivec)yes) | (~condition & (ivec)no));
}

/* exp(x) for x <= 0 or NaN, to 1 ulp (tests/test_softmax.c measures it); below -87.33, where the
 * result is no longer a normal number, 0.
 *
 *     n = round(x / ln 2),  r = x - n·ln 2 in two parts (Cody and Waite),  |r| <= ln 2 / 2
 *     exp(x) = 2^n · (1 + r + r²·p(r)),  p of degree 5 (Cephes expf)
 *
 * Adding 1.5·2^23 rounds to an integer and leaves it in the low bits; 2^n is built in the exponent. */
static inline vec exp_negative(vec x) {
  const float magic = 12582912.0F;
  vec shifted = x * all(1.44269504088896341F) + all(magic);
  vec n = shifted - all(magic);
  vec r = x - n * all(0.693359375F);
  r = r - n * all(-2.12194440e-4F);
  vec p = all(1.9875691500E-4F);
  p = p * r + all(1.3981999507E-3F);
  p = p * r + all(8.3334519073E-3F);
  p = p * r + all(4.1665795894E-2F);
  p = p * r + all(1.6666665459E-1F);
  p = p * r + all(5.0000001201E-1F);
  p = p * (r * r) + r + all(1.0F);
  /* (bits of shifted - bits of magic) is n; the bias of the exponent is 127. Unsigned, since lanes far
   * below -87 wrap around before they are replaced. */
  uvec power = ((uvec)shifted - (uvec)all(magic) + 127) << 23;
  vec result = p * (vec)power;
  return select((ivec)(x < all(-87.33F)), all(0.0F), result);
}

static inline float largest(vec v) {
  float half[XATTN_LANES];
  store(half, v);
  for (int width = XATTN_LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) half[i] = half[i] > half[i + width] ? half[i] : half[i + width];
  return half[0];
}

static inline vec greater(vec a, vec b) {
  return select((ivec)(a > b), a, b);
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

static float row_maximum(const float *in, int64_t n) {
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
static float exponentials(const float *in, float *out, int64_t n, float scale, float maximum) {
  vec m = all(maximum), s = all(scale);
  vec s0 = all(0.0F), s1 = s0, s2 = s0, s3 = s0;
  int64_t j = 0;
  for (; j + 4 * W <= n; j += 4 * W) {
    vec e0 = exp_negative((load(in + j) - m) * s);
    vec e1 = exp_negative((load(in + j + W) - m) * s);
    vec e2 = exp_negative((load(in + j + 2 * W) - m) * s);
    vec e3 = exp_negative((load(in + j + 3 * W) - m) * s);
    store(out + j, e0);
    store(out + j + W, e1);
    store(out + j + 2 * W, e2);
    store(out + j + 3 * W, e3);
    s0 += e0;
    s1 += e1;
    s2 += e2;
    s3 += e3;
  }
  for (; j + W <= n; j += W) {
    vec e = exp_negative((load(in + j) - m) * s);
    store(out + j, e);
    s0 += e;
  }
  if (j < n) {
    vec e = exp_negative((load_tail(in + j, n - j) - m) * s);
    store_tail(out + j, e, n - j);
    s1 += e;
  }
  return sum_of((s0 + s1) + (s2 + s3));
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
float XATTN_KERNEL(xattn_softmax_part)(float *s, int64_t n, float scale, float *maximum,
                                       float *sum) {
  float before = *maximum, now = row_maximum(s, n);
  if (now < before) now = before;
  if (now == -INFINITY) {
    row_without_maximum(s, s, n);
    for (int64_t j = 0; j < n; j++) *sum += s[j];
    return 1.0F;
  }
  float factor = 1.0F;
  if (before == -INFINITY)
    factor = 0.0F;
  else if (now != before)
    factor = exp_negative(all((before - now) * scale))[0];
  *maximum = now;
  *sum = *sum * factor + exponentials(s, s, n, scale, now);
  return factor;
}
