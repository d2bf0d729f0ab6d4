/* The parts of the CUDA backend. Every function here expects the device to be the thread's current one
 * (backend.c sees to that). */
#ifndef XATTN_CUDA_DEVICE_H
#define XATTN_CUDA_DEVICE_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "backend.h"
#include "lane.h"

enum { STAGING_BUFFERS = 2, STAGING_BYTES = 4 << 20 };

/* Pinned memory that host tensors pass through, one buffer packed or unpacked by the host while the other
 * is on the bus. Made at the first transfer. */
typedef struct xattn_staging {
  void *buffer[STAGING_BUFFERS];
  cudaEvent_t done[STAGING_BUFFERS]; /* the last copy from or to the buffer */
} xattn_staging;

struct xattn_device {
  int index;
  xattn_lane *lane; /* its stream and memory */
  cublasHandle_t blas;
  xattn_memory blas_workspace;
  size_t blas_workspace_bytes;
  xattn_math math;
  xattn_staging staging;
  xattn_limits limits;
  xattn_rates rates;
  char detail[160];
};

static inline cudaStream_t xattn_stream(const xattn_device *device) {
  return device->lane->stream;
}

/* Turns what CUDA or cuBLAS returned into a status, with what was tried, the code's name and number. */
xattn_status xattn_cuda_check(xattn_error *error, cudaError_t code, const char *what);
xattn_status xattn_cuda_check_blas(xattn_error *error, cublasStatus_t code, const char *what);

/* For calls whose failure changes nothing: the application must not find it by cudaGetLastError. */
static inline void xattn_cuda_ignore(cudaError_t code) {
  if (code) (void)cudaGetLastError();
}

/* XATTN_ERROR_CAPTURE if the stream is recorded into a graph, which `what` cannot be part of. */
xattn_status xattn_cuda_no_capture(xattn_error *error, cudaStream_t stream, const char *what);

/* Tells cuBLAS the stream, and again its workspace, which cublasSetStream resets. */
xattn_status xattn_cuda_bind_blas(xattn_error *error, xattn_device *device);

xattn_status xattn_cuda_upload(xattn_error *error, xattn_device *device, void *to,
                               xattn_dtype dtype, const xattn_tensor *from);
xattn_status xattn_cuda_download(xattn_error *error, xattn_device *device, const void *from,
                                 const xattn_tensor *to);
void xattn_cuda_free_staging(xattn_staging *staging);

xattn_status xattn_cuda_gemm(xattn_error *error, xattn_device *device, const xattn_gemm *gemm);
xattn_status xattn_cuda_softmax(xattn_error *error, xattn_device *device,
                                const xattn_softmax *softmax);
xattn_status xattn_cuda_copy(xattn_error *error, xattn_device *device, const xattn_copy *copy);

#endif
