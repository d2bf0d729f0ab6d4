/* Statuses and the text that goes with them. Every fallible internal function takes an error to
 * fill and returns its status; entry points decide whose error it is (a handle's or a thread's). */
#ifndef XATTN_ERROR_H
#define XATTN_ERROR_H

#include <xattn.h>

typedef struct xattn_error {
  char text[512];
} xattn_error;

/* Writes the formatted text and is the status, so that a check reads `return xattn_fail(...)`. A
 * macro, so that a static analyser sees that the status is not success. */
#define xattn_fail(error, status, ...) (xattn_error_text((error), __VA_ARGS__), (status))
void xattn_error_text(xattn_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The error of calls without a handle, one per thread. */
xattn_error *xattn_thread_error(void);

/* Reads a caller's sized struct into *own (own_size bytes, zero-filled beyond what the caller
 * has). A caller newer than this library passes if the fields unknown here are all zero. */
xattn_status xattn_read_sized(xattn_error *error, const char *name, const void *callers, void *own,
                              size_t own_size);

/* Writes *own to a caller's sized struct, as much as fits; the caller's size field stays. */
xattn_status xattn_write_sized(xattn_error *error, const char *name, const void *own,
                               size_t own_size, void *callers);

#endif
