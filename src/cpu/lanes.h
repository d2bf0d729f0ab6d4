/* What kernels share that are compiled once per instruction set: the Makefile sets XATTN_ISA, which ends their names,
 * XATTN_LANES, the floats in a register, and XATTN_REGISTERS, how many there are: 16 or 32. */
#ifndef XATTN_CPU_LANES_H
#define XATTN_CPU_LANES_H

#include <string.h>

#include "cpu.h"

#ifndef XATTN_REAL
#define XATTN_REAL float
#endif

#define XATTN_PASTE2(a, b) a##_##b
#define XATTN_PASTE(a, b) XATTN_PASTE2(a, b)
#define XATTN_KERNEL(name) XATTN_PASTE(name, XATTN_ISA)

typedef XATTN_REAL real;

enum { W = XATTN_LANES * sizeof(float) / sizeof(real) }; /* lanes of a vector */
enum { MOST = XATTN_REGISTERS == 32 ? 2 : 3 };           /* vectors of a panel (tile.c) */

typedef real vec __attribute__((vector_size(XATTN_LANES * sizeof(float))));

static inline vec load(const real *from) {
  vec v;
  memcpy(&v, from, sizeof v);
  return v;
}

static inline void store(real *to, vec v) {
  memcpy(to, &v, sizeof v);
}

static inline vec all(real value) {
  return value - (vec){0};
}

static inline real sum_of(vec v) {
  real half[W];
  store(half, v);
  for (int width = W / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) half[i] += half[i + width];
  return half[0];
}

/* Four lanes. */
typedef real quad __attribute__((vector_size(4 * sizeof(real))));

#endif
