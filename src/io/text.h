/* Making what a file or a caller named fit to be shown: names in files may be megabytes long and
 * hold terminal escapes, an error text has 512 bytes. */
#ifndef XATTN_IO_TEXT_H
#define XATTN_IO_TEXT_H

#include <stddef.h>

typedef struct xattn_shown {
  char text[128];
} xattn_shown;

/* The text with control characters as '?'; one that is too long loses its middle to "...". */
const char *xattn_show_bytes(xattn_shown *buffer, const char *text, size_t length);
const char *xattn_show(xattn_shown *buffer, const char *text);

/* The operating system's words for an errno; unlike strerror, safe in every thread. */
const char *xattn_show_errno(xattn_shown *buffer, int number);

#endif
