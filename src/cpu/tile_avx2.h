/* The sums of tile.c's blocks of 4 rows × 3 vectors and 6 × 2 in the assembly of AVX2: twelve sums, a row of the panel and
 * an element of A take all 16 registers. GCC 12 makes of the same loops in C one with more instructions on addresses and a
 * longer beginning; whole calls are 1 to 2 % faster with these, measured by turns on an EPYC. The order of the sums, and so
 * their bits, are those of the C. */
#ifndef XATTN_CPU_TILE_AVX2_H
#define XATTN_CPU_TILE_AVX2_H

#include "lanes.h"

/* Operands: a, and l, l3 and l5, as many times the bytes from a row of A to the next; b; k steps. */
#define LOAD(v, at) "vmovups " at "(%[b]), %[b" v "]\n\t"
#define SPREAD(row) "vbroadcastss " row ", %[e]\n\t"
#define ADD(i, v) "vfmadd231ps %[b" v "], %[e], %[s" i v "]\n\t"

/* A row's part of a step, and a step at byte `at` of each row of A. */
#define ROW3(i, row) SPREAD(row) ADD(i, "0") ADD(i, "1") ADD(i, "2")
#define STEP3(at, b0, b1, b2) \
  LOAD("0", b0)               \
  LOAD("1", b1)               \
  LOAD("2", b2)               \
  ROW3("0", at "(%[a])")      \
  ROW3("1", at "(%[a],%[l])") ROW3("2", at "(%[a],%[l],2)") ROW3("3", at "(%[a],%[l3])")

#define ROW2(i, row) SPREAD(row) ADD(i, "0") ADD(i, "1")
#define STEP2(at, b0, b1)       \
  LOAD("0", b0)                 \
  LOAD("1", b1)                 \
  ROW2("0", at "(%[a])")        \
  ROW2("1", at "(%[a],%[l])")   \
  ROW2("2", at "(%[a],%[l],2)") \
  ROW2("3", at "(%[a],%[l3])") ROW2("4", at "(%[a],%[l],4)") ROW2("5", at "(%[a],%[l5])")

/* Four steps at a time, then one by one. */
#define STEPS(four, four_bytes, one, one_bytes) \
  "sub $4, %[k]\n\t"                            \
  "jl 2f\n"                                     \
  "1:\n\t" four "add $16, %[a]\n\t"             \
  "add $" four_bytes ", %[b]\n\t"               \
  "sub $4, %[k]\n\t"                            \
  "jge 1b\n"                                    \
  "2:\n\t"                                      \
  "add $4, %[k]\n\t"                            \
  "jz 4f\n"                                     \
  "3:\n\t" one "add $4, %[a]\n\t"               \
  "add $" one_bytes ", %[b]\n\t"                \
  "dec %[k]\n\t"                                \
  "jnz 3b\n"                                    \
  "4:\n"

#define ZERO(i, v) "vxorps %[s" i v "], %[s" i v "], %[s" i v "]\n\t"
#define ZERO2(i) ZERO(i, "0") ZERO(i, "1")
#define ZERO3(i) ZERO2(i) ZERO(i, "2")

#define SUM(i, v) [s##i##v] "=&x"(s[i][v])
#define SUM2(i) SUM(i, 0), SUM(i, 1)
#define SUM3(i) SUM2(i), SUM(i, 2)

static inline __attribute__((always_inline)) void sums_of_4x3(int64_t k, const float *a,
                                                              int64_t lda, const float *b,
                                                              vec s[][3]) {
  const int64_t l = lda * (int64_t)sizeof *a, l3 = 3 * l;
  vec b0, b1, b2, e;
  __asm__(ZERO3("0") ZERO3("1") ZERO3("2") ZERO3("3")
              STEPS(STEP3("0", "0", "32", "64") STEP3("4", "96", "128", "160")
                        STEP3("8", "192", "224", "256") STEP3("12", "288", "320", "352"),
                    "384", STEP3("0", "0", "32", "64"), "96")
          : SUM3(0), SUM3(1), SUM3(2), SUM3(3), [b0] "=&x"(b0), [b1] "=&x"(b1), [b2] "=&x"(b2),
            [e] "=&x"(e), [a] "+r"(a), [b] "+r"(b), [k] "+r"(k)
          : [l] "r"(l), [l3] "r"(l3)
          : "cc", "memory");
}

static inline __attribute__((always_inline)) void sums_of_6x2(int64_t k, const float *a,
                                                              int64_t lda, const float *b,
                                                              vec s[][3]) {
  const int64_t l = lda * (int64_t)sizeof *a, l3 = 3 * l, l5 = 5 * l;
  vec b0, b1, e;
  __asm__(
      ZERO2("0") ZERO2("1") ZERO2("2") ZERO2("3") ZERO2("4") ZERO2("5")
          STEPS(STEP2("0", "0", "32") STEP2("4", "64", "96") STEP2("8", "128", "160")
                    STEP2("12", "192", "224"),
                "256", STEP2("0", "0", "32"), "64")
      : SUM2(0), SUM2(1), SUM2(2), SUM2(3), SUM2(4),
        SUM2(5), [b0] "=&x"(b0), [b1] "=&x"(b1), [e] "=&x"(e), [a] "+r"(a), [b] "+r"(b), [k] "+r"(k)
      : [l] "r"(l), [l3] "r"(l3), [l5] "r"(l5)
      : "cc", "memory");
}

#endif
