/* A plan under construction: what plan_steps.c and plan_attend.c share. Steps and workspace only ever grow. */
#ifndef XATTN_PLAN_BUILD_H
#define XATTN_PLAN_BUILD_H

#include "plan.h"

/* Columns of keys, or of values, that attention in one pass over tiles takes at most. */
enum { XATTN_TILE_WIDEST = 512 };

typedef struct xattn_builder {
  const xattn_problem *problem;
  xattn_form form;
  xattn_plan_steps *plan;
  xattn_pipe pipe;
  bool overflow; /* the workspace would be larger than an address can be */
} xattn_builder;

/* What attend reads of the context, and what the task of context writes. */
typedef struct xattn_context_side {
  xattn_operand k, v, key_bias;
} xattn_context_side;

/* Of what one step leaves to another. */
static inline xattn_dtype xattn_inner_dtype(const xattn_problem *problem) {
  return problem->limits.wide ? XATTN_F32 : problem->dtype;
}

/* A dense [batch, rows, heads, columns] block of the workspace. */
xattn_operand xattn_reserve_as(xattn_builder *b, xattn_dtype dtype, int64_t batch, int64_t rows,
                               int64_t heads, int64_t columns);

/* A step of one head, all else zero. */
xattn_step *xattn_add_step(xattn_builder *b, xattn_step_kind kind, const char *text);

/* Rows that are done at a time from x to out, if that pays (plan_pipe.c). */
xattn_pipe xattn_choose_pipe(const xattn_problem *problem, xattn_form form);

/* c = softmax(scale·a·kᵀ)·v + bias, with `depth` columns of a and k, and `columns` of v and c. */
void xattn_add_attend(xattn_builder *b, const char *text, xattn_operand a,
                      const xattn_context_side *side, int64_t depth, int64_t columns,
                      xattn_operand c, xattn_operand bias);

#endif
