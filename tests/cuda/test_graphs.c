/* Calls on device tensors captured into graphs, and launched with other inputs. */
#include <string.h>

#include "capture.h"

START_TEST(a_captured_job_runs_with_other_inputs) {
  studio s;
  studio_open(&s, 71, true);
  capture_begin(&s);
  job_run(&s.j, s.handle, &s.d, NULL);
  cudaGraphExec_t graph = capture_end(&s);
  for (uint64_t seed = 72; seed < 75; seed++) launch_and_check(&s, graph, seed);
  /* The handle goes on as before, between launches. */
  job_run(&s.j, s.handle, &s.d, NULL);
  job_check(&s.j, &s.d);
  launch_and_check(&s, graph, 75);
  graph_free(graph);
  studio_close(&s);
}
END_TEST

START_TEST(a_captured_call_has_not_run) {
  studio s;
  studio_open(&s, 76, true);
  CUDA_OK(cudaMemsetAsync(s.d.forward.memory, 0xFF, s.d.forward.bytes, s.stream));
  CUDA_OK(cudaStreamSynchronize(s.stream));
  capture_begin(&s);
  job_run(&s.j, s.handle, &s.d, NULL);
  cudaGraphExec_t graph = capture_end(&s);
  unsigned first = 0;
  CUDA_OK(cudaMemcpy(&first, s.d.forward.t.data, sizeof first, cudaMemcpyDeviceToHost));
  ck_assert_uint_eq(first, 0xFFFFFFFFU);
  graph_free(graph);
  studio_close(&s);
}
END_TEST

/* A context of another handle, there already: x changes, the context stays. */
START_TEST(a_captured_forward_with_a_context) {
  studio s;
  studio_open(&s, 77, true);
  capture_begin(&s);
  job_run(&s.j, s.handle, &s.d, s.context);
  cudaGraphExec_t graph = capture_end(&s);
  for (int i = 0; i < 2; i++) {
    rng r = {78 + (uint64_t)i};
    guarded_fill(&s.j.x, &r, 1.0);
    device_put(&s.d.x, &s.j.x.t);
    ASSERT_OK(s.handle, xattn_forward_once(s.handle, s.j.layer, &s.j.x.t, &s.j.y.t, &s.j.options,
                                           &s.j.forward.t));
    CUDA_OK(cudaGraphLaunch(graph, s.stream));
    job_check(&s.j, &s.d);
  }
  graph_free(graph);
  studio_close(&s);
}
END_TEST

/* Key lengths are those of the moment of capture, wherever their memory goes. */
START_TEST(lengths_are_those_of_the_capture) {
  studio s;
  studio_open(&s, 80, true);
  int32_t lengths[3];
  memcpy(lengths, s.j.lengths, sizeof lengths);
  capture_begin(&s);
  job_run(&s.j, s.handle, &s.d, NULL);
  memset(s.j.lengths, 0, sizeof s.j.lengths);
  cudaGraphExec_t graph = capture_end(&s);
  memcpy(s.j.lengths, lengths, sizeof lengths);
  launch_and_check(&s, graph, 81);
  graph_free(graph);
  studio_close(&s);
}
END_TEST

/* A larger call grows the pool; the graph still has the old one, and the right results. */
START_TEST(the_pool_may_grow_after_a_capture) {
  studio s;
  studio_open(&s, 82, true);
  capture_begin(&s);
  job_run(&s.j, s.handle, &s.d, NULL);
  cudaGraphExec_t graph = capture_end(&s);
  xattn_stats before = {.size = sizeof before}, after = before;
  ASSERT_OK(s.handle, xattn_get_stats(s.handle, &before));
  for (int i = 0; i < 2; i++) { /* twice: pools that are kept add up */
    const size_t wanted = (size_t)before.workspace_bytes * (size_t)(3 + 3 * i);
    ASSERT_OK(s.handle, xattn_reserve(s.handle, wanted));
    /* All of the new pool is written: were it the graph's, that would show. */
    guarded large = guarded_new(DENSE, 1, (int64_t[]){(int64_t)wanted / 4});
    device_tensor d = device_new(s.handle, &large.t, XATTN_F32, 0);
    device_put(&d, &large.t);
    launch_and_check(&s, graph, 83 + (uint64_t)i);
    device_free(&d);
    guarded_free(&large);
  }
  ASSERT_OK(s.handle, xattn_get_stats(s.handle, &after));
  ck_assert_uint_gt(after.workspace_bytes, before.workspace_bytes);
  graph_free(graph);
  studio_close(&s);
}
END_TEST

/* As much as the plan says, then a capture of calls that have never run. */
START_TEST(a_reserve_makes_room_for_a_capture) {
  studio s;
  studio_open(&s, 85, false);
  xattn_plan_info info = {.size = sizeof info};
  ASSERT_OK(s.handle,
            xattn_plan(s.handle, s.j.layer, &s.d.x.t, &s.d.y.t, NULL, &s.j.options, &info));
  ASSERT_OK(s.handle, xattn_reserve(s.handle, info.workspace_bytes));
  capture_begin(&s);
  ASSERT_OK(s.handle, xattn_forward_once(s.handle, s.j.layer, &s.d.x.t, &s.d.y.t, &s.j.options,
                                         &s.d.forward.t));
  cudaGraphExec_t graph = capture_end(&s);
  CUDA_OK(cudaGraphLaunch(graph, s.stream));
  check_output(&s.d.forward, &s.j.forward, "forward");
  graph_free(graph);
  studio_close(&s);
}
END_TEST

/* Copies between device tensors can be captured. In place, softmax works on what the last launch left. */
START_TEST(copies_and_softmax_in_place) {
  studio s;
  studio_open(&s, 86, true);
  device_tensor scores = device_new(s.handle, &s.j.scores.t, XATTN_F32, 0);
  capture_begin(&s);
  ASSERT_OK(s.handle, xattn_tensor_copy(s.handle, &s.d.scores.t, &scores.t));
  ASSERT_OK(s.handle,
            xattn_scale_softmax(s.handle, &scores.t, 0.7F, &s.j.lengths_alone, &scores.t));
  cudaGraphExec_t graph = capture_end(&s);
  for (int i = 0; i < 2; i++) {
    CUDA_OK(cudaGraphLaunch(graph, s.stream));
    check_output(&scores, &s.j.softmax, "softmax in place");
  }
  device_free(&scores);
  graph_free(graph);
  studio_close(&s);
}
END_TEST

/* Fork and join within one capture: the second handle's stream joins by an event. */
START_TEST(a_capture_over_two_handles) {
  studio s;
  studio_open(&s, 87, true);
  xattn_handle *second = cuda_handle();
  cudaStream_t stream = stream_new();
  ASSERT_OK(second, xattn_cuda_set_stream(second, stream));
  ASSERT_OK(second, xattn_attention(second, &s.d.q.t, &s.d.k.t, &s.d.v.t, 0.0F, &s.j.options,
                                    &s.d.attention.t));
  ASSERT_OK(second, xattn_synchronize(second));
  cudaEvent_t fork, join;
  CUDA_OK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  CUDA_OK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  capture_begin(&s);
  ASSERT_OK(s.handle, xattn_cuda_record_event(s.handle, fork));
  ASSERT_OK(second, xattn_cuda_wait_event(second, fork));
  ASSERT_OK(s.handle, xattn_forward_once(s.handle, s.j.layer, &s.d.x.t, &s.d.y.t, &s.j.options,
                                         &s.d.forward.t));
  ASSERT_OK(second, xattn_attention(second, &s.d.q.t, &s.d.k.t, &s.d.v.t, 0.0F, &s.j.options,
                                    &s.d.attention.t));
  ASSERT_OK(second,
            xattn_scale_softmax(second, &s.d.scores.t, 0.7F, &s.j.lengths_alone, &s.d.softmax.t));
  ASSERT_OK(second, xattn_cuda_record_event(second, join));
  ASSERT_OK(s.handle, xattn_cuda_wait_event(s.handle, join));
  cudaGraphExec_t graph = capture_end(&s);
  launch_and_check(&s, graph, 88);
  graph_free(graph);
  CUDA_OK(cudaEventDestroy(fork));
  CUDA_OK(cudaEventDestroy(join));
  xattn_destroy(second);
  CUDA_OK(cudaStreamDestroy(stream));
  studio_close(&s);
}
END_TEST

Suite *suite_cuda_graphs(void) {
  Suite *suite = suite_create("cuda-graphs");
  TCase *tests = cuda_tests("graphs");
  tcase_set_tags(tests, "order");
  tcase_add_test(tests, a_captured_job_runs_with_other_inputs);
  tcase_add_test(tests, a_captured_call_has_not_run);
  tcase_add_test(tests, a_captured_forward_with_a_context);
  tcase_add_test(tests, lengths_are_those_of_the_capture);
  tcase_add_test(tests, the_pool_may_grow_after_a_capture);
  tcase_add_test(tests, a_reserve_makes_room_for_a_capture);
  tcase_add_test(tests, copies_and_softmax_in_place);
  tcase_add_test(tests, a_capture_over_two_handles);
  suite_add_tcase(suite, tests);
  return suite;
}
