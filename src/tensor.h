/* What the library needs to know about a tensor apart from attention: sizes, ranges, texts. */
#ifndef XATTN_TENSOR_H
#define XATTN_TENSOR_H

#include <stdbool.h>

#include "error.h"

/* Checks what holds for every tensor: pointer, rank, dtype, no negative extent or stride, a number
 * of bytes that fits in int64, host memory. `name` starts every message ("x: rank is 9, ..."). Data
 * may be NULL where the tensor is empty or `shape_only`. */
xattn_status xattn_tensor_check(xattn_error *error, const char *name, const xattn_tensor *tensor,
                                bool shape_only);

/* The same for a tensor that may also lie on a device: `memory` number `index`. */
xattn_status xattn_tensor_check_on(xattn_error *error, const char *name, const xattn_tensor *tensor,
                                   bool shape_only, xattn_device_type memory, int32_t index);

int64_t xattn_tensor_elements(const xattn_tensor *tensor); /* product of the shape */
bool xattn_tensor_is_dense(const xattn_tensor *tensor);    /* row-major without gaps */

/* Bytes from the first to one past the last element; 0 for an empty tensor. */
size_t xattn_tensor_span(const xattn_tensor *tensor);

/* Refuses an output of which two elements share memory. */
xattn_status xattn_tensor_distinct(xattn_error *error, const char *name, const xattn_tensor *out);

/* Refuses an output whose bytes meet an input's, naming both. */
xattn_status xattn_tensor_disjoint(xattn_error *error, const char *out_name,
                                   const xattn_tensor *out, const char *in_name,
                                   const xattn_tensor *in);

/* "[1, 1024, 512]", in a buffer of the caller. */
typedef struct xattn_text {
  char text[192];
} xattn_text;
const char *xattn_shape_text(xattn_text *buffer, const xattn_tensor *tensor);

#endif
