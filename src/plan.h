/* The planner: a problem (numbers only) becomes a short list of steps, the offsets of their
 * intermediate results in one workspace, and the work they take. Pure: no device, no allocation,
 * no clock; the same problem and rates give the same plan.
 *
 *     x ──(copy)──▶ Q, T, or x ──┐
 *     y ──(copy)──▶ K, y, or U ──┼▶ attend ──▶ O, Z, or out ──▶ out ──(copy)──▶ out
 *                   V, y, or W ──┘
 *
 *     T = Q·Wk or x·M     U = y·Mᵀ     W = y·Nᵀ     Z = P·y
 *
 * Which of them is the form (forms.h). A copy stands where a caller's strides are not those of a matrix. A task
 * leaves out what it does not need. */
#ifndef XATTN_PLAN_H
#define XATTN_PLAN_H

#include "backend.h"
#include "forms.h"

/* A tensor as [batch, rows, heads, columns], strides in elements. */
typedef struct xattn_view {
  int64_t batch, row, head, column;
} xattn_view;

typedef enum xattn_task {
  XATTN_TASK_ONCE,     /* x and y to out */
  XATTN_TASK_CONTEXT,  /* y to what a context keeps */
  XATTN_TASK_FORWARD,  /* x and what a context keeps to out */
  XATTN_TASK_ATTENTION /* the caller's Q (as x), K and V to out */
} xattn_task;

/* What a context keeps, each [context_batch, capacity, ...]. */
typedef struct xattn_store {
  xattn_kept scores, values;
  xattn_dtype dtype;
  int64_t capacity; /* rows */
  int64_t start;    /* the row that a task of context writes first */
} xattn_store;

typedef struct xattn_problem {
  xattn_task task;
  int64_t batch, context_batch; /* context_batch is 1 or batch */
  int64_t queries, keys;
  int64_t query_dim, context_dim; /* Dq, Dc */
  int64_t heads, kv_heads, head_dim, value_dim;
  int64_t out_dim; /* rows of Wo; 0: no output projection */
  bool query_bias, value_bias, out_bias;
  bool lengths; /* items have key lengths of their own, which may be 0 */
  float scale;
  xattn_dtype dtype; /* of x, y, K, V, out and all weights */
  xattn_view x, y, k, v, out;
  xattn_store store;              /* tasks of context and forward */
  int64_t uses, expected_queries; /* task of context: the forwards that it will serve */
  xattn_limits limits;
} xattn_problem;

/* Where an operand lives. The runner knows the address of each slot. */
typedef enum xattn_slot {
  XATTN_SLOT_NONE,
  XATTN_SLOT_X,
  XATTN_SLOT_Y,
  XATTN_SLOT_OUT,
  XATTN_SLOT_K,        /* K or y·Mᵀ, the caller's or a context's */
  XATTN_SLOT_V,        /* V or y·Nᵀ */
  XATTN_SLOT_RAW,      /* a context's y */
  XATTN_SLOT_KEY_BIAS, /* bq·Wk·yᵀ, a context's: F32 [context_batch, H, capacity] */
  XATTN_SLOT_WQ,
  XATTN_SLOT_WK,
  XATTN_SLOT_WV,
  XATTN_SLOT_WO,
  XATTN_SLOT_BQ,
  XATTN_SLOT_BK,
  XATTN_SLOT_BV,
  XATTN_SLOT_BO,
  XATTN_SLOT_M,       /* Wqᵀ·Wk per head [H, Dq, Dc] */
  XATTN_SLOT_M_BIAS,  /* bq·Wk [H, Dc] */
  XATTN_SLOT_N,       /* Wo·Wv per head [Do, H, Dc] */
  XATTN_SLOT_N_BIAS,  /* Wo·bv per head [H, Do] */
  XATTN_SLOT_N_TOTAL, /* bo and the sum of those [Do] */
  XATTN_SLOT_WORKSPACE,
  XATTN_SLOT_COUNT
} xattn_slot;

/* Slots of matrices of the layer, which a backend may pack. */
static inline bool xattn_slot_is_weight(xattn_slot slot) {
  return (slot >= XATTN_SLOT_WQ && slot <= XATTN_SLOT_WO) || slot == XATTN_SLOT_M ||
         slot == XATTN_SLOT_N;
}

typedef struct xattn_operand {
  xattn_slot slot;
  xattn_dtype dtype;
  int64_t offset; /* bytes from the slot's address */
  int64_t heads;  /* 1 (the same for all), one per group, or one per head of the step */
  xattn_view view;
} xattn_operand;

typedef enum xattn_step_kind {
  XATTN_STEP_COPY,   /* c = a, converted */
  XATTN_STEP_LINEAR, /* c = a·b + bias per head, b a weight [k, n], or [n, k] if b_transposed */
  XATTN_STEP_ATTEND /* c = softmax(scale·(a·bᵀ + key_bias))·d, chunk by chunk through `scores` */
} xattn_step_kind;

/* The steps from x to out of which one thread does some rows after another, so that what is between them stays in its
 * cache: an attend step, and the linear steps beside it that are `piped`. Either whole items, or one of the pieces of an
 * item's rows. What is between them has room for that much, once for each thread. */
enum { XATTN_PIPE_UNIT = 12 }; /* an item's rows are cut at multiples of so many */
typedef struct xattn_pipe {
  int64_t items;  /* at a time; 0: there is no pipe */
  int64_t pieces; /* of the rows of an item */
  int64_t rows;   /* of the largest piece */
} xattn_pipe;

/* Heads are on two levels: `groups`, and heads / groups in each. */
typedef struct xattn_step {
  xattn_step_kind kind;
  const char *text; /* "K = y·Wkᵀ" */
  int64_t batch, rows, groups, heads;
  int64_t columns;         /* of c: n, or of d for attend */
  int64_t depth;           /* k, or the columns of a and b for attend */
  int64_t keys;            /* Nk: of attend, and of a step that asks which items have keys */
  xattn_operand a, b, c;   /* attend: Q, K, O */
  xattn_operand bias;      /* slot NONE: none; attend: added to c */
  xattn_operand otherwise; /* linear: the bias of items without keys; slot NONE: 0 */
  bool b_transposed;
  bool joined;     /* linear: items follow one another, as rows of one product */
  bool where_keys; /* linear: `otherwise` counts */
  bool piped;      /* linear */
  xattn_operand d; /* attend, from here on: V */
  xattn_operand key_bias;
  xattn_operand wide_b,
      wide_d; /* F32 copies of the chunk's b and d, where these are stored narrower */
  bool fold_scores, fold_values; /* heads that share b, or d, are rows of one product */
  bool sum_heads;                /* c has one head, the sum over all */
  int64_t chunk[4];              /* batch items, groups, heads of a group, rows at a time */
  int64_t tile[2];    /* rows and keys of a tile, where the backend attends in one pass; else 0 */
  int64_t key_pieces; /* the same for few rows; else 0 */
  bool abreast;       /* all groups at once */
  int64_t
      scores; /* offset in the workspace: the tiles, or a·bᵀ in F32 [batch, group, row, head, score_ld] */
  int64_t probabilities; /* their softmax in a's dtype, laid out alike; for F32 in place */
  int64_t score_ld;
  float scale;
  xattn_pipe pipe;
} xattn_step;

enum { XATTN_MAX_STEPS = 16 };

/* What a step, or all of them, take. */
typedef struct xattn_cost {
  double flops;   /* of products, a multiply-add is 2 */
  double bytes;   /* read and written */
  double seconds; /* by the device's rates */
  int64_t launches;
} xattn_cost;

typedef struct xattn_plan_steps {
  xattn_form form;
  int count;
  xattn_step step[XATTN_MAX_STEPS];
  int64_t workspace; /* bytes */
  xattn_cost cost;
} xattn_plan_steps;

/* name: NULL or "auto" for the form that takes least by the rates, or a form's name. A context is planned together with the
 * forwards that it will serve.
 * @return XATTN_ERROR_NOT_FOUND, _UNSUPPORTED (the problem does not allow the form), or _MEMORY where the
 * workspace would be larger than an address can be. */
xattn_status xattn_plan_make(xattn_error *error, const xattn_problem *problem,
                             const xattn_rates *rates, const char *name, xattn_plan_steps *plan);

/* Of a problem with the task of context: a forward over what that form keeps. */
xattn_problem xattn_plan_use(const xattn_problem *context, xattn_form form);

/* The steps of one form (plan_steps.c). False where the workspace would be larger than an address can be. */
bool xattn_plan_build(const xattn_problem *problem, xattn_form form, xattn_plan_steps *plan);

/* What a step takes (plan_cost.c). */
xattn_cost xattn_step_cost(const xattn_step *step, const xattn_limits *limits,
                           const xattn_rates *rates);

/* The steps as text, a line each, cut off at size. */
void xattn_plan_text(const xattn_plan_steps *plan, char *text, size_t size);

/* True if the rows of a view can be read by a GEMM as they stand. */
bool xattn_view_is_matrix(const xattn_view *view, int64_t rows, int64_t columns,
                          int64_t max_extent);

/* Where what is kept lies in a context's memory: bytes from its start, 0 bytes where there is none of it. */
typedef struct xattn_layout {
  int64_t k, v, raw, key_bias; /* offsets */
  int64_t k_width, v_width;    /* elements of a row; 0: not kept */
  int64_t raw_width;
  int64_t bias_heads;
  int64_t bytes; /* of all */
} xattn_layout;

/* @return false where memory cannot be that large. */
bool xattn_store_layout(const xattn_problem *problem, const xattn_store *store,
                        xattn_layout *layout);

#endif
