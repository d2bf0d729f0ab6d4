/* The float fma of a whole warp, by the processor's own instruction where it has one: by far the
 * most frequent instruction, and slow without. */
#ifndef CUDASIM_FUSED_H
#define CUDASIM_FUSED_H

#include <cstdint>

namespace cudasim {

/* result[l] = a[l] * b[l] + c[l] with one rounding, to nearest, for all 32 lanes. a, b and c are
 * floats. */
extern void (*const fused_multiply_add)(const uint8_t *a, const uint8_t *b, const uint8_t *c,
                                        float result[32]);

/* The same flushing subnormal factors, addends and results to zero. */
extern void (*const fused_multiply_add_flushed)(const uint8_t *a, const uint8_t *b,
                                                const uint8_t *c, float result[32]);

}  // namespace cudasim

#endif
