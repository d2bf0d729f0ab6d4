/* The planner: a problem (numbers only) becomes a short list of steps, the offsets of their
 * intermediate results in one workspace, and the work they take. Pure: no device, no allocation,
 * no clock; the same problem gives the same plan.
 *
 *     x ──(copy)──▶ Q = x·Wqᵀ + bq ─┐
 *     y ──(copy)──▶ K = y·Wkᵀ + bk ─┼▶ attend ──▶ O ──▶ out = O·Woᵀ + bo ──(copy)──▶ out
 *                   V = y·Wvᵀ + bv ─┘
 *
 * A copy stands where a caller's strides are not those of a matrix. Without Wo, attend writes out
 * itself. A task leaves out what it does not need. */
#ifndef XATTN_PLAN_H
#define XATTN_PLAN_H

#include "backend.h"

/* A tensor as [batch, rows, heads, columns], strides in elements. */
typedef struct xattn_view {
  int64_t batch, row, head, column;
} xattn_view;

typedef enum xattn_task {
  XATTN_TASK_ONCE,     /* x and y to out */
  XATTN_TASK_CONTEXT,  /* y to K and V, to be kept */
  XATTN_TASK_FORWARD,  /* x to out, K and V are kept */
  XATTN_TASK_ATTENTION /* the caller's Q (as x), K and V to out */
} xattn_task;

typedef struct xattn_problem {
  xattn_task task;
  int64_t batch, context_batch; /* context_batch is 1 or batch */
  int64_t queries, keys;
  int64_t query_dim, context_dim; /* Dq, Dc */
  int64_t heads, kv_heads, head_dim, value_dim;
  int64_t out_dim; /* rows of Wo; 0: no output projection */
  bool query_bias, key_bias, value_bias, out_bias;
  float scale;
  xattn_dtype dtype; /* of x, y, K, V, out and all weights */
  xattn_view x, y, k, v, out;
  xattn_limits limits;
} xattn_problem;

/* Where an operand lives. The runner knows the address of each slot. */
typedef enum xattn_slot {
  XATTN_SLOT_NONE,
  XATTN_SLOT_X,
  XATTN_SLOT_Y,
  XATTN_SLOT_K,
  XATTN_SLOT_V,
  XATTN_SLOT_OUT,
  XATTN_SLOT_WQ,
  XATTN_SLOT_WK,
  XATTN_SLOT_WV,
  XATTN_SLOT_WO,
  XATTN_SLOT_BQ,
  XATTN_SLOT_BK,
  XATTN_SLOT_BV,
  XATTN_SLOT_BO,
  XATTN_SLOT_WORKSPACE,
  XATTN_SLOT_COUNT
} xattn_slot;

typedef struct xattn_operand {
  xattn_slot slot;
  int64_t offset; /* bytes from the slot's address */
  xattn_view view;
} xattn_operand;

typedef enum xattn_step_kind {
  XATTN_STEP_COPY,   /* c = a */
  XATTN_STEP_LINEAR, /* c = a·bᵀ + bias, b a weight [n, k] */
  XATTN_STEP_ATTEND  /* c = softmax(scale·a·bᵀ)·d, chunk by chunk through `scores` */
} xattn_step_kind;

typedef struct xattn_step {
  xattn_step_kind kind;
  const char *text;           /* "K = y·Wkᵀ + bk" */
  xattn_dtype dtype;          /* of all operands */
  int64_t batch, rows, heads; /* of a and c */
  int64_t columns;            /* of c: n, or Dv for attend */
  int64_t depth;              /* k, or Dh for attend */
  xattn_operand a, b, c;      /* attend: Q, K, O */
  xattn_slot bias;
  /* attend alone */
  xattn_operand d;       /* V */
  int64_t keys, groups;  /* Nk; key/value heads, heads/groups query heads in each */
  int64_t chunk[4];      /* batch items, groups, query heads of a group, rows at a time */
  int64_t scores;        /* offset in the workspace: scale·Q·Kᵀ in F32 */
  int64_t probabilities; /* their softmax in the step's dtype; for F32 in place */
  int64_t score_ld;      /* row to row in both, in elements */
  float scale;
  double flops;
} xattn_step;

enum { XATTN_MAX_STEPS = 8 };

typedef struct xattn_plan_steps {
  const char *name;
  int count;
  xattn_step step[XATTN_MAX_STEPS];
  int64_t workspace; /* bytes */
  double flops;      /* of all GEMMs, a multiply-add is 2 */
} xattn_plan_steps;

/* name: NULL, "auto" or a form's name. @return XATTN_ERROR_NOT_FOUND, or _MEMORY where the
 * workspace would be larger than an address can be. */
xattn_status xattn_plan_make(xattn_error *error, const xattn_problem *problem, const char *name,
                             xattn_plan_steps *plan);

/* The steps as text, a line each, cut off at size. */
void xattn_plan_text(const xattn_plan_steps *plan, char *text, size_t size);

/* True if the rows of a view can be read by a GEMM as they stand. */
bool xattn_view_is_matrix(const xattn_view *view, int64_t rows, int64_t columns,
                          int64_t max_extent);

#endif
