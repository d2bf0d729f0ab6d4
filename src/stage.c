#include "stage.h"

#include "pack.h"
#include "tensor.h"

bool xattn_is_staged(const xattn_handle *handle, const xattn_tensor *tensor) {
  return tensor->device_type == XATTN_CPU && handle->backend->memory != XATTN_CPU;
}

xattn_tensor xattn_as_staged(const xattn_handle *handle, const xattn_tensor *tensor) {
  return xattn_is_staged(handle, tensor) ? xattn_packed(tensor) : *tensor;
}

static int64_t packed_bytes(const xattn_tensor *tensor) {
  xattn_tensor stored = xattn_stored(tensor);
  return xattn_tensor_elements(&stored) * (int64_t)xattn_dtype_size(tensor->dtype);
}

xattn_status xattn_stage_plan(xattn_handle *handle, const xattn_tensor *tensor, int64_t *bytes,
                              xattn_place *place) {
  *place = (xattn_place){.tensor = tensor, .offset = -1};
  if (!tensor || !xattn_is_staged(handle, tensor)) return XATTN_OK;
  place->offset = *bytes;
  int64_t end;
  if (__builtin_add_overflow(*bytes, packed_bytes(tensor), &end) ||
      end > INT64_MAX - XATTN_ALIGNMENT)
    return xattn_fail(&handle->error, XATTN_ERROR_MEMORY,
                      "workspace: larger than memory can be with a copy of the host tensors");
  *bytes = (end + XATTN_ALIGNMENT - 1) / XATTN_ALIGNMENT * XATTN_ALIGNMENT;
  return XATTN_OK;
}

char *xattn_stage_address(const xattn_place *place, char *workspace) {
  if (!place->tensor) return NULL;
  return place->offset < 0 ? place->tensor->data : workspace + place->offset;
}

xattn_status xattn_stage_in(xattn_handle *handle, const xattn_place *place, xattn_dtype dtype,
                            char *workspace) {
  if (place->offset < 0 || packed_bytes(place->tensor) == 0) return XATTN_OK;
  xattn_tensor stored = xattn_stored(place->tensor);
  handle->stats.bytes_to_device +=
      (uint64_t)xattn_tensor_elements(&stored) * xattn_dtype_size(dtype);
  return handle->backend->upload(&handle->error, handle->device, workspace + place->offset, dtype,
                                 &stored);
}

xattn_status xattn_stage_out(xattn_handle *handle, const xattn_place *place, char *workspace) {
  if (place->offset < 0 || packed_bytes(place->tensor) == 0) return XATTN_OK;
  handle->stats.bytes_from_device += (uint64_t)packed_bytes(place->tensor);
  return handle->backend->download(&handle->error, handle->device, workspace + place->offset,
                                   place->tensor);
}
