#include "lane.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"
#include "fork.h"

struct xattn_block {
  xattn_lane *lane;
  void *data;
  size_t bytes;
  cudaEvent_t ready;              /* its contents are there; NULL: nobody has to wait */
  uint64_t writer;                /* id of the lane that recorded it last */
  xattn_cuda_allocator allocator; /* that it came from; allocate is NULL for the pool */
  xattn_block *next;
};

/* ---- the lane */

static xattn_status open_parts(xattn_error *error, xattn_lane *lane) {
  xattn_status status = xattn_cuda_check(
      error, cudaStreamCreateWithFlags(&lane->own, cudaStreamNonBlocking), "creating a stream");
  if (status) return status;
  lane->stream = lane->own;
  struct cudaMemPoolProps properties = {
      .allocType = cudaMemAllocationTypePinned,
      .location = {.type = cudaMemLocationTypeDevice, .id = lane->index}};
  status = xattn_cuda_check(error, cudaMemPoolCreate(&lane->pool, &properties),
                            "creating a memory pool");
  if (status) return status;
  uint64_t keep_all = UINT64_MAX;
  return xattn_cuda_check(
      error, cudaMemPoolSetAttribute(lane->pool, cudaMemPoolAttrReleaseThreshold, &keep_all),
      "setting up the memory pool");
}

static void destroy(xattn_lane *lane) {
  if (!xattn_forked()) {
    if (lane->own) xattn_cuda_ignore(cudaStreamSynchronize(lane->own));
    if (lane->pool) xattn_cuda_ignore(cudaMemPoolDestroy(lane->pool));
    if (lane->own) xattn_cuda_ignore(cudaStreamDestroy(lane->own));
  }
  (void)pthread_mutex_destroy(&lane->lock);
  free(lane);
}

xattn_status xattn_lane_open(xattn_error *error, int index, xattn_lane **result) {
  static _Atomic uint64_t ids;
  xattn_lane *lane = calloc(1, sizeof *lane);
  if (!lane) return xattn_fail(error, XATTN_ERROR_MEMORY, "handle: out of memory");
  (void)pthread_mutex_init(&lane->lock, NULL);
  lane->id = atomic_fetch_add(&ids, 1) + 1;
  lane->index = index;
  lane->references = 1;
  xattn_status status = open_parts(error, lane);
  if (status) {
    destroy(lane);
    return status;
  }
  *result = lane;
  return XATTN_OK;
}

static bool captured(cudaStream_t stream) {
  enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  xattn_cuda_ignore(cudaStreamIsCapturing(stream, &capture));
  return capture != cudaStreamCaptureStatusNone;
}

/* ---- blocks; the lane is locked */

static void free_block(xattn_block *block) {
  if (!xattn_forked()) {
    /* Another lane's last word on it is not in the order of this stream. */
    if (block->ready && block->writer != block->lane->id)
      xattn_cuda_ignore(cudaStreamWaitEvent(block->lane->stream, block->ready, 0));
    if (block->allocator.release)
      block->allocator.release(block->allocator.context, block->data, block->bytes,
                               block->lane->stream);
    else /* where the device has failed, so will what comes next, which can say so */
      xattn_cuda_ignore(cudaFreeAsync(block->data, block->lane->stream));
    if (block->ready) xattn_cuda_ignore(cudaEventDestroy(block->ready));
  }
  block->lane->references--;
  free(block);
}

/* A graph cannot free what it did not allocate: such blocks wait for the end of the capture. */
static void free_waiting(xattn_lane *lane) {
  if (lane->unfreed && !xattn_forked() && captured(lane->stream)) return;
  while (lane->unfreed) {
    xattn_block *block = lane->unfreed;
    lane->unfreed = block->next;
    free_block(block);
  }
}

static void unlock(xattn_lane *lane) {
  bool last = lane->references == 0;
  (void)pthread_mutex_unlock(&lane->lock);
  if (last) destroy(lane);
}

void xattn_lane_close(xattn_lane *lane) {
  (void)pthread_mutex_lock(&lane->lock);
  lane->stream = lane->own; /* the caller's may go now */
  free_waiting(lane);
  lane->references--;
  unlock(lane);
}

xattn_status xattn_lane_allocate(xattn_error *error, xattn_lane *lane, size_t bytes,
                                 xattn_memory *memory) {
  xattn_status status = xattn_cuda_no_capture(error, lane->stream, "an allocation");
  if (status) return status;
  xattn_block *block = calloc(1, sizeof *block);
  if (!block) return xattn_fail(error, XATTN_ERROR_MEMORY, "cuda: out of host memory");
  *block = (xattn_block){.lane = lane, .bytes = bytes ? bytes : 1, .allocator = lane->allocator};
  (void)pthread_mutex_lock(&lane->lock);
  free_waiting(lane);
  if (block->allocator.allocate) {
    block->data = block->allocator.allocate(block->allocator.context, block->bytes, lane->stream);
    if (!block->data)
      status = xattn_fail(error, XATTN_ERROR_MEMORY,
                          "allocator: the caller's has no %zu bytes of device memory", bytes);
  } else {
    char what[64];
    (void)snprintf(what, sizeof what, "allocating %zu bytes", bytes);
    status = xattn_cuda_check(
        error, cudaMallocFromPoolAsync(&block->data, block->bytes, lane->pool, lane->stream), what);
  }
  if (!status) {
    lane->references++;
    *memory = (xattn_memory){.data = block->data, .block = block};
  }
  (void)pthread_mutex_unlock(&lane->lock);
  if (status) free(block);
  return status;
}

void xattn_lane_release(xattn_memory *memory) {
  xattn_block *block = memory->block;
  xattn_lane *lane = block->lane;
  (void)pthread_mutex_lock(&lane->lock);
  block->next = lane->unfreed;
  lane->unfreed = block;
  free_waiting(lane);
  unlock(lane);
}

xattn_status xattn_lane_publish(xattn_error *error, xattn_lane *lane, xattn_memory *memory) {
  xattn_block *block = memory->block;
  xattn_status status = XATTN_OK;
  if (!block->ready)
    status =
        xattn_cuda_check(error, cudaEventCreateWithFlags(&block->ready, cudaEventDisableTiming),
                         "creating an event");
  if (!status)
    status =
        xattn_cuda_check(error, cudaEventRecord(block->ready, lane->stream), "recording an event");
  if (!status) block->writer = lane->id;
  return status;
}

/* A capture may not wait for an event outside of it, nor ask for it in the mode that captures begin
 * with; asking does no harm here, since the event is of no captured stream. */
static xattn_status must_be_ready(xattn_error *error, cudaEvent_t ready) {
  enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  xattn_status status = xattn_cuda_check(error, cudaThreadExchangeStreamCaptureMode(&mode),
                                         "changing the capture mode");
  if (status) return status;
  cudaError_t code = cudaEventQuery(ready);
  xattn_cuda_ignore(cudaThreadExchangeStreamCaptureMode(&mode));
  if (code != cudaErrorNotReady) return xattn_cuda_check(error, code, "asking for an event");
  (void)cudaGetLastError();
  return xattn_fail(error, XATTN_ERROR_CAPTURE,
                    "context: is still being made on another stream, which a graph cannot wait "
                    "for; synchronize before the capture");
}

xattn_status xattn_lane_acquire(xattn_error *error, xattn_lane *lane, const xattn_memory *memory) {
  const xattn_block *block = memory->block;
  /* What this lane wrote itself is in the order of its stream. Whose the memory is does not tell: another
   * handle may have appended to it. */
  if (!block->ready || block->writer == lane->id) return XATTN_OK;
  if (captured(lane->stream)) return must_be_ready(error, block->ready);
  return xattn_cuda_check(error, cudaStreamWaitEvent(lane->stream, block->ready, 0),
                          "waiting for the context");
}

xattn_status xattn_lane_move(xattn_error *error, xattn_lane *lane, cudaStream_t stream) {
  if (stream == lane->stream) return XATTN_OK;
  xattn_status status = xattn_cuda_no_capture(error, lane->stream, "a change of streams");
  if (!status) status = xattn_cuda_no_capture(error, stream, "a change of streams");
  cudaEvent_t before = NULL;
  if (!status)
    status = xattn_cuda_check(error, cudaEventCreateWithFlags(&before, cudaEventDisableTiming),
                              "creating an event");
  if (status) return status;
  status = xattn_cuda_check(error, cudaEventRecord(before, lane->stream), "recording an event");
  if (!status)
    status = xattn_cuda_check(error, cudaStreamWaitEvent(stream, before, 0),
                              "waiting on the new stream");
  xattn_cuda_ignore(cudaEventDestroy(before));
  if (status) return status;
  (void)pthread_mutex_lock(&lane->lock);
  lane->stream = stream;
  (void)pthread_mutex_unlock(&lane->lock);
  return XATTN_OK;
}
