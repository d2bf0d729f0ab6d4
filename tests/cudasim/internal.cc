#include "internal.h"

#include "capture.h"
#include "device.h"
#include "live.h"
#include "stream.h"

using namespace cudasim;

int cudasim_internal_call(Origin origin, Kind kind, cudasim_internal_statuses statuses,
                          const std::function<int()> &body) {
  std::lock_guard<std::mutex> hold(big_lock);
  const Entry entry = enter(origin, kind);
  if (entry.error) return statuses.unusable;
  if (entry.injected) return statuses.injected;
  try {
    return body();
  } catch (const Error &e) {
    explain(origin.function, e.what());
    return statuses.refused;
  }
}

void cudasim_internal_queue(cudaStream_t handle, const std::function<void(Memory &)> &work) {
  const auto stream = own_stream_of(handle);
  Memory &memory = stream->device.memory;
  stream->add({cudaGraphNodeTypeKernel, [=, &memory] { work(memory); }});
}

void cudasim_internal_check_stream(cudaStream_t stream) {
  stream_of(stream);
}

bool cudasim_internal_stream_is_idle(cudaStream_t stream) {
  return stream_of(stream)->idle();
}

void cudasim_internal_ruin_capture(cudaStream_t stream, const char *why) {
  forbid_if_capturing(*stream_of(stream), cudaErrorStreamCaptureUnsupported, why);
}

void cudasim_internal_forbid_while_capturing(void) {
  forbid_while_capturing();
}

bool cudasim_internal_is_device_memory(const void *address, size_t n) {
  Device *owner = device_of(address);
  return owner && owner->memory.holding((uint64_t)address, n);
}

int cudasim_internal_current_device(void) {
  return current_device().index;
}

void cudasim_internal_handle(const void *handle, bool exists) {
  if (exists)
    cublas_origins()[handle] = current_origin();
  else
    cublas_origins().erase(handle);
}

void cudasim_internal_count(const char *name) {
  count_call(name);
}

void cudasim_internal_explain(const char *function, const char *why) {
  explain(function, why);
}
