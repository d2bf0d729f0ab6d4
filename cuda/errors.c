/* CUDA's and cuBLAS's codes as statuses. */
#include "device.h"

static xattn_status status_of(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation:
      return XATTN_ERROR_MEMORY;
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureImplicit:
    case cudaErrorStreamCaptureIsolation:
      return XATTN_ERROR_CAPTURE;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInitializationError:
      return XATTN_ERROR_UNAVAILABLE;
    default:
      return XATTN_ERROR_DEVICE;
  }
}

xattn_status xattn_cuda_check(xattn_error *error, cudaError_t code, const char *what) {
  if (code == cudaSuccess) return XATTN_OK;
  (void)cudaGetLastError(); /* so that it is not found again by the next call that asks */
  return xattn_fail(error, status_of(code), "cuda: %s: %s (%d): %s", what, cudaGetErrorName(code),
                    (int)code, cudaGetErrorString(code));
}

xattn_status xattn_cuda_check_blas(xattn_error *error, cublasStatus_t code, const char *what) {
  if (code == CUBLAS_STATUS_SUCCESS) return XATTN_OK;
  (void)cudaGetLastError();
  xattn_status status =
      code == CUBLAS_STATUS_ALLOC_FAILED ? XATTN_ERROR_MEMORY : XATTN_ERROR_DEVICE;
  return xattn_fail(error, status, "cuda: %s: %s (%d): %s", what, cublasGetStatusName(code),
                    (int)code, cublasGetStatusString(code));
}

xattn_status xattn_cuda_no_capture(xattn_error *error, cudaStream_t stream, const char *what) {
  enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  xattn_status status =
      xattn_cuda_check(error, cudaStreamIsCapturing(stream, &capture), "cudaStreamIsCapturing");
  if (status || capture == cudaStreamCaptureStatusNone) return status;
  return xattn_fail(error, XATTN_ERROR_CAPTURE,
                    "stream: is captured into a graph, which cannot hold %s; do it before", what);
}
