/* Whether x is projected, attends and is projected out some rows after another. */
#include "plan_build.h"

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* What a pipe needs: the direct form with heads of their own, in one pass over tiles, and weights that are packed. */
static bool possible(const xattn_problem *p, xattn_form form) {
  const bool packs = p->dtype == XATTN_F32 || (p->dtype == XATTN_BF16 && p->limits.packing_bf16);
  return p->limits.pipe_rows && p->limits.tile_rows && p->limits.packing &&
         p->task != XATTN_TASK_CONTEXT && p->task != XATTN_TASK_ATTENTION &&
         form.scores == XATTN_SCORES_PROJECT && form.values == XATTN_VALUES_PROJECT && packs &&
         p->kv_heads == p->heads && p->head_dim <= XATTN_TILE_WIDEST &&
         p->value_dim <= XATTN_TILE_WIDEST && p->keys > 0 && p->queries > XATTN_FEW_ROWS &&
         !(p->x.batch == 0 && p->batch > 1);
}

/* Every piece of an item's rows reads its keys and values anew: an element takes as long as READ multiply-adds. Where all of
 * Q would not stay in a cache, which 8 MB do not beside what else is there, a larger share pays. */
static bool reading_pays(const xattn_problem *p, int64_t rows) {
  const double read = 24.0, cached = 2 << 20;
  double widths = (double)(p->head_dim + p->value_dim), heads = (double)p->heads;
  double q = (double)p->batch * (double)p->queries * heads * (double)p->head_dim;
  double share = q > cached ? 0.06 : 0.03;
  double elements = heads * (double)p->keys * widths;
  double row = heads * ((double)p->query_dim * (double)p->head_dim + (double)p->keys * widths +
                        (double)p->value_dim * (double)p->out_dim);
  return read * elements <= share * (double)rows * row;
}

/* Pieces are cut at multiples of UNIT rows (run.c); the last takes what is left. */
static xattn_pipe pieces_of(int64_t rows, int64_t pieces) {
  if (pieces <= 1) return (xattn_pipe){.items = 1, .pieces = 1, .rows = rows};
  return (xattn_pipe){
      .items = 1,
      .pieces = pieces,
      .rows = divide_up(rows / XATTN_PIPE_UNIT, pieces) * XATTN_PIPE_UNIT + XATTN_PIPE_UNIT - 1};
}

xattn_pipe xattn_choose_pipe(const xattn_problem *p, xattn_form form) {
  enum { FEWEST_ROWS = 96, PER_THREAD = 4 };
  const xattn_pipe none = {0};
  if (!possible(p, form) || p->batch < 1) return none;
  const int64_t wanted = p->limits.parallel > 1 ? PER_THREAD * p->limits.parallel : 1;
  if (p->queries > p->limits.pipe_rows) {
    const int64_t most = p->queries / FEWEST_ROWS;
    int64_t pieces = divide_up(p->queries, p->limits.pipe_rows);
    pieces = larger(pieces, divide_up(wanted, p->batch));
    if (pieces > most || !reading_pays(p, p->queries / pieces)) return none;
    return pieces_of(p->queries, pieces);
  }
  /* An item that is much longer than the others would be left to one thread. */
  if (p->lengths && p->batch > 1) return none;
  if (p->batch < wanted) return none;
  xattn_pipe pipe = pieces_of(p->queries, 1);
  const int64_t fitting = larger(p->limits.pipe_rows / p->queries, 1), even = p->batch / wanted;
  pipe.items = fitting < even ? fitting : even;
  return pipe;
}
