#include "run.h"

static char *address(const xattn_run *run, const xattn_operand *operand) {
  char *base = run->slot[operand->slot];
  return base ? base + operand->offset : NULL;
}

/* Strides of an operand over the group, and over the head in its group. */
typedef struct head_strides {
  int64_t group, head;
} head_strides;

static head_strides strides_of(const xattn_step *step, const xattn_operand *operand) {
  int64_t in_group = step->heads / step->groups;
  if (operand->heads == 1) return (head_strides){0, 0};
  if (operand->heads == step->heads)
    return (head_strides){in_group * operand->view.head, operand->view.head};
  return (head_strides){operand->view.head, 0};
}

/* The operand from an item, group, head and row on, as a GEMM sees it. */
static xattn_matrix part(const xattn_run *run, const xattn_step *step, const xattn_operand *operand,
                         int64_t item, int64_t group, int64_t head, int64_t row) {
  const xattn_view *v = &operand->view;
  head_strides s = strides_of(step, operand);
  int64_t offset = item * v->batch + group * s.group + head * s.head + row * v->row;
  char *base = address(run, operand);
  return (xattn_matrix){
      .data = base ? base + offset * (int64_t)xattn_dtype_size(operand->dtype) : NULL,
      .dtype = operand->dtype,
      .ld = v->row,
      .stride = {v->batch, s.group, s.head}};
}

/* The bias, if there is one, from an item, group and head on. */
static void set_bias(const xattn_run *run, const xattn_step *step, const xattn_operand *bias,
                     int64_t item, int64_t group, int64_t head, xattn_gemm *gemm) {
  if (bias->slot == XATTN_SLOT_NONE) return;
  xattn_matrix at = part(run, step, bias, item, group, head, 0);
  gemm->bias = at.data;
  gemm->bias_dtype = at.dtype;
  for (int i = 0; i < 3; i++) gemm->bias_stride[i] = at.stride[i];
}

static int64_t keys_of(const xattn_run *run, int64_t item, int64_t all) {
  return run->lengths.count ? run->lengths.count[item * run->lengths.step] : all;
}

/* ------------------------------------------------------------------ copy */

static xattn_status copy(xattn_error *error, xattn_run *run, const xattn_step *step) {
  const xattn_view *a = &step->a.view, *c = &step->c.view;
  xattn_copy copy = {.shape = {step->batch, step->rows, step->heads, step->columns},
                     .in_dtype = step->a.dtype,
                     .out_dtype = step->c.dtype,
                     .in = address(run, &step->a),
                     .out = address(run, &step->c),
                     .in_stride = {a->batch, a->row, a->head, a->column},
                     .out_stride = {c->batch, c->row, c->head, c->column}};
  run->launches++;
  return run->backend->copy(error, run->device, &copy);
}

/* ------------------------------------------------------------------ linear */

xattn_gemm xattn_run_weight(const xattn_run *run, const xattn_step *step) {
  return (xattn_gemm){.m = step->joined ? step->batch * step->rows : step->rows,
                      .n = step->columns,
                      .k = step->depth,
                      .batch = {1, step->groups, step->heads / step->groups},
                      .b_transposed = step->b_transposed,
                      .a = {.dtype = step->a.dtype},
                      .b = part(run, step, &step->b, 0, 0, 0, 0)};
}

/* Products that wait to be run together. */
typedef struct batch {
  xattn_gemm gemm[XATTN_MAX_STEPS];
  int count;
} batch;

static xattn_status flush(xattn_error *error, xattn_run *run, batch *waiting) {
  int count = waiting->count;
  waiting->count = 0;
  run->launches += (uint64_t)count;
  return count ? run->backend->gemm(error, run->device, waiting->gemm, count) : XATTN_OK;
}

static xattn_status linear_items(xattn_error *error, xattn_run *run, const xattn_step *step,
                                 const void *packed, int64_t first, int64_t items,
                                 const xattn_operand *bias, batch *waiting) {
  xattn_gemm gemm = xattn_run_weight(run, step);
  gemm.m = step->joined ? items * step->rows : step->rows;
  gemm.batch[0] = step->joined ? 1 : items;
  gemm.a = part(run, step, &step->a, first, 0, 0, 0);
  gemm.b = part(run, step, &step->b, first, 0, 0, 0);
  gemm.c = part(run, step, &step->c, first, 0, 0, 0);
  gemm.packed = packed;
  set_bias(run, step, bias, 0, 0, 0, &gemm);
  waiting->gemm[waiting->count++] = gemm;
  return waiting->count == XATTN_MAX_STEPS ? flush(error, run, waiting) : XATTN_OK;
}

static xattn_status linear(xattn_error *error, xattn_run *run, const xattn_step *step,
                           const void *packed, batch *waiting) {
  if (!step->where_keys)
    return linear_items(error, run, step, packed, 0, step->batch, &step->bias, waiting);
  xattn_status status = XATTN_OK;
  for (int64_t first = 0, next; first < step->batch && !status; first = next) {
    bool any = keys_of(run, first, step->keys) > 0;
    for (next = first + 1; next < step->batch; next++)
      if ((keys_of(run, next, step->keys) > 0) != any) break;
    status = linear_items(error, run, step, packed, first, next - first,
                          any ? &step->bias : &step->otherwise, waiting);
  }
  return status;
}

xattn_status xattn_run_linear(xattn_error *error, xattn_run *run, const xattn_step *step,
                              const void *packed) {
  batch waiting = {.count = 0};
  xattn_status status = linear(error, run, step, packed, &waiting);
  return status ? status : flush(error, run, &waiting);
}

/* ------------------------------------------------------------------ attend */

/* The part of an attend step that is alive at a time: scores in, O out. */
typedef struct piece {
  int64_t batch, group, head, row;      /* where it starts */
  int64_t batches, groups, heads, rows; /* how much it is */
} piece;

/* b or d of the step, or its F32 copy, which starts at an item and a group. */
typedef struct source {
  xattn_operand operand;
  int64_t item, group;
} source;

static xattn_matrix source_part(const xattn_run *run, const xattn_step *step, const source *from,
                                const piece *at) {
  return part(run, step, &from->operand, at->batch - from->item, at->group - from->group, at->head,
              0);
}

/* The chunk of scores: [item, group, row, head, score_ld] in the workspace. */
static xattn_matrix score_matrix(const xattn_run *run, const xattn_step *step, const piece *at,
                                 int64_t offset, xattn_dtype dtype) {
  int64_t matrix = at->rows * at->heads * step->score_ld;
  return (xattn_matrix){.data = run->slot[XATTN_SLOT_WORKSPACE] + offset,
                        .dtype = dtype,
                        .ld = at->heads * step->score_ld,
                        .stride = {matrix * at->groups, matrix, step->score_ld}};
}

/* Heads become rows. */
static xattn_matrix folded(xattn_matrix m, int64_t head) {
  m.ld = head;
  m.stride[2] = 0;
  return m;
}

/* scores = a·bᵀ + key bias */
static xattn_status score(xattn_error *error, xattn_run *run, const xattn_step *step,
                          const piece *at, const source *b, xattn_lengths lengths,
                          const xattn_matrix *scores) {
  xattn_gemm gemm = {.m = at->rows,
                     .n = step->keys,
                     .k = step->depth,
                     .batch = {at->batches, at->groups, at->heads},
                     .b_transposed = true,
                     .a = part(run, step, &step->a, at->batch, at->group, at->head, at->row),
                     .b = source_part(run, step, b, at),
                     .c = *scores,
                     .n_limit = lengths};
  if (step->fold_scores) {
    gemm.m *= at->heads;
    gemm.batch[2] = 1;
    gemm.a = folded(gemm.a, step->a.view.head);
    gemm.c = folded(gemm.c, step->score_ld);
  }
  set_bias(run, step, &step->key_bias, at->batch, at->group, at->head, &gemm);
  run->launches++;
  return run->backend->gemm(error, run->device, &gemm, 1);
}

/* c = P·d */
static xattn_status mix(xattn_error *error, xattn_run *run, const xattn_step *step, const piece *at,
                        const source *d, xattn_lengths lengths, const xattn_matrix *p) {
  xattn_gemm gemm = {.m = at->rows,
                     .n = step->columns,
                     .k = step->keys,
                     .batch = {at->batches, at->groups, at->heads},
                     .a = *p,
                     .b = source_part(run, step, d, at),
                     .c = part(run, step, &step->c, at->batch, at->group, at->head, at->row),
                     .k_limit = lengths};
  if (step->fold_values) {
    gemm.m *= at->heads;
    gemm.batch[2] = 1;
    gemm.a = folded(gemm.a, step->score_ld);
    gemm.c = folded(gemm.c, step->c.view.head);
  }
  set_bias(run, step, &step->bias, 0, at->group, at->head, &gemm);
  run->launches++;
  return run->backend->gemm(error, run->device, &gemm, 1);
}

/* c = Σ P·d over the heads, one after another, so that the order of the sum does not depend on chunks. */
static xattn_status mix_sum(xattn_error *error, xattn_run *run, const xattn_step *step,
                            const piece *at, const source *d, xattn_lengths lengths,
                            const xattn_matrix *p) {
  xattn_matrix from = source_part(run, step, d, at);
  xattn_status status = XATTN_OK;
  for (int64_t i = 0; i < at->groups * at->heads && !status; i++) {
    int64_t group = i / at->heads, head = i % at->heads;
    xattn_gemm gemm = {.m = at->rows,
                       .n = step->columns,
                       .k = step->keys,
                       .batch = {at->batches, 1, 1},
                       .accumulate = at->group + group + at->head + head > 0,
                       .a = *p,
                       .b = from,
                       .c = part(run, step, &step->c, at->batch, 0, 0, at->row),
                       .k_limit = lengths};
    gemm.a.data = (char *)p->data + (group * p->stride[1] + head * p->stride[2]) *
                                        (int64_t)xattn_dtype_size(p->dtype);
    gemm.b.data = (char *)from.data + (group * from.stride[1] + head * from.stride[2]) *
                                          (int64_t)xattn_dtype_size(from.dtype);
    if (!gemm.accumulate) set_bias(run, step, &step->bias, 0, 0, 0, &gemm);
    run->launches++;
    status = run->backend->gemm(error, run->device, &gemm, 1);
  }
  return status;
}

/* The scale is applied by the softmax, in float32, so that it rounds once. */
static xattn_status run_piece(xattn_error *error, xattn_run *run, const xattn_step *step,
                              const piece *at, const source *b, const source *d) {
  xattn_matrix scores = score_matrix(run, step, at, step->scores, XATTN_F32);
  xattn_matrix probabilities = score_matrix(run, step, at, step->probabilities, step->a.dtype);
  xattn_lengths lengths = run->lengths;
  if (lengths.count) lengths.count += at->batch * lengths.step;
  xattn_status status = score(error, run, step, at, b, lengths, &scores);
  if (status) return status;
  xattn_softmax softmax = {.m = at->rows * at->heads,
                           .n = step->keys,
                           .batch = {at->batches, at->groups, 1},
                           .scale = step->scale,
                           .in = folded(scores, step->score_ld),
                           .out = folded(probabilities, step->score_ld),
                           .limit = lengths};
  run->launches++;
  status = run->backend->softmax(error, run->device, &softmax);
  if (status) return status;
  return step->sum_heads ? mix_sum(error, run, step, at, d, lengths, &probabilities)
                         : mix(error, run, step, at, d, lengths, &probabilities);
}

/* An F32 copy of the chunk's rows of a stored operand, those that exist. */
static xattn_status widen(xattn_error *error, xattn_run *run, const xattn_step *step,
                          const piece *at, const xattn_operand *stored, xattn_operand wide,
                          int64_t columns, source *to) {
  int64_t heads = stored->heads == 1 ? 1 : at->groups * (stored->heads / step->groups);
  int64_t items = stored->view.batch ? at->batches : 1;
  wide.heads = stored->heads;
  wide.view = (xattn_view){.batch = stored->view.batch ? step->keys * heads * columns : 0,
                           .row = heads * columns,
                           .head = columns,
                           .column = 1};
  *to = (source){.operand = wide, .item = at->batch, .group = at->group};
  xattn_status status = XATTN_OK;
  for (int64_t first = 0, next; first < items && !status; first = next) {
    int64_t rows = items == 1 && !stored->view.batch ? step->keys
                                                     : keys_of(run, at->batch + first, step->keys);
    for (next = first + 1; next < items; next++)
      if (keys_of(run, at->batch + next, step->keys) != rows) break;
    xattn_copy copy = {.shape = {next - first, rows, heads, columns},
                       .in_dtype = stored->dtype,
                       .out_dtype = wide.dtype,
                       .in = part(run, step, stored, at->batch + first, at->group, 0, 0).data,
                       .out = part(run, step, &wide, first, 0, 0, 0).data,
                       .in_stride = {stored->view.batch, stored->view.row, stored->view.head, 1},
                       .out_stride = {wide.view.batch, wide.view.row, wide.view.head, 1}};
    run->launches++;
    status = run->backend->copy(error, run->device, &copy);
  }
  return status;
}

/* b and d of a chunk of items and groups. */
static xattn_status sources(xattn_error *error, xattn_run *run, const xattn_step *step,
                            const piece *at, source *b, source *d) {
  *b = (source){.operand = step->b};
  *d = (source){.operand = step->d};
  xattn_status status = XATTN_OK;
  if (step->wide_b.slot != XATTN_SLOT_NONE)
    status = widen(error, run, step, at, &step->b, step->wide_b, step->depth, b);
  if (status || step->wide_d.slot == XATTN_SLOT_NONE) return status;
  if (step->wide_b.slot != XATTN_SLOT_NONE && step->wide_b.offset == step->wide_d.offset) {
    *d = *b;
    return XATTN_OK;
  }
  return widen(error, run, step, at, &step->d, step->wide_d, step->columns, d);
}

/* The chunk in one pass. */
static xattn_status attend_tiles(xattn_error *error, xattn_run *run, const xattn_step *step,
                                 const piece *at, const source *b, const source *d) {
  int64_t in_group = step->heads / step->groups;
  xattn_attend attend = {
      .m = step->rows,
      .n = step->columns,
      .k = step->depth,
      .keys = step->keys,
      .batch = {at->batches, at->groups, in_group},
      .a = part(run, step, &step->a, at->batch, at->group, 0, 0),
      .b = source_part(run, step, b, at),
      .d = source_part(run, step, d, at),
      .c = part(run, step, &step->c, at->batch, at->group, 0, 0),
      .limit = run->lengths,
      .scale = step->scale,
      .tile_rows = step->tile[0],
      .tile_keys = step->tile[1],
      .key_pieces = step->key_pieces,
      .abreast = step->abreast,
      .scratch = (float *)(void *)(run->slot[XATTN_SLOT_WORKSPACE] + step->scores)};
  if (step->key_pieces && step->fold_scores) {
    attend.m *= in_group;
    attend.batch[2] = 1;
    attend.a = folded(attend.a, step->a.view.head);
    attend.c = folded(attend.c, step->c.view.head);
  }
  if (attend.limit.count) attend.limit.count += at->batch * attend.limit.step;
  if (step->key_bias.slot != XATTN_SLOT_NONE) {
    xattn_matrix bias = part(run, step, &step->key_bias, at->batch, at->group, 0, 0);
    attend.key_bias = bias.data;
    for (int i = 0; i < 3; i++) attend.key_bias_stride[i] = bias.stride[i];
  }
  run->launches++;
  return run->backend->attend(error, run->device, &attend);
}

static int64_t rest(int64_t total, int64_t start, int64_t most) {
  return total - start < most ? total - start : most;
}

static xattn_status attend_chunk(xattn_error *error, xattn_run *run, const xattn_step *step,
                                 piece at) {
  int64_t in_group = step->heads / step->groups;
  source b, d;
  xattn_status status = sources(error, run, step, &at, &b, &d);
  if (!status && (step->tile[0] || step->key_pieces))
    return attend_tiles(error, run, step, &at, &b, &d);
  for (at.head = 0; at.head < in_group; at.head += step->chunk[2])
    for (at.row = 0; at.row < step->rows && !status; at.row += step->chunk[3]) {
      at.heads = rest(in_group, at.head, step->chunk[2]);
      at.rows = rest(step->rows, at.row, step->chunk[3]);
      status = run_piece(error, run, step, &at, &b, &d);
    }
  return status;
}

xattn_status xattn_run_attend(xattn_error *error, xattn_run *run, const xattn_step *step) {
  piece at = {0};
  xattn_status status = XATTN_OK;
  for (at.batch = 0; at.batch < step->batch; at.batch += step->chunk[0])
    for (at.group = 0; at.group < step->groups && !status; at.group += step->chunk[1]) {
      at.batches = rest(step->batch, at.batch, step->chunk[0]);
      at.groups = rest(step->groups, at.group, step->chunk[1]);
      status = attend_chunk(error, run, step, at);
    }
  return status;
}

/* Reads what another step writes. */
static bool reads(const xattn_operand *operand, const xattn_step *writer) {
  return operand->slot == writer->c.slot &&
         (operand->slot != XATTN_SLOT_WORKSPACE || operand->offset == writer->c.offset);
}

/* A product that reads nothing of the products from `first` on, which wait. */
static bool can_wait(const xattn_plan_steps *plan, int first, int step) {
  const xattn_step *s = &plan->step[step];
  if (s->kind != XATTN_STEP_LINEAR) return false;
  for (int i = first; i < step; i++)
    if (reads(&s->a, &plan->step[i]) || reads(&s->b, &plan->step[i])) return false;
  return true;
}

xattn_status xattn_run_plan(xattn_error *error, xattn_run *run, const xattn_plan_steps *plan) {
  xattn_status status = XATTN_OK;
  batch waiting = {.count = 0};
  for (int i = 0, first = 0; i < plan->count && !status; i++) {
    const xattn_step *step = &plan->step[i];
    if (step->piped) { /* runs with the attend step */
      run->launches++;
      continue;
    }
    if (!can_wait(plan, first, i)) {
      status = flush(error, run, &waiting);
      first = i;
    }
    if (status) break;
    switch (step->kind) {
      case XATTN_STEP_COPY:
        status = copy(error, run, step);
        break;
      case XATTN_STEP_LINEAR:
        status = linear(error, run, step, run->packed[i], &waiting);
        break;
      case XATTN_STEP_ATTEND:
        status = step->pipe.items ? xattn_run_pipe(error, run, plan, i)
                                  : xattn_run_attend(error, run, step);
        break;
    }
  }
  return status ? status : flush(error, run, &waiting);
}
