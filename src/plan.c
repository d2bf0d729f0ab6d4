#include "plan.h"

#include <stdio.h>
#include <string.h>

/* A plan under construction: steps and workspace only ever grow. */
typedef struct builder {
  const xattn_problem *problem;
  xattn_plan_steps *plan;
  bool overflow;
} builder;

/* A dense [batch, rows, heads, columns] block of the workspace. */
static xattn_operand reserve_as(builder *b, xattn_dtype dtype, int64_t batch, int64_t rows,
                                int64_t heads, int64_t columns) {
  xattn_operand operand = {.slot = XATTN_SLOT_WORKSPACE, .offset = b->plan->workspace};
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

static xattn_operand reserve(builder *b, int64_t batch, int64_t rows, int64_t heads,
                             int64_t columns) {
  return reserve_as(b, b->problem->dtype, batch, rows, heads, columns);
}

static xattn_step *add(builder *b, xattn_step_kind kind, const char *text) {
  xattn_step *step = &b->plan->step[b->plan->count++];
  *step = (xattn_step){.kind = kind, .text = text, .dtype = b->problem->dtype};
  return step;
}

bool xattn_view_is_matrix(const xattn_view *view, int64_t rows, int64_t columns,
                          int64_t max_extent) {
  bool dense_row = view->column == 1 || columns <= 1;
  bool row_fits = rows <= 1 || (view->row >= columns && view->row <= max_extent);
  return dense_row && row_fits;
}

/* The operand itself where a GEMM can read it, else a dense copy. A batch stride of 0 is kept: the
 * copy then has one item. */
static xattn_operand readable(builder *b, xattn_operand operand, const char *text, int64_t batch,
                              int64_t rows, int64_t heads, int64_t columns) {
  int64_t limit = b->problem->limits.max_extent;
  if (xattn_view_is_matrix(&operand.view, rows, columns, limit)) return operand;
  bool shared = operand.view.batch == 0;
  xattn_step *copy = add(b, XATTN_STEP_COPY, text);
  copy->batch = shared ? 1 : batch;
  copy->rows = rows;
  copy->heads = heads;
  copy->columns = columns;
  copy->a = operand;
  copy->c = reserve(b, copy->batch, rows, heads, columns);
  operand = copy->c;
  if (shared) operand.view.batch = 0;
  return operand;
}

/* c = a·Wᵀ + bias. Items that follow one another without a gap become rows of one GEMM. */
static void linear(builder *b, const char *text, int64_t batch, int64_t rows, int64_t k, int64_t n,
                   xattn_operand a, xattn_slot weight, xattn_slot bias, xattn_operand c) {
  xattn_step *step = add(b, XATTN_STEP_LINEAR, text);
  int64_t limit = b->problem->limits.max_extent;
  bool joined = batch <= 1 ||
                (a.view.batch == rows * a.view.row && c.view.batch == rows * c.view.row &&
                 rows <= limit / batch && xattn_view_is_matrix(&a.view, batch * rows, k, limit) &&
                 xattn_view_is_matrix(&c.view, batch * rows, n, limit));
  step->batch = joined ? 1 : batch;
  step->rows = joined ? batch * rows : rows;
  step->heads = 1;
  step->columns = n;
  step->depth = k;
  step->a = a;
  step->b = (xattn_operand){.slot = weight, .view = {.row = k, .column = 1}};
  step->c = c;
  step->bias = bias;
  step->flops = 2.0 * (double)batch * (double)rows * (double)k * (double)n;
}

/* K and V of the context, projected from y into k and v. */
static void project_context(builder *b, xattn_operand k, xattn_operand v) {
  const xattn_problem *p = b->problem;
  xattn_operand y = {.slot = XATTN_SLOT_Y, .view = p->y};
  y = readable(b, y, "y, made dense", p->context_batch, p->keys, 1, p->context_dim);
  linear(b, p->key_bias ? "K = y·Wkᵀ + bk" : "K = y·Wkᵀ", p->context_batch, p->keys, p->context_dim,
         p->kv_heads * p->head_dim, y, XATTN_SLOT_WK, p->key_bias ? XATTN_SLOT_BK : XATTN_SLOT_NONE,
         k);
  linear(b, p->value_bias ? "V = y·Wvᵀ + bv" : "V = y·Wvᵀ", p->context_batch, p->keys,
         p->context_dim, p->kv_heads * p->value_dim, y, XATTN_SLOT_WV,
         p->value_bias ? XATTN_SLOT_BV : XATTN_SLOT_NONE, v);
}

static xattn_operand project_query(builder *b) {
  const xattn_problem *p = b->problem;
  xattn_operand x = {.slot = XATTN_SLOT_X, .view = p->x};
  bool shared = x.view.batch == 0; /* the same queries for every item: projected once */
  int64_t batch = shared ? 1 : p->batch;
  x = readable(b, x, "x, made dense", p->batch, p->queries, 1, p->query_dim);
  xattn_operand q = reserve(b, batch, p->queries, p->heads, p->head_dim);
  linear(b, p->query_bias ? "Q = x·Wqᵀ + bq" : "Q = x·Wqᵀ", batch, p->queries, p->query_dim,
         p->heads * p->head_dim, x, XATTN_SLOT_WQ, p->query_bias ? XATTN_SLOT_BQ : XATTN_SLOT_NONE,
         q);
  if (shared) q.view.batch = 0;
  return q;
}

static int64_t at_least_1(int64_t value) {
  return value < 1 ? 1 : value;
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* How much of the scores [batch, groups, heads of a group, rows, keys] is alive at a time, filled
 * from the inside out to the budget. Where one matrix of scores is over the budget, its rows are cut
 * so that as many matrices as fill the device still fit. */
static void choose_chunk(const xattn_problem *p, int64_t score_ld, int64_t chunk[4]) {
  int64_t in_group = p->heads / p->kv_heads;
  size_t item = sizeof(float) + (p->dtype == XATTN_F32 ? 0 : xattn_dtype_size(p->dtype));
  int64_t row_bytes = at_least_1(score_ld) * (int64_t)item;
  int64_t rows_in_budget = at_least_1(p->limits.score_bytes / row_bytes);
  int64_t matrices = at_least_1(smaller(p->limits.parallel, p->batch * p->heads));
  chunk[3] = at_least_1(smaller(p->queries, at_least_1(rows_in_budget / matrices)));
  /* Even pieces: 1000 rows with room for 600 are cut into 2 × 500. */
  int64_t pieces = at_least_1((p->queries + chunk[3] - 1) / chunk[3]);
  chunk[3] = at_least_1((p->queries + pieces - 1) / pieces);
  int64_t room = at_least_1(rows_in_budget / chunk[3]);
  chunk[2] = smaller(in_group, room);
  chunk[1] = at_least_1(smaller(p->kv_heads, room / in_group));
  chunk[0] = at_least_1(smaller(p->batch, room / p->heads));
}

static void attend(builder *b, xattn_operand q, xattn_operand k, xattn_operand v, xattn_operand o) {
  const xattn_problem *p = b->problem;
  int64_t unit = at_least_1(p->limits.row_alignment), chunk[4];
  int64_t score_ld = (p->keys + unit - 1) / unit * unit;
  choose_chunk(p, score_ld, chunk);
  xattn_operand scores =
      reserve_as(b, XATTN_F32, chunk[0], chunk[1] * chunk[2], chunk[3], score_ld);
  xattn_operand probabilities = scores;
  if (p->dtype != XATTN_F32)
    probabilities = reserve(b, chunk[0], chunk[1] * chunk[2], chunk[3], score_ld);
  xattn_step *step = add(b, XATTN_STEP_ATTEND, "O = softmax(scale·Q·Kᵀ)·V");
  step->batch = p->batch;
  step->rows = p->queries;
  step->heads = p->heads;
  step->columns = p->value_dim;
  step->depth = p->head_dim;
  step->keys = p->keys;
  step->groups = p->kv_heads;
  step->a = q;
  step->b = k;
  step->d = v;
  step->c = o;
  memcpy(step->chunk, chunk, sizeof chunk);
  step->scores = scores.offset;
  step->probabilities = probabilities.offset;
  step->score_ld = score_ld;
  step->scale = p->scale;
  step->flops = 2.0 * (double)p->batch * (double)p->heads * (double)p->queries * (double)p->keys *
                (double)(p->head_dim + p->value_dim);
}

/* A context of batch 1 is read by every item through a batch stride of 0. */
static xattn_operand context_operand(const xattn_problem *p, xattn_operand operand) {
  if (p->context_batch < p->batch) operand.view.batch = 0;
  return operand;
}

/* From Q, K and V to out: attention, then the output projection if there is one. */
static void finish(builder *b, xattn_operand q, xattn_operand k, xattn_operand v) {
  const xattn_problem *p = b->problem;
  int64_t width = p->out_dim ? p->out_dim : p->value_dim;
  int64_t heads = p->out_dim ? 1 : p->heads;
  xattn_operand out = {.slot = XATTN_SLOT_OUT, .view = p->out};
  xattn_operand result = out;
  bool direct = xattn_view_is_matrix(&p->out, p->queries, width, p->limits.max_extent);
  if (!direct) result = reserve(b, p->batch, p->queries, heads, width);
  if (p->out_dim) {
    xattn_operand o = reserve(b, p->batch, p->queries, p->heads, p->value_dim);
    attend(b, q, k, v, o);
    linear(b, p->out_bias ? "out = O·Woᵀ + bo" : "out = O·Woᵀ", p->batch, p->queries,
           p->heads * p->value_dim, p->out_dim, o, XATTN_SLOT_WO,
           p->out_bias ? XATTN_SLOT_BO : XATTN_SLOT_NONE, result);
  } else {
    attend(b, q, k, v, result);
  }
  if (direct) return;
  xattn_step *copy = add(b, XATTN_STEP_COPY, "out, with the caller's strides");
  copy->batch = p->batch;
  copy->rows = p->queries;
  copy->heads = heads;
  copy->columns = width;
  copy->a = result;
  copy->c = out;
}

/* The direct form: K and V are projected, then attended to. */
static void direct_form(builder *b) {
  const xattn_problem *p = b->problem;
  xattn_operand k = {.slot = XATTN_SLOT_K, .view = p->k};
  xattn_operand v = {.slot = XATTN_SLOT_V, .view = p->v};
  switch (p->task) {
    case XATTN_TASK_CONTEXT:
      project_context(b, k, v);
      break;
    case XATTN_TASK_ONCE:
      k = reserve(b, p->context_batch, p->keys, p->kv_heads, p->head_dim);
      v = reserve(b, p->context_batch, p->keys, p->kv_heads, p->value_dim);
      project_context(b, k, v);
      finish(b, project_query(b), context_operand(p, k), context_operand(p, v));
      break;
    case XATTN_TASK_FORWARD:
      finish(b, project_query(b), context_operand(p, k), context_operand(p, v));
      break;
    case XATTN_TASK_ATTENTION: {
      xattn_operand q = {.slot = XATTN_SLOT_X, .view = p->x};
      q = readable(b, q, "Q, made dense", p->batch, p->queries, p->heads, p->head_dim);
      k = readable(b, k, "K, made dense", p->batch, p->keys, p->kv_heads, p->head_dim);
      v = readable(b, v, "V, made dense", p->batch, p->keys, p->kv_heads, p->value_dim);
      finish(b, q, k, v);
      break;
    }
  }
}

/* The forms the planner knows, in the order in which ties are broken. */
static const struct form {
  const char *name;
  void (*build)(builder *b);
} forms[] = {{"direct", direct_form}};

xattn_status xattn_plan_make(xattn_error *error, const xattn_problem *problem, const char *name,
                             xattn_plan_steps *plan) {
  const struct form *form = NULL;
  if (!name || strcmp(name, "auto") == 0) name = forms[0].name;
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    if (strcmp(name, forms[i].name) == 0) form = &forms[i];
  if (!form)
    return xattn_fail(error, XATTN_ERROR_NOT_FOUND,
                      "options.plan: \"%.64s\" is unknown; known are auto, direct", name);
  *plan = (xattn_plan_steps){.name = form->name};
  builder b = {.problem = problem, .plan = plan};
  form->build(&b);
  if (b.overflow)
    return xattn_fail(error, XATTN_ERROR_MEMORY,
                      "plan %s: the workspace is larger than memory can be", plan->name);
  for (int i = 0; i < plan->count; i++) plan->flops += plan->step[i].flops;
  return XATTN_OK;
}
