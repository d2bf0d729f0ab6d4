/* cuBLAS: every argument that it refuses, what it reads and writes, its workspace. */
#include <cublas_v2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_runtime.h"

cublasHandle_t new_handle(cudaStream_t stream) {
  cublasHandle_t handle = NULL;
  OK((int)cublasCreate(&handle));
  OK((int)cublasSetStream(handle, stream));
  return handle;
}

/* The arguments of a call that is right; each case spoils one. 2 x 3 = (2 x 4) (4 x 3), two of them. */
struct arguments {
  cublasHandle_t handle;
  cublasOperation_t ta, tb;
  int m, n, k, lda, ldb, ldc, batch;
  long long sa, sb, sc;
  cudaDataType at, bt, ct;
  const void *a, *b;
  void *c;
  const float *alpha, *beta;
  cublasComputeType_t compute;
};

static const float one = 1, zero = 0;

static struct arguments good(void) {
  float numbers[64];
  for (int i = 0; i < 64; i++) numbers[i] = (float)i;
  return (struct arguments){new_handle(new_stream()),
                            CUBLAS_OP_N,
                            CUBLAS_OP_N,
                            2,
                            3,
                            4,
                            2,
                            4,
                            2,
                            2,
                            8,
                            12,
                            6,
                            CUDA_R_32F,
                            CUDA_R_32F,
                            CUDA_R_32F,
                            device_floats(64, numbers),
                            device_floats(64, numbers),
                            device_floats(64, NULL),
                            &one,
                            &zero,
                            CUBLAS_COMPUTE_32F};
}

static cublasStatus_t queue(struct arguments g) {
  return cublasGemmStridedBatchedEx(g.handle, g.ta, g.tb, g.m, g.n, g.k, g.alpha, g.a, g.at, g.lda,
                                    g.sa, g.b, g.bt, g.ldb, g.sb, g.beta, g.c, g.ct, g.ldc, g.sc,
                                    g.batch, g.compute, CUBLAS_GEMM_DEFAULT);
}

#define REFUSED(status, ...)      \
  do {                            \
    struct arguments g = right;   \
    __VA_ARGS__;                  \
    EQUAL((int)queue(g), status); \
  } while (0)
#define INVALID(...) REFUSED(CUBLAS_STATUS_INVALID_VALUE, __VA_ARGS__)
#define UNSUPPORTED(...) REFUSED(CUBLAS_STATUS_NOT_SUPPORTED, __VA_ARGS__)
#define FINE(...) REFUSED(CUBLAS_STATUS_SUCCESS, __VA_ARGS__)

static void sizes_refused(void) {
  const struct arguments right = good();
  FINE(g.m = 2);
  INVALID(g.m = -1);
  INVALID(g.n = -1);
  INVALID(g.k = -1);
  INVALID(g.batch = -1);
  INVALID(g.lda = 1);
  INVALID(g.ldb = 3);
  INVALID(g.ldc = 1);
  INVALID(g.lda = 0, g.m = 0);
  INVALID(g.ta = CUBLAS_OP_T); /* then A has four rows */
  FINE(g.ta = CUBLAS_OP_T, g.lda = 4);
  INVALID(g.tb = CUBLAS_OP_T, g.ldb = 2);
  INVALID(g.ta = (cublasOperation_t)7);
  INVALID(g.alpha = NULL);
  INVALID(g.beta = NULL);
  INVALID(g.batch = 65536);
  INVALID(g.sa = -1);
  INVALID(g.sc = 0);
  FINE(g.sc = 0, g.batch = 1);
  FINE(g.sa = 0, g.sb = 0);
  FINE(g.m = 0, g.a = NULL, g.c = NULL);
  FINE(g.k = 0, g.a = NULL, g.b = NULL, g.ldb = 1);
  INVALID(g.a = NULL);
  INVALID(g.b = NULL);
  INVALID(g.c = NULL);
  INVALID(g.a = (const char *)g.a + 2);
  REFUSED(CUBLAS_STATUS_NOT_INITIALIZED, g.handle = NULL);
  OK(cudaDeviceSynchronize()); /* those that were fine */
  OK((int)cublasDestroy(right.handle));
  REFUSED(CUBLAS_STATUS_NOT_INITIALIZED, (void)g);
  EQUAL((int)cublasDestroy(right.handle), CUBLAS_STATUS_NOT_INITIALIZED);
  EQUAL((int)cublasCreate(NULL), CUBLAS_STATUS_INVALID_VALUE);
}

static void types_refused(void) {
  const struct arguments right = good();
  UNSUPPORTED(g.at = CUDA_R_16F);
  UNSUPPORTED(g.bt = CUDA_R_16F);
  UNSUPPORTED(g.ct = CUDA_R_16F);
  UNSUPPORTED(g.at = g.bt = CUDA_R_16F, g.ct = CUDA_R_16BF);
  UNSUPPORTED(g.at = g.bt = g.ct = CUDA_R_64F);
  UNSUPPORTED(g.compute = CUBLAS_COMPUTE_16F);
  UNSUPPORTED(g.compute = CUBLAS_COMPUTE_64F);
  UNSUPPORTED(g.at = g.bt = CUDA_R_16F, g.compute = CUBLAS_COMPUTE_32F_FAST_TF32);
  FINE(g.at = g.bt = CUDA_R_16F);
  FINE(g.at = g.bt = g.ct = CUDA_R_16BF, g.compute = CUBLAS_COMPUTE_32F_PEDANTIC);
}

static void overlaps_refused(void) {
  const struct arguments right = good();
  INVALID(g.c = (void *)g.a);
  INVALID(g.c = (float *)g.a + 13, g.batch = 2); /* A ends with element 15 */
  FINE(g.c = (float *)g.a + 16);
  INVALID(g.c = (float *)g.b + 23);
  INVALID(g.sc = 5); /* the matrices of C overlap each other */
  /* Interleaved: C in the columns of the buffer that A leaves free. */
  FINE(g.batch = 1, g.lda = 4, g.ldc = 4, g.c = (float *)g.a + 2);
  INVALID(g.batch = 1, g.lda = 4, g.ldc = 4, g.c = (float *)g.a + 1);
  FINE(g.ldc = 4, g.sc = 2); /* two matrices of C, each in every other pair of rows */
  OK(cudaDeviceSynchronize());
}

static void beta_zero_does_not_read(void) {
  struct arguments g = good();
  OK((int)queue(g));
  OK(cudaDeviceSynchronize());
  g.beta = &one;
  OK((int)queue(g)); /* by now it is written */
  OK(cudaDeviceSynchronize());
  g.c = device_floats(12, NULL);
  OK((int)queue(g));
  EQUAL(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  CHECK(fault_says("cuBLAS GEMM, m 2 n 3 k 4 batch 2: read of 8 bytes"));
  CHECK(fault_says("was never written"));
}

static void unwritten_input(void) {
  struct arguments g = good();
  float *a = device_floats(16, NULL);
  g.a = a;
  OK(cudaMemset(a, 0, 8 * 4 + 7 * 4)); /* all but the last element */
  OK(cudaDeviceSynchronize());
  OK((int)queue(g));
  EQUAL(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  CHECK(fault_says("byte 60 of block"));
}

static void padding_is_not_read(void) {
  struct arguments g = good();
  float *a = device_floats(16, NULL);
  OK(cudaMemset2D(a, 16, 0, 8, 4)); /* two of four rows */
  OK(cudaDeviceSynchronize());
  g.a = a;
  g.lda = 4;
  g.batch = 1;
  OK((int)queue(g));
  OK(cudaDeviceSynchronize());
}

static void out_of_bounds(void) {
  struct arguments g = good();
  g.c = device_floats(11, NULL); /* one element too short */
  OK((int)queue(g));
  EQUAL(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  CHECK(fault_says("over the end of block"));
}

static void scalars(void) {
  struct arguments g = good();
  float later = 2, result = 0, *on_device = device_floats(1, NULL);
  cudaStream_t stream = NULL;
  cublasPointerMode_t mode;
  OK((int)cublasGetStream(g.handle, &stream));
  g.alpha = &later;
  OK((int)queue(g)); /* host scalars are read now */
  later = 100;
  OK(cudaMemcpyAsync(&result, g.c, 4, cudaMemcpyDeviceToHost, stream));
  EQUAL(result, 2 * (0 * 0 + 2 * 1 + 4 * 2 + 6 * 3));
  OK((int)cublasSetPointerMode(g.handle, CUBLAS_POINTER_MODE_DEVICE));
  OK((int)cublasGetPointerMode(g.handle, &mode));
  EQUAL(mode, CUBLAS_POINTER_MODE_DEVICE);
  g.alpha = on_device;
  g.beta = device_floats(1, &zero);
  OK((int)queue(g)); /* those of the device when the stream gets there */
  float *pinned = pinned_floats(1, 3);
  OK(cudaMemcpyAsync(on_device, pinned, 4, cudaMemcpyHostToDevice, stream));
  EQUAL(cudaStreamSynchronize(stream), cudaErrorLaunchFailure); /* the copy comes after */
}

/* ---- workspace */

static void workspace(void) {
  struct arguments g = good();
  cudaStream_t stream = NULL;
  OK((int)cublasGetStream(g.handle, &stream));
  char *memory = NULL, byte = 0;
  OK(cudaMalloc((void **)&memory, 4096));
  EQUAL((int)cublasSetWorkspace(g.handle, memory + 128, 1024), CUBLAS_STATUS_INVALID_VALUE);
  EQUAL((int)cublasSetWorkspace(g.handle, memory, 4097), CUBLAS_STATUS_INVALID_VALUE);
  EQUAL((int)cublasSetWorkspace(g.handle, &byte - (uintptr_t)&byte % 256, 1),
        CUBLAS_STATUS_INVALID_VALUE);
  EQUAL((int)cublasSetWorkspace(g.handle, NULL, 1), CUBLAS_STATUS_INVALID_VALUE);
  OK((int)queue(g));
  EQUAL(sim.calls("default_workspace_gemm"), 1);
  OK((int)cublasSetWorkspace(g.handle, memory, 4096));
  OK((int)queue(g));
  EQUAL(sim.calls("default_workspace_gemm"), 1);
  OK(cudaMemcpyAsync(&byte, memory + 4095, 1, cudaMemcpyDeviceToHost, stream));
  EQUAL(byte, (char)0xa5); /* what lay there is gone */
  OK((int)cublasSetStream(g.handle,
                          stream)); /* the same stream: forgets the workspace all the same */
  OK((int)queue(g));
  EQUAL(sim.calls("default_workspace_gemm"), 2);
  OK((int)cublasSetWorkspace(g.handle, NULL, 0)); /* none at all is a choice, too */
  OK((int)queue(g));
  EQUAL(sim.calls("default_workspace_gemm"), 2);
}

static void large_workspace(void) {
  struct arguments g = good();
  char *memory = NULL, bytes[1024];
  OK(cudaMalloc((void **)&memory, 32 << 20));
  OK((int)cublasSetWorkspace(g.handle, memory, 32 << 20));
  OK((int)queue(g));
  OK(cudaDeviceSynchronize());
  download(bytes, memory + (17 << 20), sizeof bytes);
  EQUAL(bytes[0], (char)0xa5);
}

static void freed_workspace(void) {
  struct arguments g = good();
  void *memory = NULL;
  OK(cudaMalloc(&memory, 4096));
  OK((int)cublasSetWorkspace(g.handle, memory, 4096));
  OK(cudaFree(memory));
  OK((int)queue(g));
  EQUAL(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  CHECK(fault_says("used after it was freed"));
}

static void shared_workspace(void) {
  struct arguments g = good(), h = good();
  void *memory = NULL;
  OK(cudaMalloc(&memory, 4096));
  OK((int)cublasSetWorkspace(g.handle, memory, 4096));
  OK((int)cublasSetWorkspace(h.handle, (char *)memory + 2048, 2048));
  OK((int)queue(g));
  EQUAL((int)queue(h), CUBLAS_STATUS_INVALID_VALUE);
  OK(cudaDeviceSynchronize());
  OK((int)queue(h)); /* one after the other is fine */
}

static void captured(void) {
  struct arguments g = good();
  cudaStream_t stream = NULL;
  cudaGraph_t graph = NULL;
  cudaGraphExec_t executable = NULL;
  OK((int)cublasGetStream(g.handle, &stream));
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  EQUAL((int)queue(g), CUBLAS_STATUS_EXECUTION_FAILED); /* the default workspace may be allocated */
  EQUAL(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  void *memory = NULL;
  OK(cudaMalloc(&memory, 4096));
  OK((int)cublasSetWorkspace(g.handle, memory, 4096));
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  OK((int)queue(g));
  cublasHandle_t other = NULL;
  OK(cudaStreamEndCapture(stream, &graph));
  OK(cudaGraphInstantiate(&executable, graph, 0));
  OK(cudaGraphLaunch(executable, stream));
  OK(cudaStreamSynchronize(stream));
  float result[12];
  download(result, g.c, sizeof result);
  EQUAL(result[0], 0 * 0 + 2 * 1 + 4 * 2 + 6 * 3);
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  EQUAL((int)cublasCreate(&other), CUBLAS_STATUS_ALLOC_FAILED); /* it allocates */
  EQUAL(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
}

static void stream_of_handle(void) {
  struct arguments g = good();
  cudaStream_t gone = new_stream();
  OK(cudaStreamDestroy(gone));
  CHECK(cublasSetStream(g.handle, gone) != CUBLAS_STATUS_SUCCESS);
  float *host = pinned_floats(12, 0);
  cudaStream_t stream = NULL;
  OK((int)cublasGetStream(g.handle, &stream));
  OK((int)queue(g));
  OK(cudaMemcpyAsync(host, g.c, 48, cudaMemcpyDeviceToHost, stream));
  EQUAL(host[0], 0); /* queued like a kernel */
  OK(cudaStreamSynchronize(stream));
  EQUAL(host[0], 28);
}

static void versions(void) {
  int version = 0, major = 0;
  OK((int)cublasGetVersion(NULL, &version));
  EQUAL(version, CUBLAS_VERSION);
  OK((int)cublasGetProperty(MAJOR_VERSION, &major));
  EQUAL(major, CUBLAS_VER_MAJOR);
  cublasHandle_t handle = new_handle(NULL);
  EQUAL((int)cublasSetMathMode(handle, (cublasMath_t)77), CUBLAS_STATUS_INVALID_VALUE);
}

const struct test cublas_tests[] = {
    {"sizes_refused", sizes_refused, "CUDASIM_EXPLAIN=1", 0, "lda is 1, the matrix has 2 rows"},
    {"types_refused", types_refused, NULL, 0, NULL},
    {"overlaps_refused", overlaps_refused, NULL, 0, NULL},
    {"beta_zero_does_not_read", beta_zero_does_not_read, NULL, 0, NULL},
    {"unwritten_input", unwritten_input, NULL, 0, NULL},
    {"padding_is_not_read", padding_is_not_read, NULL, 0, NULL},
    {"out_of_bounds", out_of_bounds, NULL, 0, NULL},
    {"scalars", scalars, NULL, 0, NULL},
    {"workspace", workspace, NULL, 0, NULL},
    {"large_workspace", large_workspace, NULL, 0, NULL},
    {"freed_workspace", freed_workspace, NULL, 0, NULL},
    {"shared_workspace", shared_workspace, NULL, 0, NULL},
    {"captured", captured, NULL, 0, NULL},
    {"stream_of_handle", stream_of_handle, NULL, 0, NULL},
    {"versions", versions, NULL, 0, NULL},
    {0},
};
