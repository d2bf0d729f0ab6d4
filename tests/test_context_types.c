/* Contexts of an F32 layer that are stored in F16 or BF16: rounded once, computed with in F32. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_calls.h"

static const layout dense[3] = {DENSE, DENSE, DENSE};
static const xattn_dtype narrow[2] = {XATTN_F16, XATTN_BF16};

static xattn_context *context_of(layer_call *c, xattn_handle *handle, const char *plan,
                                 xattn_dtype dtype) {
  xattn_options options = layer_call_options(c, plan);
  options.context_dtype = dtype;
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, c->layer, &c->y.t, &options, &context));
  return context;
}

static uint64_t bytes_of(const xattn_context *context, xattn_dtype dtype) {
  xattn_context_info info = {.size = sizeof info};
  ASSERT_OK(NULL, xattn_context_get_info(context, &info));
  ck_assert_int_eq(info.dtype, dtype);
  return info.bytes;
}

/* What the narrow type holds exactly comes back with the bits of the F32 context. */
START_TEST(exact_values_lose_nothing) {
  const char *plan = xattn_plan_name(_i);
  xattn_handle *handle = test_handle(2);
  rng r = {(uint64_t)(6000 + _i)};
  for (int i = 0; i < (on_cpu() ? 20 : 3); i++) {
    test_layer l = random_layer(&r, 9);
    if (merges_values(plan) && !l.out_dim) l.out_dim = 3;
    layer_call c;
    layer_call_init(&c, handle, &l, INTEGER, dense, i % 2, &r);
    size_t bytes = (size_t)c.out.size * sizeof(float);
    float *wide = malloc(bytes);
    ck_assert_ptr_nonnull(wide);
    for (int type = -1; type < 2; type++) {
      xattn_context *context = context_of(&c, handle, plan, type < 0 ? XATTN_F32 : narrow[type]);
      layer_call_spoil(&c);
      ASSERT_OK(handle, xattn_forward(handle, c.layer, &c.x.t, context, NULL, &c.out.t));
      layer_call_check(&c, plan);
      if (type < 0) memcpy(wide, c.out.memory, bytes);
      ck_assert_msg(memcmp(wide, c.out.memory, bytes) == 0, "%s: other bits", plan);
      xattn_context_destroy(context);
    }
    free(wide);
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

/* Forms that keep y alone are as near to the truth of the rounded y as the F32 rule asks. */
START_TEST(a_rounded_y_is_what_is_kept) {
  static const char *const plans[] = {"push+defer", "merge-x+defer", "push+merge-py",
                                      "merge-x+merge-py"};
  xattn_handle *handle = test_handle(1);
  rng r = {(uint64_t)(6100 + _i)};
  for (int i = 0; i < (on_cpu() ? 20 : 4); i++) {
    test_layer l = random_layer(&r, 20);
    if (!l.out_dim) l.out_dim = 3;
    layer_call c;
    layer_call_init(&c, handle, &l, REAL, dense, i % 2, &r);
    xattn_context *contexts[4];
    for (int p = 0; p < 4; p++) contexts[p] = context_of(&c, handle, plans[p], narrow[_i]);
    int64_t count = l.batch * l.keys * l.context_dim;
    uint16_t *rounded = malloc((size_t)(count + 1) * sizeof *rounded);
    ck_assert_ptr_nonnull(rounded);
    xattn_tensor half = xattn_tensor_dense(rounded, narrow[_i], 3, c.y.t.shape);
    ASSERT_OK(NULL, xattn_tensor_convert(&c.y.t, &half));
    ASSERT_OK(NULL, xattn_tensor_convert(&half, &c.y.t));
    layer_call_solve(&c);
    for (int p = 0; p < 4; p++) {
      layer_call_spoil(&c);
      ASSERT_OK(handle, xattn_forward(handle, c.layer, &c.x.t, contexts[p], NULL, &c.out.t));
      layer_call_check(&c, plans[p]);
      xattn_context_destroy(contexts[p]);
    }
    free(rounded);
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

/* ------------------------------------------------------------------ K, V and what is merged, rounded
 *
 * Let what is kept be k and d for a key, k' and d' rounded: |k' - k| <= u·|k| + t and alike for d, where u is half a unit
 * in the last place and t half the smallest subnormal. A head has the scores s = scale·a·k, so
 *     |s' - s| <= e = scale·max over keys of Σ |a|·(u·|k| + t)
 * and each p' lies within p·exp(±2e): numerator and sum both move by at most exp(e). With z = Σ p·d,
 *     |z' - z| <= Σ |p' - p|·|d| + Σ p'·|d' - d|
 *              <= (exp(2e) - 1)·Σ p·|d| + exp(2e)·Σ p·(u·|d| + t)
 * and out is linear in z: the bounds of the heads add up, through |Wo| or |N|. */

typedef struct precision {
  double u, t;
} precision;

static const precision precisions[2] = {{0x1p-11, 0x1p-25}, {0x1p-8, 0x1p-134}};

static double element(const xattn_tensor *t, int64_t i, int64_t j) {
  return (double)((const float *)t->data)[i * t->shape[1] + j];
}

static double bias(const xattn_tensor *t, int64_t i) {
  return t->data ? (double)((const float *)t->data)[i] : 0.0;
}

/* Row o of a weight times the rows' element, plus bias. */
static double project(const layer_call *c, int weight, int64_t o, const guarded *g, int64_t b,
                      int64_t i) {
  const xattn_tensor *w = &c->l.tensor[weight];
  double sum = bias(&c->l.tensor[4 + weight], o);
  for (int64_t k = 0; k < w->shape[1]; k++)
    sum += element(w, o, k) * (double)*guarded_at(g, b, i, k, 0);
  return sum;
}

typedef enum kept { PROJECTED, RAW, MERGED } kept;

/* One query and head. */
typedef struct at {
  const layer_call *c;
  kept scores, values;
  int64_t b, i, h, g;
} at;

/* Σ over the depth of |a|·(u·|k| + t), and a·k, of a key. bk is left out: it cancels. */
static void score_of(const at *w, int64_t j, precision e, double *score, double *bound) {
  const layer_call *c = w->c;
  const test_layer *l = &c->l;
  int64_t depth = w->scores == PROJECTED ? l->head_dim
                  : w->scores == RAW     ? l->context_dim
                                         : l->query_dim;
  *score = *bound = 0.0;
  for (int64_t n = 0; n < depth; n++) {
    double a = 0.0, k = 0.0;
    for (int64_t d = 0; d < l->head_dim; d++) {
      int64_t qrow = w->h * l->head_dim + d, krow = w->g * l->head_dim + d;
      double q = project(c, 0, qrow, &c->x, w->b, w->i);
      double key = project(c, 1, krow, &c->y, w->b, j) - bias(&l->tensor[5], krow);
      if (w->scores == PROJECTED && d == n) {
        a = q;
        k = key;
      } else if (w->scores == RAW) {
        a += q * element(&l->tensor[1], krow, n);
      } else if (w->scores == MERGED) {
        k += key * element(&l->tensor[0], qrow, n);
      }
    }
    if (w->scores == RAW) k = (double)*guarded_at(&c->y, w->b, j, n, 0);
    if (w->scores == MERGED) a = (double)*guarded_at(&c->x, w->b, w->i, n, 0);
    *score += a * k;
    *bound += fabs(a) * (e.u * fabs(k) + e.t);
  }
  for (int64_t d = 0; w->scores == MERGED && d < l->head_dim; d++) /* the key bias, kept in F32 */
    *score += bias(&l->tensor[4], w->h * l->head_dim + d) *
              (project(c, 1, w->g * l->head_dim + d, &c->y, w->b, j) -
               bias(&l->tensor[5], w->g * l->head_dim + d));
}

/* Of one key, for output o: Σ |weight|·|d| and Σ |weight|·(u·|d| + t) over the columns that are kept. */
static void value_of(const at *w, int64_t j, int64_t o, precision e, double *absolute,
                     double *bound) {
  const layer_call *c = w->c;
  const test_layer *l = &c->l;
  int64_t columns = w->values == PROJECTED ? l->value_dim : w->values == RAW ? l->context_dim : 1;
  *absolute = *bound = 0.0;
  for (int64_t n = 0; n < columns; n++) {
    double weight = w->values == MERGED, d = 0.0;
    for (int64_t v = 0; v < l->value_dim; v++) {
      int64_t row = w->g * l->value_dim + v, joined = w->h * l->value_dim + v;
      double out = l->out_dim ? element(&l->tensor[3], o, joined) : (double)(joined == o);
      if (w->values == RAW) weight += out * element(&l->tensor[2], row, n);
      if (w->values == MERGED) d += out * project(c, 2, row, &c->y, w->b, j);
      if (w->values != PROJECTED || v != n) continue;
      weight = out;
      d = project(c, 2, row, &c->y, w->b, j);
    }
    if (w->values == RAW) d = (double)*guarded_at(&c->y, w->b, j, n, 0);
    *absolute += fabs(weight * d);
    *bound += fabs(weight) * (e.u * fabs(d) + e.t);
  }
}

/* Adds a head's bound to each output. */
static void add_head(const at *w, precision e, double *bounds) {
  enum { MOST = 16 };
  const test_layer *l = &w->c->l;
  double p[MOST], scale = 1.0 / sqrt((double)l->head_dim), moved = 0.0, largest = -INFINITY;
  int64_t keys = w->c->lengths[w->b];
  ck_assert_int_le(keys, MOST);
  for (int64_t j = 0; j < keys; j++) {
    double bound;
    score_of(w, j, e, &p[j], &bound);
    p[j] *= scale;
    moved = fmax(moved, scale * bound);
    largest = fmax(largest, p[j]);
  }
  double sum = 0.0;
  for (int64_t j = 0; j < keys; j++) sum += p[j] = exp(p[j] - largest);
  for (int64_t o = 0; o < result_width(l); o++)
    for (int64_t j = 0; j < keys; j++) {
      double absolute, bound;
      value_of(w, j, o, e, &absolute, &bound);
      bounds[o] += p[j] / sum * (expm1(2.0 * moved) * absolute + exp(2.0 * moved) * bound);
    }
}

static void check_rounded(layer_call *c, xattn_handle *handle, int type, int form) {
  static const kept of[4] = {PROJECTED, RAW, RAW, MERGED};
  const char *plan = xattn_plan_name(form);
  xattn_context *context = context_of(c, handle, plan, narrow[type]);
  layer_call_spoil(c);
  ASSERT_OK(handle, xattn_forward(handle, c->layer, &c->x.t, context, NULL, &c->out.t));
  xattn_context_destroy(context);
  const test_layer *l = &c->l;
  int64_t width = result_width(l);
  double own = 2.0 * c->plain_error + 2.0 * c->largest * (double)FLT_EPSILON;
  double *bounds = malloc((size_t)width * sizeof *bounds);
  ck_assert_ptr_nonnull(bounds);
  for (int64_t b = 0; b < l->batch; b++)
    for (int64_t i = 0; i < l->queries; i++) {
      memset(bounds, 0, (size_t)width * sizeof *bounds);
      for (int64_t h = 0; h < l->heads; h++) {
        at where = {c, of[form / 4], of[form % 4], b, i, h, h / (l->heads / l->kv_heads)};
        add_head(&where, precisions[type], bounds);
      }
      for (int64_t o = 0; o < width; o++) {
        double truth = c->truth[(b * l->queries + i) * width + o];
        double value = (double)*guarded_at(&c->out, b, i, o, 0);
        ck_assert_msg(fabs(value - truth) <= bounds[o] + own, "%s: %.9g, must be %.9g within %.3g",
                      plan, value, truth, bounds[o] + own);
      }
    }
  free(bounds);
  guarded_check(&c->out, "out");
}

START_TEST(rounding_is_all_that_is_lost) {
  xattn_handle *handle = test_handle(1);
  rng r = {(uint64_t)(6200 + _i)};
  for (int i = 0; i < 6; i++) {
    test_layer l = random_layer(&r, 7);
    if (merges_values(xattn_plan_name(_i)) && !l.out_dim) l.out_dim = 5;
    layer_call c;
    layer_call_init(&c, handle, &l, REAL, dense, i % 2, &r);
    check_rounded(&c, handle, i / 2 % 2, _i);
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

/* Half the bytes, but for the biases of keys, which stay F32. */
START_TEST(half_the_memory) {
  xattn_handle *handle = test_handle(1);
  rng r = {85};
  const char *plan = xattn_plan_name(_i);
  test_layer l = {.batch = 2,
                  .queries = 3,
                  .keys = 64,
                  .query_dim = 8,
                  .context_dim = 16,
                  .heads = 2,
                  .head_dim = 4,
                  .value_dim = 8,
                  .out_dim = 4};
  for (int biases = 0; biases < 2; biases++) {
    l.biases = biases;
    layer_call c;
    layer_call_init(&c, handle, &l, REAL, dense, false, &r);
    uint64_t key_bias = biases && strncmp(plan, "merge-y+", 8) == 0 ? 2 * 2 * 64 * 4 : 0;
    xattn_context *wide = context_of(&c, handle, plan, 0);
    for (int type = 0; type < 2; type++) {
      xattn_context *half = context_of(&c, handle, plan, narrow[type]);
      ck_assert_uint_eq(bytes_of(wide, XATTN_F32) - key_bias,
                        2 * (bytes_of(half, narrow[type]) - key_bias));
      xattn_context_destroy(half);
    }
    xattn_context_destroy(wide);
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

/* One for all, and many chunks of items: what is widened at a time is its own. */
START_TEST(shared_and_chunked) {
  static const layout shared[3] = {DENSE, BROADCAST, DENSE};
  xattn_handle *handle = test_handle(2);
  rng r = {86};
  for (int64_t f = 0; xattn_plan_name(f); f++)
    for (int type = 0; type < 2; type++) {
      test_layer l = {.batch = type ? 3 : 2,
                      .queries = on_cpu() ? 260 : 20,
                      .keys = on_cpu() ? 900 : 40,
                      .query_dim = 3,
                      .context_dim = 3,
                      .heads = 6,
                      .kv_heads = 3,
                      .head_dim = 2,
                      .value_dim = 2,
                      .out_dim = 2,
                      .biases = true};
      layer_call c;
      layer_call_init(&c, handle, &l, INTEGER, type ? shared : dense, !type, &r);
      xattn_context *context = context_of(&c, handle, xattn_plan_name(f), narrow[type]);
      layer_call_spoil(&c);
      ASSERT_OK(handle, xattn_forward(handle, c.layer, &c.x.t, context, NULL, &c.out.t));
      layer_call_check(&c, xattn_plan_name(f));
      xattn_context_destroy(context);
      layer_call_free(&c);
    }
  xattn_destroy(handle);
}
END_TEST

/* One to four rows of heads whose keys lie side by side, with widths of whole vectors and a rest: what has 16 bits is
 * widened as it is read. */
START_TEST(heads_abreast) {
  xattn_handle *handle = test_handle(2);
  rng r = {87};
  for (int type = 0; type < 2; type++) {
    test_layer l = {.batch = 2,
                    .queries = _i + 1,
                    .keys = 300,
                    .query_dim = 8,
                    .context_dim = 8,
                    .heads = 6,
                    .head_dim = type ? 20 : 37,
                    .value_dim = type ? 37 : 16};
    layer_call c;
    layer_call_init(&c, handle, &l, INTEGER, dense, true, &r);
    xattn_context *context = context_of(&c, handle, "direct", narrow[type]);
    layer_call_spoil(&c);
    ASSERT_OK(handle, xattn_forward(handle, c.layer, &c.x.t, context, NULL, &c.out.t));
    layer_call_check(&c, "direct");
    xattn_context_destroy(context);
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

Suite *suite_context_types(void) {
  Suite *suite = suite_create("context types");
  TCase *tests = tcase_create("context types");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, exact_values_lose_nothing, 0, 16);
  tcase_add_loop_test(tests, a_rounded_y_is_what_is_kept, 0, 2);
  tcase_add_loop_test(tests, rounding_is_all_that_is_lost, 0, 16);
  tcase_add_loop_test(tests, half_the_memory, 0, 16);
  tcase_add_loop_test(tests, heads_abreast, 0, 4);
  if (!getenv("XATTN_TEST_SHORT")) tcase_add_test(tests, shared_and_chunked);
  suite_add_tcase(suite, tests);
  return suite;
}
