/* Host tensors of any strides, read and written in packed order: row-major without gaps. */
#ifndef XATTN_PACK_H
#define XATTN_PACK_H

#include "error.h"

/* The tensor without what it repeats: dimensions of stride 0 cut to one. */
xattn_tensor xattn_stored(const xattn_tensor *tensor);

/* The whole tensor over its stored elements in packed order: dense strides, 0 where it repeats. Its data
 * is NULL. */
xattn_tensor xattn_packed(const xattn_tensor *tensor);

/* Elements `first` to first + count of the packed order, converted to dtype, to dense memory. */
void xattn_pack(const xattn_tensor *from, int64_t first, int64_t count, xattn_dtype dtype,
                void *to);

/* The same way back, in the tensor's own dtype. */
void xattn_unpack(const void *from, const xattn_tensor *to, int64_t first, int64_t count);

#endif
