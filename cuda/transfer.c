/* Between host tensors and the device, through two pinned buffers:
 *
 *     host   pack 0   pack 1   pack 2 …             A buffer is packed again once the copy from it has
 *     bus             copy 0   copy 1   copy 2 …    run; the other way round it is unpacked while the
 *                                                   next one is filled.
 */
#include "device.h"
#include "pack.h"
#include "tensor.h"

static xattn_status prepare(xattn_error *error, xattn_staging *s) {
  xattn_status status = XATTN_OK;
  for (int i = 0; i < STAGING_BUFFERS && !status; i++) {
    if (!s->buffer[i])
      status =
          xattn_cuda_check(error, cudaHostAlloc(&s->buffer[i], STAGING_BYTES, cudaHostAllocDefault),
                           "allocating pinned memory");
    if (!status && !s->done[i])
      status =
          xattn_cuda_check(error, cudaEventCreateWithFlags(&s->done[i], cudaEventDisableTiming),
                           "creating an event");
  }
  return status;
}

void xattn_cuda_free_staging(xattn_staging *s) {
  for (int i = 0; i < STAGING_BUFFERS; i++) {
    if (s->buffer[i]) xattn_cuda_ignore(cudaFreeHost(s->buffer[i]));
    if (s->done[i]) xattn_cuda_ignore(cudaEventDestroy(s->done[i]));
  }
}

/* Piece number `piece` of a tensor's elements; false past the last. */
static bool cut(int64_t elements, size_t item, int64_t piece, int64_t *first, int64_t *count) {
  const int64_t most = (int64_t)(STAGING_BYTES / item);
  *first = piece * most;
  *count = elements - *first < most ? elements - *first : most;
  return *first < elements;
}

static xattn_status wait_for(xattn_error *error, cudaEvent_t event) {
  return xattn_cuda_check(error, cudaEventSynchronize(event), "waiting for a copy");
}

/* Where something failed, a copy may be under way that no event tells of: the buffers are used again only
 * when it has run. */
static xattn_status after_copies(xattn_status status, cudaStream_t stream) {
  if (status) xattn_cuda_ignore(cudaStreamSynchronize(stream));
  return status;
}

xattn_status xattn_cuda_upload(xattn_error *error, xattn_device *device, void *to,
                               xattn_dtype dtype, const xattn_tensor *from) {
  xattn_staging *s = &device->staging;
  const int64_t elements = xattn_tensor_elements(from);
  const size_t item = xattn_dtype_size(dtype);
  cudaStream_t stream = xattn_stream(device);
  xattn_status status = prepare(error, s);
  int64_t first, count;
  for (int64_t i = 0; !status && cut(elements, item, i, &first, &count); i++) {
    void *buffer = s->buffer[i % STAGING_BUFFERS];
    cudaEvent_t done = s->done[i % STAGING_BUFFERS];
    status = wait_for(error, done);
    if (status) break;
    xattn_pack(from, first, count, dtype, buffer);
    status = xattn_cuda_check(error,
                              cudaMemcpyAsync((char *)to + (size_t)first * item, buffer,
                                              (size_t)count * item, cudaMemcpyHostToDevice, stream),
                              "copying to the device");
    if (!status) status = xattn_cuda_check(error, cudaEventRecord(done, stream), "recording");
  }
  return after_copies(status, stream);
}

xattn_status xattn_cuda_download(xattn_error *error, xattn_device *device, const void *from,
                                 const xattn_tensor *to) {
  xattn_staging *s = &device->staging;
  const int64_t elements = xattn_tensor_elements(to);
  const size_t item = xattn_dtype_size(to->dtype);
  cudaStream_t stream = xattn_stream(device);
  xattn_status status = prepare(error, s);
  int64_t first, count;
  /* Step i starts piece i, then takes in piece i - 1. */
  bool more = true;
  for (int64_t i = 0; more && !status; i++) {
    more = cut(elements, item, i, &first, &count);
    if (more) {
      status = xattn_cuda_check(
          error,
          cudaMemcpyAsync(s->buffer[i % STAGING_BUFFERS], (const char *)from + (size_t)first * item,
                          (size_t)count * item, cudaMemcpyDeviceToHost, stream),
          "copying from the device");
      if (!status)
        status = xattn_cuda_check(error, cudaEventRecord(s->done[i % STAGING_BUFFERS], stream),
                                  "recording");
    }
    if (status || i == 0) continue;
    const int last = (int)((i - 1) % STAGING_BUFFERS);
    status = wait_for(error, s->done[last]);
    (void)cut(elements, item, i - 1, &first, &count);
    if (!status) xattn_unpack(s->buffer[last], to, first, count);
  }
  return after_copies(status, stream);
}
