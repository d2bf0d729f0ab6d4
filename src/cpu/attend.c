/* Attention in one pass (Dao et al., FlashAttention, 2022, section 3.1, on the tiles of a CPU): scores of a tile
 * never leave the second-level cache.
 *
 *              keys ─▶                  for each tile of rows, by one thread:
 *            ┌──────┬──────┬──┐           for each tile of keys:
 *     rows   │  S   │      │  │             S = A·Bᵀ (+ key bias)
 *            ├──────┼──────┼──┤             m' = max(m, S)   P = exp(scale·(S - m'))   f = exp(scale·(m - m'))
 *            │      │      │  │             l = f·l + ΣP     C = f·C + P·D
 *            └──────┴──────┴──┘           C = C / l
 *
 * m and l are the maximum and the sum of a row so far; C is the result's own memory. f is 1 unless the maximum
 * moved, and then only that row of C is touched. A row without keys has l = 0 and becomes 0. Tiles do not depend on the number of threads
 * that are there in the end, so neither do the sums. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "blas.h"
#include "cpu.h"

typedef struct tile {
  const float *a, *b, *d, *bias;
  float *c, *s, *maximum, *sum;
  int64_t rows, keys; /* keys of the item */
} tile;

static int64_t offset_of(const int64_t stride[3], int64_t b, int64_t group, int64_t head) {
  return b * stride[0] + group * stride[1] + head * stride[2];
}

static const float *item_of(const xattn_matrix *m, int64_t b, int64_t group, int64_t head) {
  return (const float *)m->data + offset_of(m->stride, b, group, head);
}

static tile tile_at(const xattn_attend *t, int64_t index, int64_t row_tiles, int thread) {
  float *scratch = t->scratch + thread * t->tile_rows * (t->tile_keys + 2);
  int64_t row = index % row_tiles * t->tile_rows, item = index / row_tiles;
  int64_t head = item % t->batch[2], group = item / t->batch[2] % t->batch[1];
  int64_t b = item / t->batch[2] / t->batch[1];
  tile at = {.a = item_of(&t->a, b, group, head) + row * t->a.ld,
             .b = item_of(&t->b, b, group, head),
             .d = item_of(&t->d, b, group, head),
             .c = (float *)t->c.data + offset_of(t->c.stride, b, group, head) + row * t->c.ld,
             .s = scratch,
             .maximum = scratch + t->tile_rows * t->tile_keys,
             .sum = scratch + t->tile_rows * (t->tile_keys + 1),
             .rows = t->m - row < t->tile_rows ? t->m - row : t->tile_rows,
             .keys = t->keys};
  if (t->key_bias) at.bias = t->key_bias + offset_of(t->key_bias_stride, b, group, head);
  if (t->limit.count && t->limit.count[b * t->limit.step] < at.keys)
    at.keys = t->limit.count[b * t->limit.step];
  return at;
}

static void scale_row(float *row, int64_t n, float factor) {
  for (int64_t j = 0; j < n; j++) row[j] *= factor;
}

/* Keys `first` to first + keys of the tile. */
static void add_keys(const xattn_attend *t, const xattn_isa *isa, const tile *at, int64_t first,
                     int64_t keys) {
  if (at->bias)
    for (int64_t i = 0; i < at->rows; i++)
      memcpy(at->s + i * keys, at->bias + first, (size_t)keys * sizeof *at->s);
  xattn_blas_gemm(true, at->rows, keys, t->k, at->a, t->a.ld, at->b + first * t->b.ld, t->b.ld,
                  at->bias ? 1.0F : 0.0F, at->s, keys);
  for (int64_t i = 0; i < at->rows; i++) {
    float factor =
        isa->softmax_part(at->s + i * keys, keys, t->scale, &at->maximum[i], &at->sum[i]);
    if (first && factor != 1.0F) scale_row(at->c + i * t->c.ld, t->n, factor);
  }
  xattn_blas_gemm(false, at->rows, t->n, keys, at->s, keys, at->d + first * t->d.ld, t->d.ld,
                  first ? 1.0F : 0.0F, at->c, t->c.ld);
}

static void one_tile(const xattn_attend *t, const xattn_isa *isa, const tile *at) {
  for (int64_t i = 0; i < at->rows; i++) {
    at->maximum[i] = -INFINITY;
    at->sum[i] = 0.0F;
  }
  for (int64_t first = 0; first < at->keys; first += t->tile_keys)
    add_keys(t, isa, at, first, at->keys - first < t->tile_keys ? at->keys - first : t->tile_keys);
  for (int64_t i = 0; i < at->rows; i++) {
    float *row = at->c + i * t->c.ld;
    if (at->sum[i] == 0.0F)
      memset(row, 0, (size_t)t->n * sizeof *row);
    else
      scale_row(row, t->n, 1.0F / at->sum[i]);
  }
}

xattn_status xattn_cpu_attend(xattn_error *error, xattn_device *device, const xattn_attend *t) {
  (void)error;
  int64_t items = t->batch[0] * t->batch[1] * t->batch[2];
  if (items == 0 || t->m == 0) return XATTN_OK;
  int64_t row_tiles = (t->m + t->tile_rows - 1) / t->tile_rows;
  int threads = xattn_cpu_threads(device);
  if (threads > items * row_tiles) threads = (int)(items * row_tiles);
  int before = xattn_blas_threads(1);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
  for (int64_t index = 0; index < items * row_tiles; index++) {
    tile at = tile_at(t, index, row_tiles, omp_get_thread_num());
    one_tile(t, device->isa, &at);
  }
  (void)xattn_blas_threads(before);
  return XATTN_OK;
}
