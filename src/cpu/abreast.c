/* Products of one to four rows of each group of heads with what all groups have side by side in rows, compiled once per
 * instruction set. B is read in the order in which it lies, whole rows of it one after another: it is read once, from
 * memory, and at half the rate where a head's part of each row is taken before the next head's.
 *
 *              group 0  group 1  ...
 *     row 0   ├───────▶├───────▶├──▶       dots   each part of a row by the group's rows of A: a score
 *     row 1   ├───────▶├───────▶├──▶       sums   its score times each part is added to the group's rows of C
 *
 * What has 16 bits is widened in registers. */
#include "fours.h"
#include "stored.h"

/* Memory is asked for what is read so many bytes later. On an EPYC that takes 5 to 30 % off, as far as the reading is from
 * the rate of memory; distances from 16 to 192 KB are alike. */
enum { MOST_ROWS = XATTN_ABREAST_ROWS, LINE = 64, AHEAD = 64 << 10 };

/* Bytes from a row to the one that is asked for meanwhile. */
static inline int64_t ahead_of(int64_t row) {
  return (AHEAD / row + 1) * row;
}

static inline __attribute__((always_inline)) void fetch(const char *from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += LINE) __builtin_prefetch(from + at);
}

/* ------------------------------------------------------------------ dots */

/* A group's part of a row of B by `rows` rows of A. */
static inline __attribute__((always_inline)) void one_part(const xattn_dtype dtype, const int rows,
                                                           int64_t k, const char *b, const float *a,
                                                           int64_t lda, vec sum[MOST_ROWS]) {
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++) sum[i] = (vec){0};
  int64_t l = 0;
  for (; l + W <= k; l += W) {
    const vec part = load_stored(dtype, b + stored_bytes(dtype, l));
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) sum[i] += load(a + i * lda + l) * part;
  }
  if (l == k) return;
  const vec part = load_stored_part(dtype, b + stored_bytes(dtype, l), k - l);
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
    sum[i] += load_stored_part(XATTN_F32, a + i * lda + l, k - l) * part;
}

/* Four sums at a time: of four groups that have one row each, or of the rows of a group. */
static inline __attribute__((always_inline)) void dots(const xattn_dtype dtype, const int rows,
                                                       const xattn_side *side, int64_t keys,
                                                       const char *b, const float *a,
                                                       int64_t a_group, int64_t lda, float *c,
                                                       int64_t ldc) {
  const int together = rows == 1 ? MOST_ROWS : 1;
  const int64_t row = stored_bytes(dtype, side->ld), ahead = ahead_of(row);
  for (int64_t j = 0; j < keys; j++, b += row)
    for (int64_t g = 0; g < side->groups; g += together) {
      vec sum[MOST_ROWS] = {{0}};
      float total[MOST_ROWS];
      const int64_t now = side->groups - g < together ? side->groups - g : together;
      const char *part = b + stored_bytes(dtype, g * side->columns);
      fetch(part + ahead, stored_bytes(dtype, now * side->columns));
#pragma GCC unroll 4
      for (int u = 0; u < together; u++)
        if (u < now)
          one_part(dtype, rows, side->columns, part + stored_bytes(dtype, u * side->columns),
                   a + (g + u) * a_group, lda, sum + u);
      sums_of(sum, total);
      for (int64_t i = 0; i < now * rows; i++) c[(g * rows + i) * ldc + j] = total[i];
    }
}

/* ------------------------------------------------------------------ sums */

static inline __attribute__((always_inline)) void sums(const xattn_dtype dtype, const int rows,
                                                       const xattn_side *side, int64_t keys,
                                                       const char *b, const float *a,
                                                       int64_t a_group, int64_t lda, float *c,
                                                       int64_t ldc) {
  const int64_t n = side->columns;
  const int64_t row = stored_bytes(dtype, side->ld), ahead = ahead_of(row);
  for (int64_t j = 0; j < keys; j++, b += row)
    for (int64_t g = 0; g < side->groups; g++) {
      const char *part = b + stored_bytes(dtype, g * side->columns);
      float *to = c + g * rows * ldc;
      fetch(part + ahead, stored_bytes(dtype, n));
      vec score[MOST_ROWS];
#pragma GCC unroll 4
      for (int i = 0; i < rows; i++) score[i] = all(a[g * a_group + i * lda + j]);
      int64_t l = 0;
      for (; l + W <= n; l += W) {
        const vec value = load_stored(dtype, part + stored_bytes(dtype, l));
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
          store(to + i * ldc + l, load(to + i * ldc + l) + score[i] * value);
      }
      if (l == n) continue;
      const vec value = load_stored_part(dtype, part + stored_bytes(dtype, l), n - l);
#pragma GCC unroll 4
      for (int i = 0; i < rows; i++)
        store(to + i * ldc + l, load(to + i * ldc + l) + score[i] * value);
    }
}

/* ------------------------------------------------------------------ both, for each dtype and number of rows */

#define OF_ROWS(kernel, dtype)                                  \
  switch (side->rows) {                                         \
    case 1:                                                     \
      kernel(dtype, 1, side, keys, b, a, a_group, lda, c, ldc); \
      break;                                                    \
    case 2:                                                     \
      kernel(dtype, 2, side, keys, b, a, a_group, lda, c, ldc); \
      break;                                                    \
    case 3:                                                     \
      kernel(dtype, 3, side, keys, b, a, a_group, lda, c, ldc); \
      break;                                                    \
    default:                                                    \
      kernel(dtype, 4, side, keys, b, a, a_group, lda, c, ldc); \
  }

#define OF_DTYPE(kernel)           \
  switch (side->dtype) {           \
    case XATTN_F16:                \
      OF_ROWS(kernel, XATTN_F16);  \
      break;                       \
    case XATTN_BF16:               \
      OF_ROWS(kernel, XATTN_BF16); \
      break;                       \
    default:                       \
      OF_ROWS(kernel, XATTN_F32);  \
  }

void XATTN_KERNEL(xattn_abreast_dots)(const xattn_side *side, int64_t keys, const char *b,
                                      const float *a, int64_t a_group, int64_t lda, float *c,
                                      int64_t ldc) {
  OF_DTYPE(dots)
}

void XATTN_KERNEL(xattn_abreast_sums)(const xattn_side *side, int64_t keys, const char *b,
                                      const float *a, int64_t a_group, int64_t lda, float *c,
                                      int64_t ldc) {
  OF_DTYPE(sums)
}
