#include "support_device.h"

#include "support.h"

xattn_memory to_device_as(xattn_handle *handle, const float *host, int64_t count,
                          xattn_dtype dtype) {
  xattn_memory memory;
  const xattn_tensor from = XATTN_TENSOR(host, XATTN_F32, count);
  ASSERT_OK(handle, xattn_memory_new(handle, (size_t)count * xattn_dtype_size(dtype), &memory));
  ASSERT_OK(handle,
            handle->backend->upload(&handle->error, handle->device, memory.data, dtype, &from));
  return memory;
}

xattn_memory to_device(xattn_handle *handle, const float *host, int64_t count) {
  return to_device_as(handle, host, count, XATTN_F32);
}

void from_device(xattn_handle *handle, xattn_memory *memory, float *host, int64_t count) {
  const xattn_tensor to = XATTN_TENSOR(host, XATTN_F32, count);
  ASSERT_OK(handle, handle->backend->download(&handle->error, handle->device, memory->data, &to));
  ASSERT_OK(handle, xattn_synchronize(handle));
  xattn_memory_free(memory);
}
