/* The checks of one tensor or option at a time. */
#include "check.h"
#include "tensor.h"

xattn_status xattn_check_options(xattn_error *error, const xattn_options *callers,
                                 xattn_options *options) {
  *options = (xattn_options){.size = sizeof *options};
  if (!callers) return XATTN_OK;
  return xattn_read_sized(error, "options", callers, options, sizeof *options);
}

xattn_status xattn_check_dtype(xattn_error *error, const char *name, xattn_dtype dtype) {
  if (dtype != XATTN_F32 && dtype != XATTN_F16 && dtype != XATTN_BF16)
    return xattn_fail(error, XATTN_ERROR_DTYPE, "%s: dtype is %s, must be F32, F16 or BF16", name,
                      xattn_dtype_name(dtype));
  return XATTN_OK;
}

xattn_status xattn_check_operand(const xattn_handle *handle, xattn_error *error, const char *name,
                                 const xattn_tensor *tensor, xattn_dtype dtype, int32_t least_rank,
                                 int32_t most_rank, bool shape_only) {
  xattn_status status = xattn_tensor_check_on(error, name, tensor, shape_only,
                                              handle->backend->memory, handle->index);
  if (status) return status;
  xattn_text text;
  if (tensor->rank < least_rank || tensor->rank > most_rank)
    return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: shape is %s, rank %d is not in %d to %d", name,
                      xattn_shape_text(&text, tensor), tensor->rank, least_rank, most_rank);
  if (dtype && tensor->dtype != dtype)
    return xattn_fail(error, XATTN_ERROR_DTYPE, "%s: dtype is %s, must be %s", name,
                      xattn_dtype_name(tensor->dtype), xattn_dtype_name(dtype));
  status = xattn_check_dtype(error, name, tensor->dtype);
  if (status) return status;
  size_t item = xattn_dtype_size(tensor->dtype);
  if ((uintptr_t)tensor->data % item)
    return xattn_fail(error, XATTN_ERROR_LAYOUT, "%s: data %#llx is not aligned to %zu bytes", name,
                      (unsigned long long)(uintptr_t)tensor->data, item);
  return XATTN_OK;
}

xattn_status xattn_check_lengths(xattn_error *error, const xattn_tensor *lengths, int64_t batch,
                                 int64_t keys, bool shape_only, xattn_lengths *result) {
  static const char name[] = "options.key_lengths";
  *result = (xattn_lengths){0};
  if (!lengths) return XATTN_OK;
  xattn_status status = xattn_tensor_check(error, name, lengths, shape_only);
  if (status) return status;
  xattn_text text;
  if (lengths->dtype != XATTN_I32)
    return xattn_fail(error, XATTN_ERROR_DTYPE, "%s: dtype is %s, must be I32", name,
                      xattn_dtype_name(lengths->dtype));
  if (lengths->rank != 1 || lengths->shape[0] != batch)
    return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: shape is %s, must be [%lld], the batch", name,
                      xattn_shape_text(&text, lengths), (long long)batch);
  if (!lengths->data) return XATTN_OK;
  if ((uintptr_t)lengths->data % sizeof(int32_t))
    return xattn_fail(error, XATTN_ERROR_LAYOUT, "%s: data is not aligned to %zu bytes", name,
                      sizeof(int32_t));
  *result = (xattn_lengths){.count = lengths->data, .step = lengths->strides[0]};
  for (int64_t b = 0; b < batch; b++) {
    int32_t length = result->count[b * result->step];
    if (length < 0 || length > keys)
      return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: item %lld is %d, must be 0 to %lld", name,
                        (long long)b, length, (long long)keys);
  }
  return XATTN_OK;
}
