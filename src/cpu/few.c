/* Products of few rows, compiled once per instruction set. B is read once, in the order in which it lies, and not packed:
 * that would take longer than the product.
 *
 *     B [n, k]   dot products: ROWS × COLUMNS of C at once, the vectors run along k
 *     B [k, n]   rows of B, some at a time, times elements of A are added to rows of C, which stay in the
 *                first-level cache
 */
#include "fours.h"
#include "stored.h"

enum {
  ROWS = 4,
  COLUMNS = XATTN_REGISTERS == 32 ? 4 : 3, /* of dots: ROWS·COLUMNS sums in registers */
  VECTORS = XATTN_REGISTERS == 32 ? 4 : 3, /* of C */
  DEPTH = 64,                              /* rows of B at a time */
  LINE = 16,                               /* floats of a line of the cache */
  LINE_BYTES = LINE * sizeof(float)
};

/* What is fetched with a line of each of the rows of B, or of a few vectors: nothing, lines one after another, or as many
 * of what is laid out alike. To fetch again what is there costs nothing but the instruction. */
typedef enum fetching { NOTHING, ONE_LINE, TWO_LINES, ALIKE } fetching;

/* Of a product that goes through B once, or more often, for some rows each. */
static inline fetching fetching_of(const xattn_next *next, int64_t rows, int64_t done, bool again) {
  if (next->row) return done ? NOTHING : ALIKE;
  if (rows == ROWS || rows == 1) return TWO_LINES;
  return done < ROWS || (again && done < 2 * ROWS) ? ONE_LINE : NOTHING;
}

/* ------------------------------------------------------------------ B [n, k] */

/* A vector of each row of A and of B. */
static inline __attribute__((always_inline)) void add_products(const int rows, const int columns,
                                                               const float *a, int64_t lda,
                                                               const float *b, int64_t ldb,
                                                               vec sum[ROWS][COLUMNS]) {
  vec column[COLUMNS];
#pragma GCC unroll 4
  for (int j = 0; j < columns; j++) column[j] = load(b + j * ldb);
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++) {
    vec row = load(a + i * lda);
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) sum[i][j] += row * column[j];
  }
}

static inline __attribute__((always_inline)) void dots(const int rows, const int columns,
                                                       const fetching fetched, int64_t k,
                                                       const float *a, int64_t lda, const float *b,
                                                       int64_t ldb, const float *first,
                                                       int64_t first_ld, float *c, int64_t ldc,
                                                       xattn_next *next) {
  const char *line = next->line;
  vec sum[ROWS][COLUMNS];
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) sum[i][j] = (vec){0};
  int64_t l = 0;
  for (; l + LINE <= k; l += LINE) {
    if (fetched == ALIKE) {
#pragma GCC unroll 4
      for (int j = 0; j < columns; j++) __builtin_prefetch(line + j * next->row);
      line += LINE * next->item;
    } else if (fetched) {
      __builtin_prefetch(line);
      if (fetched == TWO_LINES) __builtin_prefetch(line + LINE_BYTES);
      line += (int)fetched * LINE_BYTES;
    }
#pragma GCC unroll 4
    for (int at = 0; at < LINE; at += W)
      add_products(rows, columns, a + l + at, lda, b + l + at, ldb, sum);
  }
  for (; l + W <= k; l += W) add_products(rows, columns, a + l, lda, b + l, ldb, sum);
  if (l < k) {
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      vec row = load_stored_part(XATTN_F32, a + i * lda + l, k - l);
#pragma GCC unroll 4
      for (int j = 0; j < columns; j++)
        sum[i][j] += row * load_stored_part(XATTN_F32, b + j * ldb + l, k - l);
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
  if (fetched && fetched != ALIKE) next->line = line;
}

#define DOTS(rows, columns, fetched) \
  dots(rows, columns, fetched, k, a, lda, b, ldb, first, first_ld, c, ldc, next)

static inline __attribute__((always_inline)) void some_dots(
    bool whole_rows, bool whole_columns, fetching fetched, int64_t k, const float *a, int64_t lda,
    const float *b, int64_t ldb, const float *first, int64_t first_ld, float *c, int64_t ldc,
    xattn_next *next) {
  if (!whole_columns && whole_rows)
    DOTS(ROWS, 1, NOTHING);
  else if (!whole_columns)
    DOTS(1, 1, NOTHING);
  else if (whole_rows && fetched == NOTHING)
    DOTS(ROWS, COLUMNS, NOTHING);
  else if (whole_rows && fetched == ONE_LINE)
    DOTS(ROWS, COLUMNS, ONE_LINE);
  else if (whole_rows && fetched == TWO_LINES)
    DOTS(ROWS, COLUMNS, TWO_LINES);
  else if (whole_rows)
    DOTS(ROWS, COLUMNS, ALIKE);
  else if (fetched == NOTHING)
    DOTS(1, COLUMNS, NOTHING);
  else if (fetched == ALIKE)
    DOTS(1, COLUMNS, ALIKE);
  else
    DOTS(1, COLUMNS, TWO_LINES);
}

void XATTN_KERNEL(xattn_few_dots)(int64_t rows, int64_t n, int64_t k, const float *a, int64_t lda,
                                  const float *b, int64_t ldb, const float *first, int64_t first_ld,
                                  float *c, int64_t ldc, xattn_next *next) {
  for (int64_t j = 0, columns; j < n; j += columns) {
    columns = n - j >= COLUMNS ? COLUMNS : 1;
    for (int64_t i = 0, now; i < rows; i += now) {
      now = rows - i >= ROWS ? ROWS : 1;
      some_dots(now == ROWS, columns == COLUMNS, fetching_of(next, rows, i, false), k, a + i * lda,
                lda, b + j * ldb, ldb, first ? first + i * first_ld + j : NULL, first_ld,
                c + i * ldc + j, ldc, next);
    }
    if (next->row) next->line += columns * next->row;
  }
}

/* ------------------------------------------------------------------ B [k, n] */

/* C += A·B over a few rows of B. */
static inline __attribute__((always_inline)) void add_rows(const int rows, const int vectors,
                                                           const fetching fetched, int64_t k,
                                                           const float *a, int64_t lda,
                                                           const float *b, int64_t ldb, float *c,
                                                           int64_t ldc, xattn_next *next) {
  const char *line = next->line;
  vec sum[ROWS][VECTORS];
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) sum[i][v] = (vec){0};
  for (int64_t l = 0; l < k; l++, b += ldb) {
    vec row[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) row[v] = load(b + v * W);
    if (fetched == ALIKE) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v += LINE / W) __builtin_prefetch(line + v * W * next->item);
      line += next->row;
    } else if (fetched && l % (LINE / W) == 0) { /* VECTORS lines of B */
      __builtin_prefetch(line);
      if (fetched == TWO_LINES) __builtin_prefetch(line + LINE_BYTES);
      line += (int)fetched * LINE_BYTES;
    }
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
  if (fetched && fetched != ALIKE) next->line = line;
}

/* All columns. */
static inline __attribute__((always_inline)) void columns_of(const int rows, const fetching fetched,
                                                             int64_t n, int64_t k, const float *a,
                                                             int64_t lda, const float *b,
                                                             int64_t ldb, float *c, int64_t ldc,
                                                             xattn_next *next) {
  xattn_next at = *next;
  int64_t j = 0;
  for (; j + VECTORS * W <= n; j += VECTORS * W) {
    add_rows(rows, VECTORS, fetched, k, a, lda, b + j, ldb, c + j, ldc, &at);
    if (fetched == ALIKE) at.line += VECTORS * W * at.item;
  }
  if (fetched && fetched != ALIKE) next->line = at.line;
  for (; j + W <= n; j += W) add_rows(rows, 1, NOTHING, k, a, lda, b + j, ldb, c + j, ldc, &at);
  for (; j < n; j++)
    for (int i = 0; i < rows; i++) {
      float sum = 0.0F;
      for (int64_t l = 0; l < k; l++) sum += a[i * lda + l] * b[l * ldb + j];
      c[i * ldc + j] += sum;
    }
}

#define COLUMNS_OF(rows, fetched) columns_of(rows, fetched, n, k, a, lda, b, ldb, c, ldc, next)

static void some_rows(bool whole, fetching fetched, int64_t n, int64_t k, const float *a,
                      int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc,
                      xattn_next *next) {
  if (whole && fetched == NOTHING)
    COLUMNS_OF(ROWS, NOTHING);
  else if (whole && fetched == ONE_LINE)
    COLUMNS_OF(ROWS, ONE_LINE);
  else if (whole && fetched == TWO_LINES)
    COLUMNS_OF(ROWS, TWO_LINES);
  else if (whole)
    COLUMNS_OF(ROWS, ALIKE);
  else if (fetched == NOTHING)
    COLUMNS_OF(1, NOTHING);
  else if (fetched == ALIKE)
    COLUMNS_OF(1, ALIKE);
  else
    COLUMNS_OF(1, TWO_LINES);
}

void XATTN_KERNEL(xattn_few_rows)(int64_t rows, int64_t n, int64_t k, const float *a, int64_t lda,
                                  const float *b, int64_t ldb, const float *first, int64_t first_ld,
                                  float *c, int64_t ldc, xattn_next *next) {
  for (int64_t i = 0; i < rows && first != c; i++) {
    if (first)
      memcpy(c + i * ldc, first + i * first_ld, (size_t)n * sizeof *c);
    else
      memset(c + i * ldc, 0, (size_t)n * sizeof *c);
  }
  for (int64_t l = 0; l < k; l += DEPTH) {
    const int64_t depth = k - l < DEPTH ? k - l : DEPTH;
    for (int64_t i = 0, now; i < rows; i += now) {
      now = rows - i >= ROWS ? ROWS : 1;
      some_rows(now == ROWS, fetching_of(next, rows, i, true), n, depth, a + i * lda + l, lda,
                b + l * ldb, ldb, c + i * ldc, ldc, next);
    }
    if (next->row) next->line += depth * next->row;
  }
}
