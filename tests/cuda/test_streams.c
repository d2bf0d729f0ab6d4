/* Streams and events of the caller: where work is enqueued, and in which order it runs. A gate (a host
 * function that waits) holds a stream back, on a GPU as on the simulator. */
#include <pthread.h>
#include <string.h>

#include "oracle.h"
#include "support_cuda.h"

/* Several tests need a job, its tensors, and room made for every call. */
typedef struct scene {
  xattn_handle *handle;
  job j;
  job_tensors d;
} scene;

static void scene_open(scene *s, uint64_t seed) {
  s->handle = cuda_handle();
  job_init(&s->j, s->handle, seed);
  job_to_device(&s->j, s->handle, &s->d);
  job_run(&s->j, s->handle, &s->d, NULL);
  ASSERT_OK(s->handle, xattn_synchronize(s->handle));
}

static void scene_close(scene *s) {
  job_tensors_free(&s->d);
  job_free(&s->j);
  xattn_destroy(s->handle);
}

/* Results of an earlier call must not pass for those of a later one. */
static void spoil_outputs(const scene *s, cudaStream_t stream) {
  const device_tensor *all[] = {&s->d.forward, &s->d.attention, &s->d.softmax};
  for (int i = 0; i < 3; i++) CUDA_OK(cudaMemsetAsync(all[i]->memory, 0xFF, all[i]->bytes, stream));
}

START_TEST(work_goes_to_the_callers_stream) {
  scene s;
  scene_open(&s, 51);
  cudaStream_t stream = stream_new();
  void *now;
  ASSERT_OK(s.handle, xattn_cuda_get_stream(s.handle, &now));
  ck_assert_ptr_nonnull(now); /* one of its own */
  ck_assert(now != (void *)stream);
  ASSERT_OK(s.handle, xattn_cuda_set_stream(s.handle, stream));
  ASSERT_OK(s.handle, xattn_cuda_get_stream(s.handle, &now));
  ck_assert(now == (void *)stream);
  spoil_outputs(&s, stream);
  CUDA_OK(cudaStreamSynchronize(stream));
  gate g;
  gate_close(&g, stream);
  job_run(&s.j, s.handle, &s.d, NULL);
  ck_assert_int_eq(cudaStreamQuery(stream), cudaErrorNotReady);
  (void)cudaGetLastError();
  gate_open(&g);
  CUDA_OK(cudaStreamSynchronize(stream)); /* not by way of the handle */
  job_check(&s.j, &s.d);
  scene_close(&s);
  CUDA_OK(cudaStreamDestroy(stream));
}
END_TEST

/* Behind a closed gate, nothing that waits for it may have been written. Another stream can look. */
START_TEST(nothing_runs_before_its_turn) {
  scene s;
  scene_open(&s, 52);
  cudaStream_t stream = stream_new(), observer = stream_new();
  ASSERT_OK(s.handle, xattn_cuda_set_stream(s.handle, stream));
  spoil_outputs(&s, stream);
  CUDA_OK(cudaStreamSynchronize(stream));
  gate g;
  gate_close(&g, stream);
  job_run(&s.j, s.handle, &s.d, NULL);
  unsigned seen[4] = {0};
  CUDA_OK(cudaMemcpyAsync(seen, s.d.forward.t.data, sizeof seen, cudaMemcpyDeviceToHost, observer));
  CUDA_OK(cudaStreamSynchronize(observer));
  ck_assert_uint_eq(seen[0], 0xFFFFFFFFU);
  gate_open(&g);
  ASSERT_OK(s.handle, xattn_synchronize(s.handle));
  job_check(&s.j, &s.d);
  scene_close(&s);
  CUDA_OK(cudaStreamDestroy(stream));
  CUDA_OK(cudaStreamDestroy(observer));
}
END_TEST

START_TEST(the_default_stream) {
  scene s;
  scene_open(&s, 53);
  ASSERT_OK(s.handle, xattn_cuda_set_stream(s.handle, NULL));
  void *now = &s;
  ASSERT_OK(s.handle, xattn_cuda_get_stream(s.handle, &now));
  ck_assert_ptr_null(now);
  CUDA_OK(cudaMemset(s.d.forward.t.data, 0xFF, 64)); /* enqueued on the default stream as well */
  job_run(&s.j, s.handle, &s.d, NULL);
  job_check(&s.j, &s.d);
  job_refill(&s.j, s.handle, 54); /* host tensors */
  xattn_context *context;
  ASSERT_OK(s.handle, xattn_context_create(s.handle, s.j.layer, &s.j.y.t, &s.j.options, &context));
  job_put(&s.j, &s.d);
  job_run(&s.j, s.handle, &s.d, context);
  job_check(&s.j, &s.d);
  xattn_context_destroy(context);
  scene_close(&s);
}
END_TEST

/* Work behind a gate on the first stream, then work on the second that needs it. */
START_TEST(a_change_of_streams_keeps_the_order) {
  scene s;
  scene_open(&s, 55);
  cudaStream_t streams[2] = {stream_new(), stream_new()};
  device_tensor middle = device_new(s.handle, &s.j.x.t, XATTN_F32, 0);
  for (int round = 0; round < 3; round++) {
    gate g;
    ASSERT_OK(s.handle, xattn_cuda_set_stream(s.handle, streams[round % 2]));
    spoil_outputs(&s, streams[round % 2]);
    gate_close(&g, streams[round % 2]);
    ASSERT_OK(s.handle, xattn_tensor_copy(s.handle, &s.d.x.t, &middle.t));
    ASSERT_OK(s.handle, xattn_cuda_set_stream(s.handle, streams[1 - round % 2]));
    ASSERT_OK(s.handle, xattn_forward_once(s.handle, s.j.layer, &middle.t, &s.d.y.t, &s.j.options,
                                           &s.d.forward.t));
    gate_open(&g);
    check_output(&s.d.forward, &s.j.forward, "forward");
    CUDA_OK(cudaMemsetAsync(middle.memory, 0xFF, middle.bytes, streams[1 - round % 2]));
  }
  device_free(&middle);
  scene_close(&s);
  CUDA_OK(cudaStreamDestroy(streams[0]));
  CUDA_OK(cudaStreamDestroy(streams[1]));
}
END_TEST

/* The first handle copies x, the second computes with it, the first copies the result: two events, no
 * waiting of the host in between. */
START_TEST(events_order_two_handles) {
  scene s;
  scene_open(&s, 56);
  xattn_handle *second = cuda_handle();
  ASSERT_OK(second, xattn_forward_once(second, s.j.layer, &s.d.x.t, &s.d.y.t, &s.j.options,
                                       &s.d.forward.t)); /* makes room */
  ASSERT_OK(second, xattn_synchronize(second));
  cudaStream_t stream = stream_new();
  ASSERT_OK(s.handle, xattn_cuda_set_stream(s.handle, stream));
  cudaEvent_t ready[2];
  for (int i = 0; i < 2; i++) CUDA_OK(cudaEventCreateWithFlags(&ready[i], cudaEventDisableTiming));
  device_tensor x = device_new(s.handle, &s.j.x.t, XATTN_F32, 0);
  device_tensor out = device_new(s.handle, &s.j.forward.t, XATTN_F32, 0);
  ASSERT_OK(s.handle, xattn_synchronize(s.handle));
  gate g;
  gate_close(&g, stream);
  ASSERT_OK(s.handle, xattn_tensor_copy(s.handle, &s.d.x.t, &x.t));
  ASSERT_OK(s.handle, xattn_cuda_record_event(s.handle, ready[0]));
  ASSERT_OK(second, xattn_cuda_wait_event(second, ready[0]));
  ASSERT_OK(second,
            xattn_forward_once(second, s.j.layer, &x.t, &s.d.y.t, &s.j.options, &s.d.forward.t));
  ASSERT_OK(second, xattn_cuda_record_event(second, ready[1]));
  ASSERT_OK(s.handle, xattn_cuda_wait_event(s.handle, ready[1]));
  ASSERT_OK(s.handle, xattn_tensor_copy(s.handle, &s.d.forward.t, &out.t));
  gate_open(&g);
  check_output(&out, &s.j.forward, "through two handles");
  device_free(&x);
  device_free(&out);
  xattn_destroy(second);
  scene_close(&s);
  for (int i = 0; i < 2; i++) CUDA_OK(cudaEventDestroy(ready[i]));
  CUDA_OK(cudaStreamDestroy(stream));
}
END_TEST

/* The context is still being made when the other handle uses it. */
START_TEST(a_context_of_another_handle_at_once) {
  scene s;
  scene_open(&s, 57);
  cudaStream_t stream = stream_new();
  xattn_handle *maker = cuda_handle();
  ASSERT_OK(maker, xattn_cuda_set_stream(maker, stream));
  xattn_context *context;
  for (int round = 0; round < 2; round++) { /* the first one makes room */
    gate g;
    if (round == 1) gate_close(&g, stream);
    ASSERT_OK(maker, xattn_context_create(maker, s.j.layer, &s.d.y.t, &s.j.options, &context));
    job_run(&s.j, s.handle, &s.d, context);
    if (round == 1) gate_open(&g);
    job_check(&s.j, &s.d);
    spoil_outputs(&s, stream);
    CUDA_OK(cudaStreamSynchronize(stream));
    if (round == 0) xattn_context_destroy(context);
  }
  /* It outlives the handle and the stream that made it. */
  xattn_destroy(maker);
  CUDA_OK(cudaStreamDestroy(stream));
  job_run(&s.j, s.handle, &s.d, context);
  job_check(&s.j, &s.d);
  xattn_context_destroy(context);
  scene_close(&s);
}
END_TEST

/* Rows from `first` on. */
static xattn_tensor rows_from(const xattn_tensor *y, int64_t first, int64_t count) {
  xattn_tensor rows = *y;
  rows.data = (float *)y->data + first * y->strides[1];
  rows.shape[1] = count;
  return rows;
}

/* The second handle's rows are still on their way when the handle that made the context uses it: whose memory it
 * is does not tell who wrote last. With room for the rows they go where the context is; without, all of it
 * moves to memory of the second handle, and the old is given back while the move is still to come. */
START_TEST(rows_that_another_handle_appends) {
  enum { FIRST = 30, ALL = 50 };
  scene s;
  scene_open(&s, 59);
  cudaStream_t stream = stream_new();
  xattn_handle *second = cuda_handle();
  ASSERT_OK(second, xattn_cuda_set_stream(second, stream));
  const xattn_tensor first = rows_from(&s.d.y.t, 0, FIRST);
  const xattn_tensor rest = rows_from(&s.d.y.t, FIRST, ALL - FIRST);
  guarded wanted = guarded_new(DENSE, 3, s.j.forward.t.shape);
  for (int round = 0; round < 4; round++) { /* in turn, then at once; with room, then without */
    const xattn_options options = {
        .size = sizeof options, .plan = "direct", .context_capacity = round % 2 ? FIRST : ALL};
    const bool at_once = round >= 2;
    xattn_context *context;
    ASSERT_OK(s.handle, xattn_context_create(s.handle, s.j.layer, &first, &options, &context));
    ASSERT_OK(s.handle,
              xattn_forward(s.handle, s.j.layer, &s.d.x.t, context, NULL, &s.d.forward.t));
    ASSERT_OK(s.handle, xattn_synchronize(s.handle));
    gate g;
    if (at_once) gate_close(&g, stream);
    ASSERT_OK(second, xattn_context_append(second, s.j.layer, context, &rest, NULL));
    if (!at_once) ASSERT_OK(second, xattn_synchronize(second));
    /* What the first handle has freed by now may be given to whoever asks. */
    device_tensor other = device_new(s.handle, &s.d.y.t, XATTN_F32, 0);
    ASSERT_OK(s.handle,
              xattn_forward(s.handle, s.j.layer, &s.d.x.t, context, NULL, &s.d.forward.t));
    if (at_once) gate_open(&g);
    if (round == 0)
      device_get(&s.d.forward, &wanted.t);
    else
      check_output(&s.d.forward, &wanted, "forward with appended rows");
    device_free(&other);
    ASSERT_OK(second, xattn_synchronize(second));
    xattn_context_destroy(context);
  }
  const layer_verdict verdict =
      oracle_check_layer(&s.j.l.weights, &s.j.x.t, &s.j.y.t, NULL, &wanted.t, 3);
  ck_assert_msg(verdict.right, "error %.3g, plain %.3g", verdict.error, verdict.plain_error);
  guarded_free(&wanted);
  xattn_destroy(second);
  scene_close(&s);
  CUDA_OK(cudaStreamDestroy(stream));
}
END_TEST

static void *destroy_context(void *context) {
  xattn_context_destroy(context);
  return NULL;
}

/* By another thread, while the maker goes on; and both orders of destruction. */
START_TEST(contexts_and_layers_outlive_their_handle) {
  scene s;
  scene_open(&s, 58);
  xattn_context *contexts[3];
  for (int i = 0; i < 3; i++)
    ASSERT_OK(s.handle,
              xattn_context_create(s.handle, s.j.layer, &s.d.y.t, &s.j.options, &contexts[i]));
  pthread_t thread;
  ck_assert_int_eq(pthread_create(&thread, NULL, destroy_context, contexts[0]), 0);
  job_run(&s.j, s.handle, &s.d, contexts[1]);
  ck_assert_int_eq(pthread_join(thread, NULL), 0);
  job_check(&s.j, &s.d);
  xattn_handle *other = cuda_handle();
  job_tensors d;
  job_to_device(&s.j, other, &d);
  job_tensors_free(&s.d);
  xattn_destroy(s.handle);
  job_run(&s.j, other, &d, contexts[1]);
  job_check(&s.j, &d);
  xattn_context_destroy(contexts[1]);
  job_run(&s.j, other, &d, contexts[2]);
  job_check(&s.j, &d);
  job_tensors_free(&d);
  xattn_destroy(other);
  xattn_context_destroy(contexts[2]);
  job_free(&s.j);
}
END_TEST

START_TEST(what_is_refused) {
  xattn_handle *cuda = cuda_handle(), *cpu = cuda_handle_of("cpu", XATTN_MATH_DEFAULT);
  void *stream;
  ASSERT_FAILS(cuda, xattn_cuda_get_stream(cuda, NULL), XATTN_ERROR_ARGUMENT, "stream: is NULL");
  ASSERT_FAILS(cuda, xattn_cuda_wait_event(cuda, NULL), XATTN_ERROR_ARGUMENT, "event: is NULL");
  ASSERT_FAILS(cuda, xattn_cuda_record_event(cuda, NULL), XATTN_ERROR_ARGUMENT, "event: is NULL");
  ASSERT_FAILS(NULL, xattn_cuda_set_stream(NULL, NULL), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  ASSERT_FAILS(cpu, xattn_cuda_set_stream(cpu, NULL), XATTN_ERROR_ARGUMENT, "is on cpu");
  ASSERT_FAILS(cpu, xattn_cuda_get_stream(cpu, &stream), XATTN_ERROR_ARGUMENT, "is on cpu");
  ASSERT_FAILS(cpu, xattn_cuda_wait_event(cpu, &stream), XATTN_ERROR_ARGUMENT, "is on cpu");
  ASSERT_FAILS(cpu, xattn_cuda_record_event(cpu, &stream), XATTN_ERROR_ARGUMENT, "is on cpu");
  ASSERT_FAILS(cpu, xattn_cuda_set_allocator(cpu, NULL), XATTN_ERROR_ARGUMENT, "is on cpu");
  xattn_destroy(cuda);
  xattn_destroy(cpu);
}
END_TEST

Suite *suite_cuda_streams(void) {
  Suite *suite = suite_create("cuda-streams");
  TCase *tests = cuda_tests("streams");
  tcase_set_tags(tests, "order");
  tcase_add_test(tests, work_goes_to_the_callers_stream);
  tcase_add_test(tests, nothing_runs_before_its_turn);
  tcase_add_test(tests, the_default_stream);
  tcase_add_test(tests, a_change_of_streams_keeps_the_order);
  tcase_add_test(tests, events_order_two_handles);
  tcase_add_test(tests, a_context_of_another_handle_at_once);
  tcase_add_test(tests, rows_that_another_handle_appends);
  tcase_add_test(tests, contexts_and_layers_outlive_their_handle);
  tcase_add_test(tests, what_is_refused);
  suite_add_tcase(suite, tests);
  return suite;
}
