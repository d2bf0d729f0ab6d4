/* What the stand-in for libcublas needs of the one for libcudart, which exports it. */
#ifndef CUDASIM_INTERNAL_H
#define CUDASIM_INTERNAL_H

#include <driver_types.h>

#include <functional>

#include "call.h"
#include "memory.h"
#include "origin.h"

extern "C" {

/* What a call of libcublas returns when the device or the process allows no call at all, when it is made
 * to fail, and when the body throws Error: the stream or a capture refuses what it wants. */
struct cudasim_internal_statuses {
  int unusable, injected, refused;
};
int cudasim_internal_call(cudasim::Origin origin, cudasim::Kind kind,
                          cudasim_internal_statuses statuses, const std::function<int()> &body);

/* The rest is for bodies. */
void cudasim_internal_queue(cudaStream_t stream,
                            const std::function<void(cudasim::Memory &)> &work);
void cudasim_internal_check_stream(cudaStream_t stream);
bool cudasim_internal_stream_is_idle(cudaStream_t stream);
/* Throws if the stream captures, and if any does that forbids it (capture.h). */
void cudasim_internal_ruin_capture(cudaStream_t stream, const char *why);
void cudasim_internal_forbid_while_capturing(void);
/* Whether n bytes lie in one block of device memory that was not released. */
bool cudasim_internal_is_device_memory(const void *address, size_t n);
int cudasim_internal_current_device(void);
/* A cuBLAS handle came into being, or went. */
void cudasim_internal_handle(const void *handle, bool exists);
void cudasim_internal_count(const char *name);
void cudasim_internal_explain(const char *function, const char *why);
}

#endif
