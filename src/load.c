/* From a file to a layer. */
#include <string.h>

#include "io/statedict.h"
#include "objects.h"

xattn_status xattn_layer_load(xattn_handle *handle, const char *path,
                              const xattn_load_options *options, xattn_layer **layer) {
  xattn_error *error = xattn_error_of(handle);
  if (!layer) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "layer: is NULL");
  *layer = NULL;
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  if (!path) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "path: is NULL");
  xattn_load_options own = {.size = sizeof own};
  xattn_status status =
      options ? xattn_read_sized(error, "options", options, &own, sizeof own) : XATTN_OK;
  if (status) return status;

  xattn_file *file;
  status = xattn_file_open_path(error, path, &file);
  if (status) return status;
  xattn_statedict found;
  status = xattn_statedict_find(error, file, own.prefix, &found);
  if (!status) {
    xattn_layer_weights weights = {.size = sizeof weights,
                                   .heads = own.heads,
                                   .kv_heads = own.kv_heads,
                                   .scale = own.scale,
                                   .dtype = own.dtype};
    xattn_statedict_weights(&found, &weights);
    status = xattn_layer_create(handle, &weights, layer);
  }
  xattn_file_close(file);
  return status;
}
