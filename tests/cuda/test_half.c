/* F16, BF16 and TF32: attention by the rule of SEMANTICS.md, whole layers against the plain implementation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"
#include "support_cuda.h"

static const xattn_dtype halves[] = {XATTN_F16, XATTN_BF16};

typedef struct shape {
  int64_t batch, queries, keys, heads, kv_heads, head_dim, value_dim;
} shape;

/* One attention of a dtype on the device; the inputs are rounded to it first. */
static void check_attention(xattn_handle *handle, const rule *by, xattn_dtype dtype, const shape *s,
                            const layout how[4], bool with_lengths, uint64_t seed) {
  rng r = {seed};
  guarded all[4] = {
      guarded_new(how[0], 4, (int64_t[]){s->batch, s->queries, s->heads, s->head_dim}),
      guarded_new(how[1], 4, (int64_t[]){s->batch, s->keys, s->kv_heads, s->head_dim}),
      guarded_new(how[2], 4, (int64_t[]){s->batch, s->keys, s->kv_heads, s->value_dim}),
      guarded_new(how[3], 4, (int64_t[]){s->batch, s->queries, s->heads, s->value_dim})};
  device_tensor d[4];
  int32_t lengths[16] = {(int32_t)s->keys, 0, (int32_t)s->keys / 2};
  for (int64_t b = 3; b < s->batch; b++) lengths[b] = (int32_t)rng_range(&r, 0, s->keys);
  const xattn_tensor lengths_tensor = XATTN_TENSOR(lengths, XATTN_I32, s->batch);
  const xattn_options options = {.size = sizeof options,
                                 .key_lengths = with_lengths ? &lengths_tensor : NULL};
  for (int i = 0; i < 3; i++) {
    guarded_fill(&all[i], &r, i < 2 ? 2.0 : 1.0);
    quantise(&all[i].t, dtype);
    d[i] = device_copy(handle, &all[i].t, dtype);
  }
  d[3] = device_new(handle, &all[3].t, dtype, 0);
  ASSERT_OK(handle, xattn_attention(handle, &d[0].t, &d[1].t, &d[2].t, 0.0F, &options, &d[3].t));
  device_get(&d[3], &all[3].t);
  check_attention_rule(by, &all[0].t, &all[1].t, &all[2].t, 1.0 / sqrt((double)s->head_dim),
                       with_lengths ? lengths : NULL, &all[3].t);
  for (int i = 0; i < 4; i++) {
    device_check(&d[i], "a tensor of attention");
    device_free(&d[i]);
    guarded_free(&all[i]);
  }
}

START_TEST(attention_on_a_grid) {
  static const shape shapes[] = {{1, 1, 1, 1, 1, 1, 1},      {2, 3, 7, 2, 2, 5, 3},
                                 {3, 17, 33, 4, 2, 16, 8},   {2, 31, 65, 6, 1, 7, 9},
                                 {1, 5, 300, 2, 1, 64, 64},  {4, 9, 129, 3, 3, 33, 1},
                                 {2, 2, 1030, 1, 1, 8, 8},   {3, 40, 64, 8, 8, 32, 32},
                                 {2, 33, 257, 4, 4, 12, 20}, {3, 6, 0, 2, 2, 4, 4}};
  static const layout hows[][4] = {{DENSE, DENSE, DENSE, DENSE},
                                   {GAPS, GAPS, GAPS, GAPS},
                                   {REVERSED, BROADCAST, REVERSED, REVERSED}};
  xattn_handle *handle = cuda_handle();
  for (int t = 0; t < 2; t++)
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
      for (int code = 0; code < 6; code++)
        check_attention(handle, rule_of(halves[t]), halves[t], &shapes[i],
                        hows[shapes[i].keys ? code % 3 : 0], code / 3, 131 + i);
  xattn_destroy(handle);
}
END_TEST

/* Scores beyond what F16 holds: they are kept in F32. */
START_TEST(scores_beyond_f16_do_not_overflow) {
  xattn_handle *handle = cuda_handle();
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

/* TF32 keeps its own rule, breaks that of F32, and is not taken unless asked for. */
START_TEST(tf32_where_asked_for) {
  static const shape s = {2, 33, 70, 4, 2, 64, 32};
  static const layout dense[4] = {DENSE, DENSE, DENSE, DENSE};
  xattn_handle *tf32 = cuda_handle_of("cuda", XATTN_MATH_TF32), *f32 = cuda_handle();
  check_attention(tf32, &rule_tf32, XATTN_F32, &s, dense, true, 141);
  check_attention(f32, &rule_f32, XATTN_F32, &s, dense, true, 141);
  job j;
  job_init(&j, f32, 142);
  guarded other = guarded_new(DENSE, 3, j.forward.t.shape);
  ASSERT_OK(tf32, xattn_forward_once(tf32, j.layer, &j.x.t, &j.y.t, &j.options, &other.t));
  double worst = 0.0;
  for (int64_t i = 0; i < 3 * 20 * 24; i++)
    worst = fmax(worst,
                 fabs((double)((float *)other.t.data)[i] - (double)((float *)j.forward.t.data)[i]));
  ck_assert_msg(worst > 1e-5 && worst < 1e-2, "TF32 differs by %.3g", worst);
  guarded_free(&other);
  /* F16 is what it is on either. */
  check_attention(tf32, &rule_f16, XATTN_F16, &s, dense, false, 143);
  job_free(&j);
  xattn_destroy(tf32);
  xattn_destroy(f32);
}
END_TEST

/* By forward_once on device tensors of the dtype (0), a context (1), or host tensors (2). */
static void run_layer(xattn_handle *handle, const xattn_layer *layer, xattn_dtype dtype, int way,
                      const guarded *x, const guarded *y, const xattn_options *options,
                      guarded *out) {
  device_tensor dx = device_copy(handle, &x->t, dtype), dy = device_copy(handle, &y->t, dtype);
  device_tensor dout = device_new(handle, &out->t, dtype, 0);
  if (way == 0)
    ASSERT_OK(handle, xattn_forward_once(handle, layer, &dx.t, &dy.t, options, &dout.t));
  if (way == 1) {
    xattn_context *context;
    ASSERT_OK(handle, xattn_context_create(handle, layer, &dy.t, options, &context));
    const xattn_options own = {.size = sizeof own, .plan = options->plan};
    ASSERT_OK(handle, xattn_forward(handle, layer, &dx.t, context, &own, &dout.t));
    xattn_context_destroy(context);
  }
  if (way == 2) {
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

static const test_layer layers[] = {{.batch = 2,
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
                                     .out_dim = 64}};
enum { LAYERS = sizeof layers / sizeof *layers };

/* A layer of the table and its streams, all of numbers that the dtype has. */
typedef struct half_case {
  test_layer l;
  xattn_dtype dtype;
  xattn_layer *layer;
  guarded x, y, out;
  int32_t lengths[3];
  xattn_tensor lengths_tensor;
  xattn_options options; /* the lengths */
} half_case;

static void half_case_open(half_case *c, xattn_handle *handle, int index, xattn_dtype dtype) {
  rng r = {151 + (uint64_t)index};
  *c = (half_case){.l = layers[index], .dtype = dtype};
  test_layer *l = &c->l;
  test_layer_init(l, &r);
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
}

static void half_case_check(half_case *c, xattn_handle *handle, int way) {
  run_layer(handle, c->layer, c->dtype, way, &c->x, &c->y, &c->options, &c->out);
  check_half_layer(c->dtype, &c->l, &c->x.t, &c->y.t, c->lengths, &c->out.t);
}

static void half_case_close(half_case *c) {
  guarded_free(&c->x);
  guarded_free(&c->y);
  guarded_free(&c->out);
  xattn_layer_destroy(c->layer);
  test_layer_free(&c->l);
}

START_TEST(layers_end_to_end) {
  xattn_handle *handle = cuda_handle();
  for (int t = 0; t < 2; t++)
    for (int i = 0; i < LAYERS; i++) {
      half_case c;
      half_case_open(&c, handle, i, halves[t]);
      for (int way = 0; way < 3; way++) half_case_check(&c, handle, way);
      half_case_close(&c);
    }
  xattn_destroy(handle);
}
END_TEST

/* Every plan rounds at other places than the plain implementation, which is direct, and is held to the same
 * rule. */
START_TEST(layers_by_every_plan) {
  xattn_handle *handle = cuda_handle();
  for (int t = 0; t < 2; t++)
    for (int i = 0; i < LAYERS; i++) {
      if (!layers[i].out_dim) continue; /* nothing to merge with */
      half_case c;
      half_case_open(&c, handle, i, halves[t]);
      for (int64_t plan = 0; (c.options.plan = xattn_plan_name(plan)) != NULL; plan++)
        for (int way = 0; way < 2; way++) half_case_check(&c, handle, way);
      half_case_close(&c);
    }
  xattn_destroy(handle);
}
END_TEST

START_TEST(dtypes_do_not_mix) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 161);
  job_to_device(&j, handle, &d);
  device_tensor x = device_copy(handle, &j.x.t, XATTN_F16),
                q = device_copy(handle, &j.q.t, XATTN_F16);
  ASSERT_FAILS(handle, xattn_forward_once(handle, j.layer, &x.t, &d.y.t, NULL, &d.forward.t),
               XATTN_ERROR_DTYPE, "x: dtype is F16, must be F32");
  ASSERT_FAILS(handle, xattn_attention(handle, &q.t, &d.k.t, &d.v.t, 0.0F, NULL, &d.attention.t),
               XATTN_ERROR_DTYPE, "k: dtype is F32, must be F16");
  xattn_layer *layer;
  j.l.weights.dtype = XATTN_F64;
  ASSERT_FAILS(handle, xattn_layer_create(handle, &j.l.weights, &layer), XATTN_ERROR_DTYPE, "F64");
  device_free(&x);
  device_free(&q);
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_half(void) {
  Suite *suite = suite_create("cuda-half");
  TCase *tests = cuda_tests("half");
  tcase_add_test(tests, attention_on_a_grid);
  tcase_add_test(tests, scores_beyond_f16_do_not_overflow);
  tcase_add_test(tests, tf32_where_asked_for);
  tcase_add_test(tests, layers_end_to_end);
  tcase_add_test(tests, layers_by_every_plan);
  tcase_add_test(tests, dtypes_do_not_mix);
  suite_add_tcase(suite, tests);
  return suite;
}
