/* Products of few rows, compiled once per instruction set. B is read once, in the order in which it lies, and not packed:
 * that would take longer than the product.
 *
 *     B [n, k]   dot products: ROWS × COLUMNS of C at once, the vectors run along k
 *     B [k, n]   rows of B, some at a time, times elements of A are added to rows of C, which stay in the
 *                first-level cache
 */
#include "fours.h"

enum {
  ROWS = 4,
  COLUMNS = XATTN_REGISTERS == 32 ? 4 : 3, /* of dots: ROWS·COLUMNS sums in registers */
  VECTORS = XATTN_REGISTERS == 32 ? 4 : 3, /* of C */
  DEPTH = XATTN_ROWS_AHEAD,                /* rows of B at a time */
  LINE = 16                                /* floats of a line of the cache */
};

static inline void fetch(xattn_next next, int64_t row, int64_t column) {
  __builtin_prefetch(next.data + row * next.row + column * next.item);
}

static inline vec load_tail(const float *from, int64_t count) {
  float part[W] = {0};
  memcpy(part, from, (size_t)count * sizeof *part);
  return load(part);
}

/* ------------------------------------------------------------------ B [n, k] */

static inline __attribute__((always_inline)) void dots(const int rows, const int columns, int64_t k,
                                                       const float *a, int64_t lda, const float *b,
                                                       int64_t ldb, const float *first,
                                                       int64_t first_ld, float *c, int64_t ldc,
                                                       xattn_next next) {
  vec sum[ROWS][COLUMNS];
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) sum[i][j] = (vec){0};
  int64_t l = 0;
  for (; l + W <= k; l += W) {
    vec column[COLUMNS];
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) column[j] = load(b + j * ldb + l);
      /* Each line of so many rows once: of W floats, a line has a part at LINE / W steps. */
#pragma GCC unroll 4
    for (int j = 0; j < columns; j += LINE / W) fetch(next, j + (l / W) % (LINE / W), l);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      vec row = load(a + i * lda + l);
#pragma GCC unroll 4
      for (int j = 0; j < columns; j++) sum[i][j] += row * column[j];
    }
  }
  if (l < k) {
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      vec row = load_tail(a + i * lda + l, k - l);
#pragma GCC unroll 4
      for (int j = 0; j < columns; j++) sum[i][j] += row * load_tail(b + j * ldb + l, k - l);
    }
  }
  for (int j = 0; j < columns; j++) {
    float total[ROWS];
    if (rows == ROWS)
      sums_of((vec[4]){sum[0][j], sum[1][j], sum[2][j], sum[3][j]}, total);
    else
      total[0] = sum_of(sum[0][j]);
    for (int i = 0; i < rows; i++)
      c[i * ldc + j] = total[i] + (first ? first[i * first_ld + j] : 0.0F);
  }
}

void XATTN_KERNEL(xattn_few_dots)(int64_t rows, int64_t n, int64_t k, const float *a, int64_t lda,
                                  const float *b, int64_t ldb, const float *first, int64_t first_ld,
                                  float *c, int64_t ldc, xattn_next next) {
  for (int64_t j = 0; j < n;) {
    int64_t columns = n - j >= COLUMNS ? COLUMNS : 1;
    const float *column = b + j * ldb, *start = first ? first + j : NULL;
    for (int64_t i = 0; i < rows;) {
      const float *row = a + i * lda, *start_row = first ? start + i * first_ld : NULL;
      float *to = c + i * ldc + j;
      int64_t now = rows - i >= ROWS ? ROWS : 1;
      if (columns == COLUMNS && now == ROWS)
        dots(ROWS, COLUMNS, k, row, lda, column, ldb, start_row, first_ld, to, ldc, next);
      else if (columns == COLUMNS)
        dots(1, COLUMNS, k, row, lda, column, ldb, start_row, first_ld, to, ldc, next);
      else if (now == ROWS)
        dots(ROWS, 1, k, row, lda, column, ldb, start_row, first_ld, to, ldc, next);
      else
        dots(1, 1, k, row, lda, column, ldb, start_row, first_ld, to, ldc, next);
      i += now;
    }
    j += columns;
    next.data += columns * next.row;
  }
}

/* ------------------------------------------------------------------ B [k, n] */

/* C += A·B over a few rows of B. */
static inline __attribute__((always_inline)) void add_rows(const int rows, const int vectors,
                                                           int64_t k, const float *a, int64_t lda,
                                                           const float *b, int64_t ldb, float *c,
                                                           int64_t ldc, xattn_next next) {
  vec sum[ROWS][VECTORS];
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) sum[i][v] = (vec){0};
  for (int64_t l = 0; l < k; l++) {
    vec row[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) row[v] = load(b + l * ldb + v * W);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v += LINE / W) fetch(next, l, v * W);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      vec element = all(a[i * lda + l]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v++) sum[i][v] += element * row[v];
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
      store(c + i * ldc + v * W, load(c + i * ldc + v * W) + sum[i][v]);
}

static inline __attribute__((always_inline)) void few_rows(const int rows, int64_t n, int64_t k,
                                                           const float *a, int64_t lda,
                                                           const float *b, int64_t ldb, float *c,
                                                           int64_t ldc, xattn_next next) {
  int64_t j = 0;
  for (; j + VECTORS * W <= n; j += VECTORS * W) {
    add_rows(rows, VECTORS, k, a, lda, b + j, ldb, c + j, ldc, next);
    next.data += VECTORS * W * next.item;
  }
  for (; j + W <= n; j += W) {
    add_rows(rows, 1, k, a, lda, b + j, ldb, c + j, ldc, next);
    next.data += W * next.item;
  }
  for (; j < n; j++)
    for (int i = 0; i < rows; i++) {
      float sum = 0.0F;
      for (int64_t l = 0; l < k; l++) sum += a[i * lda + l] * b[l * ldb + j];
      c[i * ldc + j] += sum;
    }
}

void XATTN_KERNEL(xattn_few_rows)(int64_t rows, int64_t n, int64_t k, const float *a, int64_t lda,
                                  const float *b, int64_t ldb, const float *first, int64_t first_ld,
                                  float *c, int64_t ldc, xattn_next next) {
  for (int64_t i = 0; i < rows && first != c; i++) {
    if (first)
      memcpy(c + i * ldc, first + i * first_ld, (size_t)n * sizeof *c);
    else
      memset(c + i * ldc, 0, (size_t)n * sizeof *c);
  }
  for (int64_t l = 0; l < k; l += DEPTH) {
    int64_t depth = k - l < DEPTH ? k - l : DEPTH, i = 0;
    for (; i + ROWS <= rows; i += ROWS)
      few_rows(ROWS, n, depth, a + i * lda + l, lda, b + l * ldb, ldb, c + i * ldc, ldc, next);
    for (; i < rows; i++)
      few_rows(1, n, depth, a + i * lda + l, lda, b + l * ldb, ldb, c + i * ldc, ldc, next);
    next.data += depth * next.row;
  }
}
