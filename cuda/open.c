#include "open.h"

#include <stdio.h>
#include <stdlib.h>

#include "fork.h"

xattn_status xattn_cuda_find(xattn_error *error, int32_t index) {
  int count = 0; /* an error leaves it as it is */
  cudaError_t code = cudaGetDeviceCount(&count);
  if (code) {
    (void)cudaGetLastError();
    return xattn_fail(error, XATTN_ERROR_UNAVAILABLE, "device: no CUDA device: %s (%d): %s",
                      cudaGetErrorName(code), (int)code, cudaGetErrorString(code));
  }
  if (index < count) return XATTN_OK;
  return xattn_fail(error, XATTN_ERROR_UNAVAILABLE,
                    "device: \"cuda:%d\" is not available: the last CUDA device is %d", index,
                    count - 1);
}

static xattn_status attribute(xattn_error *error, const xattn_device *device,
                              enum cudaDeviceAttr which, int *value) {
  *value = 0;
  return xattn_cuda_check(error, cudaDeviceGetAttribute(value, which, device->index),
                          "asking for a property of the device");
}

/* What the planner works with. Chunks of scores fill half of the second-level cache: the other half is for
 * the K, V and O that stream past them. */
static xattn_status learn(xattn_error *error, xattn_device *device, int *major) {
  int l2 = 0, minor = 0, processors = 0, pools = 0;
  xattn_status status = attribute(error, device, cudaDevAttrL2CacheSize, &l2);
  if (!status) status = attribute(error, device, cudaDevAttrComputeCapabilityMajor, major);
  if (!status) status = attribute(error, device, cudaDevAttrComputeCapabilityMinor, &minor);
  if (!status) status = attribute(error, device, cudaDevAttrMultiProcessorCount, &processors);
  if (!status) status = attribute(error, device, cudaDevAttrMemoryPoolsSupported, &pools);
  if (status) return status;
  if (!pools)
    return xattn_fail(error, XATTN_ERROR_UNSUPPORTED,
                      "device: cuda:%d has no stream-ordered memory", device->index);
  device->limits = (xattn_limits){.max_extent = INT32_MAX / 8 * 8,
                                  .score_bytes = l2 ? l2 / 2 : 16 << 20,
                                  .parallel = 1,
                                  .row_alignment = 8};
  device->rates = xattn_cuda_rates(device, *major, minor, processors);
  struct cudaDeviceProp properties;
  status = xattn_cuda_check(error, cudaGetDeviceProperties(&properties, device->index),
                            "asking for the device's name");
  int version = 0;
  if (!status)
    status = xattn_cuda_check_blas(error, cublasGetVersion(device->blas, &version),
                                   "asking for cuBLAS's version");
  if (status) return status;
  (void)snprintf(device->detail, sizeof device->detail, "%.80s, sm_%d%d, %d SMs; cuBLAS %d",
                 properties.name, *major, minor, processors, version);
  return XATTN_OK;
}

/* Workspace for cuBLAS in the size that its documentation recommends per architecture, so that it never
 * allocates any itself (section "cublasSetWorkspace"). */
static size_t blas_workspace(int major) {
  switch (major) {
    case 9:
    case 10:
      return (size_t)32 << 20;
    case 12:
      return (size_t)12 << 20;
    default:
      return (size_t)4 << 20;
  }
}

xattn_status xattn_cuda_bind_blas(xattn_error *error, xattn_device *device) {
  xattn_status status = xattn_cuda_check_blas(
      error, cublasSetStream(device->blas, xattn_stream(device)), "setting cuBLAS's stream");
  if (status) return status;
  return xattn_cuda_check_blas(
      error,
      cublasSetWorkspace(device->blas, device->blas_workspace.data, device->blas_workspace_bytes),
      "setting cuBLAS's workspace");
}

/* True F32, and sums of 16-bit products in F32 throughout, also where cuBLAS splits them. */
static xattn_status open_blas(xattn_error *error, xattn_device *device) {
  xattn_status status = xattn_cuda_check_blas(error, cublasCreate(&device->blas), "opening cuBLAS");
  if (!status)
    status = xattn_cuda_check_blas(
        error,
        cublasSetMathMode(
            device->blas,
            (cublasMath_t)(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)),
        "setting cuBLAS's math mode");
  return status;
}

static xattn_status make(xattn_error *error, xattn_device *device) {
  int major = 0;
  xattn_status status = xattn_lane_open(error, device->index, &device->lane);
  if (!status) status = open_blas(error, device);
  if (!status) status = learn(error, device, &major);
  if (status) return status;
  device->blas_workspace_bytes = blas_workspace(major);
  status = xattn_lane_allocate(error, device->lane, device->blas_workspace_bytes,
                               &device->blas_workspace);
  return status ? status : xattn_cuda_bind_blas(error, device);
}

xattn_status xattn_cuda_make(xattn_error *error, int32_t index, const xattn_device_options *options,
                             xattn_device **result) {
  xattn_device *device = calloc(1, sizeof *device);
  if (!device) return xattn_fail(error, XATTN_ERROR_MEMORY, "handle: out of memory");
  device->index = index;
  device->math = options->math;
  xattn_status status = make(error, device);
  if (status) {
    xattn_cuda_unmake(device);
    return status;
  }
  *result = device;
  return XATTN_OK;
}

void xattn_cuda_unmake(xattn_device *device) {
  xattn_error ignored;
  xattn_lane *lane = device->lane;
  if (!xattn_forked()) {
    if (lane && !xattn_cuda_no_capture(&ignored, lane->stream, "a synchronization"))
      xattn_cuda_ignore(cudaStreamSynchronize(lane->stream));
    if (device->blas) (void)cublasDestroy(device->blas);
    xattn_cuda_free_staging(&device->staging);
  }
  if (device->blas_workspace.block) xattn_lane_release(&device->blas_workspace);
  if (lane) xattn_lane_close(lane);
  free(device);
}
