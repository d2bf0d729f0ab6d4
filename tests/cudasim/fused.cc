#include "fused.h"

#include "floats.h"

namespace cudasim {

namespace {

template <bool flushed>
inline __attribute__((always_inline)) void all_lanes(const uint8_t *a, const uint8_t *b,
                                                     const uint8_t *c, float result[32]) {
  float x[32], y[32], z[32];
  memcpy(x, a, sizeof x);
  memcpy(y, b, sizeof y);
  memcpy(z, c, sizeof z);
  for (int lane = 0; lane < 32; lane++) {
    if (flushed)
      result[lane] = flush(__builtin_fmaf(flush(x[lane]), flush(y[lane]), flush(z[lane])));
    else
      result[lane] = __builtin_fmaf(x[lane], y[lane], z[lane]);
  }
}

template <bool flushed>
void portable(const uint8_t *a, const uint8_t *b, const uint8_t *c, float result[32]) {
  all_lanes<flushed>(a, b, c, result); /* fmaf of the C library: right, but a call for each lane */
}

#ifdef __x86_64__
template <bool flushed>
__attribute__((target("avx2,fma"), optimize("O3"))) void with_instruction(const uint8_t *a,
                                                                          const uint8_t *b,
                                                                          const uint8_t *c,
                                                                          float result[32]) {
  all_lanes<flushed>(a, b, c, result);
}
#else
template <bool flushed>
void with_instruction(const uint8_t *a, const uint8_t *b, const uint8_t *c, float result[32]) {
  all_lanes<flushed>(a, b, c, result);
}
#endif

bool has_instruction() {
#ifdef __x86_64__
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace

void (*const fused_multiply_add)(const uint8_t *, const uint8_t *, const uint8_t *,
                                 float *) = has_instruction() ? with_instruction<false>
                                                              : portable<false>;
void (*const fused_multiply_add_flushed)(const uint8_t *, const uint8_t *, const uint8_t *,
                                         float *) = has_instruction() ? with_instruction<true>
                                                                      : portable<true>;

}  // namespace cudasim
