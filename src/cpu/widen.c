/* 16 bits to F32, compiled once per instruction set. */
#include "lanes.h"
#if XATTN_LANES >= 8
#include <immintrin.h>
#elif defined(XATTN_NEON) /* GCC 12 converts such short vectors one element at a time */
#include <arm_neon.h>
#endif

typedef uint16_t narrow __attribute__((vector_size(XATTN_LANES * sizeof(uint16_t))));
typedef uint32_t bits __attribute__((vector_size(XATTN_LANES * sizeof(uint32_t))));

/* A BF16 is the upper half of an F32. GCC 12 goes by halves of a vector of AVX2. */
static inline __attribute__((always_inline)) void from_bf16(const uint16_t *from, float *to) {
#if XATTN_LANES == 8
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
  _mm256_storeu_si256((__m256i *)(void *)to, _mm256_slli_epi32(wide, 16));
#elif defined(XATTN_NEON)
  vst1q_f32(to, vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(from)), 16)));
#else
  narrow h;
  memcpy(&h, from, sizeof h);
  bits wide = __builtin_convertvector(h, bits) << 16;
  memcpy(to, &wide, sizeof wide);
#endif
}

static inline __attribute__((always_inline)) void from_f16(const uint16_t *from, float *to) {
#if XATTN_LANES == 16
  _mm512_storeu_ps(to, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from)));
#elif XATTN_LANES == 8
  _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from)));
#elif defined(XATTN_NEON)
  vst1q_f32(to, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))));
#else
  /* Exponent and mantissa move to their places; 2^112 is the difference of the biases, and makes what is
   * denormal normal. The largest exponent, of infinity and NaN, is the largest there too. */
  narrow h;
  memcpy(&h, from, sizeof h);
  bits word = __builtin_convertvector(h, bits), sign = (word & 0x8000) << 16, rest = word & 0x7FFF;
  vec scaled = (vec)(rest << 13) * 0x1p112F;
  bits special = (bits)(rest >= 0x7C00);
  bits wide = (special & ((rest << 13) | 0x7F800000)) | (~special & (bits)scaled) | sign;
  memcpy(to, &wide, sizeof wide);
#endif
}

static inline __attribute__((always_inline)) void one(bool f16, const uint16_t *from, float *to) {
  if (f16)
    from_f16(from, to);
  else
    from_bf16(from, to);
}

static inline __attribute__((always_inline)) void all_rows(bool f16, int64_t rows, int64_t columns,
                                                           const uint16_t *from, int64_t ld,
                                                           float *to) {
  for (int64_t i = 0; i < rows; i++, from += ld, to += columns) {
    int64_t j = 0;
#pragma GCC unroll 4
    for (; j + W <= columns; j += W) one(f16, from + j, to + j);
    if (j == columns) continue;
    uint16_t part[W] = {0};
    float wide[W];
    memcpy(part, from + j, (size_t)(columns - j) * sizeof *part);
    one(f16, part, wide);
    memcpy(to + j, wide, (size_t)(columns - j) * sizeof *wide);
  }
}

void XATTN_KERNEL(xattn_widen)(xattn_dtype dtype, int64_t rows, int64_t columns,
                               const uint16_t *from, int64_t ld, float *to) {
  if (dtype == XATTN_F16)
    all_rows(true, rows, columns, from, ld, to);
  else
    all_rows(false, rows, columns, from, ld, to);
}
