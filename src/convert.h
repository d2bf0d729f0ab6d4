/* Conversion between the floating-point dtypes F32, F16, BF16 and F64. */
#ifndef XATTN_CONVERT_H
#define XATTN_CONVERT_H

#include <stdbool.h>

#include "error.h"

/* True for the dtypes that can be converted. */
bool xattn_convert_supports(xattn_dtype dtype);

/* dst[i] = src[i·stride] for i < n. The dtype must be supported; src may be unaligned. */
void xattn_convert_row_to_f32(const void *src, xattn_dtype dtype, int64_t stride, int64_t n,
                              float *dst);

/* xattn_tensor_convert with the error in the caller's hands. The names start the messages. */
xattn_status xattn_convert(xattn_error *error, const char *src_name, const xattn_tensor *src,
                           const char *dst_name, const xattn_tensor *dst);

#endif
