/* NumPy's .npy format, versions 1 to 3: magic, version, length, a Python dict in text, then data.
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }
 */
#ifndef XATTN_IO_NPY_H
#define XATTN_IO_NPY_H

#include <stdbool.h>

#include "io/entries.h"

/* True if the bytes start with the magic of .npy. */
bool xattn_npy_recognise(const unsigned char *data, size_t size);

/* One entry, named "", that points into data. label: the file's name in messages. */
xattn_status xattn_npy_parse(xattn_error *error, const char *label, const unsigned char *data,
                             size_t size, xattn_entries *entries);

#endif
