/* Tensors beside a layer's own that would be ignored at the price of another result. */
#ifndef XATTN_IO_FOREIGN_H
#define XATTN_IO_FOREIGN_H

#include "io/layer_names.h"

/* @return XATTN_ERROR_UNSUPPORTED, naming the first such tensor. */
xattn_status xattn_refuse_foreign(xattn_error *error, const xattn_file *file, xattn_stem stem,
                                  const xattn_style *style);

#endif
