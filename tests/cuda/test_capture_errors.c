/* What a capture cannot hold is refused before anything is enqueued, and the capture goes on. */
#include <string.h>

#include "capture.h"

/* Launches what was captured after the refusal: one call that was warm. */
static void finish(studio *s) {
  job_run(&s->j, s->handle, &s->d, NULL);
  cudaGraphExec_t graph = capture_end(s);
  launch_and_check(s, graph, 99);
  graph_free(graph);
}

#define CAPTURE_REFUSES(s, call, text) ASSERT_FAILS((s).handle, call, XATTN_ERROR_CAPTURE, text)

/* The pool would have to grow. */
START_TEST(a_first_call) {
  studio s;
  studio_open(&s, 91, false);
  capture_begin(&s);
  CAPTURE_REFUSES(
      s, xattn_forward_once(s.handle, s.j.layer, &s.d.x.t, &s.d.y.t, &s.j.options, &s.d.forward.t),
      "allocation");
  ck_assert_ptr_nonnull(strstr(xattn_last_error(s.handle), "before")); /* what to do */
  /* A softmax of device tensors needs no workspace: the capture can still hold it. */
  ASSERT_OK(s.handle,
            xattn_scale_softmax(s.handle, &s.d.scores.t, 0.7F, &s.j.lengths_alone, &s.d.softmax.t));
  cudaGraphExec_t graph = capture_end(&s);
  CUDA_OK(cudaGraphLaunch(graph, s.stream));
  check_output(&s.d.softmax, &s.j.softmax, "softmax");
  graph_free(graph);
  studio_close(&s);
}
END_TEST

START_TEST(host_tensors) {
  studio s;
  studio_open(&s, 92, true);
  guarded forward = guarded_new(DENSE, 3, s.j.forward.t.shape);
  guarded softmax = guarded_new(DENSE, 3, s.j.softmax.t.shape);
  capture_begin(&s);
  CAPTURE_REFUSES(
      s, xattn_forward_once(s.handle, s.j.layer, &s.j.x.t, &s.d.y.t, NULL, &s.d.forward.t), "host");
  CAPTURE_REFUSES(s, xattn_forward_once(s.handle, s.j.layer, &s.d.x.t, &s.d.y.t, NULL, &forward.t),
                  "host");
  CAPTURE_REFUSES(s, xattn_forward(s.handle, s.j.layer, &s.j.x.t, s.context, NULL, &s.d.forward.t),
                  "host");
  CAPTURE_REFUSES(
      s, xattn_attention(s.handle, &s.d.q.t, &s.j.k.t, &s.d.v.t, 0.0F, NULL, &s.d.attention.t),
      "host");
  CAPTURE_REFUSES(s, xattn_scale_softmax(s.handle, &s.j.scores.t, 1.0F, NULL, &s.d.softmax.t),
                  "host");
  CAPTURE_REFUSES(s, xattn_scale_softmax(s.handle, &s.d.scores.t, 1.0F, NULL, &softmax.t), "host");
  CAPTURE_REFUSES(s, xattn_tensor_copy(s.handle, &s.j.x.t, &s.d.x.t), "host");
  CAPTURE_REFUSES(s, xattn_tensor_copy(s.handle, &s.d.x.t, &s.j.x.t), "host");
  finish(&s);
  guarded_free(&forward);
  guarded_free(&softmax);
  studio_close(&s);
}
END_TEST

START_TEST(what_waits_or_allocates) {
  studio s;
  studio_open(&s, 93, true);
  xattn_layer *layer = (void *)&s;
  xattn_context *context = (void *)&s;
  void *memory = &s;
  capture_begin(&s);
  CAPTURE_REFUSES(s, xattn_synchronize(s.handle), "synchronization");
  CAPTURE_REFUSES(s, xattn_layer_create(s.handle, &s.j.l.weights, &layer), "graph");
  ck_assert_ptr_null(layer);
  CAPTURE_REFUSES(s, xattn_context_create(s.handle, s.j.layer, &s.d.y.t, NULL, &context), "graph");
  ck_assert_ptr_null(context);
  CAPTURE_REFUSES(s, xattn_context_create(s.handle, s.j.layer, &s.j.y.t, NULL, &context), "graph");
  CAPTURE_REFUSES(s, xattn_device_alloc(s.handle, 1000, &memory), "graph");
  ck_assert_ptr_null(memory);
  CAPTURE_REFUSES(s, xattn_cuda_set_stream(s.handle, NULL), "graph");
  CAPTURE_REFUSES(s, xattn_reserve(s.handle, (size_t)1 << 24), "graph");
  finish(&s);
  studio_close(&s);
}
END_TEST

/* Onto a stream that captures, from one that does not. */
START_TEST(a_change_to_a_capturing_stream) {
  studio s;
  studio_open(&s, 94, true);
  xattn_handle *other = cuda_handle();
  capture_begin(&s);
  ASSERT_FAILS(other, xattn_cuda_set_stream(other, s.stream), XATTN_ERROR_CAPTURE, "graph");
  finish(&s);
  xattn_destroy(other);
  studio_close(&s);
}
END_TEST

/* Nothing is freed in a graph; what is released meanwhile is freed behind it, by whatever comes next. */
START_TEST(releases_during_a_capture) {
  studio s;
  studio_open(&s, 95, true);
  xattn_context *context;
  void *memory;
  ASSERT_OK(s.handle, xattn_context_create(s.handle, s.j.layer, &s.d.y.t, NULL, &context));
  ASSERT_OK(s.handle, xattn_device_alloc(s.handle, 5000, &memory));
  xattn_layer *layer;
  ASSERT_OK(s.handle, xattn_layer_create(s.handle, &s.j.l.weights, &layer));
  const simulator *sim = the_simulator();
  const size_t before = sim ? sim->live[0]() : 0;
  capture_begin(&s);
  xattn_context_destroy(context);
  xattn_layer_destroy(layer);
  ASSERT_OK(s.handle, xattn_device_free(s.handle, memory));
  ASSERT_FAILS(s.handle, xattn_device_free(s.handle, memory), XATTN_ERROR_ARGUMENT, "memory");
  if (sim) ck_assert_uint_eq(sim->live[0](), before);
  finish(&s);
  ASSERT_OK(s.handle, xattn_device_alloc(s.handle, 5000, &memory)); /* an occasion to free */
  if (sim) ck_assert_uint_eq(sim->live[0](), before - 3 + 1);
  studio_close(&s);
}
END_TEST

/* Still being made: refused, the capture stays valid. Once it is there, it can be captured. */
START_TEST(a_context_that_is_not_there_yet) {
  studio s;
  studio_open(&s, 96, true);
  xattn_handle *maker = cuda_handle();
  cudaStream_t stream = stream_new();
  ASSERT_OK(maker, xattn_cuda_set_stream(maker, stream));
  xattn_context *context;
  ASSERT_OK(maker, xattn_context_create(maker, s.j.layer, &s.d.y.t, &s.j.options, &context));
  xattn_context_destroy(context); /* made room */
  ASSERT_OK(maker, xattn_synchronize(maker));
  gate g;
  gate_close(&g, stream);
  ASSERT_OK(maker, xattn_context_create(maker, s.j.layer, &s.d.y.t, &s.j.options, &context));
  capture_begin(&s);
  CAPTURE_REFUSES(s, xattn_forward(s.handle, s.j.layer, &s.d.x.t, context, NULL, &s.d.forward.t),
                  "synchronize");
  gate_open(&g);
  finish(&s);
  ASSERT_OK(maker, xattn_synchronize(maker));
  capture_begin(&s);
  job_run(&s.j, s.handle, &s.d, context);
  cudaGraphExec_t graph = capture_end(&s);
  job_run(&s.j, s.handle, &s.d, context); /* not captured */
  guarded wanted = guarded_new(DENSE, 3, s.j.forward.t.shape);
  device_get(&s.d.forward, &wanted.t);
  CUDA_OK(cudaMemsetAsync(s.d.forward.memory, 0xFF, s.d.forward.bytes, s.stream));
  CUDA_OK(cudaGraphLaunch(graph, s.stream));
  check_output(&s.d.forward, &wanted, "forward with a context");
  guarded_free(&wanted);
  graph_free(graph);
  xattn_context_destroy(context);
  xattn_destroy(maker);
  CUDA_OK(cudaStreamDestroy(stream));
  studio_close(&s);
}
END_TEST

/* Merging goes by way of the host. Once it is done, for whatever call, the plan can be captured. */
START_TEST(weights_that_are_not_merged_yet) {
  studio s;
  studio_open(&s, 98, true);
  xattn_options merged = s.j.options;
  merged.plan = "merge-y+merge-py";
  ASSERT_OK(s.handle, xattn_reserve(s.handle, (size_t)1 << 22)); /* not for want of workspace */
  capture_begin(&s);
  CAPTURE_REFUSES(
      s, xattn_forward_once(s.handle, s.j.layer, &s.d.x.t, &s.d.y.t, &merged, &s.d.forward.t),
      "merged");
  finish(&s);
  guarded wanted = guarded_new(DENSE, 3, s.j.forward.t.shape);
  xattn_handle *other = cuda_handle();
  ASSERT_OK(other, xattn_forward_once(other, s.j.layer, &s.j.x.t, &s.j.y.t, &merged, &wanted.t));
  capture_begin(&s);
  ASSERT_OK(s.handle,
            xattn_forward_once(s.handle, s.j.layer, &s.d.x.t, &s.d.y.t, &merged, &s.d.forward.t));
  cudaGraphExec_t graph = capture_end(&s);
  for (uint64_t seed = 1; seed < 3; seed++) { /* the second with other inputs */
    CUDA_OK(cudaMemsetAsync(s.d.forward.memory, 0xFF, s.d.forward.bytes, s.stream));
    CUDA_OK(cudaGraphLaunch(graph, s.stream));
    check_output(&s.d.forward, &wanted, "a merged plan");
    job_refill(&s.j, other, seed);
    job_put(&s.j, &s.d);
    ASSERT_OK(other, xattn_forward_once(other, s.j.layer, &s.j.x.t, &s.j.y.t, &merged, &wanted.t));
  }
  guarded_free(&wanted);
  graph_free(graph);
  xattn_destroy(other);
  studio_close(&s);
}
END_TEST

/* A context knows how many rows it has when the call returns; a graph would add them later, and again. */
START_TEST(rows_that_are_appended) {
  studio s;
  studio_open(&s, 100, true);
  xattn_options roomy = s.j.options;
  roomy.context_capacity = 200;
  xattn_context *context;
  ASSERT_OK(s.handle, xattn_context_create(s.handle, s.j.layer, &s.d.y.t, &roomy, &context));
  ASSERT_OK(s.handle, xattn_context_append(s.handle, s.j.layer, context, &s.d.y.t, NULL));
  ASSERT_OK(s.handle, xattn_synchronize(s.handle));
  capture_begin(&s);
  CAPTURE_REFUSES(s, xattn_context_append(s.handle, s.j.layer, context, &s.d.y.t, NULL), "graph");
  finish(&s);
  xattn_context_info info = {.size = sizeof info};
  ASSERT_OK(NULL, xattn_context_get_info(context, &info));
  ck_assert_int_eq(info.keys, 100);
  ASSERT_OK(s.handle, xattn_forward(s.handle, s.j.layer, &s.d.x.t, context, NULL, &s.d.forward.t));
  ASSERT_OK(s.handle, xattn_synchronize(s.handle));
  xattn_context_destroy(context);
  studio_close(&s);
}
END_TEST

/* Somebody else has ruined the capture: that is said, and after it ended the handle works. */
START_TEST(a_capture_that_is_broken) {
  studio s;
  studio_open(&s, 97, true);
  capture_begin(&s);
  ck_assert_int_ne(cudaStreamSynchronize(s.stream), cudaSuccess);
  (void)cudaGetLastError();
  CAPTURE_REFUSES(s,
                  xattn_forward_once(s.handle, s.j.layer, &s.d.x.t, &s.d.y.t, NULL, &s.d.forward.t),
                  "capture");
  cudaGraph_t graph;
  ck_assert_int_ne(cudaStreamEndCapture(s.stream, &graph), cudaSuccess);
  (void)cudaGetLastError();
  job_run(&s.j, s.handle, &s.d, NULL);
  job_check(&s.j, &s.d);
  studio_close(&s);
}
END_TEST

Suite *suite_cuda_capture_errors(void) {
  Suite *suite = suite_create("cuda-capture-errors");
  TCase *tests = cuda_tests("capture-errors");
  tcase_set_tags(tests, "order");
  tcase_add_test(tests, a_first_call);
  tcase_add_test(tests, host_tensors);
  tcase_add_test(tests, what_waits_or_allocates);
  tcase_add_test(tests, a_change_to_a_capturing_stream);
  tcase_add_test(tests, releases_during_a_capture);
  tcase_add_test(tests, a_context_that_is_not_there_yet);
  tcase_add_test(tests, weights_that_are_not_merged_yet);
  tcase_add_test(tests, rows_that_are_appended);
  tcase_add_test(tests, a_capture_that_is_broken);
  suite_add_tcase(suite, tests);
  return suite;
}
