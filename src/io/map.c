#include "io/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/text.h"

static xattn_status refused(xattn_error *error, const char *path, const char *action) {
  int number = errno;
  xattn_shown name, reason;
  return xattn_fail(error, number == ENOMEM ? XATTN_ERROR_MEMORY : XATTN_ERROR_IO,
                    "%s: cannot %s: %s", xattn_show(&name, path), action,
                    xattn_show_errno(&reason, number));
}

static xattn_status map_descriptor(xattn_error *error, const char *path, int descriptor,
                                   xattn_map *map) {
  struct stat about;
  xattn_shown name;
  if (fstat(descriptor, &about)) return refused(error, path, "look at it");
  if (!S_ISREG(about.st_mode))
    return xattn_fail(error, XATTN_ERROR_IO, "%s: is %s, must be a regular file",
                      xattn_show(&name, path),
                      S_ISDIR(about.st_mode) ? "a directory" : "not a file on disk");
  *map = (xattn_map){NULL, (size_t)about.st_size};
  if (map->size == 0) return XATTN_OK; /* mmap refuses length 0 */
  void *data = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (data == MAP_FAILED) return refused(error, path, "map it");
  map->data = data;
  return XATTN_OK;
}

xattn_status xattn_map_open(xattn_error *error, const char *path, xattn_map *map) {
  /* O_NONBLOCK: opening a FIFO must not wait for a writer. It changes nothing for regular files. */
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return refused(error, path, "open it");
  xattn_status status = map_descriptor(error, path, descriptor, map);
  (void)close(descriptor); /* only read from: nothing can be lost here */
  return status;
}

void xattn_map_close(xattn_map *map) {
  if (map->data) (void)munmap((void *)(uintptr_t)map->data, map->size);
  *map = (xattn_map){NULL, 0};
}
