#include "support_calls.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

/* exp(-512) is 0 in float32. */
static const float selecting = 512.0F;

/* Elements whose largest error tells something. */
enum { ENOUGH = 64 };

int64_t result_width(const test_layer *l) {
  return l->out_dim ? l->out_dim : l->heads * l->value_dim;
}

bool merges_values(const char *plan) {
  return strstr(plan, "+merge-") != NULL;
}

test_layer random_layer(rng *r, int64_t most) {
  int64_t kv_heads = rng_range(r, 1, 3);
  return (test_layer){.batch = rng_range(r, 1, 4),
                      .queries = rng_range(r, 1, most),
                      .keys = rng_range(r, 0, most),
                      .query_dim = rng_range(r, 1, most),
                      .context_dim = rng_range(r, 1, most),
                      .kv_heads = kv_heads,
                      .heads = kv_heads * rng_range(r, 1, 3),
                      .head_dim = rng_range(r, 1, most),
                      .value_dim = rng_range(r, 1, most),
                      .out_dim = rng_range(r, 0, 2) ? rng_range(r, 1, most) : 0,
                      .biases = rng_range(r, 0, 1) == 1};
}

void fill_integers(guarded *g, rng *r, int64_t most) {
  int64_t n[3] = {g->t.shape[0], g->t.shape[1], g->t.shape[2]};
  for (int64_t b = 0; b < n[0]; b++)
    for (int64_t i = 0; i < n[1]; i++)
      for (int64_t c = 0; c < n[2]; c++)
        *guarded_at(g, b, i, c, 0) = (float)rng_range(r, -most, most);
}

/* -1, 0 and 1. */
static void round_weights(test_layer *l, rng *r) {
  for (int i = 0; i < 8; i++) {
    const xattn_tensor *t = &l->tensor[i];
    int64_t count = t->data ? t->shape[0] * (t->rank == 2 ? t->shape[1] : 1) : 0;
    for (int64_t j = 0; j < count; j++) ((float *)t->data)[j] = (float)rng_range(r, -1, 1);
  }
  l->weights.scale = selecting;
}

void layer_call_init(layer_call *c, xattn_handle *handle, const test_layer *shape, numbers kind,
                     const layout how[3], bool with_lengths, rng *r) {
  *c = (layer_call){.l = *shape, .kind = kind};
  test_layer *l = &c->l;
  test_layer_init(l, r);
  if (kind == INTEGER) round_weights(l, r);
  ASSERT_OK(handle, xattn_layer_create(handle, &l->weights, &c->layer));
  c->x = guarded_new(how[0], 3, (int64_t[]){l->batch, l->queries, l->query_dim});
  c->y = guarded_new(how[1], 3, (int64_t[]){l->batch, l->keys, l->context_dim});
  c->out = guarded_new(how[2], 3, (int64_t[]){l->batch, l->queries, result_width(l)});
  if (kind == INTEGER) {
    fill_integers(&c->x, r, 2);
    fill_integers(&c->y, r, 2);
  } else {
    guarded_fill(&c->x, r, 1.7);
    guarded_fill(&c->y, r, 1.7);
  }
  c->lengths = malloc((size_t)(l->batch + 1) * sizeof *c->lengths);
  ck_assert_ptr_nonnull(c->lengths);
  for (int64_t b = 0; b < l->batch; b++) {
    int64_t some = rng_range(r, 0, 2) ? rng_range(r, 0, l->keys) : 0;
    c->lengths[b] = (int32_t)(with_lengths ? some : l->keys);
  }
  c->lengths_tensor = xattn_tensor_dense(c->lengths, XATTN_I32, 1, &l->batch);
  c->limiting = with_lengths ? &c->lengths_tensor : NULL;
  layer_call_solve(c);
}

void layer_call_free(layer_call *c) {
  guarded_free(&c->x);
  guarded_free(&c->y);
  guarded_free(&c->out);
  free(c->lengths);
  free(c->truth);
  xattn_layer_destroy(c->layer);
  test_layer_free(&c->l);
}

/* ------------------------------------------------------------------ whole numbers */

/* Row of W times a row, plus bias. */
static double dot(const xattn_tensor *w, const xattn_tensor *bias, int64_t row, const guarded *g,
                  int64_t b, int64_t i) {
  double sum = bias->data ? (double)((const float *)bias->data)[row] : 0.0;
  for (int64_t c = 0; c < w->shape[1]; c++)
    sum += (double)((const float *)w->data)[row * w->shape[1] + c] *
           (double)*guarded_at(g, b, i, c, 0);
  return sum;
}

/* One head of a row: the mean of V over the keys of the highest score. False where their number is no power of
 * two, whose reciprocal no float holds. */
static bool select_head(const layer_call *c, int64_t b, int64_t i, int64_t h, double *o) {
  const test_layer *l = &c->l;
  int64_t g = h / (l->heads / l->kv_heads), ties = 0;
  double best = -INFINITY;
  for (int64_t d = 0; d < l->value_dim; d++) o[d] = 0.0;
  for (int64_t j = 0; j < c->lengths[b]; j++) {
    double score = 0.0;
    for (int64_t d = 0; d < l->head_dim; d++)
      score += dot(&l->tensor[0], &l->tensor[4], h * l->head_dim + d, &c->x, b, i) *
               dot(&l->tensor[1], &l->tensor[5], g * l->head_dim + d, &c->y, b, j);
    if (score < best) continue;
    if (score > best) {
      best = score;
      ties = 0;
      for (int64_t d = 0; d < l->value_dim; d++) o[d] = 0.0;
    }
    ties++;
    for (int64_t d = 0; d < l->value_dim; d++)
      o[d] += dot(&l->tensor[2], &l->tensor[6], g * l->value_dim + d, &c->y, b, j);
  }
  for (int64_t d = 0; d < l->value_dim && ties; d++) o[d] /= (double)ties;
  return (ties & (ties - 1)) == 0;
}

static void select_row(const layer_call *c, int64_t b, int64_t i, double *joined, double *out) {
  const test_layer *l = &c->l;
  bool exact = true;
  for (int64_t h = 0; h < l->heads; h++)
    exact &= select_head(c, b, i, h, joined + h * l->value_dim);
  int64_t width = l->heads * l->value_dim;
  for (int64_t o = 0; o < result_width(l); o++) {
    out[o] = l->out_dim ? 0.0 : joined[o];
    for (int64_t d = 0; l->out_dim && d < width; d++)
      out[o] += joined[d] * (double)((const float *)l->tensor[3].data)[o * width + d];
    if (l->out_dim && l->biases) out[o] += (double)((const float *)l->tensor[7].data)[o];
    if (!exact) out[o] = NAN;
  }
}

/* ------------------------------------------------------------------ the truth */

static void note_plain(layer_call *c, const plain *p, const xattn_tensor *x, int64_t row,
                       const double *truth, float *simple) {
  plain_row(p, x, row, simple);
  for (int64_t d = 0; d < result_width(&c->l); d++)
    c->plain_error = fmax(c->plain_error, fabs((double)simple[d] - truth[d]));
}

/* The error of plain float32 is that of many elements: the largest of a few may be 0 by luck, and with one key every
 * query has the same few. More queries and contexts of the same kind stand in where the call has few. */
static void note_more(layer_call *c, double *truth, float *simple) {
  const test_layer *l = &c->l;
  int64_t keys = 0, width = result_width(l);
  for (int64_t b = 0; b < l->batch; b++) keys = c->lengths[b] > keys ? c->lengths[b] : keys;
  if (keys == 0 || keys > ENOUGH || width == 0) return;
  rng r = {(uint64_t)(900 + keys)};
  for (int64_t round = 0; round * width < 4 * ENOUGH; round++) {
    guarded x = guarded_new(DENSE, 3, (int64_t[]){1, 1, l->query_dim});
    guarded y = guarded_new(DENSE, 3, (int64_t[]){1, keys, l->context_dim});
    guarded_fill(&x, &r, 1.7);
    guarded_fill(&y, &r, 1.7);
    plain *p = plain_new(&l->weights, &y.t, 0, (int32_t)keys);
    oracle_layer_row(&l->weights, &x.t, &y.t, 0, 0, (int32_t)keys, truth);
    note_plain(c, p, &x.t, 0, truth, simple);
    plain_free(p);
    guarded_free(&x);
    guarded_free(&y);
  }
}

void layer_call_solve(layer_call *c) {
  const test_layer *l = &c->l;
  int64_t width = result_width(l);
  free(c->truth);
  c->truth = calloc((size_t)(l->batch * l->queries * width + 1), sizeof *c->truth);
  float *simple = calloc((size_t)width, sizeof *simple);
  double *joined = calloc((size_t)(l->heads * l->value_dim), sizeof *joined);
  double *more = calloc((size_t)width, sizeof *more);
  ck_assert(c->truth != NULL && simple != NULL && joined != NULL && more != NULL);
  c->plain_error = c->largest = 0.0;
  for (int64_t b = 0; b < l->batch; b++) {
    plain *p = c->kind == REAL ? plain_new(&l->weights, &c->y.t, b, c->lengths[b]) : NULL;
    for (int64_t i = 0; i < l->queries; i++) {
      double *row = c->truth + (b * l->queries + i) * width;
      if (p) {
        oracle_layer_row(&l->weights, &c->x.t, &c->y.t, b, i, c->lengths[b], row);
        note_plain(c, p, &c->x.t, i, row, simple);
      } else {
        select_row(c, b, i, joined, row);
      }
    }
    for (int64_t i = 0; i < l->queries * width; i++)
      c->largest = fmax(c->largest, fabs(c->truth[b * l->queries * width + i]));
    if (p) plain_free(p);
  }
  if (c->kind == REAL) note_more(c, more, simple);
  free(more);
  free(joined);
  free(simple);
}

void layer_call_check(const layer_call *c, const char *what) {
  const test_layer *l = &c->l;
  int64_t width = result_width(l);
  double allowed = 2.0 * c->plain_error + 2.0 * c->largest * (double)FLT_EPSILON;
  for (int64_t b = 0; b < l->batch; b++)
    for (int64_t i = 0; i < l->queries; i++)
      for (int64_t d = 0; d < width; d++) {
        double truth = c->truth[(b * l->queries + i) * width + d];
        double value = (double)*guarded_at(&c->out, b, i, d, 0);
        bool right =
            c->kind == REAL ? fabs(value - truth) <= allowed : isnan(truth) || value == truth;
        ck_assert_msg(right,
                      "%s: out[%lld, %lld, %lld] is %.9g, must be %.9g within %.3g; B %lld Nq %lld "
                      "Nk %lld (here %d) Dq %lld Dc %lld H %lld/%lld Dh %lld Dv %lld Do %lld%s",
                      what, (long long)b, (long long)i, (long long)d, value, truth, allowed,
                      (long long)l->batch, (long long)l->queries, (long long)l->keys,
                      (int)c->lengths[b], (long long)l->query_dim, (long long)l->context_dim,
                      (long long)l->heads, (long long)l->kv_heads, (long long)l->head_dim,
                      (long long)l->value_dim, (long long)l->out_dim, l->biases ? " biases" : "");
      }
  guarded_check(&c->out, "out");
  guarded_check(&c->x, "x");
  guarded_check(&c->y, "y");
}

void layer_call_spoil(layer_call *c) {
  const test_layer *l = &c->l;
  for (int64_t b = 0; b < l->batch; b++)
    for (int64_t i = 0; i < l->queries; i++)
      for (int64_t d = 0; d < result_width(l); d++) *guarded_at(&c->out, b, i, d, 0) = NAN;
}

xattn_options layer_call_options(const layer_call *c, const char *plan) {
  return (xattn_options){.size = sizeof(xattn_options), .plan = plan, .key_lengths = c->limiting};
}

xattn_tensor rows_of(const xattn_tensor *y, int64_t first, int64_t count) {
  xattn_tensor rows = *y;
  rows.data = (float *)rows.data + first * rows.strides[1];
  rows.shape[1] = count;
  return rows;
}
