/* Attention of few rows: what its two ways through the keys share. */
#ifndef XATTN_CPU_ATTEND_FEW_H
#define XATTN_CPU_ATTEND_FEW_H

#include <string.h>

#include "cpu.h"

/* An item's operands. */
typedef struct xattn_few_item {
  const float *a, *bias;
  int64_t b, d; /* the first elements */
  float *c;
  int64_t from, to; /* the piece's keys */
} xattn_few_item;

static inline xattn_few_item xattn_few_item_at(const xattn_attend *t, int64_t index,
                                               int64_t piece) {
  int64_t head = index % t->batch[2], group = index / t->batch[2] % t->batch[1];
  int64_t b = index / t->batch[2] / t->batch[1], keys = xattn_limited(t->limit, b, t->keys);
  xattn_few_item at = {.a = (const float *)t->a.data + xattn_offset(t->a.stride, b, group, head),
                       .b = xattn_offset(t->b.stride, b, group, head),
                       .d = xattn_offset(t->d.stride, b, group, head),
                       .c = (float *)t->c.data + xattn_offset(t->c.stride, b, group, head),
                       .from = keys * piece / t->key_pieces,
                       .to = keys * (piece + 1) / t->key_pieces};
  if (t->key_bias) at.bias = t->key_bias + xattn_offset(t->key_bias_stride, b, group, head);
  return at;
}

/* What a piece of an item leaves in the scratch: the maximum and the sum of each row, then O. */
static inline float *xattn_few_left(const xattn_attend *t, int64_t index, int64_t piece) {
  return t->scratch + (index * t->key_pieces + piece) * xattn_few_floats(t->m, t->n);
}

static inline void xattn_few_leave(const xattn_attend *t, float *left, const float *maximum,
                                   const float *sum) {
  memcpy(left, maximum, (size_t)t->m * sizeof *left);
  memcpy(left + t->m, sum, (size_t)t->m * sizeof *left);
}

/* All groups of item b over a piece of its keys, with `room` of xattn_cpu_scratch() floats. */
void xattn_cpu_attend_abreast(const xattn_attend *t, const xattn_isa *isa, int64_t b, int64_t piece,
                              float *room);

#endif
