/* tile.c for BF16 by BF16, with the dot products of AVX512-BF16: products of two BF16 are exact in F32, in which they are
 * summed. What is denormal counts as 0 there.
 *
 *              j                    A [rows, k] in pairs along k as it lies, B in panels [pairs of k][width][2], the
 *         l   │b(l,j) b(l+1,j)│     other half of the last pair 0 where k is odd: what tile.c takes for F32.
 */
#include <immintrin.h>

#include "lanes.h"

#define XATTN_PAIRS
#define XATTN_TYPED(name) name##_bf16
typedef xattn_tile tile;

static inline vec spread(const float *pair) {
  int32_t word;
  memcpy(&word, pair, sizeof word);
  return (vec)_mm512_set1_epi32(word);
}

static inline vec add(vec sum, vec pair, vec row) {
  return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pair, (__m512bh)row);
}

#include "tile.c" /* NOLINT(bugprone-suspicious-include) */

/* Once for a weight, so it need not be fast. */
void XATTN_KERNEL(xattn_tile_pack_bf16)(bool transposed, int64_t n, int64_t k, const uint16_t *b,
                                        int64_t ld, uint16_t *packed) {
  for (int64_t j = 0, width; j < n; j += width) {
    width = panel_of(vectors_of(n - j)) * W;
    for (int64_t l = 0; l < k; l += 2)
      for (int64_t i = j; i < j + width; i++)
        for (int64_t at = l; at < l + 2; at++)
          *packed++ = i < n && at < k ? b[transposed ? i * ld + at : at * ld + i] : 0;
  }
}
