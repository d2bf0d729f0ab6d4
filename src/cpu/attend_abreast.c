/* Attention of few rows whose heads have their keys side by side, as K and V of [B, Nk, H, Dh] lie: a thread takes all
 * groups of an item, and a row of B, and later of D, for all of them at once (abreast.c).
 *
 *              keys ─▶
 *            ┌──────┬──────┬──                for some keys:  S = A·Bᵀ of all groups (+ key bias)
 *     all    │  S   │      │                                  m, l and P as in attend.c
 *     groups │      │      │                                  O = f·O + P·D
 *            └──────┴──────┴──
 */
#include <math.h>
#include <string.h>

#include "attend_few.h"

enum { KEYS = XATTN_ABREAST_KEYS };

/* For all rows of all groups, XATTN_ABREAST_FLOATS at most. Sums of the keys at hand that are then added round less than one
 * sum over all keys. */
typedef struct state {
  float *maximum, *sum, *factor;
  float *s;    /* [rows, KEYS] */
  float *part; /* [rows, width]: O of the keys at hand */
  int64_t rows, width;
} state;

static state state_in(const xattn_attend *t, const xattn_isa *isa, float *room) {
  state at = {.rows = t->batch[1] * t->m, .width = xattn_filled_up(isa, t->n)};
  at.maximum = room;
  at.sum = at.maximum + at.rows;
  at.factor = at.sum + at.rows;
  at.s = at.factor + at.rows;
  at.part = at.s + at.rows * KEYS;
  for (int64_t i = 0; i < at.rows; i++) {
    at.maximum[i] = -INFINITY;
    at.sum[i] = 0.0F;
  }
  return at;
}

static void add_bias(const xattn_attend *t, const xattn_few_item *item, int64_t first, int64_t keys,
                     const state *at) {
  for (int64_t i = 0; i < at->rows; i++) {
    const float *bias = item->bias + i / t->m * t->key_bias_stride[1] + first;
    for (int64_t j = 0; j < keys; j++) at->s[i * KEYS + j] += bias[j];
  }
}

/* Where O goes: rows ld apart, of each group. */
typedef struct target {
  float *o;
  int64_t group, ld;
} target;

/* O = f·O + the part */
static void add_part(const xattn_attend *t, const state *at, const target *to, bool first) {
  for (int64_t i = 0; i < at->rows; i++) {
    float *o = to->o + i / t->m * to->group + i % t->m * to->ld;
    const float *part = at->part + i * at->width, factor = at->factor[i];
    if (first)
      memcpy(o, part, (size_t)t->n * sizeof *o);
    else
      for (int64_t j = 0; j < t->n; j++) o[j] = factor * o[j] + part[j];
  }
}

static const char *row_of(const xattn_matrix *m, int64_t element) {
  return (const char *)m->data + element * (int64_t)xattn_dtype_size(m->dtype);
}

static void all_keys(const xattn_attend *t, const xattn_isa *isa, const xattn_few_item *item,
                     const state *at, const target *result) {
  const xattn_side b = {t->batch[1], t->m, t->k, t->b.dtype, t->b.ld};
  const xattn_side d = {t->batch[1], t->m, t->n, t->d.dtype, t->d.ld};
  for (int64_t first = item->from; first < item->to; first += KEYS) {
    int64_t keys = item->to - first < KEYS ? item->to - first : KEYS;
    isa->abreast_dots(&b, keys, row_of(&t->b, item->b + first * t->b.ld), item->a, t->a.stride[1],
                      t->a.ld, at->s, KEYS);
    if (item->bias) add_bias(t, item, first, keys, at);
    isa->softmax_part(at->rows, keys, at->s, KEYS, t->scale, at->maximum, at->sum, at->factor);
    memset(at->part, 0, (size_t)(at->rows * at->width) * sizeof *at->part);
    isa->abreast_sums(&d, keys, row_of(&t->d, item->d + first * t->d.ld), at->s, t->m * KEYS, KEYS,
                      at->part, at->width);
    add_part(t, at, result, first == item->from);
  }
}

void xattn_cpu_attend_abreast(const xattn_attend *t, const xattn_isa *isa, int64_t b, int64_t piece,
                              float *room) {
  const xattn_few_item item = xattn_few_item_at(t, b * t->batch[1], piece);
  const state at = state_in(t, isa, room);
  float *left = xattn_few_left(t, b * t->batch[1], piece);
  const bool whole = t->key_pieces == 1; /* O is C */
  const int64_t next = t->key_pieces * xattn_few_floats(t->m, t->n);
  const target to_c = {item.c, t->c.stride[1], t->c.ld}, to_left = {left + 2 * t->m, next, t->n};
  all_keys(t, isa, &item, &at, whole ? &to_c : &to_left);
  for (int64_t g = 0; g < t->batch[1]; g++) {
    const float *maximum = at.maximum + g * t->m, *sum = at.sum + g * t->m;
    float *c = item.c + g * t->c.stride[1], *own = left + g * next;
    if (whole) {
      isa->finish_rows(t->m, t->n, c, t->c.ld, sum, c, t->c.ld);
      continue;
    }
    xattn_few_leave(t, own, maximum, sum);
  }
}
