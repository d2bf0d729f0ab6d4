/* Whether the parts of a layer in a file fit together, as far as that shows without the heads. */
#ifndef XATTN_IO_LAYER_SHAPES_H
#define XATTN_IO_LAYER_SHAPES_H

#include "io/statedict.h"

/* @return XATTN_ERROR_SHAPE, naming both tensors with their shapes. label: the file's name. */
xattn_status xattn_check_layer_shapes(xattn_error *error, const char *label,
                                      const xattn_statedict *layer);

#endif
