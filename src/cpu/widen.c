/* 16 bits to F32, compiled once per instruction set. */
#include "stored.h"

static inline __attribute__((always_inline)) void all_rows(const xattn_dtype dtype, int64_t rows,
                                                           int64_t columns, const uint16_t *from,
                                                           int64_t ld, float *to) {
  for (int64_t i = 0; i < rows; i++, from += ld, to += columns) {
    int64_t j = 0;
#pragma GCC unroll 4
    for (; j + W <= columns; j += W) store(to + j, load_stored(dtype, from + j));
    if (j == columns) continue;
    float wide[W];
    store(wide, load_stored_part(dtype, from + j, columns - j));
    memcpy(to + j, wide, (size_t)(columns - j) * sizeof *wide);
  }
}

void XATTN_KERNEL(xattn_widen)(xattn_dtype dtype, int64_t rows, int64_t columns,
                               const uint16_t *from, int64_t ld, float *to) {
  if (dtype == XATTN_F16)
    all_rows(XATTN_F16, rows, columns, from, ld, to);
  else
    all_rows(XATTN_BF16, rows, columns, from, ld, to);
}
