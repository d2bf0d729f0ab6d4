/* The product of a tile, compiled once per instruction set like softmax_row.c.
 *
 *          B in panels of up to 4 vectors, each [k][width], one behind the other
 *           k ┌────────┐
 *             │ panel  │          An MR × width block of C is in registers while k runs: each step loads one row
 *             └────────┘          of the panel and one element of each row of A, which is spread over a vector.
 *      ┌────┐ ┌────────┐          Sums run over k in order, so a row's bits do not depend on its neighbours.
 *   MR │ A  │ │ C      │
 *      └────┘ └────────┘
 *
 * Columns are filled up to whole vectors, with zeros in B; panels share them evenly, so that none is a lone vector
 * beside full ones. A is read where it lies. */
#include <string.h>

#include "cpu.h"

#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)

enum {
  W = XATTN_LANES,
  MR = 6,
  MOST = XATTN_LANES == 16
             ? 4
             : 2 /* vectors of a panel: MR·MOST sums and MOST of B in 32 or 16 registers */
};

typedef float vec __attribute__((vector_size(XATTN_LANES * sizeof(float))));

static inline vec load(const float *from) {
  vec v;
  memcpy(&v, from, sizeof v);
  return v;
}

static inline void store(float *to, vec v) {
  memcpy(to, &v, sizeof v);
}

static inline __attribute__((always_inline)) void block(const int rows, const int vectors,
                                                        int64_t k, const float *a, int64_t lda,
                                                        const float *b, float *c, int64_t ldc,
                                                        bool accumulate) {
  vec sum[MR][MOST];
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) sum[i][v] = accumulate ? load(c + i * ldc + v * W) : (vec){0};
  for (int64_t l = 0; l < k; l++) {
    vec row[MOST];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) row[v] = load(b + (l * vectors + v) * W);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      vec element = a[i * lda + l] - (vec){0};
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v++) sum[i][v] += element * row[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) store(c + i * ldc + v * W, sum[i][v]);
}

/* One panel for all rows; the last, fewer than MR, go one by one. */
static inline __attribute__((always_inline)) void panel(const int vectors, int64_t rows, int64_t k,
                                                        const float *a, int64_t lda, const float *b,
                                                        float *c, int64_t ldc, bool accumulate) {
  int64_t i = 0;
  for (; i + MR <= rows; i += MR)
    block(MR, vectors, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate);
  for (; i + 2 <= rows; i += 2)
    block(2, vectors, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate);
  if (i < rows) block(1, vectors, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate);
}

/* Vectors of panel number `at` of as many as n columns need; 0 past the last. */
static int width_of(int64_t n, int64_t at) {
  int64_t vectors = (n + W - 1) / W, panels = (vectors + MOST - 1) / MOST;
  return at < panels ? (int)(vectors * (at + 1) / panels - vectors * at / panels) : 0;
}

typedef float quad __attribute__((vector_size(4 * sizeof(float))));

static inline quad load_quad(const float *from) {
  quad v;
  memcpy(&v, from, sizeof v);
  return v;
}

#define interleave_low(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define interleave_high(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define first_pairs(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define second_pairs(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)

/* Four rows of four become four columns. */
static inline void turn(const float *from, int64_t from_ld, float *to, int64_t to_ld) {
  quad a = load_quad(from), b = load_quad(from + from_ld), c = load_quad(from + 2 * from_ld),
       d = load_quad(from + 3 * from_ld);
  quad ab = interleave_low(a, b), cd = interleave_low(c, d);
  quad rows[4] = {first_pairs(ab, cd), second_pairs(ab, cd)};
  ab = interleave_high(a, b);
  cd = interleave_high(c, d);
  rows[2] = first_pairs(ab, cd);
  rows[3] = second_pairs(ab, cd);
  for (int i = 0; i < 4; i++) memcpy(to + i * to_ld, &rows[i], sizeof rows[i]);
}

/* A panel from rows of B, or from columns, which lie along k. */
static void pack_rows(int64_t real, int64_t width, int64_t k, const float *b, int64_t ld,
                      float *packed) {
  for (int64_t l = 0; l < k; l++) {
    memcpy(packed + l * width, b + l * ld, (size_t)real * sizeof *b);
    for (int64_t j = real; j < width; j++) packed[l * width + j] = 0.0F;
  }
}

static void pack_columns(int64_t real, int64_t width, int64_t k, const float *b, int64_t ld,
                         float *packed) {
  int64_t j = 0;
  for (; j + 4 <= real; j += 4) {
    int64_t l = 0;
    for (; l + 4 <= k; l += 4) turn(b + j * ld + l, ld, packed + l * width + j, width);
    for (; l < k; l++)
      for (int64_t i = j; i < j + 4; i++) packed[l * width + i] = b[i * ld + l];
  }
  for (; j < width; j++)
    for (int64_t l = 0; l < k; l++) packed[l * width + j] = j < real ? b[j * ld + l] : 0.0F;
}

void PASTE(xattn_tile_pack, XATTN_ISA)(bool transposed, int64_t n, int64_t k, const float *b,
                                       int64_t ld, float *packed) {
  int64_t first = 0;
  for (int64_t at = 0, width; (width = (int64_t)width_of(n, at) * W) > 0; at++) {
    int64_t real = n - first < width ? n - first : width;
    if (transposed)
      pack_columns(real, width, k, b + first * ld, ld, packed);
    else
      pack_rows(real, width, k, b + first, ld, packed);
    packed += k * width;
    first += width;
  }
}

void PASTE(xattn_tile_multiply, XATTN_ISA)(int64_t rows, int64_t n, int64_t k, const float *a,
                                           int64_t lda, const float *packed, float *c, int64_t ldc,
                                           bool accumulate) {
  for (int64_t at = 0; width_of(n, at); at++) {
    int vectors = width_of(n, at);
    switch (vectors) {
      case 1:
        panel(1, rows, k, a, lda, packed, c, ldc, accumulate);
        break;
      case 2:
        panel(2, rows, k, a, lda, packed, c, ldc, accumulate);
        break;
#if XATTN_LANES == 16
      case 3:
        panel(3, rows, k, a, lda, packed, c, ldc, accumulate);
        break;
      default:
        panel(4, rows, k, a, lda, packed, c, ldc, accumulate);
        break;
#endif
    }
    packed += k * vectors * W;
    c += vectors * W;
  }
}
