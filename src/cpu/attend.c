/* Attention in one pass (Dao et al., FlashAttention, 2022, section 3.1, on the tiles of a CPU): scores never leave the
 * second-level cache. Scores and results stand as columns: what a product gives is in the order in which the next one wants
 * it, keys and values are read as they lie, and the softmax goes from row to row.
 *
 *              queries ─▶               A thread takes the queries of a tile and packs them. For each block of keys:
 *            ┌─────┬─────┬──┐             for each panel of the queries:
 *     keys   │  S  │     │  │               S = K·Qᵀ                                    [keys, panel]
 *      │     ├─────┼─────┼──┤               m' = max(m, S + bias)   f = exp(scale·(m - m'))
 *      ▼     │     │     │  │               P = exp(scale·(S + bias - m'))              l = f·l + ΣP
 *            └─────┴─────┴──┘               O = f·O + Vᵀ·P                              [columns of V, panel]
 *                                       At the end C = (O / l)ᵀ.
 *
 * m and l are the maximum and the sum of a query so far. A query without keys has l = 0 and becomes 0. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "cpu.h"

/* `q`, `o`, `maximum` and `sum` are of all queries, a panel behind the other. */
typedef struct tile {
  const float *a, *bias;
  int64_t b, d;           /* the first elements of the item */
  int64_t next_b, next_d; /* and of the one that the thread is likely to take next */
  float *c;
  int64_t rows, keys; /* keys of the item */
  float *s;           /* a block of keys by a panel */
  float *q, *o, *maximum, *sum;
  float *room; /* for a block of B and D that are widened or copied */
} tile;

const float *xattn_cpu_rows(const xattn_isa *isa, const xattn_matrix *m, int64_t element,
                            int64_t rows, int64_t columns, float *room, int64_t *ld) {
  *ld = m->ld;
  if (m->dtype == XATTN_F32) return (const float *)m->data + element;
  *ld = columns;
  isa->widen(m->dtype, rows, columns, (const uint16_t *)m->data + element, m->ld, room);
  return room;
}

/* Where an item's part of an operand begins. */
static int64_t item_of(const xattn_attend *t, const int64_t stride[3], int64_t item) {
  return xattn_offset(stride, item / t->batch[2] / t->batch[1], item / t->batch[2] % t->batch[1],
                      item % t->batch[2]);
}

/* `next` is what the thread is likely to take then. */
static tile tile_at(const xattn_attend *t, const xattn_device *device, int64_t index, int64_t next,
                    int64_t row_tiles, int thread) {
  const int64_t items = t->batch[0] * t->batch[1] * t->batch[2];
  const int64_t row = index % row_tiles * t->tile_rows, item = index / row_tiles;
  const int64_t width = xattn_tile_width(t->tile_rows);
  tile at = {.a = (const float *)t->a.data + item_of(t, t->a.stride, item) + row * t->a.ld,
             .b = item_of(t, t->b.stride, item),
             .d = item_of(t, t->d.stride, item),
             .next_b = -1,
             .c = (float *)t->c.data + item_of(t, t->c.stride, item) + row * t->c.ld,
             .rows = t->m - row < t->tile_rows ? t->m - row : t->tile_rows,
             .keys = xattn_limited(t->limit, item / t->batch[2] / t->batch[1], t->keys)};
  if (next / row_tiles < items) {
    at.next_b = item_of(t, t->b.stride, next / row_tiles);
    at.next_d = item_of(t, t->d.stride, next / row_tiles);
  }
  at.s = t->scratch + thread * xattn_tile_floats(t->tile_rows, t->tile_keys, t->k, t->n);
  at.room = device->scratch + thread * xattn_cpu_scratch();
  at.q = at.s + t->tile_keys * XATTN_TILE_PANEL;
  at.o = at.q + width * t->k;
  at.maximum = at.o + width * t->n;
  at.sum = at.maximum + width;
  if (t->key_bias) at.bias = t->key_bias + item_of(t, t->key_bias_stride, item);
  return at;
}

/* Keys `first` to first + keys of the item, and where those begin that are read next, or NULL. */
typedef struct block {
  const float *b, *d, *next_b, *next_d;
  int64_t ldb, ldd, first, keys;
} block;

/* Rows of B or D in F32. Those a multiple of 1 KiB apart fall into few sets of the first-level cache: for several panels
 * they are copied. */
static const float *rows_of(const xattn_isa *isa, const xattn_matrix *m, int64_t element,
                            int64_t rows, int64_t columns, bool several, float *room, int64_t *ld) {
  enum { FEW_SETS = 256 };
  const float *from = xattn_cpu_rows(isa, m, element, rows, columns, room, ld);
  if (from == room || *ld % FEW_SETS != 0 || !several) return from;
  for (int64_t i = 0; i < rows; i++)
    memcpy(room + i * columns, from + i * *ld, (size_t)columns * sizeof *room);
  *ld = columns;
  return room;
}

static block block_at(const xattn_attend *t, const xattn_isa *isa, const tile *at, int64_t first) {
  const int64_t end = first + t->tile_keys;
  const bool last = end >= at->keys, several = at->rows > 2 * isa->panel;
  block keys = {.first = first, .keys = (last ? at->keys : end) - first};
  keys.b =
      rows_of(isa, &t->b, at->b + first * t->b.ld, keys.keys, t->k, several, at->room, &keys.ldb);
  keys.d = rows_of(isa, &t->d, at->d + first * t->d.ld, keys.keys, t->n, several,
                   at->room + t->tile_keys * t->k, &keys.ldd);
  if (last && at->next_b < 0) return keys;
  if (t->b.dtype == XATTN_F32)
    keys.next_b = (const float *)t->b.data + (last ? at->next_b : at->b + end * t->b.ld);
  if (t->d.dtype == XATTN_F32)
    keys.next_d = (const float *)t->d.data + (last ? at->next_d : at->d + end * t->d.ld);
  return keys;
}

static int64_t panel_rows(const xattn_isa *isa, const tile *at, int64_t row) {
  return at->rows - row < isa->panel ? at->rows - row : isa->panel;
}

/* The panel of queries from `row` on over a block of keys. */
static void one_panel(const xattn_attend *t, const xattn_isa *isa, const tile *at, int64_t row,
                      const block *keys) {
  const int64_t rows = panel_rows(isa, at, row);
  const int64_t width = xattn_filled_up(isa, rows);
  const bool last = row + rows == at->rows;
  float factor[XATTN_TILE_PANEL], *o = at->o + row * t->n;
  isa->tile_multiply(&(xattn_tile){.rows = keys->keys,
                                   .n = width,
                                   .k = t->k,
                                   .a = keys->b,
                                   .lda = keys->ldb,
                                   .next = last ? keys->next_b : NULL,
                                   .next_ld = t->b.ld,
                                   .b = at->q + row * t->k,
                                   .c = at->s,
                                   .ldc = width});
  isa->softmax_columns(keys->keys, width, at->s, at->bias ? at->bias + keys->first : NULL, t->scale,
                       at->maximum + row, at->sum + row, factor);
  isa->tile_multiply(&(xattn_tile){.rows = t->n,
                                   .n = width,
                                   .k = keys->keys,
                                   .turned = true,
                                   .a = keys->d,
                                   .lda = keys->ldd,
                                   .next = last ? keys->next_d : NULL,
                                   .next_ld = t->d.ld,
                                   .b = at->s,
                                   .first = keys->first ? o : NULL,
                                   .first_ld = width,
                                   .factor = keys->first ? factor : NULL,
                                   .c = o,
                                   .ldc = width});
  if (keys->first + keys->keys == at->keys)
    isa->finish_columns(rows, t->n, o, width, at->sum + row, at->c + row * t->c.ld, t->c.ld);
}

static void one_tile(const xattn_attend *t, const xattn_isa *isa, const tile *at) {
  for (int64_t i = 0; i < xattn_filled_up(isa, at->rows); i++) {
    at->maximum[i] = -INFINITY;
    at->sum[i] = 0.0F;
  }
  if (at->keys == 0) isa->finish_rows(at->rows, t->n, at->o, 0, at->sum, at->c, t->c.ld);
  for (int64_t row = 0; row < at->rows && at->keys; row += isa->panel)
    isa->tile_pack(true, panel_rows(isa, at, row), t->k, at->a + row * t->a.ld, t->a.ld,
                   at->q + row * t->k);
  for (int64_t first = 0; first < at->keys; first += t->tile_keys) {
    const block keys = block_at(t, isa, at, first);
    for (int64_t row = 0; row < at->rows; row += isa->panel) one_panel(t, isa, at, row, &keys);
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
    tile at = tile_at(t, device, index, index + threads, row_tiles, omp_get_thread_num());
    one_tile(t, device->isa, &at);
  }
  return XATTN_OK;
}
