/* Tensors of any dtype in the memory of the device under test, whichever it is. */
#ifndef XATTN_TESTS_SUPPORT_TYPED_H
#define XATTN_TESTS_SUPPORT_TYPED_H

#include "support.h"

/* A tensor between bands of bytes 0xFF, as are the gaps of its strides; they are NaN in every dtype. */
typedef struct device_tensor {
  xattn_tensor t;
  xattn_handle *handle;
  unsigned char *memory; /* of the device */
  size_t bytes;
} device_tensor;

/* Shape and strides of `like`; the first element lies `shift` elements behind an aligned address. */
device_tensor device_new(xattn_handle *handle, const xattn_tensor *like, xattn_dtype dtype,
                         int64_t shift);
/* The same, aligned, with the elements of a host tensor, converted. */
device_tensor device_copy(xattn_handle *handle, const xattn_tensor *host, xattn_dtype dtype);
void device_put(const device_tensor *d, const xattn_tensor *host);
/* Its elements into a float32 host tensor of the same shape. */
void device_get(const device_tensor *d, const xattn_tensor *host);
/* Fails if anything but its elements has been written. */
void device_check(const device_tensor *d, const char *name);
void device_free(device_tensor *d);

/* Rounds every element to the dtype. */
void quantise(const xattn_tensor *t, xattn_dtype dtype);

#endif
