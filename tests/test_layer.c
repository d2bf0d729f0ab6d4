/* Whole layers, from x and y to out, by the end-to-end rule of SEMANTICS.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "support.h"

typedef struct io {
  guarded x, y, out;
  int32_t *lengths;
  xattn_tensor lengths_tensor;
  xattn_options options;
} io;

static int64_t result_width(const test_layer *l) {
  return l->out_dim ? l->out_dim : l->heads * l->value_dim;
}

static void io_init(io *d, const test_layer *l, rng *r, const layout how[3], bool with_lengths) {
  int64_t x[3] = {l->batch, l->queries, l->query_dim}, y[3] = {l->batch, l->keys, l->context_dim};
  int64_t out[3] = {l->batch, l->queries, result_width(l)};
  d->x = guarded_new(how[0], 3, x);
  d->y = guarded_new(how[1], 3, y);
  d->out = guarded_new(how[2], 3, out);
  guarded_fill(&d->x, r, 1.7);
  guarded_fill(&d->y, r, 1.7);
  d->lengths = malloc((size_t)(l->batch + 1) * sizeof *d->lengths);
  ck_assert_ptr_nonnull(d->lengths);
  for (int64_t b = 0; b < l->batch; b++)
    d->lengths[b] = with_lengths ? (int32_t)rng_range(r, 0, l->keys) : (int32_t)l->keys;
  d->lengths_tensor = xattn_tensor_dense(d->lengths, XATTN_I32, 1, &l->batch);
  d->options = (xattn_options){.size = sizeof d->options,
                               .key_lengths = with_lengths ? &d->lengths_tensor : NULL};
}

static void io_free(io *d) {
  guarded_free(&d->x);
  guarded_free(&d->y);
  guarded_free(&d->out);
  free(d->lengths);
}

static void check_result(const test_layer *l, const io *d, int64_t rows, const char *what) {
  layer_verdict v = oracle_check_layer(&l->weights, &d->x.t, &d->y.t, d->lengths, &d->out.t, rows);
  ck_assert_msg(v.right, "%s: error %.3g, plain float32 %.3g, largest value %.3g", what, v.error,
                v.plain_error, v.largest);
  ck_assert(l->batch == 0 || l->queries == 0 || l->keys == 0 || v.largest > 0.0);
  guarded_check(&d->out, "out");
  guarded_check(&d->x, "x");
  guarded_check(&d->y, "y");
}

/* As planned, then directly, then with a resident context of K and V, which must give the same bits. */
static void check_layer(xattn_handle *handle, test_layer *l, rng *r, const layout how[3],
                        bool with_lengths, int64_t rows) {
  test_layer_init(l, r);
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l->weights, &layer));
  io d;
  io_init(&d, l, r, how, with_lengths);
  ASSERT_OK(handle, xattn_forward_once(handle, layer, &d.x.t, &d.y.t, &d.options, &d.out.t));
  check_result(l, &d, rows, "as planned");
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, layer, &d.y.t, &d.options, &context));
  ASSERT_OK(handle, xattn_forward(handle, layer, &d.x.t, context, NULL, &d.out.t));
  check_result(l, &d, rows, "with a context, as planned");
  xattn_context_destroy(context);
  d.options.plan = "direct";
  ASSERT_OK(handle, xattn_forward_once(handle, layer, &d.x.t, &d.y.t, &d.options, &d.out.t));
  check_result(l, &d, rows, "once");
  float *once = malloc((size_t)d.out.size * sizeof *once);
  ck_assert_ptr_nonnull(once);
  memcpy(once, d.out.memory, (size_t)d.out.size * sizeof *once);
  ASSERT_OK(handle, xattn_context_create(handle, layer, &d.y.t, &d.options, &context));
  for (int twice = 0; twice < 2; twice++) {
    guarded fresh = guarded_new(how[2], 3, d.out.t.shape);
    ASSERT_OK(handle, xattn_forward(handle, layer, &d.x.t, context, NULL, &fresh.t));
    ck_assert_msg(memcmp(once, fresh.memory, (size_t)d.out.size * sizeof *once) == 0,
                  "a resident context gives other bits");
    guarded_free(&fresh);
  }
  xattn_context_destroy(context);
  xattn_layer_destroy(layer);
  free(once);
  io_free(&d);
  test_layer_free(l);
}

static const layout dense[3] = {DENSE, DENSE, DENSE};

/* CrossAttention(in_dim, out_dim) and CrossAttention(in_dim, out_dim, in_q_dim, hid_q_dim), at the
 * article's sizes. */
START_TEST(the_article_s_two_classes) {
  xattn_handle *handle = test_handle(0);
  rng r = {31};
  test_layer same = {.batch = 1,
                     .queries = 1024,
                     .keys = 1024,
                     .query_dim = 512,
                     .context_dim = 512,
                     .head_dim = 512};
  check_layer(handle, &same, &r, dense, false, 48);
  test_layer different = {.batch = 1,
                          .queries = 1024,
                          .keys = 1024,
                          .query_dim = 512,
                          .context_dim = 1024,
                          .head_dim = 1024};
  check_layer(handle, &different, &r, dense, false, 48);
  xattn_destroy(handle);
}
END_TEST

START_TEST(random_layers) {
  xattn_handle *handle = test_handle(_i % 3 + 1);
  rng r = {(uint64_t)(100 + _i)};
  for (int i = 0; i < 25; i++) {
    int64_t kv_heads = rng_range(&r, 1, 3);
    test_layer l = {.batch = rng_range(&r, 1, 4),
                    .queries = rng_range(&r, 1, 40),
                    .keys = rng_range(&r, 1, 70),
                    .query_dim = rng_range(&r, 1, 50),
                    .context_dim = rng_range(&r, 1, 50),
                    .kv_heads = kv_heads,
                    .heads = kv_heads * rng_range(&r, 1, 3),
                    .head_dim = rng_range(&r, 1, 40),
                    .value_dim = rng_range(&r, 1, 40),
                    .out_dim = i % 3 ? rng_range(&r, 1, 60) : 0,
                    .biases = i & 1};
    layout how[3] = {(layout)rng_range(&r, 0, 3), (layout)rng_range(&r, 0, 3),
                     (layout)rng_range(&r, 0, 2)};
    check_layer(handle, &l, &r, how, i % 4 == 0, l.queries);
  }
  xattn_destroy(handle);
}
END_TEST

START_TEST(without_batch_dimension) {
  xattn_handle *handle = test_handle(2);
  rng r = {32};
  test_layer l = {.batch = 1,
                  .queries = 5,
                  .keys = 7,
                  .query_dim = 6,
                  .context_dim = 4,
                  .heads = 2,
                  .head_dim = 3,
                  .out_dim = 9,
                  .biases = true};
  test_layer_init(&l, &r);
  io d;
  io_init(&d, &l, &r, dense, false);
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
  xattn_tensor x = XATTN_TENSOR(d.x.t.data, XATTN_F32, 5, 6);
  xattn_tensor y = XATTN_TENSOR(d.y.t.data, XATTN_F32, 7, 4);
  xattn_tensor out = XATTN_TENSOR(d.out.t.data, XATTN_F32, 5, 9);
  ASSERT_OK(handle, xattn_forward_once(handle, layer, &x, &y, NULL, &out));
  check_result(&l, &d, 5, "rank 2");
  io_free(&d);
  xattn_layer_destroy(layer);
  test_layer_free(&l);
  xattn_destroy(handle);
}
END_TEST

/* Items that share elements: windows of one row that slide by less than the width. */
START_TEST(sliding_windows_of_one_row) {
  xattn_handle *handle = test_handle(2);
  rng r = {36};
  test_layer l = {.batch = 8,
                  .queries = 1,
                  .keys = 1,
                  .query_dim = 16,
                  .context_dim = 16,
                  .head_dim = 5,
                  .out_dim = 4};
  test_layer_init(&l, &r);
  io d;
  io_init(&d, &l, &r, dense, false);
  d.x.t.strides[0] = d.x.t.strides[1] = 3;
  d.y.t.strides[0] = d.y.t.strides[1] = 5;
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
  ASSERT_OK(handle, xattn_forward_once(handle, layer, &d.x.t, &d.y.t, NULL, &d.out.t));
  layer_verdict v = oracle_check_layer(&l.weights, &d.x.t, &d.y.t, NULL, &d.out.t, 1);
  ck_assert_msg(v.right, "error %.3g, plain float32 %.3g", v.error, v.plain_error);
  guarded_check(&d.out, "out");
  io_free(&d);
  xattn_layer_destroy(layer);
  test_layer_free(&l);
  xattn_destroy(handle);
}
END_TEST

START_TEST(one_context_serves_a_batch) {
  xattn_handle *handle = test_handle(2);
  rng r = {33};
  test_layer l = {.batch = 5,
                  .queries = 6,
                  .keys = 11,
                  .query_dim = 8,
                  .context_dim = 9,
                  .heads = 2,
                  .head_dim = 4,
                  .out_dim = 7};
  static const layout shared[3] = {DENSE, BROADCAST, DENSE};
  test_layer_init(&l, &r);
  io d;
  io_init(&d, &l, &r, shared, false);
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
  xattn_tensor one = XATTN_TENSOR(d.y.t.data, XATTN_F32, 1, 11, 9);
  one.strides[1] = d.y.t.strides[1];
  int32_t length = 8;
  for (int64_t b = 0; b < 5; b++) d.lengths[b] = length;
  xattn_tensor lengths = XATTN_TENSOR(&length, XATTN_I32, 1);
  d.options.key_lengths = &lengths;
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, layer, &one, &d.options, &context));
  ASSERT_OK(handle, xattn_forward(handle, layer, &d.x.t, context, NULL, &d.out.t));
  check_result(&l, &d, 6, "shared");
  xattn_context_destroy(context);
  io_free(&d);
  xattn_layer_destroy(layer);
  test_layer_free(&l);
  xattn_destroy(handle);
}
END_TEST

/* bo reaches even a row that has no key; bv does not. */
START_TEST(no_key_leaves_the_output_bias) {
  xattn_handle *handle = test_handle(1);
  rng r = {34};
  for (int empty = 0; empty < 2; empty++) {
    test_layer l = {.batch = 2,
                    .queries = 3,
                    .keys = empty ? 0 : 4,
                    .query_dim = 5,
                    .context_dim = 6,
                    .heads = 2,
                    .head_dim = 4,
                    .out_dim = 7,
                    .biases = true};
    test_layer_init(&l, &r);
    io d;
    io_init(&d, &l, &r, dense, true);
    d.lengths[0] = d.lengths[1] = 0;
    xattn_layer *layer;
    ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
    ASSERT_OK(handle, xattn_forward_once(handle, layer, &d.x.t, &d.y.t, &d.options, &d.out.t));
    for (int64_t b = 0; b < 2; b++)
      for (int64_t i = 0; i < 3; i++)
        for (int64_t c = 0; c < 7; c++)
          ck_assert(*guarded_at(&d.out, b, i, c, 0) == ((float *)l.tensor[7].data)[c]);
    io_free(&d);
    xattn_layer_destroy(layer);
    test_layer_free(&l);
  }
  xattn_destroy(handle);
}
END_TEST

START_TEST(empty_calls_write_nothing) {
  xattn_handle *handle = test_handle(1);
  rng r = {35};
  for (int what = 0; what < 2; what++) {
    test_layer l = {.batch = what ? 0 : 2,
                    .queries = what ? 3 : 0,
                    .keys = 4,
                    .query_dim = 5,
                    .context_dim = 6,
                    .head_dim = 4};
    check_layer(handle, &l, &r, dense, false, 1);
  }
  xattn_destroy(handle);
}
END_TEST

START_TEST(weights_of_other_dtypes_and_strides) {
  xattn_handle *handle = test_handle(1);
  /* Values that every dtype holds exactly: the results must have the same bits. */
  float w32[12], x[4] = {1.0F, -2.0F, 0.5F, 3.0F}, first[3], out[3];
  double w64[24];
  for (int i = 0; i < 12; i++) {
    w32[i] = (float)(i - 5) * 0.25F;
    w64[2 * i] = (double)w32[i];
    w64[2 * i + 1] = NAN;
  }
  uint16_t bf16[12];
  for (int i = 0; i < 12; i++) {
    uint32_t bits;
    memcpy(&bits, &w32[i], sizeof bits);
    bf16[i] = (uint16_t)(bits >> 16);
  }
  xattn_tensor f32 = XATTN_TENSOR(w32, XATTN_F32, 3, 4), f64 = XATTN_TENSOR(w64, XATTN_F64, 3, 4);
  f64.strides[0] = 8;
  f64.strides[1] = 2;
  xattn_tensor b16 = XATTN_TENSOR(bf16, XATTN_BF16, 3, 4);
  xattn_tensor stream = XATTN_TENSOR(x, XATTN_F32, 1, 4),
               result = XATTN_TENSOR(out, XATTN_F32, 1, 3);
  const xattn_tensor *dtypes[] = {&f32, &f64, &b16};
  for (int i = 0; i < 3; i++) {
    xattn_layer_weights weights = {.size = sizeof weights,
                                   .query_weight = dtypes[i],
                                   .key_weight = dtypes[(i + 1) % 3],
                                   .value_weight = dtypes[(i + 2) % 3]};
    xattn_layer *layer;
    ASSERT_OK(handle, xattn_layer_create(handle, &weights, &layer));
    ASSERT_OK(handle, xattn_forward_once(handle, layer, &stream, &stream, NULL, &result));
    if (i == 0) memcpy(first, out, sizeof first);
    ck_assert(memcmp(first, out, sizeof first) == 0);
    xattn_layer_info info = {.size = sizeof info};
    ASSERT_OK(NULL, xattn_layer_get_info(layer, &info));
    ck_assert_int_eq(info.parameters, 36);
    ck_assert_int_eq(info.head_dim, 3);
    ck_assert_int_eq(info.out_dim, 3);
    ck_assert(info.scale == (float)(1.0 / sqrt(3.0)));
    xattn_layer_destroy(layer);
  }
  xattn_destroy(handle);
}
END_TEST

Suite *suite_layer(void) {
  Suite *suite = suite_create("layer");
  TCase *tests = tcase_create("layer");
  tcase_set_timeout(tests, 180);
  if (!getenv("XATTN_TEST_SHORT")) tcase_add_test(tests, the_article_s_two_classes);
  tcase_add_loop_test(tests, random_layers, 0, 6);
  tcase_add_test(tests, without_batch_dimension);
  tcase_add_test(tests, sliding_windows_of_one_row);
  tcase_add_test(tests, one_context_serves_a_batch);
  tcase_add_test(tests, no_key_leaves_the_output_bias);
  tcase_add_test(tests, empty_calls_write_nothing);
  tcase_add_test(tests, weights_of_other_dtypes_and_strides);
  suite_add_tcase(suite, tests);
  return suite;
}
