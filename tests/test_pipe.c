/* Pipes: when x is projected, attends and is projected out some rows after another, and that it gives what whole steps
 * give. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "support.h"
#include "support_calls.h"

/* Like one of Stable Diffusion's layers, on a CPU of two threads. */
static xattn_problem image_and_text(int64_t batch, int64_t queries, int64_t keys) {
  enum { HEADS = 8, WIDTH = 40, TOTAL = HEADS * WIDTH, TEXT = 768 };
  return (xattn_problem){.task = XATTN_TASK_ONCE,
                         .batch = batch,
                         .context_batch = batch,
                         .queries = queries,
                         .keys = keys,
                         .query_dim = TOTAL,
                         .context_dim = TEXT,
                         .heads = HEADS,
                         .kv_heads = HEADS,
                         .head_dim = WIDTH,
                         .value_dim = WIDTH,
                         .out_dim = TOTAL,
                         .scale = 1.0F,
                         .dtype = XATTN_F32,
                         .x = {queries * TOTAL, TOTAL, 0, 1},
                         .y = {keys * TEXT, TEXT, 0, 1},
                         .out = {queries * TOTAL, TOTAL, 0, 1},
                         .limits = {.max_extent = INT32_MAX,
                                    .score_bytes = 1 << 20,
                                    .parallel = 2,
                                    .row_alignment = 1,
                                    .tile_rows = 4096,
                                    .tile_keys = 512,
                                    .few_rows = XATTN_FEW_ROWS,
                                    .packing = 8,
                                    .wide = true,
                                    .pipe_rows = 256}};
}

/* The pipe of a form; fails unless the steps fit one another. */
static xattn_pipe pipe_of(const xattn_problem *p, const char *form) {
  xattn_error error = {""};
  xattn_plan_steps plan;
  ck_assert_msg(xattn_plan_make(&error, p, &test_rates, form, &plan) == XATTN_OK, "%s", error.text);
  xattn_pipe pipe = {0};
  int piped = 0, attend = 0;
  for (int i = 0; i < plan.count; i++) {
    piped += plan.step[i].piped;
    if (plan.step[i].kind == XATTN_STEP_ATTEND) attend = i;
  }
  pipe = plan.step[attend].pipe;
  ck_assert_int_eq(piped, pipe.items ? 1 + (p->out_dim > 0) : 0);
  if (!pipe.items) return pipe;
  ck_assert(plan.step[attend - 1].piped && (!p->out_dim || plan.step[attend + 1].piped));
  ck_assert_int_eq(plan.step[attend].tile[0], pipe.rows);
  ck_assert_int_ge(pipe.rows * pipe.pieces, p->queries);
  return pipe;
}

START_TEST(pipes_where_they_pay) {
  xattn_problem p = image_and_text(2, 4096, 77);
  xattn_pipe pipe = pipe_of(&p, "direct");
  ck_assert(pipe.items == 1 && pipe.pieces == 16 && pipe.rows >= 256 && pipe.rows < 288);
  p.out_dim = 0;
  ck_assert_int_eq(pipe_of(&p, "direct").pieces, 16);
  p = image_and_text(2, 4096, 60);
  p.out_dim = 0;
  ck_assert_int_eq(pipe_of(&p, "direct").pieces, 16);
  p = image_and_text(1, 4096, 77); /* all of Q stays in a cache */
  p.out_dim = 0;
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p = image_and_text(1, 1024, 50); /* four times as many pieces as threads */
  ck_assert_int_eq(pipe_of(&p, "direct").pieces, 8);
  p = image_and_text(16, 64, 77); /* whole items */
  pipe = pipe_of(&p, "direct");
  ck_assert(pipe.items == 2 && pipe.pieces == 1 && pipe.rows == 64);
  p.limits.parallel = 1;
  ck_assert_int_eq(pipe_of(&p, "direct").items, 4);

  p = image_and_text(2, 4096, 77);
  p.lengths = true;
  ck_assert_int_eq(pipe_of(&p, "direct").pieces, 16);
  ck_assert_int_eq(pipe_of(&p, "push+project").items, 0);
  p.kv_heads = 2;
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p = image_and_text(16, 64, 77);
  p.lengths = true; /* one item may be long */
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p = image_and_text(2, 4096, 8000); /* to pack again and again */
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p = image_and_text(100, XATTN_FEW_ROWS, 77);
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p = image_and_text(4, 64, 77); /* too few for two threads */
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p = image_and_text(2, 4096, 77);
  p.x.batch = 0; /* projected once for both */
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p = image_and_text(2, 4096, 77);
  p.dtype = XATTN_BF16; /* weights are not packed */
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p.limits.packing_bf16 = 8;
  ck_assert_int_eq(pipe_of(&p, "direct").pieces, 16);
  p.dtype = XATTN_F16;
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
  p = image_and_text(2, 4096, 77);
  p.limits.pipe_rows = 0;
  ck_assert_int_eq(pipe_of(&p, "direct").items, 0);
}
END_TEST

/* What is between the steps has room for the threads alone. */
START_TEST(workspace_does_not_grow_with_queries) {
  int64_t workspace[2];
  for (int i = 0; i < 2; i++) {
    xattn_problem p = image_and_text(2, i ? 40000 : 4000, 77);
    xattn_error error;
    xattn_plan_steps plan;
    ck_assert_int_eq(xattn_plan_make(&error, &p, &test_rates, "direct", &plan), XATTN_OK);
    workspace[i] = plan.workspace;
  }
  ck_assert_int_le(workspace[1], workspace[0] + workspace[0] / 10);
}
END_TEST

static const test_layer shapes[] = {
    /* pieces of rows, and rows that are left over */
    {.batch = 3, .queries = 1301, .keys = 5, .query_dim = 40, .context_dim = 24, .heads = 3},
    {.batch = 1, .queries = 1024, .keys = 5, .query_dim = 64, .context_dim = 8, .heads = 2},
    /* whole items, the last alone */
    {.batch = 41, .queries = 35, .keys = 9, .query_dim = 20, .context_dim = 30, .heads = 4},
    {.batch = 13, .queries = 200, .keys = 30, .query_dim = 33, .context_dim = 12, .heads = 1}};

/* Right, and the same on any number of threads, which cut the rows into other pieces or take whole steps. */
START_TEST(results_of_pipes) {
  const bool out = _i & 1, biases = _i & 2, gaps = _i & 4, lengths = _i & 8;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    if (!on_cpu() && (s != 2 || _i % 5))
      continue; /* CUDA has no pipes, and the simulator is slow */
    test_layer shape = shapes[s];
    shape.head_dim = 12;
    shape.out_dim = out ? 28 : 0;
    shape.biases = biases;
    float *first = NULL;
    int piped = 0; /* Q is not there as a whole */
    for (int threads = 1; threads <= (on_cpu() ? 3 : 1); threads++) {
      rng r = {301 + (uint64_t)_i};
      xattn_handle *handle = test_handle(threads);
      layer_call c;
      const layout how = gaps ? GAPS : DENSE;
      layer_call_init(&c, handle, &shape, REAL, (const layout[3]){how, DENSE, how}, lengths, &r);
      xattn_options options = layer_call_options(&c, "direct");
      layer_call_spoil(&c);
      ASSERT_OK(handle, xattn_forward_once(handle, c.layer, &c.x.t, &c.y.t, &options, &c.out.t));
      layer_call_check(&c, "a pipe");
      xattn_plan_info info = {.size = sizeof info};
      ASSERT_OK(handle, xattn_plan(handle, c.layer, &c.x.t, &c.y.t, NULL, &options, &info));
      piped += info.workspace_bytes < (uint64_t)(shape.batch * shape.queries * shape.heads) * 48;
      const int64_t count = shape.batch * shape.queries * result_width(&c.l);
      float *got = malloc((size_t)count * sizeof *got);
      ck_assert_ptr_nonnull(got);
      const xattn_tensor dense =
          XATTN_TENSOR(got, XATTN_F32, shape.batch, shape.queries, result_width(&c.l));
      ASSERT_OK(NULL, xattn_tensor_convert(&c.out.t, &dense));
      if (first) ck_assert(!on_cpu() || !memcmp(first, got, (size_t)count * sizeof *got));
      if (first) free(got);
      if (!first) first = got;
      layer_call_free(&c);
      xattn_destroy(handle);
    }
    free(first);
    ck_assert(!on_cpu() || (lengths && s >= 2) || piped);
  }
}
END_TEST

/* A forward over a resident context, F32 and F16. */
START_TEST(pipes_over_a_context) {
  static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16};
  xattn_handle *handle = test_handle(2);
  rng r = {331};
  test_layer shape = {.batch = 3,
                      .queries = 900,
                      .keys = 6,
                      .query_dim = 32,
                      .context_dim = 20,
                      .heads = 2,
                      .head_dim = 10,
                      .out_dim = 16,
                      .biases = true};
  layer_call c;
  layer_call_init(&c, handle, &shape, REAL, (const layout[3]){DENSE, DENSE, DENSE}, true, &r);
  xattn_options options = layer_call_options(&c, "direct");
  for (int i = 0; i < 2; i++) {
    options.context_dtype = dtypes[i];
    xattn_context *context;
    ASSERT_OK(handle, xattn_context_create(handle, c.layer, &c.y.t, &options, &context));
    layer_call_spoil(&c);
    const xattn_options forward = {.size = sizeof forward, .plan = "direct"};
    ASSERT_OK(handle, xattn_forward(handle, c.layer, &c.x.t, context, &forward, &c.out.t));
    if (dtypes[i] == XATTN_F16) c.plain_error += 1e-3 * c.largest;
    layer_call_check(&c, xattn_dtype_name(dtypes[i]));
    xattn_context_destroy(context);
  }
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_pipe(void) {
  Suite *suite = suite_create("pipe");
  TCase *tests = tcase_create("pipe");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, pipes_where_they_pay);
  tcase_add_test(tests, workspace_does_not_grow_with_queries);
  tcase_add_loop_test(tests, results_of_pipes, 0, 16);
  tcase_add_test(tests, pipes_over_a_context);
  suite_add_tcase(suite, tests);
  return suite;
}
