#include "run.h"

static char *address(const xattn_run *run, const xattn_operand *operand) {
  char *base = run->slot[operand->slot];
  return base ? base + operand->offset : NULL;
}

/* [batch, rows, columns] as a GEMM sees it. */
static xattn_matrix whole(const xattn_run *run, const xattn_step *step,
                          const xattn_operand *operand) {
  return (xattn_matrix){.data = address(run, operand),
                        .dtype = step->dtype,
                        .ld = operand->view.row,
                        .stride = {operand->view.batch}};
}

static xattn_status run_copy(xattn_error *error, xattn_run *run, const xattn_step *step) {
  const xattn_view *a = &step->a.view, *c = &step->c.view;
  xattn_copy copy = {.shape = {step->batch, step->rows, step->heads, step->columns},
                     .dtype = step->dtype,
                     .in = address(run, &step->a),
                     .out = address(run, &step->c),
                     .in_stride = {a->batch, a->row, a->head, a->column},
                     .out_stride = {c->batch, c->row, c->head, c->column}};
  run->launches++;
  return run->backend->copy(error, run->device, &copy);
}

static xattn_status run_linear(xattn_error *error, xattn_run *run, const xattn_step *step) {
  xattn_gemm gemm = {
      .m = step->rows,
      .n = step->columns,
      .k = step->depth,
      .batch = {step->batch, 1, 1},
      .b_transposed = true,
      .a = whole(run, step, &step->a),
      .b = whole(run, step, &step->b),
      .c = whole(run, step, &step->c),
      .bias = step->bias == XATTN_SLOT_NONE ? NULL : run->slot[step->bias],
  };
  run->launches++;
  return run->backend->gemm(error, run->device, &gemm);
}

/* The part of an attend step that is alive at a time: scores in, O out. */
typedef struct piece {
  int64_t batch, group, head, row;      /* where it starts */
  int64_t batches, groups, heads, rows; /* how much it is */
} piece;

/* The piece's first element of an operand [batch, rows, heads, columns]; K and V have one head per
 * group (in_group 0 skips the query head), and all of their rows. */
static xattn_matrix part(const xattn_run *run, const xattn_step *step, const xattn_operand *operand,
                         const piece *at, int64_t in_group, bool rows) {
  const xattn_view *v = &operand->view;
  int64_t heads = in_group ? in_group : 1;
  int64_t offset = at->batch * v->batch + at->group * heads * v->head;
  if (in_group) offset += at->head * v->head;
  if (rows) offset += at->row * v->row;
  char *base = address(run, operand);
  return (xattn_matrix){
      .data = base ? base + offset * (int64_t)xattn_dtype_size(step->dtype) : NULL,
      .dtype = step->dtype,
      .ld = v->row,
      .stride = {v->batch, heads * v->head, in_group ? v->head : 0}};
}

/* The chunk of scores [rows, keys] in the workspace. */
static xattn_matrix score_matrix(const xattn_run *run, const xattn_step *step, const piece *at,
                                 int64_t offset, xattn_dtype dtype) {
  int64_t matrix = at->rows * step->score_ld;
  return (xattn_matrix){.data = run->slot[XATTN_SLOT_WORKSPACE] + offset,
                        .dtype = dtype,
                        .ld = step->score_ld,
                        .stride = {matrix * at->heads * at->groups, matrix * at->heads, matrix}};
}

/* scores = Q·Kᵀ, P = softmax(scale·scores), O = P·V. The scale is applied by the softmax, in float32, so
 * that it rounds once. */
static xattn_status run_piece(xattn_error *error, xattn_run *run, const xattn_step *step,
                              const piece *at) {
  int64_t in_group = step->heads / step->groups;
  xattn_matrix scores = score_matrix(run, step, at, step->scores, XATTN_F32);
  xattn_matrix probabilities = score_matrix(run, step, at, step->probabilities, step->dtype);
  xattn_lengths lengths = run->lengths;
  if (lengths.count) lengths.count += at->batch * lengths.step;

  xattn_gemm product = {.m = at->rows,
                        .n = step->keys,
                        .k = step->depth,
                        .batch = {at->batches, at->groups, at->heads},
                        .b_transposed = true,
                        .a = part(run, step, &step->a, at, in_group, true),
                        .b = part(run, step, &step->b, at, 0, false),
                        .c = scores,
                        .n_limit = lengths};
  xattn_status status = run->backend->gemm(error, run->device, &product);
  if (status) return status;

  xattn_softmax softmax = {.m = at->rows,
                           .n = step->keys,
                           .batch = {at->batches, at->groups, at->heads},
                           .scale = step->scale,
                           .in = scores,
                           .out = probabilities,
                           .limit = lengths};
  status = run->backend->softmax(error, run->device, &softmax);
  if (status) return status;

  product.n = step->columns;
  product.k = step->keys;
  product.b_transposed = false;
  product.a = probabilities;
  product.b = part(run, step, &step->d, at, 0, false);
  product.c = part(run, step, &step->c, at, in_group, true);
  product.n_limit = (xattn_lengths){0};
  product.k_limit = lengths;
  run->launches += 3;
  return run->backend->gemm(error, run->device, &product);
}

static int64_t rest(int64_t total, int64_t start, int64_t most) {
  return total - start < most ? total - start : most;
}

static xattn_status run_attend(xattn_error *error, xattn_run *run, const xattn_step *step) {
  int64_t in_group = step->heads / step->groups;
  const int64_t *chunk = step->chunk;
  piece at;
  for (at.batch = 0; at.batch < step->batch; at.batch += chunk[0])
    for (at.group = 0; at.group < step->groups; at.group += chunk[1])
      for (at.head = 0; at.head < in_group; at.head += chunk[2])
        for (at.row = 0; at.row < step->rows; at.row += chunk[3]) {
          at.batches = rest(step->batch, at.batch, chunk[0]);
          at.groups = rest(step->groups, at.group, chunk[1]);
          at.heads = rest(in_group, at.head, chunk[2]);
          at.rows = rest(step->rows, at.row, chunk[3]);
          xattn_status status = run_piece(error, run, step, &at);
          if (status) return status;
        }
  return XATTN_OK;
}

xattn_status xattn_run_plan(xattn_error *error, xattn_run *run, const xattn_plan_steps *plan) {
  for (int i = 0; i < plan->count; i++) {
    const xattn_step *step = &plan->step[i];
    xattn_status status = XATTN_OK;
    switch (step->kind) {
      case XATTN_STEP_COPY:
        status = run_copy(error, run, step);
        break;
      case XATTN_STEP_LINEAR:
        status = run_linear(error, run, step);
        break;
      case XATTN_STEP_ATTEND:
        status = run_attend(error, run, step);
        break;
    }
    if (status) return status;
  }
  return XATTN_OK;
}
