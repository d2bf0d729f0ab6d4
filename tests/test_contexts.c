/* Contexts of every form: made, appended to, cut, grown. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static test_layer layer_for(const char *plan, rng *r, int64_t most) {
  test_layer l = random_layer(r, most);
  if (merges_values(plan) && !l.out_dim) l.out_dim = rng_range(r, 1, most);
  return l;
}

/* ------------------------------------------------------------------ appending */

/* Rows from[b] to from[b] + count[b] of each item, in a tensor of their own that holds NaN behind those. */
static guarded piece_of(const layer_call *c, const int32_t *from, const int32_t *count,
                        layout how) {
  int64_t most = 0, width = c->l.context_dim;
  for (int64_t b = 0; b < c->l.batch; b++)
    if (count[b] > most) most = count[b];
  guarded piece = guarded_new(how, 3, (int64_t[]){c->l.batch, most, width});
  for (int64_t b = 0; b < c->l.batch; b++)
    for (int64_t j = 0; j < most; j++)
      for (int64_t d = 0; d < width; d++)
        *guarded_at(&piece, b, j, d, 0) =
            j < count[b] ? *guarded_at(&c->y, b, from[b] + j, d, 0) : NAN;
  return piece;
}

/* Makes a context of the call's y in pieces: even ones, or ragged ones where items have lengths. */
static void append_in_pieces(layer_call *c, xattn_handle *handle, const char *plan,
                             xattn_dtype dtype, rng *r) {
  int32_t done[4] = {0}, count[4];
  int64_t batch = c->l.batch;
  xattn_context *context = NULL;
  for (bool all = false; !all;) {
    int32_t even = (int32_t)rng_range(r, 0, c->l.keys);
    all = true;
    for (int64_t b = 0; b < batch; b++) {
      int32_t left = c->lengths[b] - done[b];
      count[b] = c->limiting ? (int32_t)rng_range(r, 0, left) : even < left ? even : left;
      all &= count[b] == left;
    }
    guarded piece = piece_of(c, done, count, (layout)rng_range(r, 0, 2));
    xattn_tensor lengths = xattn_tensor_dense(count, XATTN_I32, 1, &batch);
    xattn_options options = {.size = sizeof options, .key_lengths = c->limiting ? &lengths : NULL};
    if (context) {
      ASSERT_OK(handle, xattn_context_append(handle, c->layer, context, &piece.t, &options));
    } else {
      options.plan = plan;
      options.context_dtype = dtype;
      ASSERT_OK(handle, xattn_context_create(handle, c->layer, &piece.t, &options, &context));
    }
    guarded_check(&piece, "piece");
    guarded_free(&piece);
    for (int64_t b = 0; b < batch; b++) done[b] += count[b];
  }
  int64_t longest = 0;
  for (int64_t b = 0; b < batch; b++) longest = done[b] > longest ? done[b] : longest;
  xattn_context_info info = info_of(context);
  ck_assert_int_eq(info.keys, longest);
  ck_assert_int_ge(info.capacity, longest);
  ck_assert_int_eq(info.batch, batch);
  ck_assert_str_eq(info.form, plan);
  check_context(c, handle, context, plan);
  xattn_context_destroy(context);
}

/* Whole numbers must come out exactly, whatever memory they went through; test_layer's are few enough for BF16. */
START_TEST(pieces_make_the_whole) {
  static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_BF16};
  const char *plan = xattn_plan_name(_i);
  xattn_handle *handle = test_handle(2);
  rng r = {(uint64_t)(4000 + _i)};
  for (int i = 0; i < (on_cpu() ? 30 : 4); i++) {
    test_layer l = layer_for(plan, &r, i % 2 ? 20 : 7);
    layer_call c;
    layer_call_init(&c, handle, &l, i % 3 ? INTEGER : REAL, dense, i % 4 < 2, &r);
    append_in_pieces(&c, handle, plan, i % 3 ? dtypes[i % 4 % 3] : XATTN_F32, &r);
    layer_call_free(&c);
  }
  xattn_destroy(handle);
}
END_TEST

/* A few rows more than there is room for: at least twice the memory, and none until that is full. */
START_TEST(growth_and_capacity) {
  xattn_handle *handle = test_handle(1);
  rng r = {81};
  const char *plan = xattn_plan_name(_i);
  test_layer l = {.batch = 2,
                  .queries = 3,
                  .keys = 24,
                  .query_dim = 5,
                  .context_dim = 6,
                  .heads = 2,
                  .head_dim = 4,
                  .value_dim = 3,
                  .out_dim = 7,
                  .biases = true};
  layer_call c;
  layer_call_init(&c, handle, &l, REAL, dense, false, &r);
  xattn_options options = {.size = sizeof options, .plan = plan};
  xattn_tensor y = rows_of(&c.y.t, 0, 5);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, c.layer, &y, &options, &context));
  xattn_context_info made = info_of(context);
  ck_assert_int_eq(made.capacity, 5);
  ck_assert_int_eq(made.dtype, XATTN_F32);
  y = rows_of(&c.y.t, 5, 0); /* nothing */
  ASSERT_OK(handle, xattn_context_append(handle, c.layer, context, &y, NULL));
  xattn_context_info info = info_of(context);
  ck_assert(memcmp(&made, &info, sizeof info) == 0);
  y = rows_of(&c.y.t, 5, 1);
  ASSERT_OK(handle, xattn_context_append(handle, c.layer, context, &y, NULL));
  info = info_of(context);
  ck_assert_int_eq(info.keys, 6);
  ck_assert_int_ge(info.capacity, 10);
  ck_assert_uint_gt(info.bytes, made.bytes);
  y = rows_of(&c.y.t, 6, 18); /* more than twice */
  ASSERT_OK(handle, xattn_context_append(handle, c.layer, context, &y, NULL));
  ck_assert_int_ge(info_of(context).capacity, 24);
  check_context(&c, handle, context, plan);
  xattn_context_destroy(context);

  /* With room made for them, rows come in without an allocation once the workspace is there. */
  options.context_capacity = 24;
  y = rows_of(&c.y.t, 0, 12);
  ASSERT_OK(handle, xattn_context_create(handle, c.layer, &y, &options, &context));
  made = info_of(context);
  ck_assert_int_eq(made.keys, 12);
  ck_assert_int_eq(made.capacity, 24);
  uint64_t allocations = stats_of(handle).allocations;
  for (int64_t j = 12; j < 24; j++) {
    y = rows_of(&c.y.t, j, 1);
    ASSERT_OK(handle, xattn_context_append(handle, c.layer, context, &y, NULL));
  }
  ck_assert_uint_eq(stats_of(handle).allocations, allocations);
  info = info_of(context);
  ck_assert_int_eq(info.capacity, 24);
  ck_assert_uint_eq(info.bytes, made.bytes);
  check_context(&c, handle, context, plan);
  xattn_context_destroy(context);
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

/* Old rows are gone, the room stays; items that are shorter keep what they have. */
START_TEST(truncated_then_appended_to) {
  xattn_handle *handle = test_handle(1);
  rng r = {82};
  const char *plan = xattn_plan_name(_i);
  test_layer l = {.batch = 3,
                  .queries = 4,
                  .keys = 11,
                  .query_dim = 5,
                  .context_dim = 3,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 2,
                  .value_dim = 6,
                  .out_dim = 7,
                  .biases = true};
  layer_call c;
  layer_call_init(&c, handle, &l, REAL, dense, true, &r);
  memcpy(c.lengths, (const int32_t[]){9, 2, 0}, 3 * sizeof *c.lengths);
  xattn_options options = layer_call_options(&c, plan);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, c.layer, &c.y.t, &options, &context));
  ASSERT_FAILS(NULL, xattn_context_truncate(context, 12), XATTN_ERROR_ARGUMENT,
               "keys: 12 is not in 0 to 11");
  ASSERT_FAILS(NULL, xattn_context_truncate(context, -1), XATTN_ERROR_ARGUMENT, "keys: -1");
  ASSERT_FAILS(NULL, xattn_context_truncate(NULL, 0), XATTN_ERROR_ARGUMENT, "context: is NULL");
  layer_call_solve(&c);
  check_context(&c, handle, context, plan);
  uint64_t bytes = info_of(context).bytes;
  ASSERT_OK(NULL, xattn_context_truncate(context, 4));
  ck_assert_int_eq(info_of(context).keys, 4);
  ck_assert_uint_eq(info_of(context).bytes, bytes);
  memcpy(c.lengths, (const int32_t[]){4, 2, 0}, 3 * sizeof *c.lengths);
  layer_call_solve(&c);
  check_context(&c, handle, context, plan);

  /* Other rows in place of those cut off. */
  const int32_t from[3] = {4, 2, 0}, count[3] = {5, 1, 3};
  for (int64_t b = 0; b < 3; b++)
    for (int64_t j = from[b]; j < 11; j++)
      for (int64_t d = 0; d < 3; d++) *guarded_at(&c.y, b, j, d, 0) = (float)rng_uniform(&r);
  guarded piece = piece_of(&c, from, count, GAPS);
  xattn_tensor lengths = XATTN_TENSOR(count, XATTN_I32, 3);
  options = (xattn_options){.size = sizeof options, .key_lengths = &lengths};
  ASSERT_OK(handle, xattn_context_append(handle, c.layer, context, &piece.t, &options));
  ck_assert_int_eq(info_of(context).keys, 9);
  for (int b = 0; b < 3; b++) c.lengths[b] = from[b] + count[b];
  layer_call_solve(&c);
  check_context(&c, handle, context, plan);
  ASSERT_OK(NULL, xattn_context_truncate(context, 0));
  memset(c.lengths, 0, 3 * sizeof *c.lengths);
  layer_call_solve(&c);
  check_context(&c, handle, context, plan);
  guarded_free(&piece);
  xattn_context_destroy(context);
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

/* One item for all: from a batch of 1, and from a batch stride of 0, which an append must have too. */
START_TEST(equal_items_are_kept_once) {
  static const layout shared[3] = {DENSE, BROADCAST, DENSE};
  xattn_handle *handle = test_handle(2);
  rng r = {83};
  const char *plan = xattn_plan_name(_i);
  test_layer l = {.batch = 4,
                  .queries = 3,
                  .keys = 9,
                  .query_dim = 7,
                  .context_dim = 6,
                  .heads = 2,
                  .head_dim = 4,
                  .value_dim = 5,
                  .out_dim = 3,
                  .biases = true};
  layer_call c;
  layer_call_init(&c, handle, &l, REAL, shared, false, &r);
  xattn_options options = {.size = sizeof options, .plan = plan};
  uint64_t bytes[2];
  for (int batch = 0; batch < 2; batch++) {
    xattn_tensor y = rows_of(&c.y.t, 0, 4), more = rows_of(&c.y.t, 4, 5);
    if (!batch) y.shape[0] = more.shape[0] = 1;
    xattn_context *context;
    ASSERT_OK(handle, xattn_context_create(handle, c.layer, &y, &options, &context));
    if (batch) {
      xattn_tensor apart = XATTN_TENSOR(c.y.t.data, XATTN_F32, 4, 1, 6); /* strides not 0 */
      ASSERT_FAILS(handle, xattn_context_append(handle, c.layer, context, &apart, NULL),
                   XATTN_ERROR_LAYOUT, "y: its items differ");
      const int32_t uneven[4] = {5, 5, 4, 5};
      xattn_tensor lengths = XATTN_TENSOR(uneven, XATTN_I32, 4);
      xattn_options ragged = {.size = sizeof ragged, .key_lengths = &lengths};
      ASSERT_FAILS(handle, xattn_context_append(handle, c.layer, context, &more, &ragged),
                   XATTN_ERROR_UNSUPPORTED, "of a context of equal ones would differ in length");
    }
    ck_assert_int_eq(info_of(context).keys, 4);
    ASSERT_OK(handle, xattn_context_append(handle, c.layer, context, &more, NULL));
    ck_assert_int_eq(info_of(context).keys, 9);
    ck_assert_int_eq(info_of(context).batch, batch ? 4 : 1);
    bytes[batch] = info_of(context).bytes;
    check_context(&c, handle, context, plan);
    xattn_context_destroy(context);
  }
  ck_assert_uint_eq(bytes[0], bytes[1]);

  /* Items that are kept apart take equal rows. */
  guarded apart = guarded_new(DENSE, 3, (int64_t[]){4, 4, 6});
  for (int64_t b = 0; b < 4; b++)
    for (int64_t j = 0; j < 4; j++)
      for (int64_t d = 0; d < 6; d++)
        *guarded_at(&apart, b, j, d, 0) = *guarded_at(&c.y, b, j, d, 0);
  xattn_tensor more = rows_of(&c.y.t, 4, 5);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, c.layer, &apart.t, &options, &context));
  ASSERT_OK(handle, xattn_context_append(handle, c.layer, context, &more, NULL));
  check_context(&c, handle, context, plan);
  xattn_context_destroy(context);

  /* And uneven numbers of them. */
  const int32_t uneven[4] = {0, 5, 2, 5};
  xattn_tensor lengths = XATTN_TENSOR(uneven, XATTN_I32, 4);
  xattn_options ragged = {.size = sizeof ragged, .key_lengths = &lengths};
  ASSERT_OK(handle, xattn_context_create(handle, c.layer, &apart.t, &options, &context));
  ASSERT_OK(handle, xattn_context_append(handle, c.layer, context, &more, &ragged));
  for (int b = 0; b < 4; b++) c.lengths[b] = 4 + uneven[b];
  layer_call_solve(&c);
  check_context(&c, handle, context, plan);
  xattn_context_destroy(context);
  guarded_free(&apart);
  layer_call_free(&c);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_contexts(void) {
  Suite *suite = suite_create("contexts");
  TCase *tests = tcase_create("contexts");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, pieces_make_the_whole, 0, 16);
  tcase_add_loop_test(tests, growth_and_capacity, 0, 16);
  tcase_add_loop_test(tests, truncated_then_appended_to, 0, 16);
  tcase_add_loop_test(tests, equal_items_are_kept_once, 0, 16);
  suite_add_tcase(suite, tests);
  return suite;
}
