/* A file's bytes, mapped read-only. Whoever shortens the file while it is mapped makes reads of the
 * lost part fault, as with every mapped file. */
#ifndef XATTN_IO_MAP_H
#define XATTN_IO_MAP_H

#include "error.h"

typedef struct xattn_map {
  const unsigned char *data; /* NULL where size is 0 */
  size_t size;
} xattn_map;

/* Only regular files are mapped; the length of anything else says nothing about its content. */
xattn_status xattn_map_open(xattn_error *error, const char *path, xattn_map *map);
void xattn_map_close(xattn_map *map);

#endif
