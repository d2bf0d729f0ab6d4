/* Attention in one pass (Dao et al., FlashAttention, 2022, section 3.1, on the tiles of a CPU): scores never leave
 * the second-level cache.
 *
 *              keys ─▶                  A thread takes the rows of a tile. For each block of keys:
 *            ┌──────┬──────┬──┐           pack B and D of the block, once for all its rows
 *     part   │  S   │      │  │           for each part of the rows:
 *            ├──────┼──────┼──┤             S = A·Bᵀ (+ key bias)
 *            │      │      │  │             m' = max(m, S)   P = exp(scale·(S - m'))   f = exp(scale·(m - m'))
 *            └──────┴──────┴──┘             l = f·l + ΣP     O = f·O + P·D
 *                                         At the end C = O / l.
 *
 * m and l are the maximum and the sum of a row so far. f is 1 unless the maximum moved, and then only that row of O
 * is touched. A row without keys has l = 0 and becomes 0. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "cpu.h"

typedef struct tile {
  const float *a, *bias;
  int64_t b, d; /* the first elements of the item */
  float *c;
  int64_t rows, keys;             /* keys of the item */
  float *s, *packed_b, *packed_d; /* of a block of keys */
  float *o, *maximum, *sum;       /* of all rows */
  float *room;                    /* for a block of B or D that is widened */
} tile;

const float *xattn_cpu_rows(const xattn_isa *isa, const xattn_matrix *m, int64_t element,
                            int64_t rows, int64_t columns, float *room, int64_t *ld) {
  *ld = m->ld;
  if (m->dtype == XATTN_F32) return (const float *)m->data + element;
  *ld = columns;
  isa->widen(m->dtype, rows, columns, (const uint16_t *)m->data + element, m->ld, room);
  return room;
}

static tile tile_at(const xattn_attend *t, const xattn_device *device, int64_t index,
                    int64_t row_tiles, int thread) {
  int64_t row = index % row_tiles * t->tile_rows, item = index / row_tiles;
  int64_t head = item % t->batch[2], group = item / t->batch[2] % t->batch[1];
  int64_t b = item / t->batch[2] / t->batch[1], keys = xattn_tile_width(t->tile_keys);
  tile at = {
      .a = (const float *)t->a.data + xattn_offset(t->a.stride, b, group, head) + row * t->a.ld,
      .b = xattn_offset(t->b.stride, b, group, head),
      .d = xattn_offset(t->d.stride, b, group, head),
      .c = (float *)t->c.data + xattn_offset(t->c.stride, b, group, head) + row * t->c.ld,
      .rows = t->m - row < t->tile_rows ? t->m - row : t->tile_rows,
      .keys = xattn_limited(t->limit, b, t->keys)};
  at.s = t->scratch + thread * xattn_tile_floats(t->tile_rows, t->tile_keys, t->k, t->n);
  at.room = device->scratch + thread * xattn_cpu_scratch();
  at.packed_b = at.s + keys * XATTN_TILE_PART;
  at.packed_d = at.packed_b + keys * t->k;
  at.o = at.packed_d + t->tile_keys * xattn_tile_width(t->n);
  at.maximum = at.o + t->tile_rows * xattn_tile_width(t->n);
  at.sum = at.maximum + t->tile_rows;
  if (t->key_bias) at.bias = t->key_bias + xattn_offset(t->key_bias_stride, b, group, head);
  return at;
}

/* Rows `row` to row + rows of the tile over the block of keys that is packed. */
static void one_part(const xattn_attend *t, const xattn_isa *isa, const tile *at, int64_t row,
                     int64_t rows, int64_t first, int64_t keys) {
  int64_t ld = xattn_tile_width(t->tile_keys), width = xattn_tile_width(t->n);
  int64_t filled = xattn_filled_up(isa, keys);
  bool last = first + keys == at->keys;
  float *o =
      first == 0 && last ? at->o : at->o + row * width; /* one block: each part is done at once */
  /* What fills up the last vector is 0 in B and D; scores there are -inf, so that no loop has a tail. */
  isa->tile_multiply(rows, at->bias ? keys : filled, t->k, at->a + row * t->a.ld, t->a.ld,
                     at->packed_b, at->bias ? at->bias + first : NULL, 0, at->s, ld);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = keys; j < filled; j++) at->s[i * ld + j] = -INFINITY;
  float factor[XATTN_TILE_PART];
  isa->softmax_part(rows, filled, at->s, ld, t->scale, at->maximum + row, at->sum + row, factor);
  for (int64_t i = 0; first && i < rows; i++)
    if (factor[i] != 1.0F) isa->row_scale(o + i * width, o + i * width, t->n, factor[i]);
  isa->tile_multiply(rows, xattn_filled_up(isa, t->n), keys, at->s, ld, at->packed_d,
                     first ? o : NULL, width, o, width);
  if (last) isa->finish_rows(rows, t->n, o, width, at->sum + row, at->c + row * t->c.ld, t->c.ld);
}

/* A block of keys of B, or of D. */
static void pack(const xattn_attend *t, const xattn_isa *isa, const tile *at, const xattn_matrix *m,
                 int64_t element, int64_t first, int64_t keys) {
  int64_t ld, columns = m == &t->b ? t->k : t->n;
  const float *rows = xattn_cpu_rows(isa, m, element + first * m->ld, keys, columns, at->room, &ld);
  if (m == &t->b)
    isa->tile_pack(true, keys, t->k, rows, ld, at->packed_b);
  else
    isa->tile_pack(false, t->n, keys, rows, ld, at->packed_d);
}

static void one_tile(const xattn_attend *t, const xattn_isa *isa, const tile *at) {
  for (int64_t i = 0; i < at->rows; i++) {
    at->maximum[i] = -INFINITY;
    at->sum[i] = 0.0F;
  }
  if (at->keys == 0) isa->finish_rows(at->rows, t->n, at->o, 0, at->sum, at->c, t->c.ld);
  for (int64_t first = 0; first < at->keys; first += t->tile_keys) {
    int64_t keys = at->keys - first < t->tile_keys ? at->keys - first : t->tile_keys;
    pack(t, isa, at, &t->b, at->b, first, keys);
    pack(t, isa, at, &t->d, at->d, first, keys);
    for (int64_t row = 0; row < at->rows; row += XATTN_TILE_PART)
      one_part(t, isa, at, row, at->rows - row < XATTN_TILE_PART ? at->rows - row : XATTN_TILE_PART,
               first, keys);
  }
}

xattn_status xattn_cpu_attend(xattn_error *error, xattn_device *device, const xattn_attend *t) {
  (void)error;
  int64_t items = t->batch[0] * t->batch[1] * t->batch[2];
  if (items == 0 || t->m == 0) return XATTN_OK;
  if (t->key_pieces) {
    xattn_cpu_attend_few(device, t);
    return XATTN_OK;
  }
  int64_t row_tiles = (t->m + t->tile_rows - 1) / t->tile_rows;
  int threads = xattn_cpu_threads(device);
  if (threads > items * row_tiles) threads = (int)(items * row_tiles);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
  for (int64_t index = 0; index < items * row_tiles; index++) {
    tile at = tile_at(t, device, index, row_tiles, omp_get_thread_num());
    one_tile(t, device->isa, &at);
  }
  return XATTN_OK;
}
