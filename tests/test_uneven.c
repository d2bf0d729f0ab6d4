/* Batches with one long item among short ones: no thread is left alone with it, and the results are right. */
#include "plan.h"
#include "support.h"
#include "support_calls.h"

/* The attend step of ready heads on a CPU of two threads. */
static xattn_step step_of_wide(int64_t queries, int64_t heads, int64_t width, bool lengths) {
  enum { BATCH = 16, KEYS = 1500 };
  const xattn_view view = {KEYS * heads * width, heads * width, width, 1};
  const xattn_problem p = {.task = XATTN_TASK_ATTENTION,
                           .batch = BATCH,
                           .context_batch = BATCH,
                           .queries = queries,
                           .keys = KEYS,
                           .heads = heads,
                           .kv_heads = heads,
                           .head_dim = width,
                           .value_dim = width,
                           .scale = 1.0F,
                           .dtype = XATTN_F32,
                           .lengths = lengths,
                           .x = view,
                           .k = view,
                           .v = view,
                           .out = view,
                           .limits = {.max_extent = INT32_MAX,
                                      .score_bytes = 1 << 20,
                                      .parallel = 2,
                                      .row_alignment = 1,
                                      .tile_rows = 4096,
                                      .tile_keys = 512,
                                      .tile_floats = 1 << 15,
                                      .few_rows = XATTN_FEW_ROWS}};
  xattn_error error = {""};
  xattn_plan_steps plan;
  ck_assert_msg(xattn_plan_make(&error, &p, &test_rates, NULL, &plan) == XATTN_OK, "%s",
                error.text);
  ck_assert_int_eq(plan.count, 1);
  return plan.step[0];
}

static xattn_step step_of(int64_t queries, int64_t heads, bool lengths) {
  return step_of_wide(queries, heads, 64, lengths);
}

START_TEST(a_long_item_is_cut) {
  /* Few rows: by its keys. */
  ck_assert_int_eq(step_of(1, 1, false).key_pieces, 1);
  ck_assert_int_ge(step_of(1, 1, true).key_pieces, 4);
  ck_assert_int_ge(step_of(1, 3, true).key_pieces, 2); /* three heads for two threads */
  /* Many: by its rows, while these pay for reading its keys and values again. */
  ck_assert_int_eq(step_of(1000, 1, false).tile[0], 1000);
  ck_assert_int_le(step_of(1000, 1, true).tile[0], 500);
  ck_assert_int_eq(step_of(40, 1, true).tile[0], 40);
}
END_TEST

/* Of narrow heads, unless these leave a thread without work. */
START_TEST(nine_rows_are_a_tile) {
  ck_assert_int_eq(step_of(8, 4, false).tile[0], 0);
  ck_assert_int_eq(step_of(9, 4, false).tile[0], 9);
  ck_assert_int_eq(step_of(32, 4, true).tile[0], 32);
  /* One item may be long: three heads for two threads. */
  ck_assert_int_eq(step_of(32, 3, true).tile[0], 0);
  ck_assert_int_ge(step_of(32, 3, true).key_pieces, 2);
}
END_TEST

START_TEST(wide_keys_are_few_at_a_time) {
  ck_assert_int_eq(step_of_wide(100, 4, 16, false).tile[1], 512);
  ck_assert_int_eq(step_of_wide(100, 4, 64, false).tile[1], 256);
  ck_assert_int_eq(step_of_wide(100, 4, 128, false).tile[1], 128);
  ck_assert_int_eq(step_of_wide(100, 4, 512, false).tile[1], 96);
}
END_TEST

START_TEST(heads_side_by_side_are_taken_together) {
  ck_assert(step_of(1, 3, false).abreast);
  ck_assert(step_of(4, 3, true).abreast);
  ck_assert(step_of(1, 256, false).abreast); /* 16384 columns */
  ck_assert(!step_of(1, 257, false).abreast);
  ck_assert(!step_of(5, 3, false).abreast);
  ck_assert(!step_of(1, 1, false).abreast);
}
END_TEST

START_TEST(results_of_uneven_items) {
  static const char *const plans[] = {"direct", "push+defer", "push+project", "merge-x+defer"};
  static const int64_t queries[] = {1, 70};
  for (int threads = 1; threads <= 5; threads += 2)
    for (int i = 0; i < 4; i++) {
      rng r = {211 + (uint64_t)i};
      const test_layer shape = {.batch = 5,
                                .queries = queries[i % 2],
                                .keys = 700,
                                .query_dim = 24,
                                .context_dim = i < 2 ? 40 : 600, /* more than a tile is wide */
                                .heads = 2,
                                .head_dim = 12,
                                .out_dim = 20,
                                .biases = true};
      xattn_handle *handle = test_handle(threads);
      layer_call c;
      layer_call_init(&c, handle, &shape, REAL, (const layout[3]){DENSE, DENSE, DENSE}, true, &r);
      static const int32_t lengths[] = {3, 0, 700, 1, 2};
      for (int b = 0; b < 5; b++) c.lengths[b] = lengths[b];
      layer_call_solve(&c);
      for (int plan = 0; plan < 4; plan++) {
        const xattn_options options = layer_call_options(&c, plans[plan]);
        layer_call_spoil(&c);
        ASSERT_OK(handle, xattn_forward_once(handle, c.layer, &c.x.t, &c.y.t, &options, &c.out.t));
        layer_call_check(&c, plans[plan]);
      }
      layer_call_free(&c);
      xattn_destroy(handle);
    }
}
END_TEST

Suite *suite_uneven(void) {
  Suite *suite = suite_create("uneven");
  TCase *tests = tcase_create("uneven");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, a_long_item_is_cut);
  tcase_add_test(tests, heads_side_by_side_are_taken_together);
  tcase_add_test(tests, wide_keys_are_few_at_a_time);
  tcase_add_test(tests, nine_rows_are_a_tile);
  tcase_add_test(tests, results_of_uneven_items);
  suite_add_tcase(suite, tests);
  return suite;
}
