/* The table of the CUDA backend, and what the plugin exports. Each entry makes the device the thread's
 * current one, does its part, and puts back the one that was current before. */
#include "open.h"

#include <stdio.h>

#include "fork.h"

/* ---- the current device */

typedef struct visit {
  int before, now;
} visit;

static xattn_status enter(xattn_error *error, int32_t index, visit *v) {
  xattn_status status = xattn_fork_check(error);
  if (!status) status = xattn_cuda_check(error, cudaGetDevice(&v->before), "cudaGetDevice");
  v->now = index;
  if (!status && v->before != index)
    status = xattn_cuda_check(error, cudaSetDevice(index), "cudaSetDevice");
  return status;
}

static void leave(const visit *v) {
  if (v->before != v->now) xattn_cuda_ignore(cudaSetDevice(v->before));
}

/* A status that `call` gives between entering the device and leaving it. */
#define AT_DEVICE(error, index, call)                    \
  do {                                                   \
    visit v_;                                            \
    xattn_status status_ = enter((error), (index), &v_); \
    if (status_) return status_;                         \
    status_ = (call);                                    \
    leave(&v_);                                          \
    return status_;                                      \
  } while (0)

/* ---- the device */

static xattn_status open(xattn_error *error, int32_t index, const xattn_device_options *options,
                         xattn_device **device) {
  xattn_status status = xattn_fork_check(error);
  if (status) return status;
  xattn_fork_watch();
  status = xattn_cuda_find(error, index);
  if (status) return status;
  AT_DEVICE(error, index, xattn_cuda_make(error, index, options, device));
}

static void close(xattn_device *device) {
  xattn_error ignored;
  visit v;
  xattn_status status = enter(&ignored, device->index, &v);
  xattn_cuda_unmake(device);
  if (!status) leave(&v);
}

static void describe(const xattn_device *device, xattn_handle_info *info) {
  (void)snprintf(info->detail, sizeof info->detail, "%s", device->detail);
  info->threads = 1;
}

static xattn_limits limits(const xattn_device *device) {
  return device->limits;
}

static xattn_rates rates(const xattn_device *device) {
  return device->rates;
}

static xattn_status ask_capture(xattn_error *error, xattn_device *device, bool *capturing) {
  enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  xattn_status status = xattn_cuda_check(
      error, cudaStreamIsCapturing(xattn_stream(device), &capture), "cudaStreamIsCapturing");
  *capturing = capture != cudaStreamCaptureStatusNone;
  if (!status && capture == cudaStreamCaptureStatusInvalidated)
    status = xattn_fail(error, XATTN_ERROR_CAPTURE, "stream: its capture is invalid");
  return status;
}

static xattn_status begin(xattn_error *error, xattn_device *device, bool *capturing) {
  AT_DEVICE(error, device->index, ask_capture(error, device, capturing));
}

static xattn_status wait(xattn_error *error, xattn_device *device) {
  xattn_status status = xattn_cuda_no_capture(error, xattn_stream(device), "a synchronization");
  return status ? status
                : xattn_cuda_check(error, cudaStreamSynchronize(xattn_stream(device)),
                                   "synchronizing");
}

static xattn_status synchronize(xattn_error *error, xattn_device *device) {
  AT_DEVICE(error, device->index, wait(error, device));
}

/* ---- memory */

static xattn_status allocate(xattn_error *error, xattn_device *device, size_t bytes,
                             xattn_memory *memory) {
  AT_DEVICE(error, device->index, xattn_lane_allocate(error, device->lane, bytes, memory));
}

static void release(xattn_memory *memory) {
  xattn_error ignored;
  visit v;
  xattn_status status = enter(&ignored, memory->index, &v);
  xattn_lane_release(memory);
  if (!status) leave(&v);
}

static xattn_status publish(xattn_error *error, xattn_device *device, xattn_memory *memory) {
  AT_DEVICE(error, device->index, xattn_lane_publish(error, device->lane, memory));
}

static xattn_status acquire(xattn_error *error, xattn_device *device, const xattn_memory *memory) {
  AT_DEVICE(error, device->index, xattn_lane_acquire(error, device->lane, memory));
}

static xattn_status upload(xattn_error *error, xattn_device *device, void *to, xattn_dtype dtype,
                           const xattn_tensor *from) {
  AT_DEVICE(error, device->index, xattn_cuda_upload(error, device, to, dtype, from));
}

static xattn_status download(xattn_error *error, xattn_device *device, const void *from,
                             const xattn_tensor *to) {
  AT_DEVICE(error, device->index, xattn_cuda_download(error, device, from, to));
}

/* ---- steps */

static xattn_status each_gemm(xattn_error *error, xattn_device *device, const xattn_gemm *gemms,
                              int count) {
  xattn_status status = XATTN_OK;
  for (int i = 0; i < count && !status; i++) status = xattn_cuda_gemm(error, device, &gemms[i]);
  return status;
}

static xattn_status gemm(xattn_error *error, xattn_device *device, const xattn_gemm *gemms,
                         int count) {
  AT_DEVICE(error, device->index, each_gemm(error, device, gemms, count));
}

static xattn_status softmax(xattn_error *error, xattn_device *device,
                            const xattn_softmax *softmax) {
  AT_DEVICE(error, device->index, xattn_cuda_softmax(error, device, softmax));
}

static xattn_status copy(xattn_error *error, xattn_device *device, const xattn_copy *copy) {
  AT_DEVICE(error, device->index, xattn_cuda_copy(error, device, copy));
}

/* ---- streams, events, the caller's allocator */

static xattn_status move(xattn_error *error, xattn_device *device, void *stream) {
  xattn_status status = xattn_lane_move(error, device->lane, stream);
  return status ? status : xattn_cuda_bind_blas(error, device);
}

static xattn_status set_stream(xattn_error *error, xattn_device *device, void *stream) {
  AT_DEVICE(error, device->index, move(error, device, stream));
}

static void *get_stream(const xattn_device *device) {
  return xattn_stream(device);
}

static xattn_status wait_event(xattn_error *error, xattn_device *device, void *event) {
  AT_DEVICE(error, device->index,
            xattn_cuda_check(error, cudaStreamWaitEvent(xattn_stream(device), event, 0),
                             "waiting for an event"));
}

static xattn_status record_event(xattn_error *error, xattn_device *device, void *event) {
  AT_DEVICE(
      error, device->index,
      xattn_cuda_check(error, cudaEventRecord(event, xattn_stream(device)), "recording an event"));
}

static xattn_status set_allocator(xattn_error *error, xattn_device *device,
                                  const xattn_cuda_allocator *allocator) {
  (void)error;
  device->lane->allocator = allocator ? *allocator : (xattn_cuda_allocator){0};
  return XATTN_OK;
}

static const xattn_interop interop = {.set_stream = set_stream,
                                      .get_stream = get_stream,
                                      .wait_event = wait_event,
                                      .record_event = record_event,
                                      .set_allocator = set_allocator};

static const xattn_backend table = {.name = "cuda",
                                    .memory = XATTN_CUDA,
                                    .interop = &interop,
                                    .open = open,
                                    .close = close,
                                    .describe = describe,
                                    .limits = limits,
                                    .rates = rates,
                                    .begin = begin,
                                    .allocate = allocate,
                                    .release = release,
                                    .publish = publish,
                                    .acquire = acquire,
                                    .upload = upload,
                                    .download = download,
                                    .gemm = gemm,
                                    .softmax = softmax,
                                    .copy = copy,
                                    .synchronize = synchronize};

extern const xattn_plugin xattn_cuda_plugin;
__attribute__((visibility("default")))
const xattn_plugin xattn_cuda_plugin = {.version = XATTN_VERSION_TEXT, .backend = &table};
