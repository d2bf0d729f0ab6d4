/* The attend step: heads on levels, chunks or tiles of scores, and room for them. */
#include "plan_build.h"

static int64_t at_least_1(int64_t value) {
  return value < 1 ? 1 : value;
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* Heads that all read one operand are rows of one product, if those rows are evenly spaced. */
static bool foldable(const xattn_step *s, const xattn_operand *shared, const xattn_operand *rows) {
  int64_t in_group = s->heads / s->groups;
  if (in_group == 1 || rows->heads != s->heads || shared->heads == s->heads) return false;
  return s->rows == 1 || rows->view.row == in_group * rows->view.head;
}

/* Heads on two levels, so that every operand has a stride on each: K and V have one head a group; where all heads
 * share y they are one group. */
static void choose_levels(const xattn_problem *p, xattn_step *s) {
  int64_t b = s->b.heads, d = s->d.heads;
  bool per_group = (b > 1 && b < p->heads) || (d > 1 && d < p->heads);
  s->heads = p->heads;
  s->groups = per_group ? p->kv_heads : b == 1 || d == 1 ? 1 : p->heads;
  s->fold_scores = foldable(s, &s->b, &s->a);
  s->fold_values = foldable(s, &s->d, &s->c);
  /* All of it is one head with more rows. */
  if (s->groups == 1 && s->fold_scores && s->fold_values) {
    s->rows *= s->heads;
    s->heads = 1;
    s->a.view.row = s->a.view.head;
    s->c.view.row = s->c.view.head;
    s->a.heads = s->c.heads = 1;
    s->fold_scores = s->fold_values = false;
  }
}

/* How much of the scores [batch, groups, heads of a group, rows, keys] is alive at a time, filled
 * from the inside out to the budget. Where one matrix of scores is over the budget, its rows are cut
 * so that as many matrices as fill the device still fit. */
static void choose_chunk(const xattn_problem *p, xattn_step *s) {
  int64_t in_group = s->heads / s->groups;
  bool fold = s->fold_scores || s->fold_values;
  int64_t heads_of_row = fold ? in_group : 1; /* folded rows are not cut within */
  xattn_dtype inner = xattn_inner_dtype(p);
  size_t item = sizeof(float) + (inner == XATTN_F32 ? 0 : xattn_dtype_size(inner));
  int64_t row_bytes = at_least_1(s->score_ld) * heads_of_row * (int64_t)item;
  int64_t rows_in_budget = at_least_1(p->limits.score_bytes / row_bytes);
  int64_t matrices = at_least_1(smaller(p->limits.parallel, p->batch * s->heads / heads_of_row));
  int64_t *chunk = s->chunk;
  chunk[3] = at_least_1(smaller(s->rows, at_least_1(rows_in_budget / matrices)));
  /* Even pieces: 1000 rows with room for 600 are cut into 2 × 500. */
  int64_t pieces = at_least_1((s->rows + chunk[3] - 1) / chunk[3]);
  chunk[3] = at_least_1((s->rows + pieces - 1) / pieces);
  int64_t room = at_least_1(rows_in_budget / chunk[3]) * heads_of_row;
  chunk[2] = fold ? in_group : smaller(in_group, room);
  chunk[1] = at_least_1(smaller(s->groups, room / in_group));
  chunk[0] = at_least_1(smaller(p->batch, room / s->heads));
}

/* Everything is one chunk. */
static void take_all(const xattn_problem *p, xattn_step *s) {
  s->chunk[2] = s->heads / s->groups;
  s->chunk[3] = at_least_1(s->rows);
  s->chunk[0] = at_least_1(p->batch);
  s->chunk[1] = s->groups;
}

/* Matrices that are sure to be of one size. Where items have lengths of their own, one may be long and the others short. */
static int64_t even_matrices(const xattn_problem *p, int64_t of_an_item) {
  return at_least_1((p->lengths ? 1 : p->batch) * of_an_item);
}

/* The groups' rows, one group's next to another's, make up whole rows, or most of them. */
static bool side_by_side(const xattn_step *s, const xattn_operand *m, int64_t columns) {
  return s->groups > 1 && m->heads == s->groups && (s->fold_scores || s->groups == s->heads) &&
         m->view.head == columns && m->view.row >= s->groups * columns &&
         m->view.row <= 2 * s->groups * columns &&
         s->groups * xattn_tile_width(columns) <= XATTN_ABREAST_WIDEST;
}

/* One pass over the keys as they lie for few rows, where each head has its own or all rows share them. Keys are cut so
 * that the device is filled evenly. */
static bool choose_pieces(const xattn_problem *p, xattn_step *s) {
  enum { FEWEST_KEYS = 128, FEWEST_ABREAST = 32, WIDEST = 16384, PER_THREAD = 4 };
  int64_t in_group = s->heads / s->groups, rows = s->rows * (s->fold_scores ? in_group : 1);
  if (s->fold_scores != s->fold_values || rows > XATTN_FEW_ROWS || rows == 0 ||
      s->depth + s->columns > WIDEST)
    return false;
  take_all(p, s);
  s->abreast = rows <= XATTN_ABREAST_ROWS && side_by_side(s, &s->b, s->depth) &&
               side_by_side(s, &s->d, s->columns);
  int64_t items = even_matrices(p, s->abreast ? 1 : s->heads / (s->fold_scores ? in_group : 1));
  s->key_pieces = 1;
  if (items % p->limits.parallel == 0) return true;
  int64_t wanted = (PER_THREAD * p->limits.parallel + items - 1) / items;
  s->key_pieces =
      at_least_1(smaller(wanted, s->keys / (s->abreast ? FEWEST_ABREAST : FEWEST_KEYS)));
  return true;
}

/* Keys of a tile at a time: wide ones, and their values, are fewer, but not so few that summing by parts costs more. */
static int64_t tile_keys(const xattn_problem *p, const xattn_step *s) {
  enum { FEWEST_KEYS = 96 };
  const int64_t fitting = p->limits.tile_floats / at_least_1(s->depth + s->columns);
  const int64_t keys = fitting < FEWEST_KEYS ? FEWEST_KEYS : fitting;
  return smaller(s->keys, smaller(keys, p->limits.tile_keys));
}

/* One pass over tiles of scores, if there are tiles enough for the device. */
static bool choose_tiles(const xattn_problem *p, xattn_step *s) {
  enum { FEWEST_ROWS = 48, MANY_ROWS = 512, PER_THREAD = 4 };
  int64_t items = even_matrices(p, s->heads);
  int64_t pieces = at_least_1((s->rows + p->limits.tile_rows - 1) / p->limits.tile_rows);
  /* Every tile reads all keys and values, which a few hundred rows pay for. */
  int64_t most = at_least_1(s->rows / FEWEST_ROWS), cheap = s->rows / MANY_ROWS;
  while (pieces < most && pieces * items < p->limits.parallel) pieces++;
  while (pieces < cheap && pieces * items < PER_THREAD * p->limits.parallel) pieces++;
  if (pieces * at_least_1(p->batch * s->heads) < p->limits.parallel) return false;
  s->tile[0] = at_least_1((s->rows + pieces - 1) / pieces);
  s->tile[1] = tile_keys(p, s);
  take_all(p, s);
  return true;
}

/* One pass, where the backend has it and it pays: heads are narrow, so that the scores are most of what would be moved. As
 * tiles, or of few rows over the keys as they lie. On an EPYC tiles of heads of 64 take less from 9 rows on. */
static void choose_one_pass(const xattn_problem *p, xattn_step *s) {
  enum { MANY_ROWS = 9, NARROW = 256, PER_THREAD = 4 };
  const bool whole_heads = !s->sum_heads && s->bias.slot == XATTN_SLOT_NONE;
  const bool tiles = s->depth <= XATTN_TILE_WIDEST && s->columns <= XATTN_TILE_WIDEST;
  const int64_t items = even_matrices(p, s->heads); /* of so few rows a tile each */
  const bool even = items % p->limits.parallel == 0 || items >= PER_THREAD * p->limits.parallel;
  const bool first = s->rows >= MANY_ROWS && s->depth + s->columns <= NARROW && !s->fold_scores;
  if (!p->limits.tile_rows || s->a.dtype != XATTN_F32 || !whole_heads || s->keys == 0) return;
  if (tiles && first && even && choose_tiles(p, s)) return;
  if (!choose_pieces(p, s) && tiles) (void)choose_tiles(p, s);
}

/* Room for the chunk's part of an operand in F32, where it is stored narrower than products can read. */
static xattn_operand widened(xattn_builder *b, const xattn_step *s, const xattn_operand *operand,
                             int64_t columns) {
  if (operand->dtype == b->problem->dtype || b->problem->limits.wide)
    return (xattn_operand){.slot = XATTN_SLOT_NONE};
  int64_t heads = operand->heads == 1 ? 1 : s->chunk[1] * (operand->heads / s->groups);
  return xattn_reserve_as(b, b->problem->dtype, operand->view.batch ? s->chunk[0] : 1, s->keys,
                          heads, columns);
}

static bool same_operand(const xattn_operand *a, const xattn_operand *b) {
  return a->slot == b->slot && a->offset == b->offset;
}

void xattn_add_attend(xattn_builder *b, const char *text, xattn_operand a,
                      const xattn_context_side *side, int64_t depth, int64_t columns,
                      xattn_operand c, xattn_operand bias) {
  const xattn_problem *p = b->problem;
  xattn_step own = {.kind = XATTN_STEP_ATTEND,
                    .text = text,
                    .batch = p->batch,
                    .rows = p->queries,
                    .columns = columns,
                    .depth = depth,
                    .keys = p->keys,
                    .a = a,
                    .b = side->k,
                    .d = side->v,
                    .key_bias = side->key_bias,
                    .c = c,
                    .bias = bias,
                    .scale = p->scale};
  int64_t unit = at_least_1(p->limits.row_alignment);
  own.score_ld = (p->keys + unit - 1) / unit * unit;
  choose_levels(p, &own);
  own.sum_heads = own.heads > 1 && own.c.heads == 1;
  choose_chunk(p, &own);
  choose_one_pass(p, &own);
  own.pipe = b->pipe;
  if (own.pipe.items) {
    own.tile[0] = own.pipe.rows;
    own.tile[1] = tile_keys(p, &own);
    take_all(p, &own);
  }
  const int64_t *chunk = own.chunk;
  if (own.key_pieces)
    own.scores = xattn_reserve_as(
                     b, XATTN_F32, chunk[0] * chunk[1] * chunk[2], own.key_pieces, 1,
                     own.key_pieces > 1
                         ? xattn_few_floats(
                               own.rows * (own.fold_scores ? own.heads / own.groups : 1), columns)
                         : 0)
                     .offset;
  else if (own.tile[0])
    own.scores = xattn_reserve_as(b, XATTN_F32, p->limits.parallel, 1, 1,
                                  xattn_tile_floats(own.tile[0], own.tile[1], depth, columns))
                     .offset;
  else
    own.scores =
        xattn_reserve_as(b, XATTN_F32, chunk[0], chunk[1] * chunk[2], chunk[3], own.score_ld)
            .offset;
  own.probabilities = own.scores;
  if (xattn_inner_dtype(p) != XATTN_F32)
    own.probabilities =
        xattn_reserve_as(b, p->dtype, chunk[0], chunk[1] * chunk[2], chunk[3], own.score_ld).offset;
  own.wide_b = widened(b, &own, &own.b, depth);
  own.wide_d = same_operand(&own.b, &own.d) ? own.wide_b : widened(b, &own, &own.d, columns);
  xattn_step *step = xattn_add_step(b, XATTN_STEP_ATTEND, text);
  *step = own;
}
