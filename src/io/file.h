/* What an open file is inside. */
#ifndef XATTN_IO_FILE_H
#define XATTN_IO_FILE_H

#include "io/entries.h"
#include "io/map.h"
#include "io/text.h"

struct xattn_file {
  xattn_map map; /* empty where the memory is the caller's */
  xattn_entries entries;
  xattn_shown label; /* the path, for messages */
};

/* xattn_file_open with the error in the caller's hands. */
xattn_status xattn_file_open_path(xattn_error *error, const char *path, xattn_file **file);

/* The same for a file's bytes in memory, which must outlive *file. */
xattn_status xattn_file_open_memory(xattn_error *error, const char *label, const void *data,
                                    size_t size, xattn_file **file);

#endif
