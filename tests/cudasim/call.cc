#include "call.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <new>

#include "device.h"

namespace cudasim {

std::mutex big_lock;
thread_local bool in_host_function;

namespace {
thread_local Origin origin_now;
thread_local cudaError_t last_error = cudaSuccess;

/* The state of the process forbids every call, or that of the device every one but releases. */
cudaError_t standing_error(Kind kind) {
  if (forked_after_use()) return cudaErrorInitializationError;
  if (in_host_function) return cudaErrorNotPermitted;
  note_use();
  if (device_count() == 0) return cudaErrorNoDevice;
  return kind == Kind::release ? cudaSuccess : current_device().sticky_error();
}
}  // namespace

Origin current_origin() {
  return origin_now;
}

Entry enter(Origin origin, Kind kind) {
  count_call(origin.function);
  origin_now = origin;
  const cudaError_t error = standing_error(kind);
  return {error, !error && kind == Kind::fallible && failure_is_due()};
}

cudaError_t call(Origin origin, Kind kind, cudaError_t injected,
                 const std::function<void()> &body) {
  std::lock_guard<std::mutex> hold(big_lock);
  const Entry entry = enter(origin, kind);
  cudaError_t error = entry.injected ? injected : entry.error;
  if (!error) {
    try {
      body();
      error =
          current_device().sticky_error(); /* the body may have run work, and that have failed */
    } catch (const Error &e) {
      error = e.code;
      explain(origin.function, e.what());
    } catch (const std::bad_alloc &) {
      error = cudaErrorMemoryAllocation;
    }
  }
  if (error) last_error = error;
  return error;
}

void explain(const char *function, const std::string &why) {
  static const bool wanted = setting("CUDASIM_EXPLAIN", 0);
  if (wanted) fprintf(stderr, "cudasim: %s refused: %s\n", function, why.c_str());
}

cudaError_t peek_last_error() {
  return last_error;
}

cudaError_t take_last_error() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

}  // namespace cudasim

extern "C" {

/* An error of the device comes again and again; one of a call is gone once it was taken. */
cudaError_t cudaGetLastError(void) {
  std::lock_guard<std::mutex> hold(cudasim::big_lock);
  cudasim::count_call(__func__);
  const cudaError_t error = cudasim::take_last_error();
  const cudaError_t sticky = cudasim::sticky_error_if_used();
  return sticky ? sticky : error;
}

cudaError_t cudaPeekAtLastError(void) {
  std::lock_guard<std::mutex> hold(cudasim::big_lock);
  cudasim::count_call(__func__);
  const cudaError_t sticky = cudasim::sticky_error_if_used();
  return sticky ? sticky : cudasim::peek_last_error();
}

}  // extern "C"
