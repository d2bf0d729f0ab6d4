/* Opening and closing a device. */
#ifndef XATTN_CUDA_OPEN_H
#define XATTN_CUDA_OPEN_H

#include "device.h"

/* Device number `index` as the current one, checked to be there. */
xattn_status xattn_cuda_find(xattn_error *error, int32_t index);

xattn_status xattn_cuda_make(xattn_error *error, int32_t index, const xattn_device_options *options,
                             xattn_device **result);

/* What the device should reach, by what it says of itself (rates.c). */
xattn_rates xattn_cuda_rates(const xattn_device *device, int major, int minor, int processors);

/* Waits for its work; takes a half-made one. */
void xattn_cuda_unmake(xattn_device *device);

#endif
