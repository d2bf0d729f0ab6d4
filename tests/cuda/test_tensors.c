/* Tensors in device memory, alone and beside tensors in host memory: the same bits as host tensors give, and
 * any strides. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "support_cuda.h"
#include "support_rules.h"

START_TEST(device_tensors_give_the_bits_of_host_tensors) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 1);
  job_to_device(&j, handle, &d);
  job_run(&j, handle, &d, NULL);
  job_check(&j, &d);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, j.layer, &d.y.t, &j.options, &context));
  job_run(&j, handle, &d, context);
  job_check(&j, &d);
  xattn_context_destroy(context);
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

/* A tensor of a call on one side or the other; an out in host memory is filled at return. */
static const xattn_tensor *side(bool on_device, const device_tensor *device, const guarded *host) {
  return on_device ? &device->t : &host->t;
}

static void check_side(bool on_device, const device_tensor *device, const guarded *host,
                       const guarded *wanted, const char *name) {
  if (on_device)
    check_output(device, wanted, name);
  else
    check_same_bits(host, wanted, name);
}

START_TEST(host_and_device_tensors_in_one_call) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_init(&j, handle, 2);
  for (int code = 0; code < 16; code++) {
    const bool a = code & 1, b = code & 2, c = code & 4, to = code & 8;
    job_tensors d;
    job_to_device(&j, handle, &d);
    guarded forward = guarded_new(DENSE, 3, j.forward.t.shape);
    guarded attention = guarded_new(DENSE, 4, j.attention.t.shape);
    guarded softmax = guarded_new(DENSE, 3, j.softmax.t.shape);
    ASSERT_OK(handle, xattn_forward_once(handle, j.layer, side(a, &d.x, &j.x), side(b, &d.y, &j.y),
                                         &j.options, side(to, &d.forward, &forward)));
    check_side(to, &d.forward, &forward, &j.forward, "forward_once");
    ASSERT_OK(handle,
              xattn_attention(handle, side(a, &d.q, &j.q), side(b, &d.k, &j.k), side(c, &d.v, &j.v),
                              0.0F, &j.options, side(to, &d.attention, &attention)));
    check_side(to, &d.attention, &attention, &j.attention, "attention");
    ASSERT_OK(handle, xattn_scale_softmax(handle, side(a, &d.scores, &j.scores), 0.7F,
                                          &j.lengths_alone, side(to, &d.softmax, &softmax)));
    check_side(to, &d.softmax, &softmax, &j.softmax, "softmax");
    guarded_free(&forward);
    guarded_free(&attention);
    guarded_free(&softmax);
    job_tensors_free(&d);
  }
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

START_TEST(a_context_from_either_side) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 3);
  job_to_device(&j, handle, &d);
  for (int code = 0; code < 4; code++) {
    xattn_context *context;
    ASSERT_OK(handle, xattn_context_create(handle, j.layer, side(code & 1, &d.y, &j.y), &j.options,
                                           &context));
    guarded out = guarded_new(DENSE, 3, j.forward.t.shape);
    ASSERT_OK(handle,
              xattn_forward(handle, j.layer, side(code & 2, &d.x, &j.x), context, NULL, &out.t));
    check_same_bits(&out, &j.forward, "forward");
    xattn_context_destroy(context);
    guarded_free(&out);
  }
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

START_TEST(softmax_in_place) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_init(&j, handle, 4);
  device_tensor scores = device_copy(handle, &j.scores.t, XATTN_F32);
  ASSERT_OK(handle, xattn_scale_softmax(handle, &scores.t, 0.7F, &j.lengths_alone, &scores.t));
  check_output(&scores, &j.softmax, "in place");
  device_free(&scores);
  /* Rows with gaps: in place and into another tensor give the same. */
  guarded strided = guarded_new(GAPS, 3, j.scores.t.shape);
  ASSERT_OK(handle, xattn_tensor_convert(&j.scores.t, &strided.t));
  device_tensor in = device_copy(handle, &strided.t, XATTN_F32);
  device_tensor out = device_new(handle, &strided.t, XATTN_F32, 0);
  ASSERT_OK(handle, xattn_scale_softmax(handle, &in.t, 0.7F, &j.lengths_alone, &out.t));
  ASSERT_OK(handle, xattn_scale_softmax(handle, &in.t, 0.7F, &j.lengths_alone, &in.t));
  check_output(&in, &j.softmax, "in place with gaps");
  check_output(&out, &j.softmax, "with gaps");
  device_free(&in);
  device_free(&out);
  guarded_free(&strided);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

static const int64_t dims[] = {3, 17, 29}; /* batch, queries, keys */

static void check_layer(xattn_handle *handle, const test_layer *l, const xattn_layer *layer,
                        const layout how[3], bool with_context) {
  rng r = {21};
  guarded x = guarded_new(how[0], 3, (int64_t[]){dims[0], dims[1], l->query_dim});
  guarded y = guarded_new(how[1], 3, (int64_t[]){dims[0], dims[2], l->context_dim});
  guarded out = guarded_new(how[2], 3, (int64_t[]){dims[0], dims[1], l->out_dim});
  guarded_fill(&x, &r, 1.0);
  guarded_fill(&y, &r, 1.0);
  device_tensor dx = device_copy(handle, &x.t, XATTN_F32),
                dy = device_copy(handle, &y.t, XATTN_F32);
  device_tensor dout = device_new(handle, &out.t, XATTN_F32, 0);
  if (with_context) {
    xattn_context *context;
    ASSERT_OK(handle, xattn_context_create(handle, layer, &dy.t, NULL, &context));
    ASSERT_OK(handle, xattn_forward(handle, layer, &dx.t, context, NULL, &dout.t));
    xattn_context_destroy(context);
  } else {
    ASSERT_OK(handle, xattn_forward_once(handle, layer, &dx.t, &dy.t, NULL, &dout.t));
  }
  device_get(&dout, &out.t);
  device_check(&dout, "out");
  device_check(&dx, "x");
  device_check(&dy, "y");
  const layer_verdict verdict = oracle_check_layer(&l->weights, &x.t, &y.t, NULL, &out.t, 4);
  ck_assert_msg(verdict.right, "layouts %d %d %d: error %.3g, plain %.3g", (int)how[0], (int)how[1],
                (int)how[2], verdict.error, verdict.plain_error);
  device_free(&dx);
  device_free(&dy);
  device_free(&dout);
  guarded_free(&x);
  guarded_free(&y);
  guarded_free(&out);
}

START_TEST(every_layout_of_a_layers_streams) {
  xattn_handle *handle = cuda_handle();
  test_layer l = {.query_dim = 18,
                  .context_dim = 11,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 7,
                  .value_dim = 5,
                  .out_dim = 9,
                  .biases = true};
  rng r = {22};
  test_layer_init(&l, &r);
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
  for (int code = 0; code < 4 * 4 * 3; code++) {
    const layout how[3] = {(layout)(code % 4), (layout)(code / 4 % 4), (layout)(code / 16)};
    check_layer(handle, &l, layer, how, code & 1);
  }
  xattn_layer_destroy(layer);
  test_layer_free(&l);
  xattn_destroy(handle);
}
END_TEST

START_TEST(every_layout_of_attention) {
  xattn_handle *handle = cuda_handle();
  rng r = {23};
  const int32_t lengths[3] = {29, 0, 13};
  const xattn_tensor lengths_tensor = XATTN_TENSOR(lengths, XATTN_I32, 3);
  const xattn_options options = {.size = sizeof options, .key_lengths = &lengths_tensor};
  for (int code = 0; code < 4 * 4 * 4 * 3; code += 5) { /* 5 and 192 have no common factor */
    guarded q = guarded_new((layout)(code % 4), 4, (int64_t[]){3, 9, 4, 6});
    guarded k = guarded_new((layout)(code / 4 % 4), 4, (int64_t[]){3, 29, 2, 6});
    guarded v = guarded_new((layout)(code / 16 % 4), 4, (int64_t[]){3, 29, 2, 5});
    guarded out = guarded_new((layout)(code / 64), 4, (int64_t[]){3, 9, 4, 5});
    guarded_fill(&q, &r, 2.0);
    guarded_fill(&k, &r, 2.0);
    guarded_fill(&v, &r, 1.0);
    device_tensor dq = device_copy(handle, &q.t, XATTN_F32);
    device_tensor dk = device_copy(handle, &k.t, XATTN_F32);
    device_tensor dv = device_copy(handle, &v.t, XATTN_F32);
    device_tensor dout = device_new(handle, &out.t, XATTN_F32, 0);
    ASSERT_OK(handle, xattn_attention(handle, &dq.t, &dk.t, &dv.t, 0.0F, &options, &dout.t));
    device_get(&dout, &out.t);
    check_attention_rule(&rule_f32, &q.t, &k.t, &v.t, 1.0 / sqrt(6.0), lengths, &out.t);
    device_tensor *devices[] = {&dq, &dk, &dv, &dout};
    guarded *hosts[] = {&q, &k, &v, &out};
    for (int i = 0; i < 4; i++) {
      device_check(devices[i], "a tensor of attention");
      device_free(devices[i]);
      guarded_free(hosts[i]);
    }
  }
  xattn_destroy(handle);
}
END_TEST

/* [N, D] without a batch, and nothing to do. */
START_TEST(rank_2_and_empty) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 5);
  job_to_device(&j, handle, &d);
  xattn_tensor x = d.x.t, y = d.y.t, out = d.forward.t;
  xattn_tensor *all[] = {&x, &y, &out};
  for (int i = 0; i < 3; i++) {
    all[i]->rank = 2;
    memmove(all[i]->shape, all[i]->shape + 1, 2 * sizeof(int64_t));
    memmove(all[i]->strides, all[i]->strides + 1, 2 * sizeof(int64_t));
  }
  ASSERT_OK(handle,
            xattn_forward_once(handle, j.layer, &x, &y, NULL, &out)); /* item 0 has all keys */
  guarded got = guarded_new(DENSE, 3, j.forward.t.shape);
  device_get(&d.forward, &got.t);
  const double wanted = (double)*guarded_at(&j.forward, 0, 3, 5, 0);
  ck_assert(fabs((double)*guarded_at(&got, 0, 3, 5, 0) - wanted) < 1e-5);
  ck_assert(isnan(*guarded_at(&got, 1, 0, 0, 0)));
  x.shape[0] = out.shape[0] = 0;
  ASSERT_OK(handle, xattn_forward_once(handle, j.layer, &x, &y, NULL, &out));
  guarded_free(&got);
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_tensors(void) {
  Suite *suite = suite_create("cuda-tensors");
  TCase *tests = cuda_tests("tensors");
  tcase_add_test(tests, device_tensors_give_the_bits_of_host_tensors);
  tcase_add_test(tests, host_and_device_tensors_in_one_call);
  tcase_add_test(tests, a_context_from_either_side);
  tcase_add_test(tests, softmax_in_place);
  tcase_add_test(tests, every_layout_of_a_layers_streams);
  tcase_add_test(tests, every_layout_of_attention);
  tcase_add_test(tests, rank_2_and_empty);
  suite_add_tcase(suite, tests);
  return suite;
}
