/* Tensors of F16 and BF16: attention by the rule of SEMANTICS.md, whole layers against the plain implementation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "objects.h"
#include "support_rules.h"
#include "support_typed.h"

static const xattn_dtype halves[] = {XATTN_F16, XATTN_BF16};

START_TEST(attention_on_a_grid) {
  static const attention_shape shapes[] = {
      {1, 1, 1, 1, 1, 1, 1},      {2, 3, 7, 2, 2, 5, 3},      {3, 17, 33, 4, 2, 16, 8},
      {2, 31, 65, 6, 1, 7, 9},    {1, 5, 300, 2, 1, 64, 64},  {4, 9, 129, 3, 3, 33, 1},
      {2, 2, 1030, 1, 1, 8, 8},   {3, 40, 64, 8, 8, 32, 32},  {2, 33, 257, 4, 4, 12, 20},
      {3, 6, 0, 2, 2, 4, 4},      {1, 70, 600, 2, 2, 64, 64}, {1, 60, 90, 2, 1, 600, 20},
      {1, 40, 50, 2, 2, 20, 600}, {1, 2, 300, 1, 1, 5000, 30}};
  static const layout hows[][4] = {{DENSE, DENSE, DENSE, DENSE},
                                   {GAPS, GAPS, GAPS, GAPS},
                                   {REVERSED, BROADCAST, REVERSED, REVERSED}};
  xattn_handle *handle = test_handle(2);
  for (int t = 0; t < 2; t++)
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
      for (int code = 0; code < 6; code++)
        check_attention(handle, rule_of(halves[t]), halves[t], &shapes[i],
                        hows[shapes[i].keys ? code % 3 : 0], code / 3, 131 + i);
  xattn_destroy(handle);
}
END_TEST

/* K and V in one memory: V is the first columns of K, as a latent cache has it, or wider than K, or every other row. The
 * CPU reads and widens once what is both. */
START_TEST(k_and_v_in_one_memory) {
  static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_BF16};
  enum { KEYS = 40, ROW = 24 };
  static const struct {
    int64_t k_width, v_width, v_row, v_from;
  } views[] = {{ROW, ROW, ROW, 0},  {ROW, 16, ROW, 0},    {16, ROW, ROW, 0},
               {16, ROW, ROW, ROW}, {16, 16, 2 * ROW, 0}, {ROW, 8, ROW, 16}};
  xattn_handle *handle = test_handle(2);
  rng r = {191};
  for (int t = 0; t < 3; t++)
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
      for (int64_t queries = 3; queries <= 100; queries += 97) {
        guarded q = guarded_new(DENSE, 4, (int64_t[]){1, queries, 1, views[i].k_width});
        guarded y = guarded_new(DENSE, 4, (int64_t[]){1, 2 * KEYS + 1, 1, ROW});
        guarded out = guarded_new(DENSE, 4, (int64_t[]){1, queries, 1, views[i].v_width});
        guarded_fill(&q, &r, 1.0);
        guarded_fill(&y, &r, 1.0);
        quantise(&q.t, dtypes[t]);
        quantise(&y.t, dtypes[t]);
        device_tensor d[3] = {device_copy(handle, &q.t, dtypes[t]),
                              device_copy(handle, &y.t, dtypes[t]),
                              device_new(handle, &out.t, dtypes[t], 0)};
        xattn_tensor k[2] = {y.t, d[1].t}, v[2] = {y.t, d[1].t};
        for (int side = 0; side < 2; side++) {
          k[side].shape[1] = v[side].shape[1] = KEYS;
          k[side].shape[3] = views[i].k_width;
          v[side].shape[3] = views[i].v_width;
          v[side].strides[1] = views[i].v_row;
          v[side].data =
              (char *)v[side].data + views[i].v_from * (int64_t)xattn_dtype_size(v[side].dtype);
        }
        ASSERT_OK(handle, xattn_attention(handle, &d[0].t, &k[1], &v[1], 0.5F, NULL, &d[2].t));
        device_get(&d[2], &out.t);
        check_attention_rule(rule_of(dtypes[t]), &q.t, &k[0], &v[0], 0.5, NULL, &out.t);
        for (int j = 0; j < 3; j++) device_free(&d[j]);
        guarded_free(&q);
        guarded_free(&y);
        guarded_free(&out);
      }
  xattn_destroy(handle);
}
END_TEST

/* Scores beyond what F16 holds: they are kept in F32. */
START_TEST(scores_beyond_f16_do_not_overflow) {
  xattn_handle *handle = test_handle(2);
  enum { WIDTH = 64, KEYS = 5 };
  float q[WIDTH], k[KEYS * WIDTH], v[KEYS], out[1];
  for (int d = 0; d < WIDTH; d++) q[d] = 200.0F;
  for (int i = 0; i < KEYS * WIDTH; i++) k[i] = 200.0F; /* scores of 2,560,000 / 8 */
  for (int j = 0; j < KEYS; j++) v[j] = (float)j;
  const xattn_tensor host[4] = {
      XATTN_TENSOR(q, XATTN_F32, 1, 1, 1, WIDTH), XATTN_TENSOR(k, XATTN_F32, 1, KEYS, 1, WIDTH),
      XATTN_TENSOR(v, XATTN_F32, 1, KEYS, 1, 1), XATTN_TENSOR(out, XATTN_F32, 1, 1, 1, 1)};
  device_tensor d[4];
  for (int i = 0; i < 3; i++) d[i] = device_copy(handle, &host[i], XATTN_F16);
  d[3] = device_new(handle, &host[3], XATTN_F16, 0);
  ASSERT_OK(handle, xattn_attention(handle, &d[0].t, &d[1].t, &d[2].t, 0.0F, NULL, &d[3].t));
  device_get(&d[3], &host[3]);
  ck_assert(fabsf(out[0] - 2.0F) < 0.01F); /* the mean */
  for (int i = 0; i < 4; i++) device_free(&d[i]);
  xattn_destroy(handle);
}
END_TEST

/* Rows first to first + count of every item. */
static xattn_tensor device_rows(const device_tensor *y, int64_t first, int64_t count) {
  xattn_tensor rows = y->t;
  rows.data = (char *)rows.data + first * rows.strides[1] * (int64_t)xattn_dtype_size(rows.dtype);
  rows.shape[1] = count;
  return rows;
}

/* A context of y at once, or of its first rows, with the others behind them. */
static xattn_context *context_of(xattn_handle *handle, const xattn_layer *layer,
                                 const device_tensor *y, const int32_t *lengths, const char *plan,
                                 bool in_pieces) {
  enum { MOST = 16 };
  const int64_t keys = y->t.shape[1], batch = y->t.shape[0];
  const int64_t first[4] = {0, in_pieces ? keys / 3 : keys, in_pieces ? keys / 3 + 1 : keys, keys};
  xattn_context *context = NULL;
  for (int i = 0; i < 3; i++) {
    int32_t count[MOST];
    for (int64_t b = 0; b < batch; b++) {
      const int64_t left = lengths[b] - first[i], rows = first[i + 1] - first[i];
      count[b] = (int32_t)(left < 0 ? 0 : left < rows ? left : rows);
    }
    const xattn_tensor piece = device_rows(y, first[i], first[i + 1] - first[i]);
    const xattn_tensor counts = xattn_tensor_dense(count, XATTN_I32, 1, &batch);
    xattn_options options = {.size = sizeof options, .key_lengths = &counts};
    if (i) {
      ASSERT_OK(handle, xattn_context_append(handle, layer, context, &piece, &options));
    } else {
      options.plan = plan;
      ASSERT_OK(handle, xattn_context_create(handle, layer, &piece, &options, &context));
    }
  }
  return context;
}

typedef enum way { AT_ONCE, CONTEXT, IN_PIECES, TO_THE_HOST, WAYS } way;

/* Tensors lie on the device, but for an out in host memory. */
static void run_layer(xattn_handle *handle, const xattn_layer *layer, xattn_dtype dtype, way how,
                      const guarded *x, const guarded *y, const int32_t *lengths,
                      const xattn_options *options, guarded *out) {
  device_tensor dx = device_copy(handle, &x->t, dtype), dy = device_copy(handle, &y->t, dtype);
  device_tensor dout = device_new(handle, &out->t, dtype, 0);
  if (how == AT_ONCE)
    ASSERT_OK(handle, xattn_forward_once(handle, layer, &dx.t, &dy.t, options, &dout.t));
  if (how == CONTEXT || how == IN_PIECES) {
    xattn_context *context =
        context_of(handle, layer, &dy, lengths, options->plan, how == IN_PIECES);
    const xattn_options own = {.size = sizeof own, .plan = options->plan};
    ASSERT_OK(handle, xattn_forward(handle, layer, &dx.t, context, &own, &dout.t));
    xattn_context_destroy(context);
  }
  if (how == TO_THE_HOST) {
    void *memory = malloc((size_t)dout.bytes);
    ck_assert_ptr_nonnull(memory);
    const xattn_tensor host = xattn_tensor_dense(memory, dtype, 3, out->t.shape);
    ASSERT_OK(handle, xattn_forward_once(handle, layer, &dx.t, &dy.t, options, &host));
    ASSERT_OK(NULL, xattn_tensor_convert(&host, &out->t));
    free(memory);
  } else {
    device_get(&dout, &out->t);
  }
  device_check(&dout, "out");
  device_free(&dx);
  device_free(&dy);
  device_free(&dout);
}

static const test_layer layers[] = {
    /* a pipe where there are products of BF16 */
    {.batch = 3,
     .queries = 300,
     .keys = 3,
     .query_dim = 21,
     .context_dim = 30,
     .heads = 4,
     .head_dim = 12,
     .out_dim = 28},
    {.batch = 2,
     .queries = 9,
     .keys = 30,
     .query_dim = 48,
     .context_dim = 80,
     .heads = 4,
     .head_dim = 16,
     .out_dim = 40,
     .biases = true},
    {.batch = 3,
     .queries = 5,
     .keys = 17,
     .query_dim = 7,
     .context_dim = 11,
     .heads = 6,
     .kv_heads = 2,
     .head_dim = 5,
     .value_dim = 9,
     .out_dim = 13,
     .biases = true},
    {.batch = 1,
     .queries = 20,
     .keys = 33,
     .query_dim = 64,
     .context_dim = 96,
     .heads = 1,
     .head_dim = 64},
    {.batch = 2,
     .queries = 3,
     .keys = 300,
     .query_dim = 32,
     .context_dim = 32,
     .heads = 2,
     .head_dim = 8,
     .biases = true},
    {.batch = 2,
     .queries = 1,
     .keys = 40,
     .query_dim = 64,
     .context_dim = 32,
     .heads = 2,
     .head_dim = 64,
     .out_dim = 64},
    {.batch = 1,
     .queries = 8,
     .keys = 40,
     .query_dim = 64,
     .context_dim = 64,
     .heads = 16,
     .head_dim = 8,
     .out_dim = 64},
    /* Heads too wide, or rows too many, for the CPU to attend in one pass by tiles, or
                                     * by pieces of the keys. */
    {.batch = 2,
     .queries = 40,
     .keys = 21,
     .query_dim = 24,
     .context_dim = 20,
     .heads = 4,
     .kv_heads = 2,
     .head_dim = 600,
     .out_dim = 20,
     .biases = true}};
enum { LAYERS = sizeof layers / sizeof *layers };

/* What merged weights of -1, 0 and 1 are, both dtypes have. */
typedef enum weights { REAL, WHOLE } weights;

static void round_weights(test_layer *l, rng *r) {
  for (int w = 0; w < 8; w++) {
    const xattn_tensor *t = &l->tensor[w];
    const int64_t count = t->data ? t->shape[0] * (t->rank == 2 ? t->shape[1] : 1) : 0;
    for (int64_t i = 0; i < count; i++) ((float *)t->data)[i] = (float)rng_range(r, -1, 1);
  }
  l->weights.scale = 0.02F; /* so that several keys count */
}

/* A layer of the table and its streams, all of numbers that the dtype has. */
typedef struct half_case {
  test_layer l;
  xattn_dtype dtype;
  xattn_layer *layer;
  guarded x, y, out;
  half_truth truth;
  int32_t lengths[3];
  xattn_tensor lengths_tensor;
  xattn_options options; /* the lengths */
} half_case;

static void half_case_open(half_case *c, xattn_handle *handle, int index, xattn_dtype dtype,
                           weights of) {
  rng r = {151 + (uint64_t)index};
  *c = (half_case){.l = layers[index], .dtype = dtype};
  test_layer *l = &c->l;
  test_layer_init(l, &r);
  if (of == WHOLE) round_weights(l, &r);
  l->weights.dtype = dtype;
  ASSERT_OK(handle, xattn_layer_create(handle, &l->weights, &c->layer)); /* rounds the weights */
  for (int w = 0; w < 8; w++)
    if (l->tensor[w].data) quantise(&l->tensor[w], dtype);
  const int64_t width = l->out_dim ? l->out_dim : l->heads * l->value_dim;
  c->x = guarded_new(DENSE, 3, (int64_t[]){l->batch, l->queries, l->query_dim});
  c->y = guarded_new(GAPS, 3, (int64_t[]){l->batch, l->keys, l->context_dim});
  c->out = guarded_new(REVERSED, 3, (int64_t[]){l->batch, l->queries, width});
  guarded_fill(&c->x, &r, 1.0);
  guarded_fill(&c->y, &r, 1.0);
  quantise(&c->x.t, dtype);
  quantise(&c->y.t, dtype);
  const int32_t lengths[3] = {(int32_t)l->keys, (int32_t)l->keys / 2, 1};
  memcpy(c->lengths, lengths, sizeof lengths);
  c->lengths_tensor = XATTN_TENSOR(c->lengths, XATTN_I32, l->batch);
  c->options = (xattn_options){.size = sizeof c->options, .key_lengths = &c->lengths_tensor};
  c->truth = half_truth_of(dtype, l, &c->x.t, &c->y.t, c->lengths);
}

static void half_case_check(half_case *c, xattn_handle *handle, way how) {
  run_layer(handle, c->layer, c->dtype, how, &c->x, &c->y, c->lengths, &c->options, &c->out);
  half_truth_check(&c->truth, &c->out.t);
}

static void half_case_close(half_case *c) {
  guarded_free(&c->x);
  guarded_free(&c->y);
  guarded_free(&c->out);
  free(c->truth.exact);
  xattn_layer_destroy(c->layer);
  test_layer_free(&c->l);
}

START_TEST(layers_end_to_end) {
  xattn_handle *handle = test_handle(2);
  for (int t = 0; t < 2; t++)
    for (int i = 0; i < LAYERS; i++) {
      half_case c;
      half_case_open(&c, handle, i, halves[t], REAL);
      for (way how = AT_ONCE; how < WAYS; how++) half_case_check(&c, handle, how);
      half_case_close(&c);
    }
  xattn_destroy(handle);
}
END_TEST

/* Every plan rounds at other places than the plain implementation, which is direct, and is held to the same
 * rule. */
START_TEST(layers_by_every_plan) {
  xattn_handle *handle = test_handle(2);
  for (int t = 0; t < 2; t++)
    for (int i = 0; i < LAYERS; i++) {
      if (!layers[i].out_dim) continue; /* nothing to merge with */
      half_case c;
      half_case_open(&c, handle, i, halves[t], REAL);
      for (int64_t plan = 0; (c.options.plan = xattn_plan_name(plan)) != NULL; plan++)
        for (way how = AT_ONCE; how < TO_THE_HOST; how++) half_case_check(&c, handle, how);
      half_case_close(&c);
    }
  xattn_destroy(handle);
}
END_TEST

/* On the CPU what is between steps is F32: the result is rounded, nothing else. The errors of F32 are far below. */
START_TEST(the_cpu_rounds_once) {
  if (!on_cpu()) return;
  xattn_handle *handle = test_handle(2);
  for (int t = 0; t < 2; t++)
    for (int i = 0; i < LAYERS; i++) {
      half_case c;
      half_case_open(&c, handle, i, halves[t], WHOLE);
      for (int64_t plan = 0; (c.options.plan = xattn_plan_name(plan)) != NULL; plan++) {
        if (plan && !c.l.out_dim) continue;
        half_case_check(&c, handle, AT_ONCE);
        const int64_t *n = c.out.t.shape, count = n[0] * n[1] * n[2];
        for (int64_t at = 0; at < count; at++) {
          const double exact = c.truth.exact[at];
          const double got =
              (double)*guarded_at(&c.out, at / (n[1] * n[2]), at / n[2] % n[1], at % n[2], 0);
          ck_assert_msg(fabs(got - exact) <=
                            rule_of(halves[t])->u_out * fabs(exact) + 0x1p-16 * c.truth.largest,
                        "%s, %s: %.9g, not %.9g", xattn_dtype_name(halves[t]), c.options.plan, got,
                        exact);
        }
      }
      half_case_close(&c);
    }
  xattn_destroy(handle);
}
END_TEST

START_TEST(dtypes_do_not_mix) {
  xattn_handle *handle = test_handle(1);
  half_case c;
  half_case_open(&c, handle, 0, XATTN_F16, REAL);
  device_tensor x = device_copy(handle, &c.x.t, XATTN_F16),
                y = device_copy(handle, &c.y.t, XATTN_F16);
  device_tensor wide = device_copy(handle, &c.x.t, XATTN_F32);
  device_tensor other = device_copy(handle, &c.y.t, XATTN_BF16);
  device_tensor out = device_new(handle, &c.out.t, XATTN_F16, 0);
  ASSERT_FAILS(handle, xattn_forward_once(handle, c.layer, &wide.t, &y.t, NULL, &out.t),
               XATTN_ERROR_DTYPE, "x: dtype is F32, must be F16");
  ASSERT_FAILS(handle, xattn_forward_once(handle, c.layer, &x.t, &other.t, NULL, &out.t),
               XATTN_ERROR_DTYPE, "y: dtype is BF16, must be F16");
  /* Attention: all that q is. */
  float data[8] = {0};
  const xattn_tensor host = XATTN_TENSOR(data, XATTN_F32, 1, 2, 1, 4);
  device_tensor q = device_copy(handle, &host, XATTN_F16),
                k = device_copy(handle, &host, XATTN_F32);
  device_tensor v = device_copy(handle, &host, XATTN_F16),
                o = device_new(handle, &host, XATTN_BF16, 0);
  ASSERT_FAILS(handle, xattn_attention(handle, &q.t, &k.t, &v.t, 0.0F, NULL, &o.t),
               XATTN_ERROR_DTYPE, "k: dtype is F32, must be F16");
  ASSERT_FAILS(handle, xattn_attention(handle, &q.t, &v.t, &v.t, 0.0F, NULL, &o.t),
               XATTN_ERROR_DTYPE, "out: dtype is BF16, must be F16");
  xattn_layer *layer;
  c.l.weights.dtype = XATTN_F64;
  ASSERT_FAILS(handle, xattn_layer_create(handle, &c.l.weights, &layer), XATTN_ERROR_DTYPE, "F64");
  device_tensor *all[] = {&x, &y, &wide, &other, &out, &q, &k, &v, &o};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) device_free(all[i]);
  half_case_close(&c);
  xattn_destroy(handle);
}
END_TEST

/* ------------------------------------------------------------------ what is planned and kept */

static uint64_t allocations_of(xattn_handle *handle) {
  xattn_stats stats = {.size = sizeof stats};
  ASSERT_OK(handle, xattn_get_stats(handle, &stats));
  return stats.allocations;
}

/* Weights of BF16 are packed where there are instructions for them, by handles of the CPU. */
static bool packs(xattn_handle *handle, xattn_dtype dtype) {
  return dtype == XATTN_BF16 && on_cpu() && handle->backend->limits(handle->device).packing_bf16;
}

/* The workspace is what the plan says, and beside what is merged nothing is made of weights, or once what is packed: their
 * memory stays half of that of F32. */
START_TEST(no_memory_but_what_the_plan_says) {
  static const char *const plans[] = {"direct", "push+defer", "merge-x+project",
                                      "merge-y+merge-py"};
  static const uint64_t merged[] = {0, 0, 1, 2};
  enum { MOST_PACKED = 3 };
  for (int t = 0; t < 2; t++)
    for (int i = 0; i < LAYERS; i++)
      for (int f = 0; f < 4; f++) {
        if (!layers[i].out_dim) continue;
        xattn_handle *handle = test_handle(2);
        half_case c;
        half_case_open(&c, handle, i, halves[t], REAL);
        c.options.plan = plans[f];
        device_tensor x = device_copy(handle, &c.x.t, halves[t]);
        device_tensor y = device_copy(handle, &c.y.t, halves[t]);
        const xattn_tensor dense = xattn_tensor_dense(NULL, XATTN_F32, 3, c.out.t.shape);
        device_tensor out = device_new(handle, &dense, halves[t], 0); /* as a plan takes it to be */
        xattn_plan_info info = {.size = sizeof info};
        ASSERT_OK(handle, xattn_plan(handle, c.layer, &x.t, &y.t, NULL, &c.options, &info));
        ck_assert_ptr_nonnull(strstr(info.text, plans[f]));
        ASSERT_OK(handle, xattn_reserve(handle, info.workspace_bytes));
        const uint64_t before = allocations_of(handle);
        uint64_t first = 0;
        for (int round = 0; round < 2; round++) {
          ASSERT_OK(handle, xattn_forward_once(handle, c.layer, &x.t, &y.t, &c.options, &out.t));
          const uint64_t made = allocations_of(handle) - before;
          if (round == 0) first = made;
          ck_assert_uint_eq(made, first);
          ck_assert_uint_ge(made, merged[f]);
          ck_assert_uint_le(made, merged[f] + (packs(handle, halves[t]) ? MOST_PACKED : 0));
        }
        device_get(&out, &c.out.t);
        half_truth_check(&c.truth, &c.out.t);
        device_free(&x);
        device_free(&y);
        device_free(&out);
        half_case_close(&c);
        xattn_destroy(handle);
      }
}
END_TEST

/* Four times as many queries and keys take four times the workspace, not sixteen. */
START_TEST(workspace_grows_with_the_sum) {
  enum { N = 8192 };
  xattn_handle *handle = test_handle(2);
  for (int t = 0; t < 2; t++)
    for (int i = 0; i < LAYERS; i++) {
      half_case c;
      half_case_open(&c, handle, i, halves[t], REAL);
      for (int64_t plan = 0; (c.options.plan = xattn_plan_name(plan)) != NULL; plan++) {
        if (plan && !c.l.out_dim) continue;
        const xattn_options options = {.size = sizeof options, .plan = c.options.plan};
        uint64_t bytes[2];
        for (int large = 0; large < 2; large++) {
          const int64_t n = large ? 4 * N : N, b = c.l.batch;
          const xattn_tensor x = XATTN_TENSOR(NULL, halves[t], b, n, c.l.query_dim);
          const xattn_tensor y = XATTN_TENSOR(NULL, halves[t], b, n, c.l.context_dim);
          xattn_plan_info info = {.size = sizeof info};
          ASSERT_OK(handle, xattn_plan(handle, c.layer, &x, &y, NULL, &options, &info));
          bytes[large] = info.workspace_bytes;
        }
        ck_assert_msg(bytes[1] <= 4 * bytes[0] + 4096, "%s: %llu bytes, then %llu", options.plan,
                      (unsigned long long)bytes[0], (unsigned long long)bytes[1]);
      }
      half_case_close(&c);
    }
  xattn_destroy(handle);
}
END_TEST

Suite *suite_half(void) {
  Suite *suite = suite_create("half");
  TCase *tests = tcase_create("half");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, attention_on_a_grid);
  tcase_add_test(tests, scores_beyond_f16_do_not_overflow);
  tcase_add_test(tests, k_and_v_in_one_memory);
  tcase_add_test(tests, layers_end_to_end);
  tcase_add_test(tests, layers_by_every_plan);
  tcase_add_test(tests, the_cpu_rounds_once);
  tcase_add_test(tests, dtypes_do_not_mix);
  tcase_add_test(tests, no_memory_but_what_the_plan_says);
  tcase_add_test(tests, workspace_grows_with_the_sum);
  suite_add_tcase(suite, tests);
  return suite;
}
