/*
 * xattn on CUDA: streams, events and allocators of the caller. Includes no header of CUDA: a stream is a
 * cudaStream_t and an event a cudaEvent_t of the CUDA 13 runtime, handed over as void *.
 *
 * A handle on CUDA enqueues everything on one stream, at first one of its own that does not wait for
 * CUDA's default stream, and never waits for the device, but for
 *     - xattn_synchronize, xattn_destroy, and making a layer;
 *     - calls that have a tensor in host memory.
 * The calling thread's current device is the same after each call as before.
 *
 * Graphs. A call on device tensors may be captured. What the call enqueues holds addresses: the tensors,
 * the layer, the context and the handle must stay as long as the graph is launched, and key lengths are
 * those of the moment of capture. A capture cannot hold an allocation, a copy from or to host tensors, or a
 * wait for another stream's work, nor can it merge a layer's weights for a plan that wants them: where one would be needed the call fails with XATTN_ERROR_CAPTURE before
 * anything is enqueued, and the capture goes on. Run the call once before: that makes room (as
 * xattn_reserve does by itself) and lets CUDA load the kernels, which it may refuse to do while capturing.
 *
 * All functions fail with XATTN_ERROR_ARGUMENT for a handle that is not on CUDA.
 */
#ifndef XATTN_CUDA_H
#define XATTN_CUDA_H

#include "xattn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* From now on the handle enqueues on `stream` (NULL: CUDA's default stream), which must be of the
 * handle's device and outlive its use here. Work already enqueued comes first. */
XATTN_API xattn_status xattn_cuda_set_stream(xattn_handle *handle, void *stream);

/* The stream that the handle enqueues on. */
XATTN_API xattn_status xattn_cuda_get_stream(xattn_handle *handle, void **stream);

/* What is enqueued from now on waits for the event, whatever stream it was recorded on. */
XATTN_API xattn_status xattn_cuda_wait_event(xattn_handle *handle, void *event);

/* Records the event behind what is enqueued by now. */
XATTN_API xattn_status xattn_cuda_record_event(xattn_handle *handle, void *event);

/* Where device memory comes from: workspace, layers, contexts, xattn_memory_alloc. */
typedef struct xattn_cuda_allocator {
  size_t size;
  void *context; /* handed to both functions */
  /* Memory that work on `stream` may use from now on, aligned to 256 bytes; NULL if there is none. */
  void *(*allocate)(void *context, size_t bytes, void *stream);
  /* Gives it back; work enqueued on `stream` by now may still use it. */
  void (*release)(void *context, void *memory, size_t bytes, void *stream);
} xattn_cuda_allocator;

/* Takes memory from the caller's allocator from now on; NULL: cudaMallocAsync again. The functions and the
 * context must stay until all that was made with them is destroyed. */
XATTN_API xattn_status xattn_cuda_set_allocator(xattn_handle *handle,
                                                const xattn_cuda_allocator *allocator);

#ifdef __cplusplus
}
#endif
#endif
