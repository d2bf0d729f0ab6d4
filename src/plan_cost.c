/* What a step takes: FLOPs, bytes and launches, and by the device's rates seconds. Each operand of a product
 * is read once a product, and the result written once. */
#include <math.h>

#include "plan.h"

/* A product of large matrices runs at `flops`; one of few rows waits for B: for memory where it is read as it lies, else for
 * the copy in the order that the kernel wants. Where both matter they overlap in part: the root of the sum of squares fits
 * best. A and C come and go besides. */
typedef enum source { COPIED, AS_IT_LIES, IN_CACHE } source; /* of B */

static double product_seconds(double flops, double b_bytes, double other_bytes, source b,
                              double flops_a_second, const xattn_rates *rates) {
  double compute = flops / flops_a_second;
  double move = b_bytes / (b == COPIED ? rates->operands : rates->stream);
  return hypot(compute, move) + other_bytes / rates->stream;
}

static double size_of(xattn_dtype dtype) {
  return (double)xattn_dtype_size(dtype);
}

static double flops_of(xattn_dtype dtype, const xattn_rates *rates) {
  return dtype == XATTN_F32 ? rates->flops : rates->flops_half;
}

/* Adds `count` products of [m, k] and [k, n]. */
static void add_products(xattn_cost *cost, const xattn_rates *rates, double flops_a_second,
                         source b, double count, double m, double n, double k, xattn_dtype in,
                         xattn_dtype in_b, xattn_dtype out) {
  double flops = 2.0 * count * m * n * k;
  double others = count * (m * k * size_of(in) + m * n * size_of(out));
  double b_bytes = b == IN_CACHE ? 0.0 : count * k * n * size_of(in_b);
  cost->flops += flops;
  cost->bytes += b_bytes + others;
  cost->seconds += product_seconds(flops, b_bytes, others, b, flops_a_second, rates);
}

static xattn_cost copy_cost(const xattn_step *s, const xattn_rates *rates) {
  double elements = (double)s->batch * (double)s->rows * (double)s->heads * (double)s->columns;
  xattn_cost cost = {.launches = 1};
  cost.bytes = elements * (size_of(s->a.dtype) + size_of(s->c.dtype));
  cost.seconds = rates->launch + cost.bytes / rates->stream;
  return cost;
}

static xattn_cost linear_cost(const xattn_step *s, const xattn_limits *limits,
                              const xattn_rates *rates) {
  xattn_cost cost = {.launches = 1, .seconds = rates->launch};
  double items = s->joined ? 1.0 : (double)s->batch;
  double rows = (double)s->batch * (double)s->rows / (items > 0.0 ? items : 1.0);
  /* What is only stored in 16 bits is multiplied as F32, but for BF16 by packed BF16 where there are instructions for it. */
  const bool weight = limits->packing && xattn_slot_is_weight(s->b.slot);
  const bool pairs = weight && limits->packing_bf16 && s->a.dtype == XATTN_BF16 &&
                     s->b.dtype == XATTN_BF16 && rows > (double)limits->unpacked_rows;
  const bool packed = pairs || (weight && s->b.dtype == XATTN_F32);
  source b = packed || rows <= (double)limits->few_rows ? AS_IT_LIES : COPIED;
  const double flops = limits->wide && !pairs ? rates->flops : flops_of(s->a.dtype, rates);
  add_products(&cost, rates, flops, b, items * (double)s->heads, rows, (double)s->columns,
               (double)s->depth, s->a.dtype, s->b.dtype, s->c.dtype);
  return cost;
}

static double pieces(int64_t extent, int64_t chunk) {
  return chunk > 0 ? ceil((double)extent / (double)chunk) : 0.0;
}

static xattn_cost attend_cost(const xattn_step *s, const xattn_limits *limits,
                              const xattn_rates *rates) {
  double batch = (double)s->batch, heads = (double)s->heads, rows = (double)s->rows;
  double groups = (double)s->groups, keys = (double)s->keys;
  int64_t in_group = s->heads / s->groups;
  double chunks = pieces(s->batch, s->chunk[0]) * pieces(s->groups, s->chunk[1]) *
                  pieces(in_group, s->chunk[2]) * pieces(s->rows, s->chunk[3]);
  double row_pieces = pieces(s->rows, s->tile[0] ? s->tile[0] : s->chunk[3]);
  double piece_rows = row_pieces > 0.0 ? rows / row_pieces : 0.0;
  double score_products = batch * row_pieces * (s->fold_scores ? groups : heads);
  double value_products = batch * row_pieces * (s->fold_values ? groups : heads);
  bool one_pass = s->tile[0] || s->key_pieces;
  xattn_cost cost = {.launches = (int64_t)(one_pass ? chunks : 3.0 * chunks)};
  double folded_rows = piece_rows * (double)in_group;
  double score_rows = s->fold_scores ? folded_rows : piece_rows;
  double value_rows = s->fold_values ? folded_rows : piece_rows;
  if (s->sum_heads) cost.launches += (int64_t)(chunks * (double)(s->chunk[1] * s->chunk[2] - 1));
  const double few = (double)limits->few_rows;
  source b = one_pass || score_rows <= few ? AS_IT_LIES : COPIED;
  source d = one_pass || value_rows <= few ? AS_IT_LIES : COPIED;
  if (s->key_pieces && s->b.slot == s->d.slot && s->b.offset == s->d.offset) d = IN_CACHE;
  const double flops = flops_of(s->a.dtype, rates);
  add_products(&cost, rates, flops, b, score_products, score_rows, keys, (double)s->depth,
               s->a.dtype, s->wide_b.slot == XATTN_SLOT_NONE ? s->b.dtype : s->a.dtype, XATTN_F32);
  add_products(&cost, rates, flops, d, value_products, value_rows, (double)s->columns, keys,
               s->a.dtype, s->wide_d.slot == XATTN_SLOT_NONE ? s->d.dtype : s->a.dtype, s->c.dtype);
  /* In one pass, what is stored in 16 bits is widened into the cache on the way, of heads abreast into registers. */
  const bool widens = one_pass && !s->abreast;
  if (widens && s->b.dtype != s->a.dtype)
    cost.seconds += score_products * keys * (double)s->depth * sizeof(float) / rates->stream;
  if (widens && s->d.dtype != s->a.dtype && d != IN_CACHE)
    cost.seconds += value_products * keys * (double)s->columns * sizeof(float) / rates->stream;
  double scores = batch * heads * rows * keys;
  if (!one_pass) cost.bytes += scores * (sizeof(float) + size_of(s->a.dtype));
  cost.seconds += scores / rates->softmax;
  const xattn_operand *narrow[] = {&s->b, &s->d};
  const xattn_operand *wide[] = {&s->wide_b, &s->wide_d};
  const double width[] = {(double)s->depth, (double)s->columns};
  for (int i = 0; i < 2; i++) {
    if (wide[i]->slot == XATTN_SLOT_NONE ||
        (i && wide[0]->slot != XATTN_SLOT_NONE && wide[0]->offset == wide[1]->offset))
      continue;
    double bytes = batch * keys * (double)narrow[i]->heads * width[i] *
                   (size_of(narrow[i]->dtype) + sizeof(float));
    cost.bytes += bytes;
    cost.seconds += bytes / rates->stream;
    cost.launches += (int64_t)(pieces(s->batch, s->chunk[0]) * pieces(s->groups, s->chunk[1]));
  }
  cost.seconds += (double)cost.launches * rates->launch;
  return cost;
}

xattn_cost xattn_step_cost(const xattn_step *step, const xattn_limits *limits,
                           const xattn_rates *rates) {
  switch (step->kind) {
    case XATTN_STEP_COPY:
      return copy_cost(step, rates);
    case XATTN_STEP_LINEAR:
      return linear_cost(step, limits, rates);
    case XATTN_STEP_ATTEND:
      return attend_cost(step, limits, rates);
  }
  return (xattn_cost){0};
}
