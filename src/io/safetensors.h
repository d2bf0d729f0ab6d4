/* The .safetensors format: 8 bytes of little-endian length N, N bytes of JSON, then the data.
 *     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}}
 * Nothing in the header is used before it is checked. As in the format's own implementation the
 * tensors must cover the data without hole or overlap, and unknown fields of an entry are ignored.
 */
#ifndef XATTN_IO_SAFETENSORS_H
#define XATTN_IO_SAFETENSORS_H

#include "io/entries.h"

/* The entries point into data. label: the file's name in messages. */
xattn_status xattn_safetensors_parse(xattn_error *error, const char *label,
                                     const unsigned char *data, size_t size,
                                     xattn_entries *entries);

#endif
