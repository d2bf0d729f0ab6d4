/* The process: devices, errors that stay, failures on request, leaks, fork. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cublas_v2.h>
#include <cuda.h>

#include "test_runtime.h"

enum { n = 4, bytes = n * sizeof(float) };

/* ---- devices */

static int attribute(enum cudaDeviceAttr name) {
  int value = -1;
  OK(cudaDeviceGetAttribute(&value, name, 0));
  return value;
}

static void card(void) {
  struct cudaDeviceProp p;
  char id[16];
  int version = 0;
  OK(cudaGetDeviceProperties(&p, 0));
  CHECK(p.major == 9 && p.minor == 0 && p.warpSize == 32 && p.multiProcessorCount == 132);
  EQUAL(p.l2CacheSize, 50 << 20);
  EQUAL(p.sharedMemPerBlockOptin, 227 * 1024);
  EQUAL(attribute(cudaDevAttrL2CacheSize), 50 << 20);
  EQUAL(attribute(cudaDevAttrMaxSharedMemoryPerBlock), 48 * 1024);
  EQUAL(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin), 227 * 1024);
  EQUAL(attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor), 228 * 1024);
  EQUAL(attribute(cudaDevAttrMemoryPoolsSupported), 1);
  EQUAL(attribute(cudaDevAttrMaxGridDimY), 65535);
  EQUAL(cudaDeviceGetAttribute(&version, cudaDevAttrL2CacheSize, 1), cudaErrorInvalidDevice);
  EQUAL(cudaDeviceGetAttribute(&version, (enum cudaDeviceAttr)9999, 0), cudaErrorInvalidValue);
  OK(cudaRuntimeGetVersion(&version));
  EQUAL(version, CUDART_VERSION);
  OK(cudaDeviceGetPCIBusId(id, sizeof id, 0));
  EQUAL(strcmp(id, "0000:01:00.0"), 0);
  EQUAL(cudaSetDevice(1), cudaErrorInvalidDevice);
}

static void another_card(void) {
  EQUAL(attribute(cudaDevAttrL2CacheSize), 1000);
  EQUAL(attribute(cudaDevAttrComputeCapabilityMajor), 8);
  EQUAL(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin), 163 * 1024);
}

static void *driver(const char *function) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW);
  CHECK(library != NULL);
  return library ? dlsym(library, function) : NULL;
}

static int cu_init(void) {
  CUresult (*init)(unsigned);
  void *symbol = driver("cuInit");
  memcpy(&init, &symbol, sizeof init);
  return init ? (int)init(0) : -1;
}

static int cu_count(int *count) {
  CUresult (*ask)(int *);
  void *symbol = driver("cuDeviceGetCount");
  memcpy(&ask, &symbol, sizeof ask);
  return ask ? (int)ask(count) : -1;
}

static void probing(void) {
  int count = -1;
  EQUAL(cu_count(&count), CUDA_ERROR_NOT_INITIALIZED);
  EQUAL(cu_init(), CUDA_SUCCESS);
  EQUAL(cu_count(&count), CUDA_SUCCESS);
  EQUAL(count, 3);
}

static void no_device(void) {
  int count = 77;
  void *p = NULL;
  cublasHandle_t blas = NULL;
  EQUAL(cu_init(), CUDA_ERROR_NO_DEVICE);
  EQUAL(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EQUAL(count, 77);
  EQUAL(cudaMalloc(&p, 1), cudaErrorNoDevice);
  EQUAL(cudaSetDevice(0), cudaErrorNoDevice);
  EQUAL(cublasCreate(&blas), CUBLAS_STATUS_NOT_INITIALIZED);
  EQUAL(cudaGetLastError(), cudaErrorNoDevice);
}

/* ---- errors */

static void names(void) {
  EQUAL(strcmp(cudaGetErrorName(cudaErrorLaunchFailure), "cudaErrorLaunchFailure"), 0);
  EQUAL(strcmp(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory"), 0);
  EQUAL(strcmp(cudaGetErrorString((cudaError_t)12345), "unrecognized error code"), 0);
  EQUAL(strcmp(cublasGetStatusName(CUBLAS_STATUS_NOT_SUPPORTED), "CUBLAS_STATUS_NOT_SUPPORTED"), 0);
  EQUAL(strcmp(cublasGetStatusString((cublasStatus_t)2), "unrecognized status"), 0);
}

static void last_error(void) {
  EQUAL(cudaMalloc(NULL, 1), cudaErrorInvalidValue);
  OK(cudaDeviceSynchronize()); /* a success does not take it away */
  EQUAL(cudaPeekAtLastError(), cudaErrorInvalidValue);
  EQUAL(cudaGetLastError(), cudaErrorInvalidValue);
  EQUAL(cudaGetLastError(), cudaSuccess);
}

static void set_to_one(void *number) {
  *(float *)number = 1;
}

static void broken_device(void) {
  cudaStream_t s = new_stream();
  cudaEvent_t e = new_event();
  cublasHandle_t blas = NULL;
  OK((int)cublasCreate(&blas));
  float *a = device_floats(n, NULL), *pinned = pinned_floats(n, 0), one = 1;
  void *p = NULL;
  OK(cudaMemcpyAsync(pinned, a, bytes, cudaMemcpyDeviceToHost, s));
  OK(cudaMemsetAsync(a, 0, bytes, s));
  OK(cudaLaunchHostFunc(s, set_to_one, pinned));
  OK(cudaPeekAtLastError()); /* nothing has run yet */
  EQUAL(cudaStreamSynchronize(s), cudaErrorLaunchFailure);
  EQUAL(pinned[0], 0); /* nothing ran after the fault */
  EQUAL(cudaMalloc(&p, 4), cudaErrorLaunchFailure);
  EQUAL(cudaMemsetAsync(a, 0, 4, s), cudaErrorLaunchFailure);
  EQUAL(cudaEventQuery(e), cudaErrorLaunchFailure);
  EQUAL(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a + 1, 1, &one, a + 2, 1),
        CUBLAS_STATUS_EXECUTION_FAILED);
  EQUAL(cudaGetLastError(), cudaErrorLaunchFailure);
  EQUAL(cudaGetLastError(), cudaErrorLaunchFailure);
  /* What gives back does so, so that a program that cleans up has no leaks. */
  EQUAL(cudaFree(a), cudaErrorLaunchFailure);
  EQUAL(cudaFreeHost(pinned), cudaErrorLaunchFailure);
  EQUAL(cudaEventDestroy(e), cudaErrorLaunchFailure);
  EQUAL(cudaStreamDestroy(s), cudaErrorLaunchFailure);
  OK((int)cublasDestroy(blas));
}

static void first_fault_is_kept(void) {
  float *a = device_floats(n, NULL), host[n];
  CHECK(*sim.fault() == 0);
  CHECK(cudaMemcpy(host, a, bytes, cudaMemcpyDeviceToHost) != 0);
  const char *before = strdup(sim.fault());
  CHECK(strstr(before, "block 1 ") != NULL);
  cudaDeviceReset();
  a = device_floats(n, NULL);
  CHECK(cudaMemcpy(host, a, bytes, cudaMemcpyDeviceToHost) != 0);
  EQUAL(strcmp(before, sim.fault()), 0);
}

/* ---- failures on request */

/* What a program would do; the error of the first call that failed. */
static int all_calls(void) {
  cudaStream_t s = NULL;
  cudaEvent_t e = NULL;
  cublasHandle_t blas = NULL;
  float *a = NULL, *pinned = NULL, one = 1, zero = 0;
  int error = 0;
  if (!error) error = cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
  if (!error) error = cudaEventCreateWithFlags(&e, cudaEventDisableTiming);
  if (!error) error = 10000 + (int)cublasCreate(&blas), error = error == 10000 ? 0 : error;
  if (!error) error = (int)cublasSetStream(blas, s);
  if (!error) error = cudaMallocAsync((void **)&a, bytes, s);
  if (!error) error = cudaMallocHost((void **)&pinned, bytes);
  if (!error) error = cudaMemsetAsync(a, 0, bytes, s);
  if (!error)
    error = 10000 + (int)cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a + 1, 1,
                                     &zero, a + 2, 1),
    error = error == 10000 ? 0 : error;
  if (!error) error = cudaMemcpyAsync(pinned, a, bytes, cudaMemcpyDeviceToHost, s);
  if (!error) error = cudaEventRecord(e, s);
  if (!error) error = cudaStreamWaitEvent(s, e, 0);
  if (!error) error = cudaStreamSynchronize(s);
  if (a) OK(cudaFreeAsync(a, s));
  if (pinned) OK(cudaFreeHost(pinned));
  if (blas) OK((int)cublasDestroy(blas));
  if (e) OK(cudaEventDestroy(e));
  if (s) OK(cudaStreamDestroy(s));
  return error;
}

static void failures_on_request(void) {
  static const int expected[] = {
      cudaErrorMemoryAllocation,
      cudaErrorMemoryAllocation,
      10000 + CUBLAS_STATUS_ALLOC_FAILED,
      cudaErrorMemoryAllocation,
      cudaErrorMemoryAllocation,
      cudaErrorUnknown,
      10000 + CUBLAS_STATUS_EXECUTION_FAILED,
      cudaErrorUnknown,
      cudaErrorUnknown,
      cudaErrorUnknown,
      cudaErrorUnknown,
  };
  enum { calls = sizeof expected / sizeof *expected };
  sim.fail_at(0);
  OK(all_calls());
  EQUAL(sim.fallible_calls(), calls);
  for (int i = 1; i <= calls; i++) {
    sim.fail_at(i);
    EQUAL(all_calls(), expected[i - 1]);
    (void)cudaGetLastError();
    EQUAL(sim.live_device_blocks() + sim.live_host_blocks() + sim.live_streams() +
              sim.live_events() + sim.live_cublas_handles(),
          0);
  }
  sim.fail_at(calls + 1);
  OK(all_calls()); /* nothing stays broken */
  CHECK(*sim.fault() == 0);
}

static void failure_by_environment(void) {
  void *p = NULL;
  OK(cudaMalloc(&p, 4));
  EQUAL(cudaMalloc(&p, 4), cudaErrorMemoryAllocation);
  OK(cudaMalloc(&p, 4));
}

static void counted_calls(void) {
  EQUAL(sim.calls("cudaMalloc"), 0);
  device_floats(n, NULL);
  device_floats(n, NULL);
  EQUAL(sim.calls("cudaMalloc"), 2);
  EQUAL(sim.calls("nonsense"), 0);
}

/* ---- leaks */

static void leave_all(void) {
  cublasHandle_t blas = NULL;
  device_floats(n, NULL);
  pinned_floats(n, 0);
  new_stream();
  new_event();
  OK((int)cublasCreate(&blas));
}

static void leave_block(void) {
  device_floats(n, NULL);
}
static void leave_pinned(void) {
  pinned_floats(n, 0);
}
static void leave_stream(void) {
  new_stream();
}
static void leave_event(void) {
  new_event();
}
static void leave_handle(void) {
  cublasHandle_t blas = NULL;
  OK((int)cublasCreate(&blas));
}
static void leave_graph(void) {
  cudaStream_t s = new_stream();
  cudaGraph_t graph;
  OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
  OK(cudaStreamEndCapture(s, &graph));
  OK(cudaStreamDestroy(s));
}
static void leave_nothing(void) {
  OK(all_calls());
}

/* ---- fork */

/* What the function returns in a child. */
static int in_child(int (*function)(void)) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) _exit(function());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int use(void) {
  void *p = NULL;
  const cudaError_t error = cudaMalloc(&p, 4);
  return error ? (int)error : (int)cudaFree(p);
}
static int use_driver(void) {
  return cu_init();
}
static int name_error(void) {
  return strcmp(cudaGetErrorName(cudaErrorInitializationError), "cudaErrorInitializationError");
}
static int create_blas(void) {
  cublasHandle_t blas = NULL;
  return (int)cublasCreate(&blas);
}
static int fork_again(void) {
  return in_child(use);
}

static void fork_after_use(void) {
  OK(use());
  EQUAL(in_child(use), cudaErrorInitializationError);
  EQUAL(in_child(use_driver), CUDA_ERROR_NOT_INITIALIZED);
  EQUAL(in_child(create_blas), CUBLAS_STATUS_NOT_INITIALIZED);
  EQUAL(in_child(fork_again), cudaErrorInitializationError);
  EQUAL(in_child(name_error), 0);
  OK(use()); /* the parent goes on */
}

static void fork_before_use(void) {
  EQUAL(in_child(use), 0);
  EQUAL(in_child(use_driver), 0);
  EQUAL(in_child(fork_again), 0);
  OK(use());
}

static void fork_after_driver(void) { /* cuInit is a use */
  EQUAL(cu_init(), CUDA_SUCCESS);
  EQUAL(in_child(use), cudaErrorInitializationError);
  EQUAL(in_child(use_driver), CUDA_ERROR_NOT_INITIALIZED);
}

static atomic_bool stop;
static void *keep_busy(void *unused) {
  (void)unused;
  while (!stop) (void)use();
  return NULL;
}
static void fork_beside_calls(
    void) { /* the lock that another thread holds does not stop the child */
  pthread_t thread;
  OK(pthread_create(&thread, NULL, keep_busy, NULL));
  OK(use());
  for (int i = 0; i < 50; i++) EQUAL(in_child(use), cudaErrorInitializationError);
  stop = true;
  OK(pthread_join(thread, NULL));
}

#define LEAKS "CUDASIM_LEAKS=1"

const struct test process_tests[] = {
    {"card", card, NULL, 0, NULL},
    {"another_card", another_card, "CUDASIM_L2_BYTES=1000 CUDASIM_CC=80", 0, NULL},
    {"probing", probing, "CUDASIM_DEVICES=3", 0, NULL},
    {"no_device", no_device, "CUDASIM_NO_DEVICE=1", 0, NULL},
    {"names", names, NULL, 0, NULL},
    {"last_error", last_error, NULL, 0, NULL},
    {"broken_device", broken_device, LEAKS, 0, NULL},
    {"first_fault_is_kept", first_fault_is_kept, NULL, 0, NULL},
    {"failures_on_request", failures_on_request, NULL, 0, NULL},
    {"failure_by_environment", failure_by_environment, "CUDASIM_FAIL_AT=2", 0, NULL},
    {"counted_calls", counted_calls, NULL, 0, NULL},
    {"leave_all", leave_all, NULL, 0, NULL},
    {"leave_block", leave_block, LEAKS, 99, "leaked block 1 (16 bytes at 0x"},
    {"leave_pinned", leave_pinned, LEAKS, 99, "leaked pinned host memory, made by cudaMallocHost"},
    {"leave_stream", leave_stream, LEAKS, 99, "leaked stream, made by cudaStreamCreateWithFlags"},
    {"leave_event", leave_event, LEAKS, 99, "leaked event, made by cudaEventCreateWithFlags"},
    {"leave_handle", leave_handle, LEAKS, 99, "leaked cuBLAS handle, made by cublasCreate_v2"},
    {"leave_graph", leave_graph, LEAKS, 99, "leaked 1 graphs"},
    {"leave_nothing", leave_nothing, LEAKS, 0, NULL},
    {"fork_after_use", fork_after_use, NULL, 0, NULL},
    {"fork_before_use", fork_before_use, NULL, 0, NULL},
    {"fork_after_driver", fork_after_driver, NULL, 0, NULL},
    {"fork_beside_calls", fork_beside_calls, NULL, 0, NULL},
    {0},
};
