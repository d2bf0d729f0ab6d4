/* The entry points of xattn_cuda.h: streams and events go to the backend as they are. */
#include "objects.h"

static xattn_status interop_of(xattn_handle *handle, const xattn_interop **interop) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  *interop = handle->backend->interop;
  if (*interop) return XATTN_OK;
  return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is on %s, which has no CUDA stream",
                    handle->backend->name);
}

xattn_status xattn_cuda_set_stream(xattn_handle *handle, void *stream) {
  const xattn_interop *interop;
  xattn_status status = interop_of(handle, &interop);
  return status ? status : interop->set_stream(&handle->error, handle->device, stream);
}

xattn_status xattn_cuda_get_stream(xattn_handle *handle, void **stream) {
  const xattn_interop *interop;
  xattn_status status = interop_of(handle, &interop);
  if (!status && !stream)
    status = xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT, "stream: is NULL");
  if (!status) *stream = interop->get_stream(handle->device);
  return status;
}

xattn_status xattn_cuda_wait_event(xattn_handle *handle, void *event) {
  const xattn_interop *interop;
  xattn_status status = interop_of(handle, &interop);
  if (!status && !event)
    status = xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT, "event: is NULL");
  return status ? status : interop->wait_event(&handle->error, handle->device, event);
}

xattn_status xattn_cuda_record_event(xattn_handle *handle, void *event) {
  const xattn_interop *interop;
  xattn_status status = interop_of(handle, &interop);
  if (!status && !event)
    status = xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT, "event: is NULL");
  return status ? status : interop->record_event(&handle->error, handle->device, event);
}

xattn_status xattn_cuda_set_allocator(xattn_handle *handle, const xattn_cuda_allocator *allocator) {
  const xattn_interop *interop;
  xattn_status status = interop_of(handle, &interop);
  xattn_cuda_allocator own;
  if (!status && allocator) {
    status = xattn_read_sized(&handle->error, "allocator", allocator, &own, sizeof own);
    if (!status && (!own.allocate || !own.release))
      status = xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT, "allocator.%s: is NULL",
                          own.allocate ? "release" : "allocate");
  }
  return status ? status
                : interop->set_allocator(&handle->error, handle->device, allocator ? &own : NULL);
}
