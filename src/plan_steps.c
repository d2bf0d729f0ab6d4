/* The steps of one form. Steps and workspace only ever grow; nothing is chosen here but the chunks. */
#include <string.h>

#include "plan_build.h"
static const xattn_operand none = {.slot = XATTN_SLOT_NONE};

/* ------------------------------------------------------------------ operands */

xattn_operand xattn_reserve_as(xattn_builder *b, xattn_dtype dtype, int64_t batch, int64_t rows,
                               int64_t heads, int64_t columns) {
  xattn_operand operand = {
      .slot = XATTN_SLOT_WORKSPACE, .dtype = dtype, .offset = b->plan->workspace, .heads = heads};
  int64_t row, item, bytes;
  b->overflow |= __builtin_mul_overflow(heads, columns, &row);
  b->overflow |= __builtin_mul_overflow(row, rows, &item);
  b->overflow |= __builtin_mul_overflow(item, batch, &bytes);
  b->overflow |= __builtin_mul_overflow(bytes, (int64_t)xattn_dtype_size(dtype), &bytes);
  b->overflow |= __builtin_add_overflow(b->plan->workspace, bytes, &b->plan->workspace);
  b->overflow |=
      __builtin_add_overflow(b->plan->workspace, XATTN_ALIGNMENT - 1, &b->plan->workspace);
  b->plan->workspace -= b->plan->workspace % XATTN_ALIGNMENT;
  operand.view = (xattn_view){.batch = item, .row = row, .head = columns, .column = 1};
  return operand;
}

static xattn_operand reserve(xattn_builder *b, int64_t batch, int64_t rows, int64_t heads,
                             int64_t columns) {
  return xattn_reserve_as(b, xattn_inner_dtype(b->problem), batch, rows, heads, columns);
}

static xattn_operand caller(const xattn_builder *b, xattn_slot slot, xattn_view view,
                            int64_t heads) {
  return (xattn_operand){.slot = slot, .dtype = b->problem->dtype, .heads = heads, .view = view};
}

/* A weight or bias, the same for every item: [rows, columns] or, per head, with a stride between heads. */
static xattn_operand weight(const xattn_builder *b, xattn_slot slot, int64_t heads, int64_t head,
                            int64_t row) {
  return caller(b, slot, (xattn_view){.row = row, .head = head, .column = 1}, heads);
}

/* The operand where the layer has the bias, else none. */
static xattn_operand bias_if(const xattn_builder *b, bool has, xattn_slot slot, int64_t heads,
                             int64_t width) {
  return has ? weight(b, slot, heads, width, 0) : none;
}

xattn_step *xattn_add_step(xattn_builder *b, xattn_step_kind kind, const char *text) {
  xattn_step *step = &b->plan->step[b->plan->count++];
  memset(step, 0, sizeof *step);
  step->kind = kind;
  step->text = text;
  step->groups = step->heads = 1;
  return step;
}

bool xattn_view_is_matrix(const xattn_view *view, int64_t rows, int64_t columns,
                          int64_t max_extent) {
  bool dense_row = view->column == 1 || columns <= 1;
  bool row_fits = rows <= 1 || (view->row >= columns && view->row <= max_extent);
  return dense_row && row_fits;
}

static void copy(xattn_builder *b, const char *text, int64_t batch, int64_t rows, int64_t heads,
                 int64_t columns, xattn_operand from, xattn_operand to) {
  xattn_step *step = xattn_add_step(b, XATTN_STEP_COPY, text);
  step->batch = batch;
  step->rows = rows;
  step->heads = heads;
  step->columns = columns;
  step->a = from;
  step->c = to;
}

/* The operand itself where a step can read it, else a dense copy of the dtype. A batch stride of 0 is kept: the
 * copy then has one item. */
static xattn_operand readable_as(xattn_builder *b, xattn_dtype dtype, xattn_operand operand,
                                 const char *text, int64_t batch, int64_t rows, int64_t heads,
                                 int64_t columns) {
  int64_t limit = b->problem->limits.max_extent;
  if (operand.dtype == dtype && xattn_view_is_matrix(&operand.view, rows, columns, limit))
    return operand;
  bool shared = operand.view.batch == 0;
  xattn_operand dense = xattn_reserve_as(b, dtype, shared ? 1 : batch, rows, heads, columns);
  copy(b, text, shared ? 1 : batch, rows, heads, columns, operand, dense);
  if (shared) dense.view.batch = 0;
  return dense;
}

static xattn_operand readable(xattn_builder *b, xattn_operand operand, const char *text,
                              int64_t batch, int64_t rows, int64_t heads, int64_t columns) {
  return readable_as(b, operand.dtype, operand, text, batch, rows, heads, columns);
}

/* c = a·b + bias, over the heads of the problem where an operand has several. */
static xattn_step *linear(xattn_builder *b, const char *text, int64_t batch, int64_t rows,
                          int64_t depth, int64_t columns, xattn_operand a, xattn_operand weights,
                          bool transposed, xattn_operand c) {
  const xattn_problem *p = b->problem;
  xattn_step *step = xattn_add_step(b, XATTN_STEP_LINEAR, text);
  int64_t limit = p->limits.max_extent;
  step->batch = batch;
  step->rows = rows;
  step->columns = columns;
  step->depth = depth;
  step->a = a;
  step->b = weights;
  step->c = c;
  step->b_transposed = transposed;
  if (weights.heads > 1 || c.heads > 1) {
    step->groups = p->kv_heads;
    step->heads = p->heads;
  }
  /* Items that follow one another without a gap become rows of one GEMM. */
  step->joined = weights.view.batch == 0 &&
                 (batch <= 1 || (a.view.batch == rows * a.view.row &&
                                 c.view.batch == rows * c.view.row && rows <= limit / batch &&
                                 xattn_view_is_matrix(&a.view, batch * rows, depth, limit) &&
                                 xattn_view_is_matrix(&c.view, batch * rows, columns, limit)));
  return step;
}

/* What a pipe's steps leave to one another, [items, rows, heads, columns] for each thread; else for all. */
static xattn_operand between(xattn_builder *b, int64_t heads, int64_t columns) {
  const xattn_problem *p = b->problem;
  if (!b->pipe.items) return reserve(b, p->batch, p->queries, heads, columns);
  return reserve(b, b->pipe.items * p->limits.parallel, b->pipe.rows, heads, columns);
}

/* The operand as a whole row of all its heads. */
static xattn_operand whole(xattn_operand operand) {
  operand.heads = 1;
  return operand;
}

/* ------------------------------------------------------------------ what a context keeps */

static bool add_region(int64_t batch, int64_t rows, int64_t width, xattn_dtype dtype,
                       int64_t *offset, int64_t *bytes) {
  int64_t count;
  *offset = *bytes;
  if (__builtin_mul_overflow(batch, rows, &count) || __builtin_mul_overflow(count, width, &count) ||
      count > INT64_MAX / 64)
    return false;
  count *= (int64_t)xattn_dtype_size(dtype);
  count = (count + XATTN_ALIGNMENT - 1) / XATTN_ALIGNMENT * XATTN_ALIGNMENT;
  return !__builtin_add_overflow(*bytes, count, bytes);
}

bool xattn_store_layout(const xattn_problem *p, const xattn_store *store, xattn_layout *layout) {
  const int64_t k_width[] = {p->kv_heads * p->head_dim, 0, p->heads * p->query_dim};
  const int64_t v_width[] = {p->kv_heads * p->value_dim, 0, p->heads * p->out_dim};
  *layout = (xattn_layout){.k_width = k_width[store->scores], .v_width = v_width[store->values]};
  if (store->scores == XATTN_KEPT_RAW || store->values == XATTN_KEPT_RAW)
    layout->raw_width = p->context_dim;
  if (store->scores == XATTN_KEPT_MERGED && p->query_bias) layout->bias_heads = p->heads;
  int64_t batch = p->context_batch, rows = store->capacity, *bytes = &layout->bytes;
  return add_region(batch, rows, layout->k_width, store->dtype, &layout->k, bytes) &&
         add_region(batch, rows, layout->v_width, store->dtype, &layout->v, bytes) &&
         add_region(batch, rows, layout->raw_width, store->dtype, &layout->raw, bytes) &&
         add_region(batch, rows, layout->bias_heads, XATTN_F32, &layout->key_bias, bytes);
}

/* Rows of the store from `start` on. */
static xattn_operand stored(const xattn_builder *b, xattn_slot slot, int64_t heads,
                            int64_t columns) {
  const xattn_store *s = &b->problem->store;
  int64_t row = heads * columns;
  return (xattn_operand){.slot = slot,
                         .dtype = s->dtype,
                         .offset = s->start * row * (int64_t)xattn_dtype_size(s->dtype),
                         .heads = heads,
                         .view = {s->capacity * row, row, columns, 1}};
}

static xattn_operand stored_key_bias(const xattn_builder *b) {
  const xattn_problem *p = b->problem;
  const xattn_store *s = &p->store;
  return (xattn_operand){.slot = XATTN_SLOT_KEY_BIAS,
                         .dtype = XATTN_F32,
                         .offset = s->start * (int64_t)sizeof(float),
                         .heads = p->heads,
                         .view = {p->heads * s->capacity, s->capacity, s->capacity, 1}};
}

/* ------------------------------------------------------------------ the context's side */

/* Where a product of y goes: to the store, or to the workspace, from where it is copied there if the store has another
 * dtype. */
static xattn_operand place_for(xattn_builder *b, xattn_slot slot, int64_t heads, int64_t columns) {
  const xattn_problem *p = b->problem;
  if (p->task == XATTN_TASK_CONTEXT && p->store.dtype == xattn_inner_dtype(p))
    return stored(b, slot, heads, columns);
  return reserve(b, p->context_batch, p->keys, heads, columns);
}

static void keep(xattn_builder *b, const char *text, xattn_operand from, xattn_slot slot,
                 int64_t heads, int64_t columns) {
  const xattn_problem *p = b->problem;
  if (p->task != XATTN_TASK_CONTEXT || from.slot == slot) return;
  copy(b, text, p->context_batch, p->keys, 1, heads * columns, from,
       stored(b, slot, heads, columns));
}

static xattn_operand make_k(xattn_builder *b, xattn_operand y) {
  const xattn_problem *p = b->problem;
  xattn_operand k = place_for(b, XATTN_SLOT_K, p->kv_heads, p->head_dim);
  (void)linear(b, "K = y·Wkᵀ", p->context_batch, p->keys, p->context_dim, p->kv_heads * p->head_dim,
               y, weight(b, XATTN_SLOT_WK, 1, 0, p->context_dim), true, whole(k));
  keep(b, "K, to keep", k, XATTN_SLOT_K, p->kv_heads, p->head_dim);
  return k;
}

static xattn_operand make_u(xattn_builder *b, xattn_operand y) {
  const xattn_problem *p = b->problem;
  xattn_operand u = place_for(b, XATTN_SLOT_K, p->heads, p->query_dim);
  (void)linear(b, "U = y·Mᵀ", p->context_batch, p->keys, p->context_dim, p->heads * p->query_dim, y,
               weight(b, XATTN_SLOT_M, 1, 0, p->context_dim), true, whole(u));
  keep(b, "U, to keep", u, XATTN_SLOT_K, p->heads, p->query_dim);
  return u;
}

/* bq adds to every score of a key and a head the same: Wk·bq times the key's row of y. */
static xattn_operand make_key_bias(xattn_builder *b, xattn_operand y) {
  const xattn_problem *p = b->problem;
  if (!p->query_bias) return none;
  xattn_operand bias;
  if (p->task == XATTN_TASK_CONTEXT) {
    bias = stored_key_bias(b);
  } else {
    bias = xattn_reserve_as(b, XATTN_F32, p->context_batch, p->heads, 1, p->keys);
    bias.heads = p->heads;
    bias.view.head = p->keys;
  }
  (void)linear(b, "key bias = bq·Wk·yᵀ", p->context_batch, p->heads, p->context_dim, p->keys,
               weight(b, XATTN_SLOT_M_BIAS, 1, 0, p->context_dim), y, true, whole(bias));
  /* One product an item: b is y, not a weight. */
  b->plan->step[b->plan->count - 1].joined = false;
  return bias;
}

static xattn_operand make_v(xattn_builder *b, xattn_operand y) {
  const xattn_problem *p = b->problem;
  xattn_operand v = place_for(b, XATTN_SLOT_V, p->kv_heads, p->value_dim);
  xattn_step *step = linear(b, p->value_bias ? "V = y·Wvᵀ + bv" : "V = y·Wvᵀ", p->context_batch,
                            p->keys, p->context_dim, p->kv_heads * p->value_dim, y,
                            weight(b, XATTN_SLOT_WV, 1, 0, p->context_dim), true, whole(v));
  step->bias = bias_if(b, p->value_bias, XATTN_SLOT_BV, 1, 0);
  keep(b, "V, to keep", v, XATTN_SLOT_V, p->kv_heads, p->value_dim);
  return v;
}

static xattn_operand make_w(xattn_builder *b, xattn_operand y) {
  const xattn_problem *p = b->problem;
  xattn_operand w = place_for(b, XATTN_SLOT_V, p->heads, p->out_dim);
  xattn_step *step =
      linear(b, p->value_bias ? "W = y·Nᵀ + Wo·bv" : "W = y·Nᵀ", p->context_batch, p->keys,
             p->context_dim, p->out_dim, y,
             weight(b, XATTN_SLOT_N, p->heads, p->context_dim, p->heads * p->context_dim), true, w);
  step->bias = bias_if(b, p->value_bias, XATTN_SLOT_N_BIAS, p->heads, p->out_dim);
  keep(b, "W, to keep", w, XATTN_SLOT_V, p->heads, p->out_dim);
  return w;
}

/* What a context has kept, as attend reads it. */
static xattn_context_side kept_side(const xattn_builder *b) {
  const xattn_problem *p = b->problem;
  xattn_operand raw = stored(b, XATTN_SLOT_RAW, 1, p->context_dim);
  xattn_context_side side = {.k = raw, .v = raw, .key_bias = none};
  if (p->store.scores == XATTN_KEPT_PROJECTED)
    side.k = stored(b, XATTN_SLOT_K, p->kv_heads, p->head_dim);
  if (p->store.scores == XATTN_KEPT_MERGED) {
    side.k = stored(b, XATTN_SLOT_K, p->heads, p->query_dim);
    if (p->query_bias) side.key_bias = stored_key_bias(b);
  }
  if (p->store.values == XATTN_KEPT_PROJECTED)
    side.v = stored(b, XATTN_SLOT_V, p->kv_heads, p->value_dim);
  if (p->store.values == XATTN_KEPT_MERGED) side.v = stored(b, XATTN_SLOT_V, p->heads, p->out_dim);
  return side;
}

/* The same made from y. */
static xattn_context_side made_side(xattn_builder *b) {
  const xattn_problem *p = b->problem;
  xattn_kept scores = xattn_form_keeps_scores(b->form), values = xattn_form_keeps_values(b->form);
  xattn_operand y = caller(b, XATTN_SLOT_Y, p->y, 1);
  bool keeps_raw =
      p->task == XATTN_TASK_CONTEXT && (scores == XATTN_KEPT_RAW || values == XATTN_KEPT_RAW);
  if (keeps_raw && p->store.dtype == p->dtype) {
    xattn_operand raw = stored(b, XATTN_SLOT_RAW, 1, p->context_dim);
    copy(b, "y, to keep", p->context_batch, p->keys, 1, p->context_dim, y, raw);
    y = raw;
  } else {
    if (keeps_raw) keep(b, "y, to keep", y, XATTN_SLOT_RAW, 1, p->context_dim);
    if (!keeps_raw || scores != values)
      y = readable(b, y, "y, made dense", p->context_batch, p->keys, 1, p->context_dim);
  }
  xattn_context_side side = {.k = y, .v = y, .key_bias = none};
  if (scores == XATTN_KEPT_PROJECTED) side.k = make_k(b, y);
  if (scores == XATTN_KEPT_MERGED) {
    side.k = make_u(b, y);
    side.key_bias = make_key_bias(b, y);
  }
  if (values == XATTN_KEPT_PROJECTED) side.v = make_v(b, y);
  if (values == XATTN_KEPT_MERGED) side.v = make_w(b, y);
  return side;
}

/* A context of batch 1 is read by every item through a batch stride of 0. */
static xattn_context_side context_side_of(xattn_builder *b) {
  const xattn_problem *p = b->problem;
  xattn_context_side side = p->task == XATTN_TASK_FORWARD ? kept_side(b) : made_side(b);
  if (p->context_batch < p->batch)
    side.k.view.batch = side.v.view.batch = side.key_bias.view.batch = 0;
  return side;
}

/* ------------------------------------------------------------------ the queries' side */

static xattn_operand make_query(xattn_builder *b) {
  const xattn_problem *p = b->problem;
  xattn_operand x = caller(b, XATTN_SLOT_X, p->x, 1);
  bool attends = b->form.scores == XATTN_SCORES_MERGE_Y; /* x itself, not what is made of it */
  x = readable_as(b, attends ? xattn_inner_dtype(p) : p->dtype, x, "x, made dense", p->batch,
                  p->queries, 1, p->query_dim);
  if (attends) return x;
  bool shared = p->x.batch == 0; /* the same queries for every item: projected once */
  int64_t batch = shared ? 1 : p->batch;
  xattn_operand result;
  if (b->form.scores == XATTN_SCORES_MERGE_X) {
    result = reserve(b, batch, p->queries, p->heads, p->context_dim);
    xattn_step *step =
        linear(b, p->query_bias ? "T = x·M + bq·Wk" : "T = x·M", batch, p->queries, p->query_dim,
               p->context_dim, x,
               weight(b, XATTN_SLOT_M, p->heads, p->query_dim * p->context_dim, p->context_dim),
               false, result);
    step->bias = bias_if(b, p->query_bias, XATTN_SLOT_M_BIAS, p->heads, p->context_dim);
  } else {
    result = shared ? reserve(b, batch, p->queries, p->heads, p->head_dim)
                    : between(b, p->heads, p->head_dim);
    xattn_step *step = linear(b, p->query_bias ? "Q = x·Wqᵀ + bq" : "Q = x·Wqᵀ", batch, p->queries,
                              p->query_dim, p->heads * p->head_dim, x,
                              weight(b, XATTN_SLOT_WQ, 1, 0, p->query_dim), true, whole(result));
    step->bias = bias_if(b, p->query_bias, XATTN_SLOT_BQ, 1, 0);
    step->piped = b->pipe.items > 0;
  }
  if (b->form.scores == XATTN_SCORES_PUSH) {
    xattn_operand pushed = reserve(b, batch, p->queries, p->heads, p->context_dim);
    (void)linear(
        b, "T = Q·Wk", batch, p->queries, p->head_dim, p->context_dim, result,
        weight(b, XATTN_SLOT_WK, p->kv_heads, p->head_dim * p->context_dim, p->context_dim), false,
        pushed);
    result = pushed;
  }
  if (shared) result.view.batch = 0;
  return result;
}

/* ------------------------------------------------------------------ from the parts to out */

/* Where out is written, which is the workspace if a step cannot write it as it is. */
static xattn_operand place_out(xattn_builder *b, int64_t heads, int64_t columns, bool *direct) {
  const xattn_problem *p = b->problem;
  *direct = xattn_inner_dtype(p) == p->dtype &&
            xattn_view_is_matrix(&p->out, p->queries, columns, p->limits.max_extent);
  if (*direct) return caller(b, XATTN_SLOT_OUT, p->out, heads);
  return reserve(b, p->batch, p->queries, heads, columns);
}

static int64_t depth_of(const xattn_builder *b) {
  switch (b->form.scores) {
    case XATTN_SCORES_PROJECT:
      return b->problem->head_dim;
    case XATTN_SCORES_MERGE_Y:
      return b->problem->query_dim;
    default:
      return b->problem->context_dim;
  }
}

/* O [B, Nq, H, Dv], written to `o` if the layer has no output projection. */
static xattn_operand attend_to_heads(xattn_builder *b, xattn_operand a,
                                     const xattn_context_side *side, const xattn_operand *result) {
  const xattn_problem *p = b->problem;
  xattn_operand o = result ? *result : between(b, p->heads, p->value_dim);
  if (b->form.values == XATTN_VALUES_PROJECT) {
    xattn_add_attend(b, "O = softmax(scale·S)·V", a, side, depth_of(b), p->value_dim, o, none);
    return o;
  }
  xattn_operand z = reserve(b, p->batch, p->queries, p->heads, p->context_dim);
  xattn_add_attend(b, "Z = softmax(scale·S)·y", a, side, depth_of(b), p->context_dim, z, none);
  xattn_step *step =
      linear(b, p->value_bias ? "O = Z·Wvᵀ + bv" : "O = Z·Wvᵀ", p->batch, p->queries,
             p->context_dim, p->value_dim, z,
             weight(b, XATTN_SLOT_WV, p->kv_heads, p->value_dim * p->context_dim, p->context_dim),
             true, o);
  step->bias = bias_if(b, p->value_bias, XATTN_SLOT_BV, p->kv_heads, p->value_dim);
  step->where_keys = p->value_bias && (p->lengths || p->keys == 0);
  step->keys = p->keys;
  return o;
}

/* out [B, Nq, Do], by way of O. */
static void project_out(xattn_builder *b, xattn_operand a, const xattn_context_side *side,
                        xattn_operand result) {
  const xattn_problem *p = b->problem;
  xattn_operand o = attend_to_heads(b, a, side, NULL);
  int64_t width = p->heads * p->value_dim;
  xattn_step *step =
      linear(b, p->out_bias ? "out = O·Woᵀ + bo" : "out = O·Woᵀ", p->batch, p->queries, width,
             p->out_dim, whole(o), weight(b, XATTN_SLOT_WO, 1, 0, width), true, result);
  step->bias = bias_if(b, p->out_bias, XATTN_SLOT_BO, 1, 0);
  step->piped = b->pipe.items > 0;
}

/* out = (P·y)·Nᵀ */
static void merged_py(xattn_builder *b, xattn_operand a, const xattn_context_side *side,
                      xattn_operand result) {
  const xattn_problem *p = b->problem;
  xattn_operand z = reserve(b, p->batch, p->queries, p->heads, p->context_dim);
  xattn_add_attend(b, "Z = softmax(scale·S)·y", a, side, depth_of(b), p->context_dim, z, none);
  bool bias = p->value_bias || p->out_bias;
  int64_t width = p->heads * p->context_dim;
  xattn_step *step =
      linear(b, bias ? "out = Z·Nᵀ + bo + Wo·bv" : "out = Z·Nᵀ", p->batch, p->queries, width,
             p->out_dim, whole(z), weight(b, XATTN_SLOT_N, 1, 0, width), true, result);
  step->bias = bias_if(b, bias, XATTN_SLOT_N_TOTAL, 1, 0);
  step->otherwise = bias_if(b, p->out_bias, XATTN_SLOT_BO, 1, 0);
  step->where_keys = p->value_bias && (p->lengths || p->keys == 0);
  step->keys = p->keys;
}

/* out = P·W + bo, a sum over the heads. It is taken in F32: a sum of 16 bits would round once a head. */
static void merged_y(xattn_builder *b, xattn_operand a, const xattn_context_side *side,
                     xattn_operand result) {
  const xattn_problem *p = b->problem;
  const char *text = p->out_bias ? "out = softmax(scale·S)·W + bo" : "out = softmax(scale·S)·W";
  xattn_operand bias = bias_if(b, p->out_bias, XATTN_SLOT_BO, 1, 0);
  if (xattn_inner_dtype(p) == XATTN_F32 || p->heads == 1) {
    xattn_add_attend(b, text, a, side, depth_of(b), p->out_dim, result, bias);
    return;
  }
  xattn_operand sum = xattn_reserve_as(b, XATTN_F32, p->batch, p->queries, 1, p->out_dim);
  if (p->out_bias) {
    xattn_operand wide = xattn_reserve_as(b, XATTN_F32, 1, 1, 1, p->out_dim);
    bias.view.column = 1;
    copy(b, "bo, in F32", 1, 1, 1, p->out_dim, bias, wide);
    wide.view = bias.view;
    bias = wide;
  }
  xattn_add_attend(b, text, a, side, depth_of(b), p->out_dim, sum, bias);
  copy(b, "out, rounded", p->batch, p->queries, 1, p->out_dim, sum, result);
}

static void to_out(xattn_builder *b, xattn_operand a, const xattn_context_side *side) {
  const xattn_problem *p = b->problem;
  bool direct;
  int64_t heads = p->out_dim ? 1 : p->heads, width = p->out_dim ? p->out_dim : p->value_dim;
  xattn_operand result = place_out(b, heads, width, &direct);
  if (b->form.values == XATTN_VALUES_MERGE_Y) {
    merged_y(b, a, side, result);
  } else if (b->form.values == XATTN_VALUES_MERGE_PY) {
    merged_py(b, a, side, result);
  } else if (p->out_dim) {
    project_out(b, a, side, result);
  } else {
    (void)attend_to_heads(b, a, side, &result);
  }
  if (!direct)
    copy(b, "out, as the caller's lies", p->batch, p->queries, heads, width, result,
         caller(b, XATTN_SLOT_OUT, p->out, heads));
}

/* The caller's Q, K and V. */
static void ready_heads(xattn_builder *b) {
  const xattn_problem *p = b->problem;
  xattn_operand q = caller(b, XATTN_SLOT_X, p->x, p->heads);
  xattn_context_side side = {.k = caller(b, XATTN_SLOT_K, p->k, p->kv_heads),
                             .v = caller(b, XATTN_SLOT_V, p->v, p->kv_heads)};
  q = readable_as(b, xattn_inner_dtype(p), q, "Q, made dense", p->batch, p->queries, p->heads,
                  p->head_dim);
  side.k = readable(b, side.k, "K, made dense", p->batch, p->keys, p->kv_heads, p->head_dim);
  side.v = readable(b, side.v, "V, made dense", p->batch, p->keys, p->kv_heads, p->value_dim);
  to_out(b, q, &side);
}

bool xattn_plan_build(const xattn_problem *p, xattn_form form, xattn_plan_steps *plan) {
  plan->form = form;
  plan->count = 0;
  plan->workspace = 0;
  xattn_builder b = {.problem = p, .form = form, .plan = plan, .pipe = xattn_choose_pipe(p, form)};
  if (p->task == XATTN_TASK_ATTENTION) {
    ready_heads(&b);
  } else {
    xattn_context_side side = context_side_of(&b);
    if (p->task != XATTN_TASK_CONTEXT) to_out(&b, make_query(&b), &side);
  }
  return !b.overflow;
}
