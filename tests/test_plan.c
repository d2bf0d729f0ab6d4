/* The planner by itself: no device, no memory. */
#include <stdio.h>
#include <string.h>

#include "plan.h"
#include "support.h"

static xattn_problem problem(int64_t batch, int64_t queries, int64_t keys, int64_t heads,
                             int64_t kv_heads) {
  xattn_problem p = {
      .task = XATTN_TASK_ONCE,
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
      .dtype = XATTN_F32,
      .limits = {
          .max_extent = INT32_MAX, .score_bytes = 1 << 20, .parallel = 2, .row_alignment = 1}};
  p.x = (xattn_view){queries * 512, 512, 0, 1};
  p.y = (xattn_view){keys * 1024, 1024, 0, 1};
  p.out = (xattn_view){queries * heads * 64, heads * 64, 64, 1};
  return p;
}

/* Of a server's CPU: products of few rows wait for memory. */
static const xattn_rates cpu_like = {.flops = 2e11,
                                     .flops_half = 2e11,
                                     .operands = 3e10,
                                     .stream = 2e10,
                                     .softmax = 1e9,
                                     .launch = 1e-6};

static xattn_plan_steps plan_at(const xattn_problem *p, const xattn_rates *rates,
                                const char *name) {
  xattn_error error = {""};
  xattn_plan_steps plan;
  memset(&plan, 0, sizeof plan);
  ck_assert_msg(xattn_plan_make(&error, p, rates, name, &plan) == XATTN_OK, "%s", error.text);
  return plan;
}

static xattn_plan_steps plan_of(const xattn_problem *p, const char *name) {
  return plan_at(p, &cpu_like, name);
}

static const char *chosen(const xattn_problem *p) {
  return xattn_form_name(plan_of(p, NULL).form);
}

/* A problem of any task. */
static xattn_problem random_problem(rng *r) {
  int64_t kv_heads = rng_range(r, 1, 6), heads = kv_heads * rng_range(r, 1, 4);
  xattn_problem p =
      problem(rng_range(r, 0, 9), rng_range(r, 0, 3000), rng_range(r, 0, 5000), heads, kv_heads);
  p.task = (xattn_task)rng_range(r, 0, 2);
  p.query_dim = rng_range(r, 1, 700);
  p.context_dim = rng_range(r, 1, 700);
  p.head_dim = rng_range(r, 1, 200);
  p.value_dim = rng_range(r, 1, 200);
  p.out_dim = rng_range(r, 0, 2) ? rng_range(r, 1, 700) : 0;
  p.query_bias = p.value_bias = rng_range(r, 0, 1);
  p.out_bias = p.query_bias && p.out_dim;
  p.lengths = rng_range(r, 0, 1);
  if (rng_range(r, 0, 3) == 0) p.context_batch = p.batch > 0;
  p.limits.parallel = rng_range(r, 1, 16);
  p.limits.row_alignment = rng_range(r, 0, 1) ? 8 : 1;
  p.limits.tile_rows = rng_range(r, 0, 1) ? rng_range(r, 16, 300) : 0;
  p.limits.tile_keys = rng_range(r, 1, 200);
  p.limits.tile_floats = rng_range(r, 0, 60000);
  int64_t width = p.out_dim ? p.out_dim : heads * p.value_dim;
  p.x = (xattn_view){p.queries * p.query_dim, p.query_dim, 0, 1};
  p.y = (xattn_view){p.context_batch < p.batch ? 0 : p.keys * p.context_dim, p.context_dim, 0, 1};
  p.out = (xattn_view){p.queries * width, width, p.value_dim, 1};
  if (rng_range(r, 0, 4) == 0) p.x.column = 2;
  if (rng_range(r, 0, 4) == 0) p.y.column = 2;
  if (rng_range(r, 0, 4) == 0) p.out.column = 2;
  p.store = (xattn_store){.scores = (xattn_kept)rng_range(r, 0, 2),
                          .values = (xattn_kept)rng_range(r, 0, p.out_dim ? 2 : 1),
                          .dtype = rng_range(r, 0, 3) ? XATTN_F32 : XATTN_F16,
                          .capacity = p.keys + rng_range(r, 0, 100)};
  p.limits.wide = p.limits.tile_rows > 0; /* as the CPU is */
  if (rng_range(r, 0, 3) == 0) p.dtype = p.store.dtype = XATTN_F16;
  p.uses = rng_range(r, 0, 30);
  p.expected_queries = rng_range(r, 0, 100);
  return p;
}

static bool same_operand(const xattn_operand *a, const xattn_operand *b) {
  const xattn_view *v = &a->view, *w = &b->view;
  return a->slot == b->slot && a->dtype == b->dtype && a->offset == b->offset &&
         a->heads == b->heads && v->batch == w->batch && v->row == w->row && v->head == w->head &&
         v->column == w->column;
}

static bool same_step(const xattn_step *a, const xattn_step *b) {
  const int64_t numbers[2][16] = {
      {a->batch, a->rows, a->groups, a->heads, a->columns, a->depth, a->keys, a->chunk[0],
       a->chunk[1], a->chunk[2], a->chunk[3], a->tile[0], a->tile[1], a->scores, a->probabilities,
       a->score_ld},
      {b->batch, b->rows, b->groups, b->heads, b->columns, b->depth, b->keys, b->chunk[0],
       b->chunk[1], b->chunk[2], b->chunk[3], b->tile[0], b->tile[1], b->scores, b->probabilities,
       b->score_ld}};
  return a->kind == b->kind && strcmp(a->text, b->text) == 0 && a->scale == b->scale &&
         memcmp(numbers[0], numbers[1], sizeof numbers[0]) == 0 &&
         a->b_transposed == b->b_transposed && a->joined == b->joined &&
         a->where_keys == b->where_keys && a->fold_scores == b->fold_scores &&
         a->fold_values == b->fold_values && a->sum_heads == b->sum_heads &&
         same_operand(&a->a, &b->a) && same_operand(&a->b, &b->b) && same_operand(&a->c, &b->c) &&
         same_operand(&a->d, &b->d) && same_operand(&a->bias, &b->bias) &&
         same_operand(&a->otherwise, &b->otherwise) && same_operand(&a->key_bias, &b->key_bias) &&
         same_operand(&a->wide_b, &b->wide_b) && same_operand(&a->wide_d, &b->wide_d);
}

static void check_same(const xattn_plan_steps *a, const xattn_plan_steps *b) {
  ck_assert_str_eq(xattn_form_name(a->form), xattn_form_name(b->form));
  ck_assert_int_eq(a->workspace, b->workspace);
  ck_assert_int_eq(a->count, b->count);
  ck_assert(a->cost.flops == b->cost.flops && a->cost.bytes == b->cost.bytes);
  ck_assert(a->cost.seconds == b->cost.seconds && a->cost.launches == b->cost.launches);
  for (int i = 0; i < a->count; i++) ck_assert(same_step(&a->step[i], &b->step[i]));
}

/* A plan follows from the problem and the rates alone. */
START_TEST(plans_are_pure) {
  rng r = {6};
  for (int i = 0; i < 300; i++) {
    xattn_problem p = random_problem(&r);
    xattn_plan_steps a = plan_of(&p, NULL), b = plan_of(&p, "auto");
    check_same(&a, &b);
    b = plan_of(&p, xattn_form_name(a.form));
    check_same(&a, &b);
    char text_a[1024], text_b[1024];
    xattn_plan_text(&a, text_a, sizeof text_a);
    xattn_plan_text(&b, text_b, sizeof text_b);
    ck_assert_str_eq(text_a, text_b);
  }
}
END_TEST

START_TEST(steps_of_the_direct_form) {
  xattn_problem p = problem(1, 1024, 1024, 1, 1);
  p.head_dim = p.value_dim = 1024;
  p.out.row = 1024;
  p.out.batch = 1024 * 1024;
  xattn_plan_steps plan = plan_of(&p, "direct");
  ck_assert_int_eq(plan.count, 4);
  ck_assert_str_eq(plan.step[0].text, "K = y·Wkᵀ");
  ck_assert_str_eq(plan.step[1].text, "V = y·Wvᵀ");
  ck_assert_str_eq(plan.step[2].text, "Q = x·Wqᵀ");
  ck_assert_int_eq(plan.step[3].kind, XATTN_STEP_ATTEND);
  /* 2·1024²·(512 + 1024 + 1024 + 1024 + 1024) */
  ck_assert(plan.cost.flops == 2.0 * 1024 * 1024 * (512 + 4 * 1024));
  char text[1024];
  xattn_plan_text(&plan, text, sizeof text);
  ck_assert_ptr_nonnull(strstr(text, "plan direct: 4 steps, 9.664 GFLOP"));

  p.out_dim = 256;
  p.out_bias = p.query_bias = true;
  p.out = (xattn_view){1024 * 256, 256, 0, 1};
  plan = plan_of(&p, "direct");
  ck_assert_int_eq(plan.count, 5);
  ck_assert_str_eq(plan.step[2].text, "Q = x·Wqᵀ + bq");
  ck_assert_str_eq(plan.step[4].text, "out = O·Woᵀ + bo");
  ck_assert_int_eq(plan.step[4].bias.slot, XATTN_SLOT_BO);

  p.store = (xattn_store){.dtype = XATTN_F32, .capacity = 1024};
  p.task = XATTN_TASK_FORWARD;
  ck_assert_int_eq(plan_of(&p, "direct").count, 3);
  p.task = XATTN_TASK_CONTEXT;
  ck_assert_int_eq(plan_of(&p, "direct").count, 2);
}
END_TEST

/* FLOPs of every form, worked out by hand, and its steps by name. */
START_TEST(steps_of_every_form) {
  xattn_problem p = problem(1, 10, 100, 4, 2);
  p.out_dim = 30;
  p.out = (xattn_view){300, 30, 0, 1};
  p.query_bias = p.value_bias = p.out_bias = true;
  const double nq = 10, nk = 100, dq = 512, dc = 1024, d = 64, out = 30, h = 4, kv = 2;
  const struct {
    const char *name, *steps[3];
    double flops;
  } scores[] = {{"project",
                 {"K = y·Wkᵀ", "Q = x·Wqᵀ + bq"},
                 nk * dc * kv * d + nq * dq * h * d + h * nq * nk * d},
                {"push",
                 {"Q = x·Wqᵀ + bq", "T = Q·Wk"},
                 nq * dq * h * d + nq * h * d * dc + h * nq * nk * dc},
                {"merge-x", {"T = x·M + bq·Wk"}, nq * dq * h * dc + h * nq * nk * dc},
                {"merge-y",
                 {"U = y·Mᵀ", "key bias = bq·Wk·yᵀ"},
                 nk * dc * h * dq + h * nk * dc + h * nq * nk * dq}},
    values[] = {{"project",
                 {"V = y·Wvᵀ + bv", "O = softmax(scale·S)·V", "out = O·Woᵀ + bo"},
                 nk * dc * kv * d + h * nq * nk * d + nq * h * d * out},
                {"defer",
                 {"Z = softmax(scale·S)·y", "O = Z·Wvᵀ + bv", "out = O·Woᵀ + bo"},
                 h * nq * nk * dc + nq * h * dc * d + nq * h * d * out},
                {"merge-py",
                 {"Z = softmax(scale·S)·y", "out = Z·Nᵀ + bo + Wo·bv"},
                 h * nq * nk * dc + nq * h * dc * out},
                {"merge-y",
                 {"W = y·Nᵀ + Wo·bv", "out = softmax(scale·S)·W + bo"},
                 nk * dc * h * out + h * nq * nk * out}};
  for (int s = 0; s < 4; s++)
    for (int v = 0; v < 4; v++) {
      char name[32], text[1024];
      (void)snprintf(name, sizeof name, "%s+%s", scores[s].name, values[v].name);
      xattn_plan_steps plan = plan_of(&p, s + v ? name : "direct");
      ck_assert_msg(plan.cost.flops == 2.0 * (scores[s].flops + values[v].flops),
                    "%s: %.17g, not %.17g", name, plan.cost.flops,
                    2.0 * (scores[s].flops + values[v].flops));
      xattn_plan_text(&plan, text, sizeof text);
      ck_assert_ptr_nonnull(strstr(text, s + v ? name : "direct"));
      for (int i = 0; i < 3; i++) {
        const char *wanted[] = {scores[s].steps[i], values[v].steps[i]};
        for (int side = 0; side < 2; side++)
          ck_assert_msg(!wanted[side] || strstr(text, wanted[side]), "%s lacks \"%s\": %s", name,
                        wanted[side], text);
      }
      int lines = 0;
      for (const char *c = text; *c; c++) lines += *c == '\n';
      ck_assert_int_eq(lines, plan.count + 1);
    }
}
END_TEST

START_TEST(copies_only_where_strides_need_them) {
  xattn_problem p = problem(4, 50, 77, 8, 8);
  p.y = (xattn_view){1, 4, 0, 308};               /* columns outermost */
  p.out = (xattn_view){50 * 512, 1, 64 * 50, 50}; /* transposed */
  xattn_plan_steps plan = plan_of(&p, "direct");
  ck_assert_int_eq(plan.count, 6);
  ck_assert_int_eq(plan.step[0].kind, XATTN_STEP_COPY);
  ck_assert_int_eq(plan.step[5].kind, XATTN_STEP_COPY);
  p = problem(4, 50, 77, 8, 8);
  p.y.row = 0; /* one row for all keys */
  ck_assert_int_eq(plan_of(&p, "direct").step[0].kind, XATTN_STEP_COPY);
  p = problem(4, 50, 77, 8, 8);
  p.x.row = 1000; /* gaps: no copy, but a GEMM an item */
  p.x.batch = 50001;
  plan = plan_of(&p, "direct");
  ck_assert_int_eq(plan.count, 4);
  ck_assert_int_eq(plan.step[2].batch, 4);
  ck_assert(!plan.step[2].joined);
  ck_assert(plan.step[0].joined); /* 4·77 rows of one GEMM */
  ck_assert_int_eq(plan.step[0].batch, 4);
  ck_assert_int_eq(plan.step[0].rows, 77);
}
END_TEST

START_TEST(equal_items_are_projected_once) {
  xattn_problem p = problem(16, 50, 77, 8, 8);
  xattn_plan_steps all = plan_of(&p, "direct");
  p.context_batch = 1;
  p.y.batch = 0;
  p.x.batch = 0;
  xattn_plan_steps once = plan_of(&p, "direct");
  for (int i = 0; i < 3; i++)
    ck_assert(xattn_step_cost(&once.step[i], &p.limits, &cpu_like).flops * 16 ==
              xattn_step_cost(&all.step[i], &p.limits, &cpu_like).flops);
  ck_assert_int_eq(once.step[3].a.view.batch, 0);
  ck_assert_int_eq(once.step[3].b.view.batch, 0);
}
END_TEST

/* ------------------------------------------------------------------ the choice */

static bool allowed(const xattn_problem *p, xattn_form form) {
  if (xattn_form_merges_values(form) && !p->out_dim) return false;
  return p->task != XATTN_TASK_FORWARD || (xattn_form_keeps_scores(form) == p->store.scores &&
                                           xattn_form_keeps_values(form) == p->store.values);
}

/* Seconds that hang on the choice: of a context, with the forwards that it will serve. */
static double weight_of(const xattn_problem *p, xattn_form form) {
  xattn_plan_steps plan = plan_of(p, xattn_form_name(form));
  if (p->task != XATTN_TASK_CONTEXT) return plan.cost.seconds;
  xattn_problem use = xattn_plan_use(p, form);
  return plan.cost.seconds + (p->uses ? (double)p->uses : 16.0) * plan_of(&use, NULL).cost.seconds;
}

START_TEST(the_cheapest_is_taken) {
  rng r = {8};
  for (int i = 0; i < 2000; i++) {
    xattn_problem p = random_problem(&r);
    double taken = weight_of(&p, plan_of(&p, NULL).form);
    for (int f = 0; f < XATTN_FORMS; f++) {
      xattn_form form = xattn_form_at(f);
      if (allowed(&p, form)) {
        ck_assert_msg(taken <= weight_of(&p, form), "%s is cheaper than %s", xattn_form_name(form),
                      chosen(&p));
      } else {
        xattn_error error;
        xattn_plan_steps plan;
        ck_assert_int_eq(xattn_plan_make(&error, &p, &cpu_like, xattn_form_name(form), &plan),
                         XATTN_ERROR_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(error.text, xattn_form_name(form)));
      }
    }
  }
}
END_TEST

/* A slower device is never predicted to be faster, and no rate goes unread. */
START_TEST(cost_follows_the_rates) {
  rng r = {9};
  int changed[6] = {0};
  for (int i = 0; i < 300; i++) {
    xattn_problem p = random_problem(&r);
    if (i % 2) p.dtype = p.store.dtype = XATTN_F16;
    const char *name = chosen(&p);
    double before = plan_of(&p, name).cost.seconds;
    for (int which = 0; which < 6; which++) {
      xattn_rates slower = cpu_like;
      double *rate[] = {&slower.flops,  &slower.flops_half, &slower.operands,
                        &slower.stream, &slower.softmax,    &slower.launch};
      *rate[which] *= which == 5 ? 10.0 : 0.1;
      xattn_plan_steps plan = plan_at(&p, &slower, name);
      ck_assert_msg(plan.cost.seconds >= before, "%s, rate %d: %g, then %g", name, which, before,
                    plan.cost.seconds);
      changed[which] += plan.cost.seconds > before;
    }
  }
  for (int which = 0; which < 6; which++) ck_assert_int_gt(changed[which], 50);
}
END_TEST

/* What the forms are there for. */
START_TEST(choices_that_are_meant) {
  /* A new context of many keys for one query of a decoder: K and V would cost more than all the rest. */
  xattn_problem p = problem(1, 1, 1500, 8, 8);
  p.query_dim = p.context_dim = 512;
  p.x = (xattn_view){512, 512, 0, 1};
  p.y = (xattn_view){1500 * 512, 512, 0, 1};
  p.out_dim = 512;
  p.out = (xattn_view){512, 512, 0, 1};
  ck_assert_str_eq(chosen(&p), "push+defer");
  /* The same context for many forwards of many queries: K and V are kept. */
  p.task = XATTN_TASK_CONTEXT;
  p.store = (xattn_store){.dtype = XATTN_F32, .capacity = 1500};
  p.uses = 1000;
  p.expected_queries = 256;
  ck_assert_str_eq(chosen(&p), "direct");
  /* For one forward of one query, y is. */
  p.uses = p.expected_queries = 1;
  ck_assert_str_eq(chosen(&p), "push+defer");

  /* The article's second class: one head of 1024, x of 512. */
  p = problem(1, 1024, 1024, 1, 1);
  p.head_dim = p.value_dim = 1024;
  p.out = (xattn_view){1024 * 1024, 1024, 1024, 1};
  ck_assert_str_eq(chosen(&p), "merge-y+project");
}
END_TEST

/* ------------------------------------------------------------------ the workspace */

static void check_inside(const xattn_plan_steps *plan, const xattn_operand *o, const char *what) {
  if (o->slot != XATTN_SLOT_WORKSPACE) return;
  ck_assert_msg(o->offset >= 0 && o->offset <= plan->workspace && o->offset % XATTN_ALIGNMENT == 0,
                "%s: at %lld of %lld", what, (long long)o->offset, (long long)plan->workspace);
}

/* Everything has its place, in the workspace and in the table of steps. */
START_TEST(steps_and_slots_have_room) {
  rng r = {10};
  for (int i = 0; i < 1000; i++) {
    xattn_problem p = random_problem(&r);
    for (int f = 0; f < XATTN_FORMS; f++) {
      if (!allowed(&p, xattn_form_at(f))) continue;
      xattn_plan_steps plan = plan_of(&p, xattn_form_name(xattn_form_at(f)));
      ck_assert_int_le(plan.count, XATTN_MAX_STEPS);
      for (int j = 0; j < plan.count; j++) {
        const xattn_step *s = &plan.step[j];
        const xattn_operand *all[] = {&s->a,        &s->b,      &s->c,     &s->d,
                                      &s->key_bias, &s->wide_b, &s->wide_d};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) check_inside(&plan, all[k], s->text);
        const xattn_view *v = &s->c.view;
        int64_t heads = s->c.heads == 1 ? 1 : s->heads;
        if (s->c.slot == XATTN_SLOT_WORKSPACE && s->batch && s->rows) {
          int64_t last = (s->batch - 1) * v->batch + (s->rows - 1) * v->row +
                         (heads - 1) * v->head + s->columns;
          ck_assert_int_le(s->c.offset + last * (int64_t)xattn_dtype_size(s->c.dtype),
                           plan.workspace);
        }
      }
    }
  }
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
    p.out_dim = 20;
    p.out = (xattn_view){p.queries * 20, 20, 0, 1};
    p.limits.parallel = rng_range(&r, 1, 16);
    xattn_plan_steps plan = plan_of(&p, xattn_plan_name(i % XATTN_FORMS));
    const xattn_step *s = NULL;
    for (int j = 0; j < plan.count; j++)
      if (plan.step[j].kind == XATTN_STEP_ATTEND) s = &plan.step[j];
    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(s->groups * (s->heads / s->groups), s->heads);
    ck_assert_int_eq(s->rows * s->heads, p.queries * heads); /* heads may have become rows */
    int64_t most[4] = {p.batch, s->groups, s->heads / s->groups, s->rows};
    int64_t rows = 1;
    for (int j = 0; j < 4; j++) {
      ck_assert_int_ge(s->chunk[j], 1);
      ck_assert_int_le(s->chunk[j], most[j]);
      rows *= s->chunk[j];
    }
    /* Heads that are rows of one product are not taken apart. */
    int64_t least = s->fold_scores || s->fold_values ? s->heads / s->groups : 1;
    ck_assert(rows == least || rows * p.keys * 4 <= p.limits.score_bytes);
    ck_assert_int_le(s->scores + rows * p.keys * 4, plan.workspace);
  }
  xattn_problem p = problem(1, 8192, 8192, 8, 8);
  int64_t once = plan_of(&p, "direct").workspace;
  p.queries = p.keys = 4 * 8192;
  p.x.batch = p.queries * 512;
  p.y.batch = p.keys * 1024;
  p.out.batch = p.queries * 512;
  ck_assert_int_le(plan_of(&p, "direct").workspace, 4 * once);
}
END_TEST

/* The store: what is kept lies side by side, and half the bytes hold half the width. */
START_TEST(layout_of_what_is_kept) {
  xattn_problem p = problem(3, 4, 5, 4, 2);
  p.out_dim = 30;
  p.query_bias = true;
  for (int scores = 0; scores < 3; scores++)
    for (int values = 0; values < 3; values++) {
      xattn_store store = {(xattn_kept)scores, (xattn_kept)values, XATTN_F32, 128, 0};
      xattn_layout wide, narrow;
      ck_assert(xattn_store_layout(&p, &store, &wide));
      store.dtype = XATTN_BF16;
      ck_assert(xattn_store_layout(&p, &store, &narrow));
      const int64_t k[] = {2 * 64, 0, 4 * 512}, v[] = {2 * 64, 0, 4 * 30};
      int64_t raw = scores == 1 || values == 1 ? 1024 : 0, bias = scores == 2 ? 4 * 4 : 0;
      ck_assert_int_eq(wide.bytes, 3 * 128 * (4 * (k[scores] + v[values] + raw) + bias));
      ck_assert_int_eq(narrow.bytes, 3 * 128 * (2 * (k[scores] + v[values] + raw) + bias));
      ck_assert_int_eq(wide.bias_heads, bias / 4);
      store.capacity = INT64_MAX / 2;
      ck_assert(!xattn_store_layout(&p, &store, &wide));
    }
}
END_TEST

START_TEST(names_and_sizes_that_cannot_be) {
  xattn_problem p = problem(1, 2, 3, 1, 1);
  xattn_error error;
  xattn_plan_steps plan;
  ck_assert_int_eq(xattn_plan_make(&error, &p, &cpu_like, "sideways", &plan),
                   XATTN_ERROR_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(error.text, "\"sideways\" is unknown; known are auto, direct"));
  for (int i = 0; i < XATTN_FORMS; i++)
    ck_assert_ptr_nonnull(strstr(error.text, xattn_plan_name(i)));
  p.task = XATTN_TASK_ATTENTION;
  p.k = p.v = p.y;
  ck_assert_int_eq(xattn_plan_make(&error, &p, &cpu_like, "push+defer", &plan),
                   XATTN_ERROR_UNSUPPORTED);
  ck_assert_str_eq(chosen(&p), "direct");
  p = problem(INT32_MAX, INT32_MAX, INT32_MAX, 64, 64);
  ck_assert_int_eq(xattn_plan_make(&error, &p, &cpu_like, NULL, &plan), XATTN_ERROR_MEMORY);
}
END_TEST

Suite *suite_plan(void) {
  Suite *suite = suite_create("plan");
  TCase *tests = tcase_create("plan");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, plans_are_pure);
  tcase_add_test(tests, steps_of_the_direct_form);
  tcase_add_test(tests, steps_of_every_form);
  tcase_add_test(tests, copies_only_where_strides_need_them);
  tcase_add_test(tests, equal_items_are_projected_once);
  tcase_add_test(tests, the_cheapest_is_taken);
  tcase_add_test(tests, cost_follows_the_rates);
  tcase_add_test(tests, choices_that_are_meant);
  tcase_add_test(tests, steps_and_slots_have_room);
  tcase_add_test(tests, chunks_stay_in_the_budget);
  tcase_add_test(tests, layout_of_what_is_kept);
  tcase_add_test(tests, names_and_sizes_that_cannot_be);
  suite_add_tcase(suite, tests);
  return suite;
}
