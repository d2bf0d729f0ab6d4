/* Exponentials and the larger of two in vectors of F32, for softmax kernels that are compiled once per instruction set. */
#ifndef XATTN_CPU_EXPONENTIAL_H
#define XATTN_CPU_EXPONENTIAL_H

#include <float.h>
#include <math.h>

#include "fours.h"
#if XATTN_LANES >= 8
#include <immintrin.h>
#endif

typedef uint32_t uvec __attribute__((vector_size(XATTN_LANES * sizeof(uint32_t))));

/* b where one of them is not a number. */
static inline vec greater(vec a, vec b) {
#if XATTN_LANES == 16
  return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif XATTN_LANES == 8
  return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return greater_quad(a, b);
#endif
}

/* exp(x) of GROUP or fewer vectors, for x <= 0 or NaN, to 1 ulp (tests/test_softmax.c measures it); below -87.68, where
 * less than 2^-126.5 is left, 0.
 *
 *     n = round(x / ln 2),  r = x - n·ln 2 in two parts (Cody and Waite),  |r| <= ln 2 / 2
 *     exp(x) = 2^n · (1 + r·(1 + r·p(r))),  p of degree 4, which makes the largest relative error least: 2^-28
 *
 * Adding 1.5·2^23 + 127 rounds to an integer and leaves n + 127 in the low bits, from where it is shifted into the
 * exponent: 2^n, and 0 at n = -127. Each step is taken for all vectors before the next: the steps of one wait for one
 * another. */
enum { GROUP = 4 };
#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < count; i++)

static inline __attribute__((always_inline)) void exp_negative(const int count, vec x[GROUP]) {
  static const float polynomial[] = {0x1.6a23dp-10F, 0x1.123a2p-7F, 0x1.5558f2p-5F, 0x1.555492p-3F,
                                     0x1.fffffcp-2F};
  const vec magic = all(12583039.0F);
  vec shifted[GROUP], r[GROUP], p[GROUP];
  EACH x[i] = greater(all(-88.0F), x[i]);
  EACH shifted[i] = x[i] * all(1.44269504088896341F) + magic;
  EACH r[i] = x[i] - (shifted[i] - magic) * all(0.693359375F);
  EACH r[i] = r[i] - (shifted[i] - magic) * all(-2.12194440e-4F);
  EACH p[i] = r[i] * all(polynomial[0]) + all(polynomial[1]);
#pragma GCC unroll 4
  for (int term = 2; term < 5; term++) EACH p[i] = p[i] * r[i] + all(polynomial[term]);
  EACH p[i] = p[i] * r[i] + all(1.0F);
  EACH p[i] = p[i] * r[i] + all(1.0F);
  EACH x[i] = p[i] * (vec)((uvec)shifted[i] << 23);
}

/* 2^(by·d) for d <= 0 or NaN; `least` is -127 / by. Below 2^-126.5: 0. What rounding `by` does is what rounding the scale
 * does. */
typedef struct power {
  vec by, least;
} power;

static inline power power_of(float scale) {
  const float by = fminf(scale * 1.44269504F, FLT_MAX), least = fmaxf(-127.0F / by, -FLT_MAX);
  return (power){all(by), all(least)};
}

/* As exp_negative, but in fewer steps, since nothing but the exponent's part is taken off, in one rounding:
 *
 *     n = round(by·d),  r = by·d - n,  |r| <= 1/2
 *     2^(by·d) = 2^n · (1 + r·q(r)),  q of degree 5, which makes the largest relative error least: 2^-28.9; 1 ulp in all */
static inline __attribute__((always_inline)) void power_negative(const int count, const power *of,
                                                                 vec x[GROUP]) {
  static const float polynomial[] = {0x1.41fbbcp-13F, 0x1.5f3e54p-10F, 0x1.3b2d4cp-7F,
                                     0x1.c6aee8p-5F,  0x1.ebfbdcp-3F,  0x1.62e43p-1F};
  const vec magic = all(12583039.0F), by = of->by;
  vec shifted[GROUP], r[GROUP], p[GROUP];
  EACH x[i] = greater(of->least, x[i]);
  EACH shifted[i] = x[i] * by + magic;
  EACH r[i] = x[i] * by - (shifted[i] - magic);
  EACH p[i] = r[i] * all(polynomial[0]) + all(polynomial[1]);
#pragma GCC unroll 4
  for (int term = 2; term < 6; term++) EACH p[i] = p[i] * r[i] + all(polynomial[term]);
  EACH p[i] = p[i] * r[i] + all(1.0F);
  EACH x[i] = p[i] * (vec)((uvec)shifted[i] << 23);
}

#endif
