/* Every exact form of a layer, from x and y at once and through a context made for it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_calls.h"

static const layout dense[3] = {DENSE, DENSE, DENSE};

static void through_a_context(layer_call *c, xattn_handle *handle, const char *plan,
                              const char *what) {
  xattn_options options = layer_call_options(c, plan);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, c->layer, &c->y.t, &options, &context));
  options.key_lengths = NULL;
  layer_call_spoil(c);
  ASSERT_OK(handle, xattn_forward(handle, c->layer, &c->x.t, context, &options, &c->out.t));
  xattn_context_destroy(context);
  layer_call_check(c, what);
}

/* Every form is as near to the truth as the rule of SEMANTICS.md asks, and for whole numbers the same. */
static void check_forms(layer_call *c, xattn_handle *handle) {
  char what[80];
  for (int64_t f = 0; xattn_plan_name(f); f++) {
    const char *plan = xattn_plan_name(f);
    xattn_options options = layer_call_options(c, plan);
    if (merges_values(plan) && !c->l.out_dim) {
      ASSERT_FAILS(handle,
                   xattn_forward_once(handle, c->layer, &c->x.t, &c->y.t, &options, &c->out.t),
                   XATTN_ERROR_UNSUPPORTED, "the layer has no out_weight");
      continue;
    }
    layer_call_spoil(c);
    ASSERT_OK(handle, xattn_forward_once(handle, c->layer, &c->x.t, &c->y.t, &options, &c->out.t));
    (void)snprintf(what, sizeof what, "%s once", plan);
    layer_call_check(c, what);
    (void)snprintf(what, sizeof what, "%s through a context", plan);
    through_a_context(c, handle, plan, what);
  }
}

static void check_random(uint64_t seed, int count, numbers kind, int64_t most) {
  xattn_handle *handle = test_handle((int)(seed % 3 + 1));
  rng r = {seed};
  for (int i = 0; i < count; i++) {
    test_layer shape = random_layer(&r, most);
    layout how[3] = {(layout)rng_range(&r, 0, 3), (layout)rng_range(&r, 0, 3),
                     (layout)rng_range(&r, 0, 2)};
    layer_call c;
    layer_call_init(&c, handle, &shape, kind, how, i % 3 == 0, &r);
    check_forms(&c, handle);
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}

/* The simulator takes its time, and so does an emulated CPU. */
static int rounds(int many, int few) {
  int count = on_cpu() && !getenv("XATTN_TEST_SHORT") ? many : few;
  return getenv("XATTN_TEST_LONG") ? 20 * count : count;
}

START_TEST(random_layers) {
  check_random((uint64_t)(2000 + _i), rounds(25, 3), REAL, _i < 8 ? 50 : 6);
}
END_TEST

/* K, V, M, N and all their products are small whole numbers here. One key, or a few of the same score, takes all of the
 * softmax, so no order of operations rounds. */
START_TEST(whole_numbers) {
  check_random((uint64_t)(3000 + _i), rounds(25, 4), INTEGER, _i < 2 ? 20 : 8);
}
END_TEST

/* Scores that are over the budget of a chunk, in heads and in rows, with few, one and many heads a group. */
START_TEST(more_scores_than_a_chunk_holds) {
  static const struct {
    int64_t batch, queries, keys, heads, kv_heads;
  } shapes[] = {
      {2, 90, 4000, 4, 2}, {1, 2600, 500, 1, 1}, {3, 100, 3000, 3, 1}, {3, 7, 9000, 8, 8}};
  xattn_handle *handle = test_handle(1);
  rng r = {72};
  int64_t part = on_cpu() ? 1 : 8; /* the simulator takes its time, and has a budget of its own */
  test_layer l = {.batch = shapes[_i].batch,
                  .queries = shapes[_i].queries,
                  .keys = shapes[_i].keys / part,
                  .query_dim = 3,
                  .context_dim = 4,
                  .heads = shapes[_i].heads,
                  .kv_heads = shapes[_i].kv_heads,
                  .head_dim = 3,
                  .value_dim = 2,
                  .out_dim = 5,
                  .biases = true};
  layer_call c;
  layer_call_init(&c, handle, &l, REAL, dense, true, &r);
  check_forms(&c, handle);
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

START_TEST(the_same_call_gives_the_same_bits) {
  xattn_handle *handle = test_handle(2);
  rng r = {73};
  test_layer l = {.batch = 3,
                  .queries = 20,
                  .keys = 33,
                  .query_dim = 12,
                  .context_dim = 17,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 9,
                  .value_dim = 7,
                  .out_dim = 11,
                  .biases = true};
  layer_call c;
  layer_call_init(&c, handle, &l, REAL, dense, true, &r);
  size_t bytes = (size_t)c.out.size * sizeof(float);
  float *first = malloc(bytes);
  ck_assert_ptr_nonnull(first);
  for (int64_t f = 0; xattn_plan_name(f); f++) {
    xattn_options options = layer_call_options(&c, xattn_plan_name(f));
    for (int i = 0; i < 3; i++) {
      layer_call_spoil(&c);
      ASSERT_OK(handle, xattn_forward_once(handle, c.layer, &c.x.t, &c.y.t, &options, &c.out.t));
      if (i == 0) memcpy(first, c.out.memory, bytes);
      ck_assert_msg(memcmp(first, c.out.memory, bytes) == 0, "%s: other bits", options.plan);
    }
  }
  free(first);
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

/* Without an order between them, keys count alike: out is the mean of V, which is exact for a power of two. */
START_TEST(queries_of_zero_give_the_mean) {
  xattn_handle *handle = test_handle(1);
  rng r = {74};
  test_layer l = {.batch = 2,
                  .queries = 3,
                  .keys = 16,
                  .query_dim = 5,
                  .context_dim = 6,
                  .heads = 2,
                  .head_dim = 4,
                  .value_dim = 3,
                  .out_dim = 7};
  layer_call c;
  layer_call_init(&c, handle, &l, INTEGER, dense, false, &r);
  for (int64_t b = 0; b < 2; b++)
    for (int64_t i = 0; i < 3; i++)
      for (int64_t d = 0; d < 5; d++) *guarded_at(&c.x, b, i, d, 0) = 0.0F;
  layer_call_solve(&c); /* 16 keys are tied in every row */
  for (int64_t i = 0; i < 2 * 3 * 7; i++) ck_assert(!isnan(c.truth[i]));
  check_forms(&c, handle);
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

/* V of 1 gives 1, whatever the scores, within the rounding of the probabilities: Σ p differs from 1 by a unit or
 * two in the last place. A row without keys is bo to the bit. */
START_TEST(values_of_one_and_rows_without_keys) {
  xattn_handle *handle = test_handle(1);
  rng r = {75};
  test_layer l = {.batch = 4,
                  .queries = 5,
                  .keys = 13,
                  .query_dim = 6,
                  .context_dim = 4,
                  .heads = 2,
                  .head_dim = 5,
                  .value_dim = 1,
                  .out_dim = 2,
                  .biases = true};
  layer_call c;
  layer_call_init(&c, handle, &l, REAL, dense, true, &r);
  const int32_t lengths[4] = {0, 13, 0, 6};
  memcpy(c.lengths, lengths, sizeof lengths);
  float *wv = c.l.tensor[2].data, *wo = c.l.tensor[3].data, *bv = c.l.tensor[6].data;
  memset(wv, 0, 2 * 4 * sizeof *wv);
  for (int i = 0; i < 4; i++) wo[i] = i == 0 || i == 3 ? 1.0F : 0.0F;
  wv[0] = wv[4] = 0.25F; /* times y's first column of 2, plus 0.5 */
  bv[0] = bv[1] = 0.5F;
  for (int64_t b = 0; b < 4; b++)
    for (int64_t j = 0; j < 13; j++) *guarded_at(&c.y, b, j, 0, 0) = 2.0F;
  const float *bo = c.l.tensor[7].data;
  xattn_layer_destroy(c.layer);
  ASSERT_OK(handle, xattn_layer_create(handle, &c.l.weights, &c.layer));
  for (int64_t f = 0; xattn_plan_name(f); f++) {
    xattn_options options = layer_call_options(&c, xattn_plan_name(f));
    layer_call_spoil(&c);
    ASSERT_OK(handle, xattn_forward_once(handle, c.layer, &c.x.t, &c.y.t, &options, &c.out.t));
    for (int64_t b = 0; b < 4; b++)
      for (int64_t i = 0; i < 5; i++)
        for (int64_t d = 0; d < 2; d++) {
          float got = *guarded_at(&c.out, b, i, d, 0);
          if (lengths[b] == 0)
            ck_assert_msg(got == bo[d], "%s: %.9g without keys, bo is %.9g", options.plan, got,
                          bo[d]);
          else
            ck_assert_msg(fabsf(got - bo[d] - 1.0F) <= 0x1p-21F, "%s: %.9g", options.plan,
                          got - bo[d]);
        }
  }
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

/* What lies behind the lengths changes no bit, at once or through a context. */
START_TEST(masked_keys_never_reach_the_result) {
  static const float poison[] = {1000.0F, NAN, INFINITY, -INFINITY, 3e38F};
  xattn_handle *handle = test_handle(2);
  rng r = {76};
  for (int round = 0; round < 4; round++) {
    test_layer l = random_layer(&r, 12);
    l.keys += 3;
    l.out_dim += l.out_dim == 0;
    layout how[3] = {DENSE, (layout)rng_range(&r, 0, 2), GAPS};
    layer_call c;
    layer_call_init(&c, handle, &l, round % 2 ? INTEGER : REAL, how, true, &r);
    for (size_t p = 0; p < sizeof poison / sizeof *poison; p++) {
      for (int64_t b = 0; b < l.batch; b++)
        for (int64_t j = c.lengths[b]; j < l.keys; j++)
          for (int64_t d = 0; d < l.context_dim; d++) *guarded_at(&c.y, b, j, d, 0) = poison[p];
      check_forms(&c, handle);
    }
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

/* NaN in a key reaches every row of its item, NaN in a query its own row; nothing else has any. */
START_TEST(nan_stays_in_its_rows) {
  xattn_handle *handle = test_handle(2);
  rng r = {77};
  test_layer l = {.batch = 3,
                  .queries = 4,
                  .keys = 9,
                  .query_dim = 6,
                  .context_dim = 5,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 3,
                  .value_dim = 2,
                  .out_dim = 7,
                  .biases = true};
  layer_call c;
  layer_call_init(&c, handle, &l, REAL, dense, false, &r);
  for (int key = 0; key < 2; key++) {
    float *at = key ? guarded_at(&c.y, 1, 8, 2, 0) : guarded_at(&c.x, 1, 2, 3, 0), save = *at;
    *at = NAN;
    for (int64_t f = 0; xattn_plan_name(f); f++) {
      xattn_options options = layer_call_options(&c, xattn_plan_name(f));
      ASSERT_OK(handle, xattn_forward_once(handle, c.layer, &c.x.t, &c.y.t, &options, &c.out.t));
      for (int64_t b = 0; b < 3; b++)
        for (int64_t i = 0; i < 4; i++)
          for (int64_t d = 0; d < 7; d++)
            ck_assert_msg(!isnan(*guarded_at(&c.out, b, i, d, 0)) == !(b == 1 && (key || i == 2)),
                          "%s: out[%lld, %lld, %lld]", options.plan, (long long)b, (long long)i,
                          (long long)d);
    }
    *at = save;
  }
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

START_TEST(names) {
  ck_assert_str_eq(xattn_plan_name(0), "direct");
  int count = 0;
  for (; xattn_plan_name(count); count++)
    for (int before = 0; before < count; before++)
      ck_assert_str_ne(xattn_plan_name(before), xattn_plan_name(count));
  ck_assert_int_eq(count, 16);
  ck_assert_ptr_null(xattn_plan_name(-1));
  ck_assert_ptr_null(xattn_plan_name(INT64_MAX));
}
END_TEST

Suite *suite_forms(void) {
  Suite *suite = suite_create("forms");
  TCase *tests = tcase_create("forms");
  tcase_set_timeout(tests, getenv("XATTN_TEST_LONG") ? 1800 : 120);
  tcase_add_test(tests, names);
  tcase_add_loop_test(tests, random_layers, 0, 12);
  tcase_add_loop_test(tests, whole_numbers, 0, 4);
  tcase_add_loop_test(tests, more_scores_than_a_chunk_holds, 0, 4);
  tcase_add_test(tests, the_same_call_gives_the_same_bits);
  tcase_add_test(tests, queries_of_zero_give_the_mean);
  tcase_add_test(tests, values_of_one_and_rows_without_keys);
  tcase_add_test(tests, masked_keys_never_reach_the_result);
  tcase_add_test(tests, nan_stays_in_its_rows);
  suite_add_tcase(suite, tests);
  return suite;
}
