/* Conversion between the floating-point dtypes F32, F16, BF16 and F64. */
#ifndef XATTN_CONVERT_H
#define XATTN_CONVERT_H

#include <stdbool.h>

#include "error.h"

/* True for the dtypes that can be converted. */
bool xattn_convert_supports(xattn_dtype dtype);

/* dst[i·dst_stride] = src[i·src_stride] for i < n, in elements. The dtypes must be supported; both sides
 * may be unaligned. */
void xattn_convert_row(void *dst, xattn_dtype dst_dtype, int64_t dst_stride, const void *src,
                       xattn_dtype src_dtype, int64_t src_stride, int64_t n);

/* xattn_tensor_convert with the error in the caller's hands. The names start the messages. */
xattn_status xattn_convert(xattn_error *error, const char *src_name, const xattn_tensor *src,
                           const char *dst_name, const xattn_tensor *dst);

#endif
