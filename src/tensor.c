#include "tensor.h"

#include <stdio.h>
#include <string.h>

const char *xattn_dtype_name(xattn_dtype dtype) {
  switch ((int)dtype) {
#define XATTN_X(name, number, text, bytes) \
  case number:                             \
    return text;
    XATTN_DTYPE_LIST(XATTN_X)
#undef XATTN_X
    default:
      return "?";
  }
}

size_t xattn_dtype_size(xattn_dtype dtype) {
  switch ((int)dtype) {
#define XATTN_X(name, number, text, bytes) \
  case number:                             \
    return bytes;
    XATTN_DTYPE_LIST(XATTN_X)
#undef XATTN_X
    default:
      return 0;
  }
}

xattn_tensor xattn_tensor_dense(const void *data, xattn_dtype dtype, int32_t rank,
                                const int64_t *shape) {
  xattn_tensor tensor = {.dtype = dtype, .device_type = XATTN_CPU, .rank = -1};
  memcpy(&tensor.data, &data, sizeof data);
  if (rank < 0 || rank > XATTN_MAX_RANK) return tensor;
  tensor.rank = rank;
  int64_t stride = 1;
  for (int32_t i = rank - 1; i >= 0; i--) {
    tensor.shape[i] = shape[i];
    tensor.strides[i] = stride;
    /* A product that overflows is reported by the check of the call that gets the tensor. */
    if (__builtin_mul_overflow(stride, shape[i] > 0 ? shape[i] : 1, &stride)) stride = INT64_MAX;
  }
  return tensor;
}

/* Last element's offset in elements; false where it does not fit. Extents must not be negative. */
static bool last_offset(const xattn_tensor *tensor, int64_t *offset, bool *empty) {
  *offset = 0;
  *empty = false;
  for (int32_t i = 0; i < tensor->rank; i++) *empty |= tensor->shape[i] == 0;
  if (*empty) return true;
  int64_t elements = 1;
  for (int32_t i = 0; i < tensor->rank; i++) {
    int64_t step;
    if (__builtin_mul_overflow(elements, tensor->shape[i], &elements) ||
        __builtin_mul_overflow(tensor->shape[i] - 1, tensor->strides[i], &step) ||
        __builtin_add_overflow(*offset, step, offset))
      return false;
  }
  return elements < INT64_MAX / 8 && *offset < INT64_MAX / 8;
}

/* Where the tensor's memory may be: the host's, or that of one device. */
static xattn_status check_memory(xattn_error *error, const char *name, const xattn_tensor *tensor,
                                 xattn_device_type memory, int32_t index) {
  if (tensor->device_type == XATTN_CPU) return XATTN_OK;
  if (memory == XATTN_CPU)
    return xattn_fail(error, XATTN_ERROR_LAYOUT, "%s: device_type is %d, must be %d (host memory)",
                      name, (int)tensor->device_type, (int)XATTN_CPU);
  if (tensor->device_type != memory)
    return xattn_fail(error, XATTN_ERROR_LAYOUT, "%s: device_type is %d, must be %d or %d (host)",
                      name, (int)tensor->device_type, (int)memory, (int)XATTN_CPU);
  if (tensor->device_index != index)
    return xattn_fail(error, XATTN_ERROR_LAYOUT, "%s: lies on device %d, the handle's is %d", name,
                      tensor->device_index, index);
  return XATTN_OK;
}

xattn_status xattn_tensor_check(xattn_error *error, const char *name, const xattn_tensor *tensor,
                                bool shape_only) {
  return xattn_tensor_check_on(error, name, tensor, shape_only, XATTN_CPU, 0);
}

xattn_status xattn_tensor_check_on(xattn_error *error, const char *name, const xattn_tensor *tensor,
                                   bool shape_only, xattn_device_type memory, int32_t index) {
  if (!tensor) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: is NULL", name);
  if (tensor->rank < 0 || tensor->rank > XATTN_MAX_RANK)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: rank is %d, must be 0 to %d", name,
                      tensor->rank, XATTN_MAX_RANK);
  size_t item = xattn_dtype_size(tensor->dtype);
  if (item == 0)
    return xattn_fail(error, XATTN_ERROR_DTYPE, "%s: dtype number %d is unknown", name,
                      (int)tensor->dtype);
  for (int32_t i = 0; i < tensor->rank; i++) {
    if (tensor->shape[i] < 0)
      return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: shape[%d] is %lld, below 0", name, i,
                        (long long)tensor->shape[i]);
    if (tensor->strides[i] < 0)
      return xattn_fail(error, XATTN_ERROR_LAYOUT, "%s: strides[%d] is %lld, below 0", name, i,
                        (long long)tensor->strides[i]);
  }
  int64_t offset;
  bool empty;
  xattn_text text;
  if (!last_offset(tensor, &offset, &empty))
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: shape %s is larger than memory can be",
                      name, xattn_shape_text(&text, tensor));
  xattn_status status = check_memory(error, name, tensor, memory, index);
  if (status) return status;
  if (!shape_only && !empty && !tensor->data)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: data is NULL, shape is %s", name,
                      xattn_shape_text(&text, tensor));
  return XATTN_OK;
}

int64_t xattn_tensor_elements(const xattn_tensor *tensor) {
  int64_t elements = 1;
  for (int32_t i = 0; i < tensor->rank; i++)
    if (tensor->shape[i] == 0) return 0;
  for (int32_t i = 0; i < tensor->rank; i++) elements *= tensor->shape[i];
  return elements;
}

bool xattn_tensor_is_dense(const xattn_tensor *tensor) {
  int64_t stride = 1;
  for (int32_t i = tensor->rank - 1; i >= 0; i--) {
    if (tensor->shape[i] != 1 && tensor->strides[i] != stride) return false;
    stride *= tensor->shape[i] > 0 ? tensor->shape[i] : 1;
  }
  return true;
}

size_t xattn_tensor_span(const xattn_tensor *tensor) {
  int64_t offset;
  bool empty;
  if (!last_offset(tensor, &offset, &empty) || empty) return 0;
  return ((size_t)offset + 1) * xattn_dtype_size(tensor->dtype);
}

xattn_status xattn_tensor_disjoint(xattn_error *error, const char *out_name,
                                   const xattn_tensor *out, const char *in_name,
                                   const xattn_tensor *in) {
  uintptr_t a = (uintptr_t)out->data, b = (uintptr_t)in->data;
  size_t a_bytes = xattn_tensor_span(out), b_bytes = xattn_tensor_span(in);
  if (out->device_type != in->device_type) return XATTN_OK;
  if (!a_bytes || !b_bytes || a + a_bytes <= b || b + b_bytes <= a) return XATTN_OK;
  return xattn_fail(error, XATTN_ERROR_OVERLAP,
                    "%s: bytes %#llx to %#llx overlap %s, bytes %#llx to %#llx", out_name,
                    (unsigned long long)a, (unsigned long long)(a + a_bytes), in_name,
                    (unsigned long long)b, (unsigned long long)(b + b_bytes));
}

xattn_status xattn_tensor_distinct(xattn_error *error, const char *name, const xattn_tensor *out) {
  /* Taken from the smallest stride up, each stride must step over all that the ones before it
   * reach. */
  int64_t reach = 0;
  bool taken[XATTN_MAX_RANK] = {false};
  if (xattn_tensor_elements(out) == 0) return XATTN_OK;
  for (int32_t round = 0; round < out->rank; round++) {
    int32_t next = 0;
    while (taken[next]) next++;
    for (int32_t i = next + 1; i < out->rank; i++)
      if (!taken[i] && out->strides[i] < out->strides[next]) next = i;
    taken[next] = true;
    if (out->shape[next] == 1) continue;
    if (out->strides[next] <= reach)
      return xattn_fail(error, XATTN_ERROR_LAYOUT,
                        "%s: strides[%d] is %lld, but the elements within reach over %lld", name,
                        next, (long long)out->strides[next], (long long)reach);
    reach += (out->shape[next] - 1) * out->strides[next];
  }
  return XATTN_OK;
}

const char *xattn_shape_text(xattn_text *buffer, const xattn_tensor *tensor) {
  size_t used = (size_t)snprintf(buffer->text, sizeof buffer->text, "[");
  for (int32_t i = 0; i < tensor->rank && i < XATTN_MAX_RANK; i++)
    used += (size_t)snprintf(buffer->text + used, sizeof buffer->text - used, "%s%lld",
                             i ? ", " : "", (long long)tensor->shape[i]);
  (void)snprintf(buffer->text + used, sizeof buffer->text - used, "]");
  return buffer->text;
}
