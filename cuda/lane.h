/* A lane: the stream of a handle and the memory allocated in its order.
 *
 *     handle ──▶ lane ◀── block (workspace)      The lane goes with the last of them: layers and contexts
 *                   ▲◀── block (layer)           may outlive the handle that made them, and are then freed
 *                   └─── block (context)         on the lane's own stream.
 */
#ifndef XATTN_CUDA_LANE_H
#define XATTN_CUDA_LANE_H

#include <cuda_runtime_api.h>
#include <pthread.h>

#include "backend.h"

typedef struct xattn_block xattn_block;

typedef struct xattn_lane {
  pthread_mutex_t lock; /* contexts may be destroyed by other threads than the handle's */
  uint64_t id;          /* no other lane of this process has it, before or after */
  int index;
  int references;
  cudaStream_t stream; /* where work is enqueued: own, or the caller's */
  cudaStream_t own;
  cudaMemPool_t pool; /* keeps what is freed for the next allocation, until the lane goes */
  xattn_cuda_allocator allocator; /* the caller's; allocate is NULL without */
  xattn_block *unfreed;           /* released while the stream was captured */
} xattn_lane;

xattn_status xattn_lane_open(xattn_error *error, int index, xattn_lane **result);

/* The handle goes. Its work has run. */
void xattn_lane_close(xattn_lane *lane);

/* Work from now on goes to this stream, behind what is enqueued by now. */
xattn_status xattn_lane_move(xattn_error *error, xattn_lane *lane, cudaStream_t stream);

/* As in backend.h. */
xattn_status xattn_lane_allocate(xattn_error *error, xattn_lane *lane, size_t bytes,
                                 xattn_memory *memory);
void xattn_lane_release(xattn_memory *memory);
xattn_status xattn_lane_publish(xattn_error *error, xattn_lane *lane, xattn_memory *memory);
xattn_status xattn_lane_acquire(xattn_error *error, xattn_lane *lane, const xattn_memory *memory);

#endif
