/* The planner by itself: no device, no memory. */
#include <string.h>

#include "plan.h"
#include "support.h"

static xattn_problem problem(int64_t batch, int64_t queries, int64_t keys, int64_t heads,
                             int64_t kv_heads) {
  xattn_problem p = {.task = XATTN_TASK_ONCE,
                     .batch = batch,
                     .context_batch = batch,
                     .queries = queries,
                     .keys = keys,
                     .query_dim = 512,
                     .context_dim = 1024,
                     .heads = heads,
                     .kv_heads = kv_heads,
                     .head_dim = 64,
                     .value_dim = 64,
                     .scale = 0.125F,
                     .limits = {INT32_MAX, 1 << 20, 2}};
  p.x = (xattn_view){queries * 512, 512, 0, 1};
  p.y = (xattn_view){keys * 1024, 1024, 0, 1};
  p.out = (xattn_view){queries * heads * 64, heads * 64, 64, 1};
  return p;
}

static xattn_plan_steps plan_of(const xattn_problem *p, const char *name) {
  xattn_error error = {""};
  xattn_plan_steps plan;
  ck_assert_msg(xattn_plan_make(&error, p, name, &plan) == XATTN_OK, "%s", error.text);
  return plan;
}

START_TEST(plans_are_pure) {
  xattn_problem p = problem(3, 50, 77, 8, 2);
  xattn_plan_steps a = plan_of(&p, NULL), b = plan_of(&p, "direct"), c = plan_of(&p, "auto");
  char text_a[1024], text_b[1024], text_c[1024];
  xattn_plan_text(&a, text_a, sizeof text_a);
  xattn_plan_text(&b, text_b, sizeof text_b);
  xattn_plan_text(&c, text_c, sizeof text_c);
  ck_assert_str_eq(text_a, text_b);
  ck_assert_str_eq(text_a, text_c);
  ck_assert_str_eq(a.name, "direct");
}
END_TEST

START_TEST(steps_of_the_direct_form) {
  xattn_problem p = problem(1, 1024, 1024, 1, 1);
  p.head_dim = p.value_dim = 1024;
  p.out.row = 1024;
  p.out.batch = 1024 * 1024;
  xattn_plan_steps plan = plan_of(&p, NULL);
  ck_assert_int_eq(plan.count, 4);
  ck_assert_str_eq(plan.step[0].text, "K = y·Wkᵀ");
  ck_assert_str_eq(plan.step[1].text, "V = y·Wvᵀ");
  ck_assert_str_eq(plan.step[2].text, "Q = x·Wqᵀ");
  ck_assert_int_eq(plan.step[3].kind, XATTN_STEP_ATTEND);
  /* 2·1024²·(512 + 1024 + 1024 + 1024 + 1024) */
  ck_assert(plan.flops == 2.0 * 1024 * 1024 * (512 + 4 * 1024));
  char text[1024];
  xattn_plan_text(&plan, text, sizeof text);
  ck_assert_ptr_nonnull(strstr(text, "plan direct: 4 steps, 9.664 GFLOP"));

  p.out_dim = 256;
  p.out_bias = p.query_bias = true;
  p.out = (xattn_view){1024 * 256, 256, 0, 1};
  plan = plan_of(&p, NULL);
  ck_assert_int_eq(plan.count, 5);
  ck_assert_str_eq(plan.step[2].text, "Q = x·Wqᵀ + bq");
  ck_assert_str_eq(plan.step[4].text, "out = O·Woᵀ + bo");
  ck_assert_int_eq(plan.step[4].bias, XATTN_SLOT_BO);

  p.task = XATTN_TASK_FORWARD;
  ck_assert_int_eq(plan_of(&p, NULL).count, 3);
  p.task = XATTN_TASK_CONTEXT;
  ck_assert_int_eq(plan_of(&p, NULL).count, 2);
}
END_TEST

START_TEST(copies_only_where_strides_need_them) {
  xattn_problem p = problem(4, 50, 77, 8, 8);
  p.y = (xattn_view){1, 4, 0, 308};               /* columns outermost */
  p.out = (xattn_view){50 * 512, 1, 64 * 50, 50}; /* transposed */
  xattn_plan_steps plan = plan_of(&p, NULL);
  ck_assert_int_eq(plan.count, 6);
  ck_assert_int_eq(plan.step[0].kind, XATTN_STEP_COPY);
  ck_assert_int_eq(plan.step[5].kind, XATTN_STEP_COPY);
  p = problem(4, 50, 77, 8, 8);
  p.y.row = 0; /* one row for all keys */
  ck_assert_int_eq(plan_of(&p, NULL).step[0].kind, XATTN_STEP_COPY);
  p = problem(4, 50, 77, 8, 8);
  p.x.row = 1000; /* gaps: no copy, but a GEMM an item */
  p.x.batch = 50001;
  plan = plan_of(&p, NULL);
  ck_assert_int_eq(plan.count, 4);
  ck_assert_int_eq(plan.step[2].batch, 4);
  ck_assert_int_eq(plan.step[0].batch, 1);
  ck_assert_int_eq(plan.step[0].rows, 4 * 77);
}
END_TEST

START_TEST(equal_items_are_projected_once) {
  xattn_problem p = problem(16, 50, 77, 8, 8);
  xattn_plan_steps all = plan_of(&p, NULL);
  p.context_batch = 1;
  p.y.batch = 0;
  p.x.batch = 0;
  xattn_plan_steps once = plan_of(&p, NULL);
  ck_assert(once.step[0].flops * 16 == all.step[0].flops);
  ck_assert(once.step[2].flops * 16 == all.step[2].flops);
  ck_assert_int_eq(once.step[3].a.view.batch, 0);
  ck_assert_int_eq(once.step[3].b.view.batch, 0);
}
END_TEST

/* Whatever the shape, scores fit the budget (or are one row), every piece has its place, and the
 * workspace grows with Nq + Nk, not with their product. */
START_TEST(chunks_stay_in_the_budget) {
  rng r = {7};
  for (int i = 0; i < 2000; i++) {
    int64_t kv_heads = rng_range(&r, 1, 9), heads = kv_heads * rng_range(&r, 1, 5);
    xattn_problem p = problem(rng_range(&r, 1, 40), rng_range(&r, 1, 5000), rng_range(&r, 1, 20000),
                              heads, kv_heads);
    p.limits.parallel = rng_range(&r, 1, 16);
    xattn_plan_steps plan = plan_of(&p, NULL);
    const xattn_step *s = &plan.step[3];
    int64_t most[4] = {p.batch, kv_heads, heads / kv_heads, p.queries};
    int64_t rows = 1;
    for (int j = 0; j < 4; j++) {
      ck_assert_int_ge(s->chunk[j], 1);
      ck_assert_int_le(s->chunk[j], most[j]);
      rows *= s->chunk[j];
    }
    ck_assert(rows == 1 || rows * p.keys * 4 <= p.limits.score_bytes);
    int64_t scores_end = s->scores * 4 + rows * p.keys * 4;
    ck_assert_int_le(scores_end, plan.workspace);
    for (int j = 0; j < plan.count; j++)
      if (plan.step[j].c.slot == XATTN_SLOT_WORKSPACE)
        ck_assert_int_lt(plan.step[j].c.offset * 4, plan.workspace);
  }
  xattn_problem p = problem(1, 8192, 8192, 8, 8);
  int64_t once = plan_of(&p, NULL).workspace;
  p.queries = p.keys = 4 * 8192;
  ck_assert_int_le(plan_of(&p, NULL).workspace, 4 * once);
}
END_TEST

START_TEST(names_and_sizes_that_cannot_be) {
  xattn_problem p = problem(1, 2, 3, 1, 1);
  xattn_error error;
  xattn_plan_steps plan;
  ck_assert_int_eq(xattn_plan_make(&error, &p, "sideways", &plan), XATTN_ERROR_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(error.text, "\"sideways\" is unknown; known are auto, direct"));
  p = problem(INT32_MAX, INT32_MAX, INT32_MAX, 64, 64);
  ck_assert_int_eq(xattn_plan_make(&error, &p, NULL, &plan), XATTN_ERROR_MEMORY);
}
END_TEST

Suite *suite_plan(void) {
  Suite *suite = suite_create("plan");
  TCase *tests = tcase_create("plan");
  tcase_add_test(tests, plans_are_pure);
  tcase_add_test(tests, steps_of_the_direct_form);
  tcase_add_test(tests, copies_only_where_strides_need_them);
  tcase_add_test(tests, equal_items_are_projected_once);
  tcase_add_test(tests, chunks_stay_in_the_budget);
  tcase_add_test(tests, names_and_sizes_that_cannot_be);
  suite_add_tcase(suite, tests);
  return suite;
}
