/* Graph capture: what it records, what it replays, what it forbids. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "test_runtime.h"

enum { n = 4, bytes = n * sizeof(float) };

static void begin(cudaStream_t s) {
  OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
}

static cudaGraphExec_t finish(cudaStream_t s) {
  cudaGraph_t graph = NULL;
  cudaGraphExec_t executable = NULL;
  OK(cudaStreamEndCapture(s, &graph));
  OK(cudaGraphInstantiate(&executable, graph, 0));
  OK(cudaGraphDestroy(graph)); /* the executable goes on without */
  return executable;
}

static void run(cudaGraphExec_t executable, cudaStream_t s) {
  OK(cudaGraphLaunch(executable, s));
  OK(cudaStreamSynchronize(s));
}

/* A call has ruined the capture: it ends with an error and no graph. */
static void expect_ruined(cudaStream_t s) {
  enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  OK(cudaStreamIsCapturing(s, &status));
  EQUAL(status, cudaStreamCaptureStatusInvalidated);
  cudaGraph_t graph = (cudaGraph_t)&status;
  EQUAL(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
  CHECK(graph == NULL);
  OK(cudaStreamIsCapturing(s, &status));
  EQUAL(status, cudaStreamCaptureStatusNone);
}

static void capture_and_replay(void) {
  cudaStream_t s = new_stream();
  float *a = device_floats(n, (float[n]){1, 1, 1, 1}), *b = device_floats(n, NULL);
  float *host = pinned_floats(n, 0);
  enum cudaStreamCaptureStatus status;
  begin(s);
  OK(cudaStreamIsCapturing(s, &status));
  EQUAL(status, cudaStreamCaptureStatusActive);
  OK(cudaMemcpyAsync(b, a, bytes, cudaMemcpyDeviceToDevice, s));
  OK(cudaMemcpyAsync(host, b, bytes, cudaMemcpyDeviceToHost, s));
  OK(cudaMemsetAsync(b, 0, bytes, s));
  cudaGraph_t graph = NULL;
  OK(cudaStreamEndCapture(s, &graph));
  size_t count = 0;
  OK(cudaGraphGetNodes(graph, NULL, &count));
  EQUAL(count, 3);
  cudaGraphNode_t nodes[3];
  OK(cudaGraphGetNodes(graph, nodes, &count));
  enum cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  OK(cudaGraphNodeGetType(nodes[2], &type));
  EQUAL(type, cudaGraphNodeTypeMemset);
  cudaGraphExec_t executable = NULL;
  OK(cudaGraphInstantiateWithFlags(&executable, graph, 0));
  OK(cudaGraphUpload(executable, s));
  OK(cudaStreamSynchronize(s));
  EQUAL(host[0], 0); /* captured is not run */
  run(executable, s);
  EQUAL(host[0], 1);
  OK(cudaMemset(a, 0, bytes));
  OK(cudaDeviceSynchronize());
  OK(cudaGraphLaunch(executable, s));
  EQUAL(host[0], 1);
  OK(cudaStreamSynchronize(s));
  EQUAL(host[0], 0);
  OK(cudaGraphExecDestroy(executable));
  EQUAL(cudaGraphLaunch(executable, s), cudaErrorInvalidResourceHandle);
}

static void pageable_in_capture(void) { /* read and written whenever the graph runs */
  cudaStream_t s = new_stream();
  float *a = device_floats(n, NULL), from[n] = {1, 1, 1, 1}, to[n] = {0};
  begin(s);
  OK(cudaMemcpyAsync(a, from, bytes, cudaMemcpyHostToDevice, s));
  OK(cudaMemcpyAsync(to, a, bytes, cudaMemcpyDeviceToHost, s));
  cudaGraphExec_t executable = finish(s);
  EQUAL(to[0], 0);
  from[0] = 5;
  run(executable, s);
  EQUAL(to[0], 5);
}

static void nested(void) { /* a graph launched into a capture becomes part of it */
  cudaStream_t s = new_stream();
  float *a = device_floats(n, NULL);
  begin(s);
  OK(cudaMemsetAsync(a, 0, bytes, s));
  cudaGraphExec_t inner = finish(s);
  begin(s);
  OK(cudaGraphLaunch(inner, s));
  OK(cudaMemsetAsync(a, 0, 1, s));
  cudaGraphExec_t outer = finish(s);
  OK(cudaGraphExecDestroy(inner));
  run(outer, s);
  float host[n] = {1};
  download(host, a, bytes);
  EQUAL(host[0], 0);
}

/* s forks to t and, with `joined`, t is waited for. `ordered`: t waits before it reads what s wrote. */
static cudaError_t fork_and_join(bool ordered, bool joined, cudaGraph_t *graph) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t fork = new_event(), written = new_event(), join = new_event();
  float *a = device_floats(n, NULL), *b = device_floats(n, NULL);
  begin(s);
  OK(cudaEventRecord(fork, s));
  OK(cudaStreamWaitEvent(t, fork, 0));
  OK(cudaMemsetAsync(a, 0, bytes, s));
  OK(cudaEventRecord(written, s));
  if (ordered) OK(cudaStreamWaitEvent(t, written, 0));
  OK(cudaMemcpyAsync(b, a, bytes, cudaMemcpyDeviceToDevice, t));
  OK(cudaEventRecord(join, t));
  if (joined) OK(cudaStreamWaitEvent(s, join, 0));
  return cudaStreamEndCapture(s, graph);
}

static void fork_join(void) {
  cudaGraph_t graph = NULL;
  cudaGraphExec_t executable = NULL;
  OK(fork_and_join(true, true, &graph));
  OK(cudaGraphInstantiate(&executable, graph, 0));
  run(executable, new_stream());
  EQUAL(fork_and_join(true, false, &graph), cudaErrorStreamCaptureUnjoined);
  CHECK(graph == NULL);
}

static void fork_without_order(
    void) { /* the graph leaves the order open; one of the two shows it */
  cudaGraph_t graph = NULL;
  cudaGraphExec_t executable = NULL;
  OK(fork_and_join(false, true, &graph));
  OK(cudaGraphInstantiate(&executable, graph, 0));
  OK(cudaGraphLaunch(executable, NULL));
  EQUAL(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
}

static void other_captures(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t e = new_event();
  cudaGraph_t graph = NULL;
  EQUAL(cudaStreamEndCapture(s, &graph), cudaErrorIllegalState);
  EQUAL(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal),
        cudaErrorStreamCaptureUnsupported);
  begin(s);
  EQUAL(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal), cudaErrorIllegalState);
  OK(cudaEventRecord(e, s));
  OK(cudaStreamWaitEvent(t, e, 0));
  EQUAL(cudaStreamEndCapture(t, &graph), cudaErrorStreamCaptureUnmatched);
  OK(cudaStreamEndCapture(s, &graph));
  /* Its event is of no use after it. */
  EQUAL(cudaStreamWaitEvent(t, e, 0), cudaErrorCapturedEvent);
  EQUAL(cudaEventSynchronize(e), cudaErrorCapturedEvent);
  OK(cudaEventRecord(e, s));
  OK(cudaEventSynchronize(e));
}

static void merging(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t e = new_event();
  begin(s);
  begin(t);
  OK(cudaEventRecord(e, s));
  EQUAL(cudaStreamWaitEvent(t, e, 0), cudaErrorStreamCaptureMerge);
  expect_ruined(s);
  expect_ruined(t);
}

static void isolation(void) {
  cudaStream_t s = new_stream();
  cudaEvent_t e = new_event();
  OK(cudaEventRecord(e, new_stream()));
  begin(s);
  EQUAL(cudaStreamWaitEvent(s, e, 0), cudaErrorStreamCaptureIsolation);
  expect_ruined(s);
}

static void synchronising(void) {
  cudaStream_t s = new_stream();
  cudaEvent_t e = new_event();
  begin(s);
  EQUAL(cudaStreamSynchronize(s), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);
  begin(s);
  EQUAL(cudaStreamQuery(s), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);
  begin(s);
  EQUAL(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);
  begin(s);
  OK(cudaEventRecord(e, s));
  EQUAL(cudaEventSynchronize(e), cudaErrorCapturedEvent);
  expect_ruined(s);
  begin(s);
  OK(cudaEventRecord(e, s));
  EQUAL(cudaEventQuery(e), cudaErrorCapturedEvent);
  expect_ruined(s);
  begin(s);
  EQUAL(cudaEventQuery(new_event()), cudaErrorStreamCaptureUnsupported); /* any event, in Global */
  expect_ruined(s);
}

static void unsafe_calls(void) {
  cudaStream_t s = new_stream();
  void *p = device_floats(n, (float[n]){0}), *q = NULL;
  float host[n], *pinned = pinned_floats(n, 0);
  begin(s);
  EQUAL(cudaMalloc(&q, 4), cudaErrorStreamCaptureUnsupported);
  EQUAL(cudaMemsetAsync(p, 0, 4, s), cudaErrorStreamCaptureInvalidated);
  expect_ruined(s);
  begin(s);
  EQUAL(cudaFree(p), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);
  begin(s);
  EQUAL(cudaMallocHost(&q, 4), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);
  begin(s);
  EQUAL(cudaFreeHost(pinned), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);
  begin(s);
  EQUAL(cudaMemcpy(host, p, bytes, cudaMemcpyDeviceToHost), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);
  begin(s);
  EQUAL(cudaMemsetAsync(p, 0, bytes, NULL), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);
  OK(cudaFree(p));
  OK(cudaFreeHost(pinned));
}

static void blocking_stream_and_default(void) {
  cudaStream_t s = NULL;
  void *p = device_floats(n, (float[n]){0});
  OK(cudaStreamCreate(&s));
  OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed));
  EQUAL(cudaMemsetAsync(p, 0, bytes, NULL), cudaErrorStreamCaptureImplicit);
  expect_ruined(s);
}

static void *malloc_in_thread(void *result) {
  void *p = NULL;
  *(cudaError_t *)result = cudaMalloc(&p, 4);
  return NULL;
}
static cudaError_t malloc_elsewhere(void) {
  pthread_t thread;
  cudaError_t result = cudaErrorUnknown;
  OK(pthread_create(&thread, NULL, malloc_in_thread, &result));
  OK(pthread_join(thread, NULL));
  return result;
}

static void modes(void) {
  cudaStream_t s = new_stream();
  void *p = NULL;
  cudaGraph_t graph;
  OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed));
  OK(cudaMalloc(&p, 4));
  OK(malloc_elsewhere());
  OK(cudaStreamEndCapture(s, &graph));

  OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
  OK(malloc_elsewhere());
  EQUAL(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);

  begin(s);
  EQUAL(malloc_elsewhere(), cudaErrorStreamCaptureUnsupported);
  expect_ruined(s);

  begin(s);
  enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  OK(cudaThreadExchangeStreamCaptureMode(&mode));
  EQUAL(mode, cudaStreamCaptureModeGlobal);
  OK(cudaMalloc(&p, 4));
  OK(cudaThreadExchangeStreamCaptureMode(&mode));
  EQUAL(mode, cudaStreamCaptureModeRelaxed);
  OK(cudaStreamEndCapture(s, &graph));
}

static void *end_in_thread(void *stream) {
  cudaGraph_t graph;
  EQUAL(cudaStreamEndCapture(*(cudaStream_t *)stream, &graph), cudaErrorStreamCaptureWrongThread);
  return NULL;
}
static void wrong_thread(void) {
  cudaStream_t s = new_stream();
  cudaGraph_t graph;
  pthread_t thread;
  begin(s);
  OK(pthread_create(&thread, NULL, end_in_thread, &s));
  OK(pthread_join(thread, NULL));
  OK(cudaStreamEndCapture(s, &graph));
}

static void captured_allocations(void) {
  cudaStream_t s = new_stream();
  void *p = NULL;
  float host[n] = {1};
  begin(s);
  OK(cudaMallocAsync(&p, bytes, s));
  OK(cudaMemsetAsync(p, 0, bytes, s));
  OK(cudaMemcpyAsync(host, p, bytes, cudaMemcpyDeviceToHost, s));
  OK(cudaFreeAsync(p, s));
  cudaGraphExec_t executable = finish(s);
  EQUAL(sim.calls("captured_allocations"), 1);
  run(executable, s);
  run(executable, s);
  EQUAL(host[0], 0);
  EQUAL(sim.live_device_blocks(), 0);
  OK(cudaMallocAsync(&p, bytes, s));
  EQUAL(sim.calls("captured_allocations"), 1);
}

static void allocated_by_a_graph(void) { /* and used and freed outside of it */
  cudaStream_t s = new_stream();
  void *p = NULL;
  float host[n] = {1};
  begin(s);
  OK(cudaMallocAsync(&p, bytes, s));
  cudaGraphExec_t executable = finish(s);
  EQUAL(sim.live_device_bytes(), 0);
  run(executable, s);
  EQUAL(sim.live_device_bytes(), bytes);
  OK(cudaMemsetAsync(p, 0, bytes, s));
  OK(cudaMemcpyAsync(host, p, bytes, cudaMemcpyDeviceToHost, s));
  OK(cudaFreeAsync(p, s));
  OK(cudaStreamSynchronize(s));
  EQUAL(sim.live_device_bytes(), 0);
  run(executable, s); /* the same address, nothing in it */
  EQUAL(cudaMemcpyAsync(host, p, bytes, cudaMemcpyDeviceToHost, s), cudaErrorLaunchFailure);
  CHECK(fault_says("was never written"));
}

static void allocated_twice(void) {
  cudaStream_t s = new_stream();
  void *p = NULL;
  begin(s);
  OK(cudaMallocAsync(&p, bytes, s));
  cudaGraphExec_t executable = finish(s);
  run(executable, s);
  OK(cudaGraphLaunch(executable, s));
  CHECK(cudaStreamSynchronize(s) != 0);
  CHECK(fault_says("a graph allocates it again before it was freed"));
}

static void captured_release(void) { /* of memory that is not the graph's */
  cudaStream_t s = new_stream();
  void *p = NULL;
  OK(cudaMallocAsync(&p, bytes, s));
  begin(s);
  EQUAL(cudaFreeAsync(p, s), cudaErrorInvalidValue);
  expect_ruined(s);
  OK(cudaFreeAsync(p, s));
}

static void destroyed_while_capturing(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t e = new_event();
  void *p = NULL;
  begin(s);
  OK(cudaEventRecord(e, s));
  OK(cudaStreamWaitEvent(t, e, 0));
  OK(cudaStreamDestroy(t));
  expect_ruined(s);
  begin(s);
  OK(cudaStreamDestroy(s));
  OK(cudaMalloc(&p, 4)); /* nothing captures any more */
}

const struct test capture_tests[] = {
    {"capture_and_replay", capture_and_replay, NULL, 0, NULL},
    {"pageable_in_capture", pageable_in_capture, NULL, 0, NULL},
    {"nested", nested, NULL, 0, NULL},
    {"fork_join", fork_join, NULL, 0, NULL},
    {"fork_join_early", fork_join, "CUDASIM_ORDER=early", 0, NULL},
    {"fork_without_order", fork_without_order, "CUDASIM_ORDER=early", 0, "was never written"},
    {"other_captures", other_captures, NULL, 0, NULL},
    {"merging", merging, NULL, 0, NULL},
    {"isolation", isolation, NULL, 0, NULL},
    {"synchronising", synchronising, NULL, 0, NULL},
    {"unsafe_calls", unsafe_calls, NULL, 0, NULL},
    {"blocking_stream_and_default", blocking_stream_and_default, NULL, 0, NULL},
    {"modes", modes, NULL, 0, NULL},
    {"wrong_thread", wrong_thread, NULL, 0, NULL},
    {"captured_allocations", captured_allocations, NULL, 0, NULL},
    {"allocated_by_a_graph", allocated_by_a_graph, NULL, 0, NULL},
    {"allocated_twice", allocated_twice, NULL, 0, NULL},
    {"captured_release", captured_release, NULL, 0, NULL},
    {"destroyed_while_capturing", destroyed_while_capturing, NULL, 0, NULL},
    {0},
};
