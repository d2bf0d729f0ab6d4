/* F32 to 16 bits, rounded to nearest even, compiled once per instruction set. */
#include "lanes.h"
#if XATTN_LANES >= 8
#include <immintrin.h>
#endif

typedef uint16_t half __attribute__((vector_size(XATTN_LANES * sizeof(uint16_t))));
typedef uint32_t bits __attribute__((vector_size(XATTN_LANES * sizeof(uint32_t))));

static inline bits load_bits(const float *from) {
  bits word;
  memcpy(&word, from, sizeof word);
  return word;
}

static inline bits choose(bits condition, bits yes, bits no) {
  return (condition & yes) | (~condition & no);
}

/* The upper half of the bits, plus what rounds: a carry out of the mantissa does the right thing. A NaN stays one. */
static inline __attribute__((always_inline)) void to_bf16(const float *from, uint16_t *to) {
  bits word = load_bits(from), rounded = (word + 0x7FFF + ((word >> 16) & 1)) >> 16;
  bits nan = (bits)((word & 0x7FFFFFFF) > 0x7F800000);
  half narrow = __builtin_convertvector(choose(nan, (word >> 16) | 0x40, rounded), half);
  memcpy(to, &narrow, sizeof narrow);
}

static inline __attribute__((always_inline)) void to_f16(const float *from, uint16_t *to) {
#if XATTN_LANES == 16
  _mm256_storeu_si256((__m256i *)(void *)to,
                      _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
#elif XATTN_LANES == 8
  _mm_storeu_si128((__m128i *)(void *)to,
                   _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
#else
  /* A number that is denormal there becomes a sum with 0.5, whose last place is 2^-24, the smallest step there. What is
   * 2^16 or more is infinite; below, the carry of what rounds up from 65520 makes it so. */
  bits word = load_bits(from), sign = (word >> 16) & 0x8000, size = word & 0x7FFFFFFF;
  bits normal = (size - (112U << 23) + 0xFFF + ((size >> 13) & 1)) >> 13;
  bits small = (bits)((vec)size + 0.5F) - 0x3F000000;
  bits special =
      choose((bits)(size > 0x7F800000), ((size >> 13) & 0x3FF) | 0x7E00, (bits){0} + 0x7C00);
  bits result = choose((bits)(size < 0x38800000), small, normal);
  result = choose((bits)(size >= 0x47800000), special, result) | sign;
  half narrow = __builtin_convertvector(result, half);
  memcpy(to, &narrow, sizeof narrow);
#endif
}

static inline __attribute__((always_inline)) void all_columns(
    void (*one)(const float *, uint16_t *), int64_t columns, const float *from, uint16_t *to) {
  int64_t j = 0;
  for (; j + W <= columns; j += W) one(from + j, to + j);
  if (j == columns) return;
  float part[W] = {0};
  uint16_t narrow[W];
  memcpy(part, from + j, (size_t)(columns - j) * sizeof *part);
  one(part, narrow);
  memcpy(to + j, narrow, (size_t)(columns - j) * sizeof *narrow);
}

void XATTN_KERNEL(xattn_narrow)(xattn_dtype dtype, int64_t columns, const float *from,
                                uint16_t *to) {
  if (dtype == XATTN_F16)
    all_columns(to_f16, columns, from, to);
  else
    all_columns(to_bf16, columns, from, to);
}
