/* Four rows become four columns, in kernels that are compiled once per instruction set. */
#ifndef XATTN_CPU_TURN_H
#define XATTN_CPU_TURN_H

#include "lanes.h"

#define interleave_low(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define interleave_high(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define first_pairs(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define second_pairs(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)

/* Column i of `in` goes to `to` + i·ld. */
static inline void turn(const quad in[4], real *to, int64_t ld) {
  quad ab = interleave_low(in[0], in[1]), cd = interleave_low(in[2], in[3]);
  quad rows[4] = {first_pairs(ab, cd), second_pairs(ab, cd)};
  ab = interleave_high(in[0], in[1]);
  cd = interleave_high(in[2], in[3]);
  rows[2] = first_pairs(ab, cd);
  rows[3] = second_pairs(ab, cd);
  for (int i = 0; i < 4; i++) memcpy(to + i * ld, &rows[i], sizeof rows[i]);
}

#endif
