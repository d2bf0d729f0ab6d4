/* What a test may ask of the simulator, beyond CUDA's own API. Exported by its libcudart.so.13; a test finds
 * them with dlsym and skips what only a simulator can do where they are missing (on a real GPU). */
#ifndef CUDASIM_H
#define CUDASIM_H

#include <stddef.h>

#include "counters.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The n-th fallible call from now on fails (1: the next); 0: none. A fallible call is one of the runtime or of
 * cuBLAS that can fail on a real machine: allocations, copies, launches, creations, synchronisations. */
void cudasim_fail_at(long long n);
long long cudasim_fallible_calls(void); /* since the last cudasim_fail_at */

/* Live objects, for leak checks. */
size_t cudasim_live_device_blocks(void);
size_t cudasim_live_device_bytes(void);
size_t cudasim_live_host_blocks(void); /* pinned */
size_t cudasim_live_streams(void);
size_t cudasim_live_events(void);
size_t cudasim_live_cublas_handles(void);

/* Calls of the runtime by name ("cudaMallocAsync"), since the process began; 0 for one never called. */
unsigned long long cudasim_calls(const char *name);

/* The first fault of the process, "" without. It is printed to stderr as well when it happens. */
const char *cudasim_fault(void);

/* Counters of a kernel (any part of its mangled name; summed), or of all with NULL. */
cudasim_counters cudasim_counters_of(const char *kernel);
void cudasim_counters_reset(void);

#ifdef __cplusplus
}
#endif

#endif
