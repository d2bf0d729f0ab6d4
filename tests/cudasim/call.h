/* What every call of the API goes through: the one lock, the count, injected failures, the state of the
 * process (forked, no device, broken by a fault), and the thread's last error. */
#ifndef CUDASIM_CALL_H
#define CUDASIM_CALL_H

#include <driver_types.h>

#include <functional>
#include <mutex>
#include <string>

#include "error.h"
#include "origin.h"

namespace cudasim {

/* Held during every call, while kernels run too: the simulator does one thing at a time. Given up only
 * around host functions (stream.cc). */
extern std::mutex big_lock;

enum class Kind {
  plain,    /* cannot fail by itself on a working machine */
  fallible, /* may be told to fail, by injection */
  release, /* gives an object back: does so on a broken device too, and returns the device's error */
};

/* The first half of a call, under the lock: counts it and says what stands against it. */
struct Entry {
  cudaError_t error; /* of the process or the device */
  bool injected;     /* the call has to fail */
};
Entry enter(Origin origin, Kind kind);

/* Runs the body of an API call. `injected` is what a machine in trouble would answer. */
cudaError_t call(Origin origin, Kind kind, cudaError_t injected, const std::function<void()> &body);

/* For an API function: call(HERE, plain, [&] { ... }). */
#define HERE                              \
  cudasim::Origin {                       \
    __func__, __builtin_return_address(0) \
  }

inline cudaError_t call(Origin origin, Kind kind, const std::function<void()> &body) {
  return call(origin, kind, cudaErrorUnknown, body);
}
inline cudaError_t call(Origin origin, cudaError_t injected, const std::function<void()> &body) {
  return call(origin, Kind::fallible, injected, body);
}

/* The call that this thread is in: what makes the objects that come into being now. */
Origin current_origin();

/* One more call of `name`, for cudasim_calls. */
void count_call(const char *name);
/* Counts a fallible call; whether it is the one that has to fail. */
bool failure_is_due();
/* Prints why a call is refused, with CUDASIM_EXPLAIN=1. */
void explain(const char *function, const std::string &why);

cudaError_t take_last_error();
cudaError_t peek_last_error();

/* A child of a process that used CUDA cannot use it. */
bool forked_after_use();
void note_use();

/* True on a thread that runs a host function of a stream, which may not call CUDA. */
extern thread_local bool in_host_function;

}  // namespace cudasim

#endif
