/* For tests of a backend's own functions: the table of the device under test, and memory on it. */
#ifndef XATTN_TESTS_SUPPORT_DEVICE_H
#define XATTN_TESTS_SUPPORT_DEVICE_H

#include "objects.h"

/* Floats on the handle's device, holding a copy of host's. */
xattn_memory to_device(xattn_handle *handle, const float *host, int64_t count);

/* The same in another dtype. */
xattn_memory to_device_as(xattn_handle *handle, const float *host, int64_t count,
                          xattn_dtype dtype);

/* Back into host's memory; then the device's is freed. */
void from_device(xattn_handle *handle, xattn_memory *memory, float *host, int64_t count);

#endif
