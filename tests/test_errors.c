/* Every mismatch by its message; nothing is written, and the handle works on. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

typedef struct fixture {
  xattn_handle *handle;
  test_layer l;
  xattn_layer *layer;
  guarded x, y, out;
} fixture;

static void set_up(fixture *f) {
  *f = (fixture){.handle = test_handle(1),
                 .l = {.batch = 2,
                       .queries = 3,
                       .keys = 4,
                       .query_dim = 5,
                       .context_dim = 6,
                       .heads = 2,
                       .head_dim = 8,
                       .out_dim = 7,
                       .biases = true}};
  rng r = {41};
  test_layer_init(&f->l, &r);
  ASSERT_OK(f->handle, xattn_layer_create(f->handle, &f->l.weights, &f->layer));
  f->x = guarded_new(DENSE, 3, (int64_t[]){2, 3, 5});
  f->y = guarded_new(DENSE, 3, (int64_t[]){2, 4, 6});
  f->out = guarded_new(DENSE, 3, (int64_t[]){2, 3, 7});
  guarded_fill(&f->x, &r, 1.0);
  guarded_fill(&f->y, &r, 1.0);
  for (int64_t i = 0; i < 42; i++) ((float *)f->out.t.data)[i] = 5.0F;
}

static void tear_down(fixture *f) {
  /* Untouched so far, and still able to compute. */
  for (int64_t i = 0; i < 42; i++) ck_assert(((float *)f->out.t.data)[i] == 5.0F);
  ASSERT_OK(f->handle, xattn_forward_once(f->handle, f->layer, &f->x.t, &f->y.t, NULL, &f->out.t));
  for (int64_t i = 0; i < 42; i++) ck_assert(((float *)f->out.t.data)[i] != 5.0F);
  guarded_check(&f->out, "out");
  guarded_free(&f->x);
  guarded_free(&f->y);
  guarded_free(&f->out);
  xattn_layer_destroy(f->layer);
  test_layer_free(&f->l);
  xattn_destroy(f->handle);
}

#define ONCE(x_, y_, options_, out_) \
  xattn_forward_once(f.handle, f.layer, (x_), (y_), (options_), (out_))

START_TEST(shapes_of_the_streams) {
  fixture f;
  set_up(&f);
  const xattn_tensor *x = &f.x.t, *y = &f.y.t, *out = &f.out.t;
  xattn_tensor bad = *x;
  bad.shape[2] = 4;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_SHAPE,
               "x: width is 4 (shape [2, 3, 4]), query_weight has in_dim 5");
  bad = *y;
  bad.shape[2] = 5;
  ASSERT_FAILS(f.handle, ONCE(x, &bad, NULL, out), XATTN_ERROR_SHAPE,
               "y: width is 5 (shape [2, 4, 5]), key_weight has in_dim 6");
  bad = *y;
  bad.shape[0] = 1;
  ASSERT_FAILS(f.handle, ONCE(x, &bad, NULL, out), XATTN_ERROR_SHAPE,
               "y: batch is 1 (shape [1, 4, 6]), x has 2");
  bad = *out;
  bad.shape[0] = 3;
  ASSERT_FAILS(f.handle, ONCE(x, y, NULL, &bad), XATTN_ERROR_SHAPE, "out: batch is 3");
  bad = *out;
  bad.shape[1] = 2;
  ASSERT_FAILS(f.handle, ONCE(x, y, NULL, &bad), XATTN_ERROR_SHAPE,
               "out: rows is 2 (shape [2, 2, 7]), x has 3");
  bad = *out;
  bad.shape[2] = 8;
  ASSERT_FAILS(f.handle, ONCE(x, y, NULL, &bad), XATTN_ERROR_SHAPE,
               "out: width is 8 (shape [2, 3, 8]), the layer's out_dim is 7");
  float more[6] = {0};
  bad = XATTN_TENSOR(more, XATTN_F32, 1, 6);
  ASSERT_FAILS(f.handle, ONCE(x, &bad, NULL, out), XATTN_ERROR_SHAPE, "y: rank is 2");
  bad = XATTN_TENSOR(more, XATTN_F32, 6);
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_SHAPE,
               "x: shape is [6], rank 1 is not in 2 to 3");
  tear_down(&f);
}
END_TEST

START_TEST(tensors_that_cannot_be) {
  fixture f;
  set_up(&f);
  const xattn_tensor *x = &f.x.t, *y = &f.y.t, *out = &f.out.t;
  ASSERT_FAILS(f.handle, ONCE(NULL, y, NULL, out), XATTN_ERROR_ARGUMENT, "x: is NULL");
  ASSERT_FAILS(f.handle, ONCE(x, NULL, NULL, out), XATTN_ERROR_ARGUMENT, "y: is NULL");
  ASSERT_FAILS(f.handle, ONCE(x, y, NULL, NULL), XATTN_ERROR_ARGUMENT, "out: is NULL");
  xattn_tensor bad = *x;
  bad.data = NULL;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_ARGUMENT,
               "x: data is NULL, shape is [2, 3, 5]");
  bad = *x;
  bad.rank = 9;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_ARGUMENT, "x: rank is 9");
  bad = *x;
  bad.shape[1] = -3;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_ARGUMENT, "x: shape[1] is -3");
  bad = *x;
  bad.strides[0] = -15;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_LAYOUT, "x: strides[0] is -15");
  bad = *x;
  bad.shape[0] = bad.shape[1] = bad.shape[2] = INT64_MAX / 2;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_ARGUMENT,
               "is larger than memory can be");
  bad = *x;
  bad.shape[1] = 3000000000;
  bad.strides[1] = 0;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_UNSUPPORTED,
               "x: shape[1] is 3000000000, at most 21474836");
  bad = *x;
  bad.dtype = XATTN_F16;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_DTYPE,
               "x: dtype is F16, must be F32");
  bad.dtype = (xattn_dtype)77;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_DTYPE, "dtype number 77");
  bad = *x;
  bad.device_type = on_cpu() ? XATTN_CUDA : (xattn_device_type)3;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_LAYOUT,
               on_cpu() ? "x: device_type is 2, must be 1" : "x: device_type is 3, must be 2 or 1");
  bad.device_type = XATTN_CUDA;
  bad.device_index = 9;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_LAYOUT,
               on_cpu() ? "x: device_type is 2" : "x: lies on device 9, the handle's is 0");
  bad = *x;
  bad.data = (char *)bad.data + 1;
  ASSERT_FAILS(f.handle, ONCE(&bad, y, NULL, out), XATTN_ERROR_LAYOUT, "not aligned to 4 bytes");
  bad = *out;
  bad.strides[1] = 6;
  ASSERT_FAILS(f.handle, ONCE(x, y, NULL, &bad), XATTN_ERROR_LAYOUT,
               "out: strides[1] is 6, but the elements within reach over 6");
  bad = *out;
  bad.strides[0] = 0;
  ASSERT_FAILS(f.handle, ONCE(x, y, NULL, &bad), XATTN_ERROR_LAYOUT, "out: strides[0] is 0");
  bad = *out;
  bad.data = f.y.t.data;
  ASSERT_FAILS(f.handle, ONCE(x, y, NULL, &bad), XATTN_ERROR_OVERLAP, "overlap y");
  bad.data = (float *)f.x.t.data + 29;
  ASSERT_FAILS(f.handle, ONCE(x, y, NULL, &bad), XATTN_ERROR_OVERLAP, "overlap x");
  tear_down(&f);
}
END_TEST

START_TEST(options_and_handles) {
  fixture f;
  set_up(&f);
  const xattn_tensor *x = &f.x.t, *y = &f.y.t, *out = &f.out.t;
  ASSERT_FAILS(NULL, xattn_forward_once(NULL, f.layer, x, y, NULL, out), XATTN_ERROR_ARGUMENT,
               "handle: is NULL");
  ASSERT_FAILS(f.handle, xattn_forward_once(f.handle, NULL, x, y, NULL, out), XATTN_ERROR_ARGUMENT,
               "layer: is NULL");
  xattn_options options = {.size = sizeof options, .plan = "fastest"};
  ASSERT_FAILS(f.handle, ONCE(x, y, &options, out), XATTN_ERROR_NOT_FOUND,
               "options.plan: \"fastest\" is unknown; known are auto, direct, project+defer, ");
  options = (xattn_options){0};
  ASSERT_FAILS(f.handle, ONCE(x, y, &options, out), XATTN_ERROR_ARGUMENT, "options: size is 0");
  int32_t lengths[2] = {4, 5};
  xattn_tensor t = XATTN_TENSOR(lengths, XATTN_I32, 2);
  options = (xattn_options){.size = sizeof options, .key_lengths = &t};
  ASSERT_FAILS(f.handle, ONCE(x, y, &options, out), XATTN_ERROR_ARGUMENT,
               "options.key_lengths: item 1 is 5, must be 0 to 4");
  lengths[1] = -1;
  ASSERT_FAILS(f.handle, ONCE(x, y, &options, out), XATTN_ERROR_ARGUMENT, "item 1 is -1");
  t.shape[0] = 1;
  ASSERT_FAILS(f.handle, ONCE(x, y, &options, out), XATTN_ERROR_SHAPE,
               "options.key_lengths: shape is [1], must be [2], the batch");
  t.dtype = XATTN_I64;
  ASSERT_FAILS(f.handle, ONCE(x, y, &options, out), XATTN_ERROR_DTYPE, "dtype is I64");
  t = XATTN_TENSOR((const void *)out->data, XATTN_I32, 2);
  lengths[1] = 0;
  memcpy(out->data, lengths, sizeof lengths);
  ASSERT_FAILS(f.handle, ONCE(x, y, &options, out), XATTN_ERROR_OVERLAP,
               "overlap options.key_lengths");
  ((float *)out->data)[0] = ((float *)out->data)[1] = 5.0F;
  tear_down(&f);
}
END_TEST

START_TEST(contexts) {
  fixture f;
  set_up(&f);
  const xattn_tensor *x = &f.x.t, *y = &f.y.t, *out = &f.out.t;
  xattn_context *context;
  xattn_tensor bad = *y;
  bad.shape[2] = 3;
  ASSERT_FAILS(f.handle, xattn_context_create(f.handle, f.layer, &bad, NULL, &context),
               XATTN_ERROR_SHAPE, "y: width is 3");
  ck_assert_ptr_null(context);
  ASSERT_FAILS(f.handle, xattn_context_create(f.handle, f.layer, y, NULL, NULL),
               XATTN_ERROR_ARGUMENT, "context: is NULL");
  ASSERT_OK(f.handle, xattn_context_create(f.handle, f.layer, y, NULL, &context));
  ASSERT_FAILS(f.handle, xattn_forward(f.handle, f.layer, x, NULL, NULL, out), XATTN_ERROR_ARGUMENT,
               "context: is NULL");
  bad = *x;
  bad.shape[0] = 1;
  ASSERT_FAILS(f.handle, xattn_forward(f.handle, f.layer, &bad, context, NULL, out),
               XATTN_ERROR_SHAPE, "x: batch is 1 (shape [1, 3, 5]), the context has 2");
  xattn_layer *other;
  ASSERT_OK(f.handle, xattn_layer_create(f.handle, &f.l.weights, &other));
  ASSERT_FAILS(f.handle, xattn_forward(f.handle, other, x, context, NULL, out),
               XATTN_ERROR_ARGUMENT, "context: was made with another layer");
  int32_t lengths[2] = {4, 4};
  xattn_tensor t = XATTN_TENSOR(lengths, XATTN_I32, 2);
  xattn_options options = {.size = sizeof options, .key_lengths = &t};
  ASSERT_FAILS(f.handle, xattn_forward(f.handle, f.layer, x, context, &options, out),
               XATTN_ERROR_ARGUMENT, "the context carries its own");
  xattn_plan_info info = {.size = sizeof info};
  ASSERT_FAILS(f.handle, xattn_plan(f.handle, f.layer, x, y, context, NULL, &info),
               XATTN_ERROR_ARGUMENT, "y: is given beside a context");
  xattn_layer_destroy(other);
  xattn_context_destroy(context);
  /* Of a size that wraps around: 2^56 rows of one broadcast row. */
  float row[6] = {0};
  bad = XATTN_TENSOR(row, XATTN_F32, INT64_C(1) << 28, INT64_C(1) << 28, 6);
  bad.strides[0] = bad.strides[1] = 1;
  bad.shape[2] = 6;
  ASSERT_FAILS(f.handle, xattn_context_create(f.handle, f.layer, &bad, NULL, &context),
               XATTN_ERROR_MEMORY, "context: 268435456 × 268435456 rows");
  /* A layer at the address of a destroyed one is not the one that the context was made for. */
  ASSERT_OK(f.handle, xattn_layer_create(f.handle, &f.l.weights, &other));
  ASSERT_OK(f.handle, xattn_context_create(f.handle, other, y, NULL, &context));
  for (int i = 0; i < 20; i++) {
    xattn_layer_destroy(other);
    ASSERT_OK(f.handle, xattn_layer_create(f.handle, &f.l.weights, &other));
    ASSERT_FAILS(f.handle, xattn_forward(f.handle, other, x, context, NULL, out),
                 XATTN_ERROR_ARGUMENT, "context: was made with another layer");
  }
  xattn_layer_destroy(other);
  xattn_context_destroy(context);
  tear_down(&f);
}
END_TEST

START_TEST(weights) {
  fixture f;
  set_up(&f);
  xattn_layer *layer;
  xattn_tensor bad;
#define WEIGHTS_FAIL(status, part)                                                              \
  ASSERT_FAILS(f.handle, xattn_layer_create(f.handle, &f.l.weights, &layer), (status), (part)); \
  ck_assert_ptr_null(layer)
  f.l.weights.key_weight = NULL;
  WEIGHTS_FAIL(XATTN_ERROR_ARGUMENT, "key_weight: is NULL");
  bad = f.l.tensor[1];
  f.l.weights.key_weight = &bad;
  bad.shape[0] = 12;
  WEIGHTS_FAIL(XATTN_ERROR_SHAPE, "key_weight: out_dim 12, but query_weight's out_dim 16");
  bad = f.l.tensor[1];
  bad.shape[1] = 5;
  WEIGHTS_FAIL(XATTN_ERROR_SHAPE, "value_weight: in_dim 6, key_weight has 5");
  bad = f.l.tensor[1];
  bad.dtype = XATTN_I32;
  WEIGHTS_FAIL(XATTN_ERROR_DTYPE, "key_weight: dtype is I32");
  bad = f.l.tensor[1];
  bad.rank = 1;
  WEIGHTS_FAIL(XATTN_ERROR_SHAPE, "key_weight: shape is [16], rank 2 is needed");
  bad.rank = 2;
  bad.shape[0] = 0;
  WEIGHTS_FAIL(XATTN_ERROR_SHAPE, "key_weight: shape is [0, 6]");
  f.l.weights.key_weight = &f.l.tensor[1];
  f.l.weights.heads = 3;
  f.l.weights.kv_heads = 3;
  WEIGHTS_FAIL(XATTN_ERROR_SHAPE, "query_weight: 16 rows cannot be split into heads 3");
  f.l.weights.heads = 4;
  WEIGHTS_FAIL(XATTN_ERROR_ARGUMENT, "kv_heads: 3 must divide heads, which is 4");
  f.l.weights.heads = f.l.weights.kv_heads = -2;
  WEIGHTS_FAIL(XATTN_ERROR_ARGUMENT, "heads: -2 is below 1");
  f.l.weights.heads = f.l.weights.kv_heads = 2;
  bad = f.l.tensor[3];
  bad.shape[1] = 15;
  f.l.weights.out_weight = &bad;
  WEIGHTS_FAIL(XATTN_ERROR_SHAPE, "out_weight: in_dim 15, the joined heads have 16");
  f.l.weights.out_weight = NULL;
  WEIGHTS_FAIL(XATTN_ERROR_ARGUMENT, "out_bias: is given without out_weight");
  f.l.weights.out_weight = &f.l.tensor[3];
  bad = f.l.tensor[5];
  bad.shape[0] = 15;
  f.l.weights.key_bias = &bad;
  WEIGHTS_FAIL(XATTN_ERROR_SHAPE, "key_bias: has 15 elements, its weight has 16 rows");
  bad = f.l.tensor[5];
  bad.rank = 50000000;
  WEIGHTS_FAIL(XATTN_ERROR_ARGUMENT, "key_bias: rank is 50000000");
  f.l.weights.key_bias = NULL;
  f.l.weights.scale = INFINITY;
  WEIGHTS_FAIL(XATTN_ERROR_ARGUMENT, "scale: inf must be finite");
  f.l.weights.size = 1;
  WEIGHTS_FAIL(XATTN_ERROR_ARGUMENT, "weights: size is 1");
  tear_down(&f);
}
END_TEST

START_TEST(ready_heads) {
  fixture f;
  set_up(&f);
  float q[96], k[160], v[160], out[96];
  xattn_tensor tq = XATTN_TENSOR(q, XATTN_F32, 2, 3, 4, 4),
               tk = XATTN_TENSOR(k, XATTN_F32, 2, 5, 2, 4);
  xattn_tensor tv = XATTN_TENSOR(v, XATTN_F32, 2, 5, 2, 4),
               to = XATTN_TENSOR(out, XATTN_F32, 2, 3, 4, 4);
  const struct {
    xattn_tensor *tensor;
    int dimension;
    int64_t value;
    const char *part;
  } cases[] = {{&tk, 0, 1, "k: batch is 1"},       {&tv, 0, 1, "v: batch is 1"},
               {&to, 0, 1, "out: batch is 1"},     {&to, 1, 2, "out: rows is 2"},
               {&tv, 1, 4, "v: rows is 4"},        {&to, 2, 2, "out: heads is 2"},
               {&tv, 2, 1, "v: heads is 1"},       {&tk, 3, 3, "k: head width is 3"},
               {&to, 3, 3, "out: head width is 3"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t save = cases[i].tensor->shape[cases[i].dimension];
    cases[i].tensor->shape[cases[i].dimension] = cases[i].value;
    ASSERT_FAILS(f.handle, xattn_attention(f.handle, &tq, &tk, &tv, 0.0F, NULL, &to),
                 XATTN_ERROR_SHAPE, cases[i].part);
    cases[i].tensor->shape[cases[i].dimension] = save;
  }
  tk.shape[2] = tv.shape[2] = 3;
  tk.shape[1] = tv.shape[1] = 3;
  ASSERT_FAILS(f.handle, xattn_attention(f.handle, &tq, &tk, &tv, 0.0F, NULL, &to),
               XATTN_ERROR_SHAPE, "k: has 3 heads, must divide q's 4");
  tk.shape[2] = tv.shape[2] = 2;
  tk.shape[1] = tv.shape[1] = 5;
  xattn_options options = {.size = sizeof options, .plan = "push+defer"};
  ASSERT_FAILS(f.handle, xattn_attention(f.handle, &tq, &tk, &tv, 0.0F, &options, &to),
               XATTN_ERROR_UNSUPPORTED,
               "options.plan: \"push+defer\": Q, K and V are made already");
  ASSERT_FAILS(f.handle, xattn_attention(f.handle, &tq, &tk, &tv, NAN, NULL, &to),
               XATTN_ERROR_ARGUMENT, "scale: ");
  tear_down(&f);
}
END_TEST

Suite *suite_errors(void) {
  Suite *suite = suite_create("errors");
  TCase *tests = tcase_create("errors");
  tcase_add_test(tests, shapes_of_the_streams);
  tcase_add_test(tests, tensors_that_cannot_be);
  tcase_add_test(tests, options_and_handles);
  tcase_add_test(tests, contexts);
  tcase_add_test(tests, weights);
  tcase_add_test(tests, ready_heads);
  suite_add_tcase(suite, tests);
  return suite;
}
