/* Four vectors of F32 at a time: the sum, or the largest lane, of each. */
#ifndef XATTN_CPU_FOURS_H
#define XATTN_CPU_FOURS_H

#include "turn.h"

typedef int32_t quad_mask __attribute__((vector_size(sizeof(quad))));

static inline quad add_quads(quad a, quad b) {
  return a + b;
}

/* b where one of them is not a number. */
static inline quad greater_quad(quad a, quad b) {
  quad_mask above = a > b;
  return (quad)((above & (quad_mask)a) | (~above & (quad_mask)b));
}

typedef quad joined(quad a, quad b);

/* In the order of sum_of. */
static inline __attribute__((always_inline)) quad quad_of(joined *join, vec v) {
  quad part[W / 4];
  memcpy(part, &v, sizeof part);
#if XATTN_LANES == 16
  return join(join(part[0], part[2]), join(part[1], part[3]));
#elif XATTN_LANES == 8
  return join(part[0], part[1]);
#else
  (void)join;
  return part[0];
#endif
}

static inline __attribute__((always_inline)) void join_lanes(joined *join, const vec v[4],
                                                             float to[4]) {
  quad q0 = quad_of(join, v[0]), q1 = quad_of(join, v[1]);
  quad q2 = quad_of(join, v[2]), q3 = quad_of(join, v[3]);
  quad q01 = join(interleave_low(q0, q1), interleave_high(q0, q1));
  quad q23 = join(interleave_low(q2, q3), interleave_high(q2, q3));
  quad all_four = join(first_pairs(q01, q23), second_pairs(q01, q23));
  memcpy(to, &all_four, sizeof all_four);
}

/* Each in the order of sum_of. */
static inline void sums_of(const vec v[4], float sums[4]) {
  join_lanes(add_quads, v, sums);
}

static inline void largest_of(const vec v[4], float largest[4]) {
  join_lanes(greater_quad, v, largest);
}

#endif
