/* xattn_tensor_copy: host and device tensors of any strides. */
#include "check.h"
#include "convert.h"
#include "pack.h"
#include "stage.h"
#include "tensor.h"

static xattn_status check(xattn_handle *handle, const xattn_tensor *src, const xattn_tensor *dst) {
  xattn_error *error = &handle->error;
  xattn_device_type memory = handle->backend->memory;
  if (!src || !dst)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: is NULL", src ? "dst" : "src");
  xattn_status status = xattn_tensor_check_on(error, "src", src, false, memory, handle->index);
  if (!status) status = xattn_tensor_check_on(error, "dst", dst, false, memory, handle->index);
  if (status) return status;
  bool same = src->rank == dst->rank;
  for (int32_t i = 0; same && i < src->rank; i++) same = src->shape[i] == dst->shape[i];
  xattn_text a, b;
  if (!same)
    return xattn_fail(error, XATTN_ERROR_SHAPE, "dst: shape is %s, that of src is %s",
                      xattn_shape_text(&a, dst), xattn_shape_text(&b, src));
  if (!xattn_convert_supports(src->dtype) || !xattn_convert_supports(dst->dtype) ||
      (src->device_type != XATTN_CPU && src->dtype != dst->dtype))
    return xattn_fail(error, XATTN_ERROR_DTYPE, "dst: dtype is %s, that of src is %s",
                      xattn_dtype_name(dst->dtype), xattn_dtype_name(src->dtype));
  if (src->rank > 4)
    return xattn_fail(error, XATTN_ERROR_UNSUPPORTED, "src: rank is %d, at most 4 on a device",
                      src->rank);
  if (src->device_type != XATTN_CPU)
    status = xattn_check_operand(handle, error, "src", src, 0, 0, 4, false);
  if (!status && dst->device_type != XATTN_CPU)
    status = xattn_check_operand(handle, error, "dst", dst, 0, 0, 4, false);
  if (!status) status = xattn_tensor_distinct(error, "dst", dst);
  return status ? status : xattn_tensor_disjoint(error, "dst", dst, "src", src);
}

/* One after another on the device, strides as the tensors say. */
static xattn_status copy_on_device(xattn_handle *handle, const xattn_tensor *src, void *from,
                                   const xattn_tensor *dst, void *to) {
  xattn_copy copy = {.in_dtype = dst->dtype, .out_dtype = dst->dtype, .in = from, .out = to};
  for (int32_t i = 0; i < 4; i++) {
    int32_t d = i - (4 - src->rank); /* leading dimensions of 1 */
    copy.shape[i] = d < 0 ? 1 : src->shape[d];
    copy.in_stride[i] = d < 0 ? 0 : src->strides[d];
    copy.out_stride[i] = d < 0 ? 0 : dst->strides[d];
  }
  handle->stats.launches++;
  return handle->backend->copy(&handle->error, handle->device, &copy);
}

/* Host tensors pass through a packed place in the workspace. */
static xattn_status copy_staged(xattn_handle *handle, const xattn_tensor *src,
                                const xattn_tensor *dst) {
  xattn_tensor source = *src;
  source.dtype = dst->dtype; /* the upload converts */
  xattn_place in, out;
  int64_t bytes = 0;
  char *workspace;
  xattn_status status = xattn_stage_plan(handle, &source, &bytes, &in);
  if (!status) status = xattn_stage_plan(handle, dst, &bytes, &out);
  if (!status) status = xattn_workspace(handle, bytes, &workspace);
  in.tensor = src;
  if (!status) status = xattn_stage_in(handle, &in, dst->dtype, workspace);
  if (status) return status;
  xattn_tensor from = xattn_as_staged(handle, src), to = xattn_as_staged(handle, dst);
  status = copy_on_device(handle, &from, xattn_stage_address(&in, workspace), &to,
                          xattn_stage_address(&out, workspace));
  return status ? status : xattn_stage_out(handle, &out, workspace);
}

xattn_status xattn_tensor_copy(xattn_handle *handle, const xattn_tensor *src,
                               const xattn_tensor *dst) {
  if (!handle) return xattn_fail(xattn_thread_error(), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  if (src && dst && src->device_type == XATTN_CPU && dst->device_type == XATTN_CPU)
    return xattn_convert(&handle->error, "src", src, "dst", dst);
  bool capturing;
  xattn_status status = check(handle, src, dst);
  if (!status) status = xattn_handle_begin(handle, &capturing);
  if (status || xattn_tensor_elements(src) == 0) return status;
  bool on_device = src->device_type != XATTN_CPU && dst->device_type != XATTN_CPU;
  if (capturing && !on_device)
    return xattn_fail(&handle->error, XATTN_ERROR_CAPTURE,
                      "src: a graph cannot copy between host and device");
  return copy_staged(handle, src, dst);
}
