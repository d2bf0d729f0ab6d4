/* Runs the steps of a pipe, some rows after another:
 *
 *     x ──▶ Q ──▶ attend ──▶ O ──▶ out        a thread takes some rows of x through all of it; Q and O are its own room,
 *                 ▲    ▲                      which is used again for the next rows and so stays in its cache
 *                 K    V
 *
 * Each is the step of the plan over fewer items and rows, on a device of one thread. */
#include "run.h"

typedef struct pipe_run {
  const xattn_run *run;
  const xattn_plan_steps *plan;
  int attend; /* the step */
} pipe_run;

/* What a thread does at a time. */
typedef struct part {
  int64_t item, items, row, rows;
  int thread;
} part;

static part part_of(const xattn_step *attend, int64_t task, int thread) {
  const xattn_pipe *pipe = &attend->pipe;
  part at = {.item = task / pipe->pieces * pipe->items, .thread = thread};
  at.items = attend->batch - at.item < pipe->items ? attend->batch - at.item : pipe->items;
  xattn_piece(attend->rows, XATTN_PIPE_UNIT, pipe->pieces, task % pipe->pieces, &at.row, &at.rows);
  at.rows -= at.row;
  return at;
}

static void move(xattn_operand *operand, int64_t elements) {
  operand->offset += elements * (int64_t)xattn_dtype_size(operand->dtype);
}

/* To the part's items of what all rows share, or to its rows. */
static void to_items(xattn_operand *operand, const part *at) {
  move(operand, at->item * operand->view.batch);
}

static void to_rows(xattn_operand *operand, const part *at) {
  move(operand, at->item * operand->view.batch + at->row * operand->view.row);
}

/* To the thread's room. */
static void to_room(xattn_operand *operand, const part *at, const xattn_pipe *pipe) {
  move(operand, at->thread * pipe->items * operand->view.batch);
}

static xattn_step step_of(const xattn_step *whole, const part *at) {
  xattn_step step = *whole;
  step.batch = at->items;
  step.rows = at->rows;
  return step;
}

/* The step before the attend step, or the one behind it. */
static xattn_status project(xattn_error *error, xattn_run *run, const pipe_run *of, const part *at,
                            int index) {
  const bool in = index < of->attend;
  xattn_step step = step_of(&of->plan->step[index], at);
  to_rows(in ? &step.a : &step.c, at);
  to_room(in ? &step.c : &step.a, at, &of->plan->step[of->attend].pipe);
  return xattn_run_linear(error, run, &step, run->packed[index]);
}

static xattn_status one_part(xattn_error *error, xattn_device *one, int thread, int64_t task,
                             void *argument) {
  const pipe_run *of = argument;
  const xattn_step *whole = &of->plan->step[of->attend];
  const part at = part_of(whole, task, thread);
  const bool out = of->attend + 1 < of->plan->count && whole[1].piped;
  xattn_run run = *of->run;
  run.device = one;
  if (run.lengths.count) run.lengths.count += at.item * run.lengths.step;
  xattn_status status = project(error, &run, of, &at, of->attend - 1);
  if (status) return status;
  xattn_step step = step_of(whole, &at);
  to_room(&step.a, &at, &whole->pipe);
  to_items(&step.b, &at);
  to_items(&step.d, &at);
  if (out)
    to_room(&step.c, &at, &whole->pipe);
  else
    to_rows(&step.c, &at);
  step.scores += thread * (int64_t)sizeof(float) *
                 xattn_tile_floats(step.tile[0], step.tile[1], step.depth, step.columns);
  status = xattn_run_attend(error, &run, &step);
  if (status || !out) return status;
  return project(error, &run, of, &at, of->attend + 1);
}

xattn_status xattn_run_pipe(xattn_error *error, xattn_run *run, const xattn_plan_steps *plan,
                            int attend) {
  const xattn_step *step = &plan->step[attend];
  const int64_t groups = (step->batch + step->pipe.items - 1) / step->pipe.items;
  pipe_run of = {.run = run, .plan = plan, .attend = attend};
  run->launches++;
  return run->backend->share(error, run->device, groups * step->pipe.pieces, one_part, &of);
}
