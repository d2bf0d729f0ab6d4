#include "device.h"
#include "kernels.h"

xattn_status xattn_cuda_copy(xattn_error *error, xattn_device *device, const xattn_copy *copy) {
  xattn_copy_arguments arguments = {.in = copy->in, .out = copy->out};
  for (int i = 0; i < 4; i++) {
    if (copy->shape[i] == 0) return XATTN_OK;
    arguments.shape[i] = copy->shape[i];
    arguments.in_stride[i] = copy->in_stride[i];
    arguments.out_stride[i] = copy->out_stride[i];
  }
  return xattn_cuda_check(
      error,
      xattn_cuda_launch_copy(&arguments, copy->in_dtype, copy->out_dtype, xattn_stream(device)),
      "launching a copy");
}
