#include "io/file.h"

#include <stdlib.h>
#include <string.h>

#include "io/npy.h"
#include "io/safetensors.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "both file formats are read in place, which needs a little-endian machine"
#endif

/* Takes over map, also where it fails. */
static xattn_status open_bytes(xattn_error *error, const char *label, const unsigned char *data,
                               size_t size, xattn_map map, xattn_file **file) {
  xattn_file *made = calloc(1, sizeof *made);
  if (!made) {
    xattn_map_close(&map);
    return xattn_fail(error, XATTN_ERROR_MEMORY, "%s: no memory to open it", label);
  }
  made->map = map;
  (void)xattn_show(&made->label, label);
  xattn_status status =
      xattn_npy_recognise(data, size)
          ? xattn_npy_parse(error, made->label.text, data, size, &made->entries)
          : xattn_safetensors_parse(error, made->label.text, data, size, &made->entries);
  if (status)
    xattn_file_close(made);
  else
    *file = made;
  return status;
}

xattn_status xattn_file_open_memory(xattn_error *error, const char *label, const void *data,
                                    size_t size, xattn_file **file) {
  return open_bytes(error, label, data, size, (xattn_map){NULL, 0}, file);
}

xattn_status xattn_file_open_path(xattn_error *error, const char *path, xattn_file **file) {
  if (!path) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "path: is NULL");
  if (!file) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "file: is NULL");
  xattn_map map;
  xattn_status status = xattn_map_open(error, path, &map);
  return status ? status : open_bytes(error, path, map.data, map.size, map, file);
}

xattn_status xattn_file_open(const char *path, xattn_file **file) {
  if (file) *file = NULL;
  return xattn_file_open_path(xattn_thread_error(), path, file);
}

void xattn_file_close(xattn_file *file) {
  if (!file) return;
  xattn_entries_free(&file->entries);
  xattn_map_close(&file->map);
  free(file);
}

int64_t xattn_file_count(const xattn_file *file) {
  return file ? file->entries.count : 0;
}

static xattn_status check_arguments(xattn_error *error, const xattn_file *file,
                                    const xattn_tensor *tensor) {
  if (!file) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "file: is NULL");
  if (!tensor) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "tensor: is NULL");
  return XATTN_OK;
}

xattn_status xattn_file_entry(const xattn_file *file, int64_t index, const char **name,
                              xattn_tensor *tensor) {
  xattn_error *error = xattn_thread_error();
  xattn_status status = check_arguments(error, file, tensor);
  if (status) return status;
  if (index < 0 || index >= file->entries.count)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: index is %lld, the file has %lld entries",
                      file->label.text, (long long)index, (long long)file->entries.count);
  if (name) *name = file->entries.items[index].name;
  *tensor = file->entries.items[index].tensor;
  return XATTN_OK;
}

xattn_status xattn_file_find(const xattn_file *file, const char *name, xattn_tensor *tensor) {
  xattn_error *error = xattn_thread_error();
  xattn_status status = check_arguments(error, file, tensor);
  if (status) return status;
  if (!name) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "name: is NULL");
  const xattn_entry *entry = xattn_entries_find(&file->entries, "", 0, name);
  xattn_shown shown;
  if (!entry)
    return xattn_fail(error, XATTN_ERROR_NOT_FOUND, "%s: \"%s\" is none of its %lld entries",
                      file->label.text, xattn_show(&shown, name), (long long)file->entries.count);
  *tensor = entry->tensor;
  return XATTN_OK;
}
