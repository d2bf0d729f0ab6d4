/* What contexts refuse, which changes nothing; the plans over them; merged weights, which are made once. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support_calls.h"

static const layout dense[3] = {DENSE, DENSE, DENSE};

static xattn_context_info info_of(const xattn_context *context) {
  xattn_context_info info = {.size = sizeof info};
  ASSERT_OK(NULL, xattn_context_get_info(context, &info));
  return info;
}

static xattn_stats stats_of(xattn_handle *handle) {
  xattn_stats stats = {.size = sizeof stats};
  ASSERT_OK(handle, xattn_get_stats(handle, &stats));
  return stats;
}

/* The forward over the context is right. */
static void check_context(layer_call *c, xattn_handle *handle, const xattn_context *context,
                          const char *what) {
  layer_call_spoil(c);
  ASSERT_OK(handle, xattn_forward(handle, c->layer, &c->x.t, context, NULL, &c->out.t));
  layer_call_check(c, what);
}

/* ------------------------------------------------------------------ what is refused */

typedef struct fixture {
  xattn_handle *handle;
  layer_call c;
  xattn_context *context;
} fixture;

static void make_fixture(fixture *f, const char *plan) {
  f->handle = test_handle(1);
  rng r = {84};
  const test_layer l = {.batch = 2,
                        .queries = 3,
                        .keys = 6,
                        .query_dim = 5,
                        .context_dim = 4,
                        .heads = 2,
                        .head_dim = 3,
                        .out_dim = 7,
                        .biases = true};
  layer_call_init(&f->c, f->handle, &l, REAL, dense, true, &r);
  memcpy(f->c.lengths, (const int32_t[]){6, 3}, 2 * sizeof *f->c.lengths);
  layer_call_solve(&f->c);
  xattn_options options = layer_call_options(&f->c, plan);
  ASSERT_OK(f->handle,
            xattn_context_create(f->handle, f->c.layer, &f->c.y.t, &options, &f->context));
}

static void drop_fixture(fixture *f) {
  xattn_context_destroy(f->context);
  layer_call_free(&f->c);
  xattn_destroy(f->handle);
}

START_TEST(a_failed_append_changes_nothing) {
  fixture f;
  const char *plan = xattn_plan_name(_i);
  make_fixture(&f, plan);
  xattn_layer *other;
  ASSERT_OK(f.handle, xattn_layer_create(f.handle, &f.c.l.weights, &other));
  xattn_context_info before = info_of(f.context);
#define APPEND_FAILS(layer, y, options, status, part)                                        \
  ASSERT_FAILS(f.handle, xattn_context_append(f.handle, (layer), f.context, (y), (options)), \
               (status), (part));                                                            \
  do {                                                                                       \
    xattn_context_info after = info_of(f.context);                                           \
    ck_assert(memcmp(&before, &after, sizeof after) == 0);                                   \
  } while (0)
  const xattn_tensor *good = &f.c.y.t;
  xattn_tensor y = *good;
  y.shape[2] = 3;
  APPEND_FAILS(f.c.layer, &y, NULL, XATTN_ERROR_SHAPE, "y: width is 3");
  y = *good;
  y.dtype = XATTN_F16;
  APPEND_FAILS(f.c.layer, &y, NULL, XATTN_ERROR_DTYPE, "y: dtype is F16");
  y = *good;
  y.shape[0] = 1;
  APPEND_FAILS(f.c.layer, &y, NULL, XATTN_ERROR_SHAPE, "y: batch is 1, the context has 2");
  y = *good;
  y.data = NULL;
  APPEND_FAILS(f.c.layer, &y, NULL, XATTN_ERROR_ARGUMENT, "y: data is NULL");
  APPEND_FAILS(f.c.layer, NULL, NULL, XATTN_ERROR_ARGUMENT, "y: is NULL");
  APPEND_FAILS(other, good, NULL, XATTN_ERROR_ARGUMENT, "context: was made with another layer");
  APPEND_FAILS(NULL, good, NULL, XATTN_ERROR_ARGUMENT, "layer: is NULL");
  const int32_t many[2] = {1, 7};
  xattn_tensor lengths = XATTN_TENSOR(many, XATTN_I32, 2);
  xattn_options options = {.size = sizeof options, .key_lengths = &lengths};
  APPEND_FAILS(f.c.layer, good, &options, XATTN_ERROR_ARGUMENT,
               "options.key_lengths: item 1 is 7, must be 0 to 6");
  options = (xattn_options){.size = sizeof options, .plan = "direct"};
  APPEND_FAILS(f.c.layer, good, &options, XATTN_ERROR_ARGUMENT, "options.plan: \"direct\"");
  options = (xattn_options){.size = sizeof options, .context_capacity = 100};
  APPEND_FAILS(f.c.layer, good, &options, XATTN_ERROR_ARGUMENT, "options.context_capacity: 100");
  ASSERT_FAILS(f.handle, xattn_context_append(f.handle, f.c.layer, NULL, good, NULL),
               XATTN_ERROR_ARGUMENT, "context: is NULL");
  ASSERT_FAILS(NULL, xattn_context_append(NULL, f.c.layer, f.context, good, NULL),
               XATTN_ERROR_ARGUMENT, "handle: is NULL");
  /* More rows than a context can have: found out when it is to grow. */
  y = *good;
  y.shape[1] = on_cpu() ? INT32_MAX : INT32_MAX / 8 * 8; /* all that the device takes */
  y.strides[1] = 0;
  y.strides[0] = 1;
  APPEND_FAILS(f.c.layer, &y, NULL, XATTN_ERROR_MEMORY, "");
  check_context(&f.c, f.handle, f.context, plan);
  xattn_layer_destroy(other);
  drop_fixture(&f);
}
END_TEST

/* Fields of options that are for the maker of a context. */
START_TEST(options_where_they_do_not_belong) {
  fixture f;
  make_fixture(&f, "direct");
  const xattn_tensor *x = &f.c.x.t, *y = &f.c.y.t, *out = &f.c.out.t;
  const struct {
    xattn_options options;
    const char *part;
  } cases[] = {{{.expected_uses = 3}, "options.expected_uses: 3"},
               {{.expected_queries = 4}, "options.expected_queries: 4"},
               {{.context_capacity = 9}, "options.context_capacity: 9"},
               {{.context_dtype = XATTN_F16}, "options.context_dtype: 2"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    xattn_options o = cases[i].options;
    o.size = sizeof o;
    ASSERT_FAILS(f.handle, xattn_forward_once(f.handle, f.c.layer, x, y, &o, out),
                 XATTN_ERROR_ARGUMENT, cases[i].part);
    ASSERT_FAILS(f.handle, xattn_forward(f.handle, f.c.layer, x, f.context, &o, out),
                 XATTN_ERROR_ARGUMENT, cases[i].part);
    ASSERT_FAILS(f.handle, xattn_context_append(f.handle, f.c.layer, f.context, y, &o),
                 XATTN_ERROR_ARGUMENT, cases[i].part);
    xattn_plan_info info = {.size = sizeof info};
    ASSERT_FAILS(f.handle, xattn_plan(f.handle, f.c.layer, x, NULL, f.context, &o, &info),
                 XATTN_ERROR_ARGUMENT, cases[i].part);
    ASSERT_OK(f.handle, xattn_plan(f.handle, f.c.layer, x, y, NULL, &o, &info));
    float heads[24] = {0}, result[24];
    xattn_tensor t = XATTN_TENSOR(heads, XATTN_F32, 2, 3, 2, 2),
                 to = XATTN_TENSOR(result, XATTN_F32, 2, 3, 2, 2);
    ASSERT_FAILS(f.handle, xattn_attention(f.handle, &t, &t, &t, 0.0F, &o, &to),
                 XATTN_ERROR_ARGUMENT, cases[i].part);
  }
  xattn_context *made;
#define CREATE_FAILS(status, part, ...)                                                        \
  do {                                                                                         \
    xattn_options o_ = {.size = sizeof o_, __VA_ARGS__};                                       \
    ASSERT_FAILS(f.handle, xattn_context_create(f.handle, f.c.layer, y, &o_, &made), (status), \
                 (part));                                                                      \
    ck_assert_ptr_null(made);                                                                  \
  } while (0)
  CREATE_FAILS(XATTN_ERROR_ARGUMENT, "options.expected_uses: -1", .expected_uses = -1);
  CREATE_FAILS(XATTN_ERROR_ARGUMENT, "expected_queries: -2", .expected_queries = -2);
  CREATE_FAILS(XATTN_ERROR_ARGUMENT, "options.context_capacity: 5 is below the 6 rows of y",
               .context_capacity = 5);
  CREATE_FAILS(XATTN_ERROR_ARGUMENT, "options.context_capacity: -1", .context_capacity = -1);
  CREATE_FAILS(XATTN_ERROR_UNSUPPORTED, "options.context_capacity: 9000000000",
               .context_capacity = 9000000000);
  CREATE_FAILS(XATTN_ERROR_DTYPE, "options.context_dtype: is F64", .context_dtype = XATTN_F64);
  CREATE_FAILS(XATTN_ERROR_DTYPE, "options.context_dtype: is ?", .context_dtype = (xattn_dtype)99);
  CREATE_FAILS(XATTN_ERROR_NOT_FOUND, "options.plan: \"fastest\" is unknown", .plan = "fastest");
  check_context(&f.c, f.handle, f.context, "direct");
  drop_fixture(&f);
}
END_TEST

static const char *kept_for(const char *plan, bool values) {
  if (strcmp(plan, "direct") == 0) return "projected";
  const char *plus = strchr(plan, '+'), *side = values ? plus + 1 : plan;
  if (strncmp(side, "project", 7) == 0) return "projected";
  return strncmp(side, "merge-y", 7) == 0 ? "merged" : "raw";
}

/* A forward may take any plan that reads what is there, and no other. */
START_TEST(plans_over_what_is_kept) {
  fixture f;
  const char *made = xattn_plan_name(_i);
  make_fixture(&f, made);
  for (int64_t i = 0; xattn_plan_name(i); i++) {
    const char *plan = xattn_plan_name(i);
    xattn_options options = {.size = sizeof options, .plan = plan};
    bool fits = strcmp(kept_for(plan, false), kept_for(made, false)) == 0 &&
                strcmp(kept_for(plan, true), kept_for(made, true)) == 0;
    xattn_plan_info info = {.size = sizeof info};
    if (fits) {
      layer_call_spoil(&f.c);
      ASSERT_OK(f.handle,
                xattn_forward(f.handle, f.c.layer, &f.c.x.t, f.context, &options, &f.c.out.t));
      layer_call_check(&f.c, plan);
      ASSERT_OK(f.handle,
                xattn_plan(f.handle, f.c.layer, &f.c.x.t, NULL, f.context, &options, &info));
      ck_assert_str_eq(info.name, plan);
    } else {
      ASSERT_FAILS(f.handle,
                   xattn_forward(f.handle, f.c.layer, &f.c.x.t, f.context, &options, &f.c.out.t),
                   XATTN_ERROR_UNSUPPORTED, "the context keeps something else");
      ASSERT_FAILS(f.handle,
                   xattn_plan(f.handle, f.c.layer, &f.c.x.t, NULL, f.context, &options, &info),
                   XATTN_ERROR_UNSUPPORTED, "the context keeps something else");
    }
  }
  drop_fixture(&f);
}
END_TEST

/* A failure once memory was moved: without room for its workspace an append leaves the keys as they were. */
START_TEST(an_append_without_workspace) {
  fixture f;
  make_fixture(&f, xattn_plan_name(_i));
  xattn_options options = layer_call_options(&f.c, xattn_plan_name(_i));
  options.context_dtype = XATTN_BF16; /* what is made of y is made in the workspace */
  xattn_context_destroy(f.context);
  ASSERT_OK(f.handle, xattn_context_create(f.handle, f.c.layer, &f.c.y.t, &options, &f.context));
  layer_call_spoil(&f.c);
  ASSERT_OK(f.handle, xattn_forward(f.handle, f.c.layer, &f.c.x.t, f.context, NULL, &f.c.out.t));
  size_t bytes = (size_t)f.c.out.size * sizeof(float);
  float *before = malloc(bytes);
  ck_assert_ptr_nonnull(before);
  memcpy(before, f.c.out.memory, bytes);
  void *memory;
  ASSERT_OK(f.handle, xattn_device_alloc(f.handle, 256, &memory));
  ASSERT_OK(f.handle, xattn_set_workspace(f.handle, memory, 1));
  xattn_status status = xattn_context_append(f.handle, f.c.layer, f.context, &f.c.y.t, NULL);
  ASSERT_OK(f.handle, xattn_set_workspace(f.handle, NULL, 0));
  bool needs = !on_cpu() || strcmp(kept_for(xattn_plan_name(_i), false), "raw") != 0 ||
               strcmp(kept_for(xattn_plan_name(_i), true), "raw") != 0;
  ck_assert_int_eq(status, needs ? XATTN_ERROR_MEMORY : XATTN_OK);
  if (needs) {
    ck_assert_int_eq(info_of(f.context).keys, 6);
    layer_call_spoil(&f.c);
    ASSERT_OK(f.handle, xattn_forward(f.handle, f.c.layer, &f.c.x.t, f.context, NULL, &f.c.out.t));
    ck_assert(memcmp(before, f.c.out.memory, bytes) == 0);
  }
  ASSERT_OK(f.handle, xattn_device_free(f.handle, memory));
  free(before);
  drop_fixture(&f);
}
END_TEST

/* With expected uses, xattn_plan tells of the context and its forwards together: what they then count. */
START_TEST(plans_of_contexts) {
  static const int64_t queries[] = {1, 7, 40}, uses[] = {1, 3, 50};
  xattn_handle *handle = test_handle(1);
  rng r = {87};
  for (int i = 0; i < 9; i++) {
    const test_layer l = {.batch = 1 + i % 2,
                          .queries = queries[i % 3],
                          .keys = 60,
                          .query_dim = 24,
                          .context_dim = 20,
                          .heads = 1 + i / 3,
                          .head_dim = 12,
                          .out_dim = 30,
                          .biases = true};
    layer_call c;
    layer_call_init(&c, handle, &l, REAL, dense, false, &r);
    xattn_options options = {
        .size = sizeof options, .expected_uses = uses[i / 3], .expected_queries = l.queries};
    xattn_plan_info info = {.size = sizeof info};
    ASSERT_OK(handle, xattn_plan(handle, c.layer, &c.x.t, &c.y.t, NULL, &options, &info));
    xattn_context *context;
    xattn_stats before = stats_of(handle);
    ASSERT_OK(handle, xattn_context_create(handle, c.layer, &c.y.t, &options, &context));
    xattn_stats made = stats_of(handle);
    check_context(&c, handle, context, "planned");
    xattn_stats used = stats_of(handle);
    double n = (double)options.expected_uses, own = made.flops - before.flops;
    double sum = own + n * (used.flops - made.flops);
    ck_assert_msg(info.flops <= sum * (1 + 1e-9) && info.flops >= sum * (1 - 1e-9),
                  "%s: %.17g flops, were %.17g", info.name, info.flops, sum);
    ck_assert(info.seconds > 0.0 && info.bytes > 0.0);
    /* The forward's plan reads what the context's form keeps. */
    xattn_options named = {.size = sizeof named, .plan = info.name};
    ASSERT_OK(handle, xattn_forward(handle, c.layer, &c.x.t, context, &named, &c.out.t));
    xattn_context_destroy(context);
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

/* ------------------------------------------------------------------ merged weights */

typedef struct worker {
  const layer_call *c;
  const char *plan;
  guarded out;
  xattn_status status;
  uint64_t allocations[2]; /* of the first call and of the second */
} worker;

static void *work(void *data) {
  worker *w = data;
  xattn_handle_options options = {.size = sizeof options, .device = test_device(), .threads = 1};
  xattn_handle *handle;
  w->status = xattn_create(&options, &handle);
  if (w->status) return NULL;
  xattn_options call = layer_call_options(w->c, w->plan);
  for (int i = 0; i < 2; i++) {
    xattn_stats before = {.size = sizeof before}, after = before;
    (void)xattn_get_stats(handle, &before);
    if (!w->status)
      w->status = xattn_forward_once(handle, w->c->layer, &w->c->x.t, &w->c->y.t, &call, &w->out.t);
    (void)xattn_get_stats(handle, &after);
    w->allocations[i] = after.allocations - before.allocations;
  }
  xattn_destroy(handle);
  return NULL;
}

/* Handles that ask at once get the weights merged, and on the CPU packed, by one of them, which allocates for it; nobody does so
 * again. */
START_TEST(layers_prepare_their_weights_once) {
  static const char *const plans[] = {"merge-x+project", "project+merge-py", "merge-y+merge-y"};
  static const uint64_t merged[] = {1, 1, 2}, packed[] = {3, 3, 2};
  enum { WORKERS = 4 };
  xattn_handle *handle = test_handle(1);
  for (int round = 0; round < 12; round++) {
    rng r = {(uint64_t)(500 + round)};
    const test_layer l = {.batch = 2,
                          .queries = 5,
                          .keys = 9,
                          .query_dim = 24,
                          .context_dim = 20,
                          .heads = 3,
                          .head_dim = 16,
                          .out_dim = 11,
                          .biases = true};
    layer_call c;
    layer_call_init(&c, handle, &l, REAL, dense, true, &r);
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
      workers[i] = (worker){.c = &c, .plan = plans[round % 3]};
      workers[i].out = guarded_new(DENSE, 3, c.out.t.shape);
      ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    uint64_t first = 0;
    for (int i = 0; i < WORKERS; i++) {
      ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
      ck_assert_int_eq(workers[i].status, XATTN_OK);
      ck_assert_uint_eq(workers[i].allocations[1], 0);
      first += workers[i].allocations[0];
      guarded mine = c.out;
      c.out = workers[i].out;
      layer_call_check(&c, plans[round % 3]);
      c.out = mine;
      guarded_free(&workers[i].out);
    }
    /* Each its workspace, and one more for each side that is merged and each weight that is packed. */
    ck_assert_uint_eq(first, WORKERS + merged[round % 3] + (on_cpu() ? packed[round % 3] : 0));
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

/* Weights are packed for the products that read them so: not for a decoder's few rows. */
START_TEST(few_rows_pack_nothing) {
  rng r = {901};
  for (int64_t queries = 4; queries <= 5; queries++) {
    xattn_handle *handle = test_handle(1);
    const test_layer l = {.batch = 1,
                          .queries = queries,
                          .keys = 3,
                          .query_dim = 24,
                          .context_dim = 20,
                          .heads = 2,
                          .head_dim = 8,
                          .out_dim = 11};
    layer_call c;
    layer_call_init(&c, handle, &l, REAL, dense, false, &r);
    xattn_options options = layer_call_options(&c, "direct");
    xattn_stats before = {.size = sizeof before}, after = before;
    ASSERT_OK(handle, xattn_get_stats(handle, &before));
    ASSERT_OK(handle, xattn_forward_once(handle, c.layer, &c.x.t, &c.y.t, &options, &c.out.t));
    ASSERT_OK(handle, xattn_get_stats(handle, &after));
    layer_call_check(&c, "direct");
    if (on_cpu()) /* the workspace; Wq and Wo */
      ck_assert_uint_eq(after.allocations - before.allocations, queries <= 4 ? 1 : 3);
    layer_call_free(&c);
    xattn_destroy(handle);
  }
}
END_TEST

/* A layer may be used by handles whose kernels want another order than the one that packed it. */
START_TEST(instruction_sets_share_a_layer) {
  if (!on_cpu()) return;
  const char *forced = getenv("XATTN_CPU_ISA");
  xattn_handle *first = test_handle(1);
  rng r = {902};
  const test_layer l = {.batch = 2,
                        .queries = 20,
                        .keys = 30,
                        .query_dim = 24,
                        .context_dim = 50,
                        .heads = 2,
                        .head_dim = 20,
                        .out_dim = 37};
  layer_call c;
  layer_call_init(&c, first, &l, REAL, dense, false, &r);
  xattn_options options = layer_call_options(&c, "direct");
  ASSERT_OK(first, xattn_forward_once(first, c.layer, &c.x.t, &c.y.t, &options, &c.out.t));
  layer_call_check(&c, "packed here");
  for (int i = 0; xattn_isa_list(i); i++) {
    ck_assert_int_eq(setenv("XATTN_CPU_ISA", xattn_isa_list(i)->name, 1), 0);
    xattn_handle *handle = test_handle(1);
    layer_call_spoil(&c);
    ASSERT_OK(handle, xattn_forward_once(handle, c.layer, &c.x.t, &c.y.t, &options, &c.out.t));
    layer_call_check(&c, xattn_isa_list(i)->name);
    xattn_destroy(handle);
  }
  ck_assert_int_eq(forced ? setenv("XATTN_CPU_ISA", forced, 1) : unsetenv("XATTN_CPU_ISA"), 0);
  layer_call_free(&c);
  xattn_destroy(first);
}
END_TEST

START_TEST(arguments_of_info) {
  xattn_context_info info = {.size = sizeof info};
  ASSERT_FAILS(NULL, xattn_context_get_info(NULL, &info), XATTN_ERROR_ARGUMENT, "context: is NULL");
  fixture f;
  make_fixture(&f, "push+defer");
  ASSERT_FAILS(NULL, xattn_context_get_info(f.context, NULL), XATTN_ERROR_ARGUMENT, "info");
  info.size = 0;
  ASSERT_FAILS(NULL, xattn_context_get_info(f.context, &info), XATTN_ERROR_ARGUMENT,
               "info: size is 0");
  xattn_context_destroy(NULL);
  drop_fixture(&f);
}
END_TEST

Suite *suite_context_rules(void) {
  Suite *suite = suite_create("context rules");
  TCase *tests = tcase_create("context rules");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, a_failed_append_changes_nothing, 0, 16);
  tcase_add_test(tests, options_where_they_do_not_belong);
  tcase_add_loop_test(tests, plans_over_what_is_kept, 0, 16);
  tcase_add_loop_test(tests, an_append_without_workspace, 0, 16);
  tcase_add_test(tests, plans_of_contexts);
  tcase_add_test(tests, layers_prepare_their_weights_once);
  tcase_add_test(tests, few_rows_pack_nothing);
  tcase_add_test(tests, instruction_sets_share_a_layer);
  tcase_add_test(tests, arguments_of_info);
  suite_add_tcase(suite, tests);
  return suite;
}
