/* Attention of few rows in one pass over the keys, which are read once, as they lie: nothing is packed for so few.
 *
 *              keys ─▶                      A thread takes a piece of the keys of an item, some keys at a time:
 *            ┌──────┬──────┬──────┐           S = A·Bᵀ (+ key bias)       dot products
 *     rows   │  S   │      │      │           m, l and P as in attend.c
 *            └──────┴──────┴──────┘           O = f·O + P·D               while D, where it is B, is in the cache
 *             piece 0       piece 1
 *
 * Where items do not fill the threads their keys are cut into pieces, which leave O, m and l in the scratch. These are
 * put together in their order: with M = max m, f = exp(scale·(m - M)):  C = Σ f·O / Σ f·l. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "attend_few.h"

/* Keys at a time: with those that are fetched meanwhile they stay in the cache. Where rows of B and D have gaps, those so
 * many ahead are fetched. */
enum { KEYS = 96, WIDE_KEYS = 48, WIDE = 256, DOTS_AHEAD = 8, ROWS_AHEAD = 48 };

typedef struct rows {
  float *o; /* of rows ld apart */
  int64_t ld;
  float maximum[XATTN_FEW_ROWS], sum[XATTN_FEW_ROWS];
} rows;

/* Rows of B or D that are read after those of `keys` from `first` on. */
static xattn_next rows_after(const xattn_matrix *m, int64_t element, int64_t first, int64_t keys,
                             int64_t ahead, int64_t columns) {
  const int64_t size = (int64_t)xattn_dtype_size(m->dtype);
  const bool gaps = m->ld != columns;
  const int64_t from = element + (first + (gaps ? ahead : keys)) * m->ld;
  return (xattn_next){
      .line = (const char *)m->data + from * size, .row = gaps ? m->ld * size : 0, .item = size};
}

/* `room` is for keys that are widened: those of B, then those of D. */
static void one_piece(const xattn_attend *t, const xattn_isa *isa, const xattn_few_item *at,
                      rows *r, float *room) {
  float s[XATTN_FEW_ROWS * KEYS];
  const int64_t most = xattn_cpu_scratch() / (t->k > t->n ? t->k : t->n);
  const int64_t wanted = t->k + t->n > WIDE ? WIDE_KEYS : KEYS,
                step = most < wanted ? most : wanted;
  /* D is B, or its first columns, and need not be widened again. */
  const bool same = t->d.data == t->b.data && at->d == at->b && t->d.ld == t->b.ld && t->n <= t->k;
  for (int64_t i = 0; i < t->m; i++) {
    r->maximum[i] = -INFINITY;
    r->sum[i] = 0.0F;
  }
  for (int64_t first = at->from; first < at->to; first += step) {
    int64_t keys = at->to - first < step ? at->to - first : step, ldb, ldd;
    const float *b = xattn_cpu_rows(isa, &t->b, at->b + first * t->b.ld, keys, t->k, room, &ldb);
    xattn_next next = rows_after(&t->b, at->b, first, keys, DOTS_AHEAD, t->k);
    isa->few_dots(t->m, keys, t->k, at->a, t->a.ld, b, ldb, at->bias ? at->bias + first : NULL, 0,
                  s, KEYS, &next);
    float factor[XATTN_FEW_ROWS];
    isa->softmax_part(t->m, keys, s, KEYS, t->scale, r->maximum, r->sum, factor);
    for (int64_t i = 0; i < t->m; i++)
      if (first > at->from && factor[i] != 1.0F)
        isa->row_scale(r->o + i * r->ld, r->o + i * r->ld, t->n, factor[i]);
    const float *d = b;
    ldd = ldb;
    if (!same) {
      d = xattn_cpu_rows(isa, &t->d, at->d + first * t->d.ld, keys, t->n, room, &ldd);
      next = rows_after(&t->d, at->d, first, keys, ROWS_AHEAD, t->n);
    }
    isa->few_rows(t->m, t->n, keys, s, KEYS, d, ldd, first > at->from ? r->o : NULL, r->ld, r->o,
                  r->ld, &next);
  }
}

static void put_together(const xattn_attend *t, const xattn_isa *isa, int64_t index) {
  xattn_few_item at = xattn_few_item_at(t, index, 0);
  for (int64_t i = 0; i < t->m; i++) {
    float most = -INFINITY, sum = 0.0F;
    for (int64_t p = 0; p < t->key_pieces; p++) most = fmaxf(most, xattn_few_left(t, index, p)[i]);
    float *o = xattn_few_left(t, index, 0) + 2 * t->m + i * t->n;
    for (int64_t p = 0; p < t->key_pieces; p++) {
      const float *left = xattn_few_left(t, index, p), *from = left + 2 * t->m + i * t->n;
      if (left[t->m + i] == 0.0F) {
        if (p == 0) memset(o, 0, (size_t)t->n * sizeof *o);
        continue;
      }
      /* Without a maximum there is a sum only if it is NaN. */
      float factor = left[i] == -INFINITY ? 1.0F : expf(t->scale * (left[i] - most));
      sum += factor * left[t->m + i];
      if (p == 0) {
        isa->row_scale(o, o, t->n, factor);
      } else {
        for (int64_t j = 0; j < t->n; j++) o[j] += factor * from[j];
      }
    }
    isa->finish_rows(1, t->n, o, 0, &sum, at.c + i * t->c.ld, 0);
  }
}

static void one_task(const xattn_attend *t, const xattn_isa *isa, int64_t index, int64_t piece,
                     float *room) {
  xattn_few_item at = xattn_few_item_at(t, index, piece);
  if (t->key_pieces == 1) { /* O is C */
    rows r = {.o = at.c, .ld = t->c.ld};
    one_piece(t, isa, &at, &r, room);
    isa->finish_rows(t->m, t->n, at.c, t->c.ld, r.sum, at.c, t->c.ld);
    return;
  }
  float *left = xattn_few_left(t, index, piece);
  rows r = {.o = left + 2 * t->m, .ld = t->n};
  one_piece(t, isa, &at, &r, room);
  xattn_few_leave(t, left, r.maximum, r.sum);
}

void xattn_cpu_attend_few(const xattn_device *device, const xattn_attend *t) {
  int64_t items = t->batch[0] * t->batch[1] * t->batch[2];
  int64_t tasks = (t->abreast ? t->batch[0] : items) * t->key_pieces;
  int threads = xattn_cpu_threads(device);
  if (threads > tasks) threads = (int)tasks;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
  for (int64_t index = 0; index < tasks; index++)
    (t->abreast ? xattn_cpu_attend_abreast : one_task)(
        t, device->isa, index / t->key_pieces, index % t->key_pieces,
        device->scratch + omp_get_thread_num() * xattn_cpu_scratch());
  if (t->key_pieces == 1) return;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1 && items > 1)
  for (int64_t index = 0; index < items; index++) put_together(t, device->isa, index);
}
