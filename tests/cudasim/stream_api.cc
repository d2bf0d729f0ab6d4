#include <cuda_runtime_api.h>

#include "call.h"
#include "capture.h"
#include "event.h"
#include "stream.h"

namespace cudasim {
namespace {

const int least_priority = 0, greatest_priority = -5;
const int patience = 3; /* the query that runs the work, so that a loop of queries ends */

void create(cudaStream_t *handle, unsigned flags, int priority) {
  if (!handle || flags > cudaStreamNonBlocking)
    throw Error(cudaErrorInvalidValue, "no place for the handle, or unknown flags");
  if (priority > least_priority) priority = least_priority;
  if (priority < greatest_priority) priority = greatest_priority;
  Device &on = current_device();
  const auto sort = flags & cudaStreamNonBlocking ? Stream::non_blocking : Stream::blocking;
  auto stream = std::make_shared<Stream>(on, sort, priority, current_origin());
  on.streams.push_back(stream);
  *handle = streams().add(stream);
}

void refuse_if_capturing(Stream &stream) {
  forbid_if_capturing(stream, cudaErrorStreamCaptureUnsupported, "the stream captures");
  if (stream.sort == Stream::legacy) forbid_legacy_work_while_capturing();
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { create(stream, cudaStreamDefault, 0); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { create(stream, flags, 0); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { create(stream, flags, priority); });
}

/* Returns at once; the work that the stream still has runs with the next synchronisation of the device. */
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call(HERE, Kind::release, [&] {
    const auto stream = streams().take(handle);
    leave_capture(*stream);
    stream->destroyed = true;
    forget_finished_streams(stream->device);
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call(HERE, cudaErrorUnknown, [&] {
    const auto stream = stream_of(handle);
    refuse_if_capturing(*stream);
    stream->run_all();
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call(HERE, Kind::plain, [&] {
    const auto stream = stream_of(handle);
    refuse_if_capturing(*stream);
    forbid_while_capturing();
    if (!stream->idle() && ++stream->queries < patience)
      throw Error(cudaErrorNotReady, "the stream has work");
    stream->queries = 0;
    stream->run_all();
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  return call(HERE, cudaErrorUnknown, [&] {
    if (flags != cudaEventWaitDefault) throw Error(cudaErrorNotSupported, "flags of the wait");
    const auto stream = stream_of(handle);
    wait_for_event(*stream, *events().get(event));
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void *data) {
  return call(HERE, cudaErrorUnknown, [&] {
    if (!function) throw Error(cudaErrorInvalidValue, "no function");
    stream_of(handle)->add({cudaGraphNodeTypeHost, [=] { function(data); }});
  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned *flags) {
  return call(HERE, Kind::plain, [&] {
    const bool alone = stream_of(handle)->sort == Stream::non_blocking;
    *flags = alone ? cudaStreamNonBlocking : cudaStreamDefault;
  });
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int *priority) {
  return call(HERE, Kind::plain, [&] { *priority = stream_of(handle)->priority; });
}

cudaError_t cudaStreamGetDevice(cudaStream_t handle, int *device) {
  return call(HERE, Kind::plain, [&] { *device = stream_of(handle)->device.index; });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  return call(HERE, Kind::plain, [&] {
    if (least) *least = least_priority;
    if (greatest) *greatest = greatest_priority;
  });
}

cudaError_t cudaDeviceSynchronize(void) {
  return call(HERE, cudaErrorUnknown, [&] {
    forbid_while_any_captures();
    current_device().synchronize();
  });
}

}  // extern "C"
