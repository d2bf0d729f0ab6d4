/* Streams and events: work runs late, and only what is asked for. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_runtime.h"

enum { n = 4, bytes = n * sizeof(float) };

/* A value on its way through a stream: queued, not there yet. */
static float *fill_later(float value, cudaStream_t s) {
  float *a = device_floats(n, NULL), host[n] = {value, value, value, value};
  OK(cudaMemcpyAsync(a, host, bytes, cudaMemcpyHostToDevice, s));
  return a;
}

static void only_its_own_work(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  float *a = fill_later(1, s), *b = fill_later(2, t);
  float *from_a = pinned_floats(n, 0), *from_b = pinned_floats(n, 0);
  OK(cudaMemcpyAsync(from_a, a, bytes, cudaMemcpyDeviceToHost, s));
  OK(cudaMemcpyAsync(from_b, b, bytes, cudaMemcpyDeviceToHost, t));
  CHECK(from_a[0] == 0 && from_b[0] == 0);
  OK(cudaStreamSynchronize(s));
  CHECK(from_a[0] == 1 && from_b[0] == 0);
  OK(cudaDeviceSynchronize());
  CHECK(from_b[0] == 2);
}

static void queries_end(void) {
  cudaStream_t s = new_stream();
  float *a = fill_later(1, s), *host = pinned_floats(n, 0);
  cudaEvent_t e = new_event();
  OK(cudaEventQuery(e)); /* never recorded */
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, s));
  OK(cudaEventRecord(e, s));
  EQUAL(cudaEventQuery(e), cudaErrorNotReady);
  EQUAL(cudaEventQuery(e), cudaErrorNotReady);
  EQUAL(host[0], 0);
  OK(cudaEventQuery(e));
  EQUAL(host[0], 1);
  a = fill_later(2, s);
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, s));
  EQUAL(cudaStreamQuery(s), cudaErrorNotReady);
  EQUAL(cudaStreamQuery(s), cudaErrorNotReady);
  EQUAL(cudaGetLastError(), cudaErrorNotReady);
  OK(cudaStreamQuery(s));
  OK(cudaStreamQuery(s));
  EQUAL(host[0], 2);
}

static void event_orders(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t e = new_event();
  float *host = pinned_floats(n, 0), *a = fill_later(1, s);
  OK(cudaEventRecord(e, s));
  OK(cudaMemsetAsync(a, 0, bytes, s)); /* after the event: not before the copy */
  OK(cudaStreamWaitEvent(t, e, 0));
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, t));
  OK(cudaStreamSynchronize(t));
  EQUAL(host[0], 1);
}

static void without_event(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  float *host = pinned_floats(n, 0), *a = fill_later(1, s);
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, t));
  EQUAL(cudaStreamSynchronize(t), cudaErrorLaunchFailure);
  CHECK(fault_says("was never written"));
}

/* A fork that forgot to wait, then a join: the first stream's work runs before by accident, and only the
 * other order shows it. */
static void forgotten_fork(bool shows) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t joined = new_event();
  float *host = pinned_floats(n, 0), *a = fill_later(1, s);
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, t));
  OK(cudaEventRecord(joined, t));
  OK(cudaStreamWaitEvent(s, joined, 0));
  EQUAL(cudaStreamSynchronize(s) != 0, shows);
}
static void forgotten_fork_late(void) {
  forgotten_fork(false);
}
static void forgotten_fork_early(void) {
  forgotten_fork(true);
}

static void event_of_the_past(void) { /* a wait is for the record before it, not for a later one */
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t e = new_event();
  float *host = pinned_floats(n, 0), *a = fill_later(1, s);
  OK(cudaEventRecord(e, s));
  OK(cudaStreamWaitEvent(t, e, 0));
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, t));
  OK(cudaMemsetAsync(a, 0, bytes, s));
  OK(cudaEventRecord(e, s));
  OK(cudaStreamSynchronize(t));
  EQUAL(host[0], 1);
  OK(cudaEventSynchronize(e));
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, t));
  OK(cudaStreamSynchronize(t));
  EQUAL(host[0], 0);
}

static void default_stream(void) {
  cudaStream_t blocking = NULL, alone = new_stream();
  OK(cudaStreamCreate(&blocking));
  float *host = pinned_floats(n, 0), *a = fill_later(1, blocking);
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, NULL)); /* waits for `blocking` */
  OK(cudaStreamSynchronize(NULL));
  EQUAL(host[0], 1);
  OK(cudaMemsetAsync(a, 0, bytes, cudaStreamLegacy));
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, blocking)); /* waits for the default */
  OK(cudaStreamSynchronize(blocking));
  EQUAL(host[0], 0);
  float *b = fill_later(3, alone);
  EQUAL(cudaMemcpy(host, b, bytes, cudaMemcpyDeviceToHost), cudaErrorLaunchFailure); /* does not */
}

static void times(void) {
  cudaEvent_t start, stop, untimed = new_event();
  cudaStream_t s = new_stream();
  float ms = -1;
  OK(cudaEventCreate(&start));
  OK(cudaEventCreate(&stop));
  EQUAL(cudaEventElapsedTime(&ms, start, stop), cudaErrorInvalidResourceHandle);
  OK(cudaEventRecord(start, s));
  fill_later(1, s);
  OK(cudaEventRecord(stop, s));
  OK(cudaEventRecord(untimed, s));
  EQUAL(cudaEventElapsedTime(&ms, start, stop), cudaErrorNotReady);
  OK(cudaEventSynchronize(stop));
  OK(cudaEventElapsedTime(&ms, start, stop));
  CHECK(ms >= 0);
  EQUAL(cudaEventElapsedTime(&ms, start, untimed), cudaErrorInvalidResourceHandle);
}

static void handles(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t e = new_event();
  EQUAL(sim.live_streams(), 2);
  float *host = pinned_floats(n, 0), *a = fill_later(1, s);
  OK(cudaMemcpyAsync(host, a, bytes, cudaMemcpyDeviceToHost, s));
  OK(cudaStreamDestroy(s)); /* its work is not lost */
  EQUAL(host[0], 0);
  OK(cudaDeviceSynchronize());
  EQUAL(host[0], 1);
  EQUAL(cudaStreamDestroy(s), cudaErrorInvalidResourceHandle);
  EQUAL(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
  EQUAL(cudaStreamSynchronize((cudaStream_t)e), cudaErrorInvalidResourceHandle);
  EQUAL(cudaEventRecord((cudaEvent_t)t, t), cudaErrorInvalidResourceHandle);
  EQUAL(cudaStreamDestroy(NULL), cudaErrorInvalidResourceHandle);
  OK(cudaEventDestroy(e));
  EQUAL(cudaEventDestroy(e), cudaErrorInvalidResourceHandle);
  EQUAL(cudaStreamWaitEvent(t, e, 0), cudaErrorInvalidResourceHandle);
  EQUAL(sim.live_events(), 0);
  OK(cudaStreamDestroy(t));
  EQUAL(sim.live_streams(), 0);
}

static void properties_of_streams(void) {
  cudaStream_t s = NULL;
  int least = 1, greatest = 1, priority = 1;
  unsigned flags = 9;
  OK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  CHECK(least == 0 && greatest < 0);
  OK(cudaStreamCreateWithPriority(&s, cudaStreamNonBlocking, greatest - 3));
  OK(cudaStreamGetPriority(s, &priority));
  EQUAL(priority, greatest);
  OK(cudaStreamGetFlags(s, &flags));
  EQUAL(flags, cudaStreamNonBlocking);
  EQUAL(cudaStreamCreateWithFlags(&s, 77), cudaErrorInvalidValue);
  EQUAL(cudaEventCreateWithFlags((cudaEvent_t[1]){0}, 77), cudaErrorInvalidValue);
}

struct note {
  int *order, at;
  cudaError_t inside;
};
static void take_note(void *data) {
  struct note *note = data;
  note->at = ++*note->order;
  note->inside = cudaDeviceSynchronize();
}

static void host_functions(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t e = new_event();
  int order = 0;
  struct note first = {&order, 0, 0}, second = {&order, 0, 0};
  OK(cudaLaunchHostFunc(s, take_note, &first));
  OK(cudaEventRecord(e, s));
  OK(cudaStreamWaitEvent(t, e, 0));
  OK(cudaLaunchHostFunc(t, take_note, &second));
  EQUAL(order, 0);
  OK(cudaStreamSynchronize(t));
  CHECK(first.at == 1 && second.at == 2);
  EQUAL(first.inside, cudaErrorNotPermitted);
  OK(cudaDeviceSynchronize());
}

/* A host function that waits for another thread, which calls CUDA meanwhile: on the same stream too. */
static atomic_bool host_function_runs, other_has_called;
static cudaStream_t shared_stream;
static int after_it;

static void wait_for_other(void *unused) {
  (void)unused;
  host_function_runs = true;
  while (!other_has_called) usleep(100);
  after_it = 1;
}
static void see_after_it(void *seen) {
  *(int *)seen = after_it;
}
static void *call_meanwhile(void *unused) {
  (void)unused;
  while (!host_function_runs) usleep(100);
  int seen = -1;
  OK(cudaLaunchHostFunc(shared_stream, see_after_it, &seen));
  device_floats(n, NULL);
  other_has_called = true;
  OK(cudaStreamSynchronize(shared_stream)); /* not before the function has ended */
  EQUAL(seen, 1);
  return NULL;
}
static void host_function_and_thread(void) {
  pthread_t other;
  shared_stream = new_stream();
  OK(cudaLaunchHostFunc(shared_stream, wait_for_other, NULL));
  OK(pthread_create(&other, NULL, call_meanwhile, NULL));
  OK(cudaStreamSynchronize(shared_stream));
  OK(pthread_join(other, NULL));
}

/* Two threads, each with a stream and memory of its own. */
static void *work_alone(void *wrong) {
  cudaStream_t s = NULL;
  float host[n], back[n];
  void *a = NULL;
  bool bad = cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) != 0;
  for (int i = 0; i < 300 && !bad; i++) {
    for (int j = 0; j < n; j++) host[j] = (float)(i + j);
    bad = cudaMallocAsync(&a, bytes, s) ||
          cudaMemcpyAsync(a, host, bytes, cudaMemcpyHostToDevice, s) ||
          cudaMemcpyAsync(back, a, bytes, cudaMemcpyDeviceToHost, s) || cudaFreeAsync(a, s) ||
          cudaStreamSynchronize(s) || memcmp(host, back, bytes) != 0;
  }
  /* The last error is the thread's own. */
  bad = bad || cudaMalloc(NULL, 1) != cudaErrorInvalidValue;
  bad = bad || cudaPeekAtLastError() != cudaErrorInvalidValue || cudaStreamDestroy(s);
  *(bool *)wrong = bad;
  return NULL;
}
static void two_threads(void) {
  pthread_t threads[2];
  bool wrong[2] = {true, true};
  for (int i = 0; i < 2; i++) OK(pthread_create(&threads[i], NULL, work_alone, &wrong[i]));
  for (int i = 0; i < 2; i++) OK(pthread_join(threads[i], NULL));
  CHECK(!wrong[0] && !wrong[1]);
  OK(cudaGetLastError());
  EQUAL(sim.live_device_blocks(), 0);
}

const struct test stream_tests[] = {
    {"only_its_own_work", only_its_own_work, NULL, 0, NULL},
    {"queries_end", queries_end, NULL, 0, NULL},
    {"event_orders", event_orders, NULL, 0, NULL},
    {"event_orders_early", event_orders, "CUDASIM_ORDER=early", 0, NULL},
    {"without_event", without_event, NULL, 0, NULL},
    {"forgotten_fork_late", forgotten_fork_late, NULL, 0, NULL},
    {"forgotten_fork_early", forgotten_fork_early, "CUDASIM_ORDER=early", 0, NULL},
    {"event_of_the_past", event_of_the_past, NULL, 0, NULL},
    {"event_of_the_past_early", event_of_the_past, "CUDASIM_ORDER=early", 0, NULL},
    {"default_stream", default_stream, NULL, 0, NULL},
    {"times", times, NULL, 0, NULL},
    {"handles", handles, NULL, 0, NULL},
    {"properties_of_streams", properties_of_streams, NULL, 0, NULL},
    {"host_functions", host_functions, NULL, 0, NULL},
    {"host_function_and_thread", host_function_and_thread, NULL, 0, NULL},
    {"two_threads", two_threads, NULL, 0, NULL},
    {0},
};
