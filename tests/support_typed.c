#include "support_typed.h"

#include <stdlib.h>
#include <string.h>

enum { BAND = 256 }; /* bytes; keeps the alignment of the memory */

/* Elements from the first to one past the last. */
static int64_t reach(const xattn_tensor *t) {
  int64_t last = 0;
  for (int32_t i = 0; i < t->rank; i++) {
    if (t->shape[i] == 0) return 0;
    last += (t->shape[i] - 1) * t->strides[i];
  }
  return last + 1;
}

static int64_t count_of(const xattn_tensor *t) {
  int64_t count = 1;
  for (int32_t i = 0; i < t->rank; i++) count *= t->shape[i];
  return count;
}

/* Bytes as words of BF16, which a copy to the same dtype does not change. */
static xattn_tensor words(const void *data, size_t bytes) {
  const int64_t count = (int64_t)bytes / 2;
  return xattn_tensor_dense(data, XATTN_BF16, 1, &count);
}

static xattn_tensor words_of(const device_tensor *d) {
  xattn_tensor t = words(d->memory, d->bytes);
  t.device_type = d->t.device_type;
  t.device_index = d->t.device_index;
  return t;
}

device_tensor device_new(xattn_handle *handle, const xattn_tensor *like, xattn_dtype dtype,
                         int64_t shift) {
  const size_t item = xattn_dtype_size(dtype);
  device_tensor d = {.t = *like, .handle = handle};
  xattn_handle_info info = {.size = sizeof info};
  ASSERT_OK(handle, xattn_get_info(handle, &info));
  const char *number = strchr(info.device, ':');
  void *memory;
  d.bytes = (size_t)(reach(like) + shift) * item + 2 * BAND;
  ASSERT_OK(handle, xattn_device_alloc(handle, d.bytes, &memory));
  d.memory = memory;
  d.t.data = d.memory + BAND + (size_t)shift * item;
  d.t.dtype = dtype;
  d.t.device_type = number ? XATTN_CUDA : XATTN_CPU;
  d.t.device_index = number ? atoi(number + 1) : 0;
  void *bands = malloc(d.bytes);
  ck_assert_ptr_nonnull(bands);
  memset(bands, 0xFF, d.bytes);
  const xattn_tensor from = words(bands, d.bytes), to = words_of(&d);
  ASSERT_OK(handle, xattn_tensor_copy(handle, &from, &to));
  free(bands);
  return d;
}

/* What a broadcast tensor stores. */
static xattn_tensor stored(const xattn_tensor *t) {
  xattn_tensor result = *t;
  for (int32_t i = 0; i < t->rank; i++)
    if (t->strides[i] == 0) result.shape[i] = 1;
  return result;
}

void device_put(const device_tensor *d, const xattn_tensor *host) {
  const xattn_tensor from = stored(host), to = stored(&d->t);
  ASSERT_OK(d->handle, xattn_tensor_copy(d->handle, &from, &to));
}

device_tensor device_copy(xattn_handle *handle, const xattn_tensor *host, xattn_dtype dtype) {
  device_tensor d = device_new(handle, host, dtype, 0);
  device_put(&d, host);
  return d;
}

void device_get(const device_tensor *d, const xattn_tensor *host) {
  const size_t item = xattn_dtype_size(d->t.dtype);
  void *memory = malloc((size_t)count_of(&d->t) * item + 1);
  ck_assert_ptr_nonnull(memory);
  const xattn_tensor packed = xattn_tensor_dense(memory, d->t.dtype, d->t.rank, d->t.shape);
  ASSERT_OK(d->handle, xattn_tensor_copy(d->handle, &d->t, &packed));
  ASSERT_OK(NULL, xattn_tensor_convert(&packed, host));
  free(memory);
}

/* Clears the mark of every element's bytes. */
static void clear_elements(const xattn_tensor *t, unsigned char *first, bool *beside) {
  const size_t item = xattn_dtype_size(t->dtype);
  int64_t index[XATTN_MAX_RANK] = {0};
  for (int64_t left = count_of(t); left > 0; left--) {
    int64_t offset = 0;
    for (int32_t i = 0; i < t->rank; i++) offset += index[i] * t->strides[i];
    const size_t at = (size_t)((unsigned char *)t->data - first) + (size_t)offset * item;
    memset(beside + at, 0, item);
    for (int32_t i = t->rank - 1; i >= 0 && ++index[i] == t->shape[i]; i--) index[i] = 0;
  }
}

void device_check(const device_tensor *d, const char *name) {
  unsigned char *bytes = malloc(d->bytes);
  bool *beside = malloc(d->bytes);
  ck_assert(bytes && beside);
  memset(beside, 1, d->bytes);
  clear_elements(&d->t, d->memory, beside);
  const xattn_tensor from = words_of(d), to = words(bytes, d->bytes);
  ASSERT_OK(d->handle, xattn_tensor_copy(d->handle, &from, &to));
  for (size_t i = 0; i < d->bytes; i++)
    ck_assert_msg(!beside[i] || bytes[i] == 0xFF, "%s: byte %zu beside the tensor was written",
                  name, i);
  free(beside);
  free(bytes);
}

void device_free(device_tensor *d) {
  ASSERT_OK(d->handle, xattn_device_free(d->handle, d->memory));
}

void quantise(const xattn_tensor *t, xattn_dtype dtype) {
  const xattn_tensor whole = stored(t);
  void *memory = malloc((size_t)count_of(&whole) * xattn_dtype_size(dtype) + 1);
  ck_assert_ptr_nonnull(memory);
  const xattn_tensor rounded = xattn_tensor_dense(memory, dtype, whole.rank, whole.shape);
  ASSERT_OK(NULL, xattn_tensor_convert(&whole, &rounded));
  ASSERT_OK(NULL, xattn_tensor_convert(&rounded, &whole));
  free(memory);
}
