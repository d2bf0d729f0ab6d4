/* A vector of what is stored in F32, F16 or BF16, in kernels that are compiled once per instruction set. */
#ifndef XATTN_CPU_STORED_H
#define XATTN_CPU_STORED_H

#include "lanes.h"
#if XATTN_LANES >= 8
#include <immintrin.h>
#elif defined(XATTN_NEON) /* GCC 12 converts such short vectors one element at a time */
#include <arm_neon.h>
#endif

typedef uint16_t narrow __attribute__((vector_size(XATTN_LANES * sizeof(uint16_t))));
typedef uint32_t bits __attribute__((vector_size(XATTN_LANES * sizeof(uint32_t))));

static inline __attribute__((always_inline)) int64_t stored_bytes(const xattn_dtype dtype,
                                                                  int64_t elements) {
  return elements * (int64_t)(dtype == XATTN_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* A BF16 is the upper half of an F32. GCC 12 goes by halves of a vector of AVX2. */
static inline __attribute__((always_inline)) vec load_bf16(const uint16_t *from) {
#if XATTN_LANES == 8
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
  return (vec)_mm256_slli_epi32(wide, 16);
#elif defined(XATTN_NEON)
  return (vec)vshlq_n_u32(vmovl_u16(vld1_u16(from)), 16);
#else
  narrow h;
  memcpy(&h, from, sizeof h);
  return (vec)(__builtin_convertvector(h, bits) << 16);
#endif
}

static inline __attribute__((always_inline)) vec load_f16(const uint16_t *from) {
#if XATTN_LANES == 16
  return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
#elif XATTN_LANES == 8
  return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
#elif defined(XATTN_NEON)
  return (vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
#else
  /* Exponent and mantissa move to their places; 2^112 is the difference of the biases, and makes what is
   * denormal normal. The largest exponent, of infinity and NaN, is the largest there too. */
  narrow h;
  memcpy(&h, from, sizeof h);
  bits word = __builtin_convertvector(h, bits), sign = (word & 0x8000) << 16, rest = word & 0x7FFF;
  vec scaled = (vec)(rest << 13) * 0x1p112F;
  bits special = (bits)(rest >= 0x7C00);
  return (vec)((special & ((rest << 13) | 0x7F800000)) | (~special & (bits)scaled) | sign);
#endif
}

static inline __attribute__((always_inline)) vec load_stored(const xattn_dtype dtype,
                                                             const void *from) {
  if (dtype == XATTN_F32) return load(from);
  return dtype == XATTN_F16 ? load_f16(from) : load_bf16(from);
}

/* The first `count` lanes; the others are 0. */
static inline __attribute__((always_inline)) vec load_stored_part(const xattn_dtype dtype,
                                                                  const void *from, int64_t count) {
  float part[W] = {0};
  memcpy(part, from, (size_t)stored_bytes(dtype, count));
  return load_stored(dtype, part);
}

#endif
