#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *xattn_status_name(xattn_status status) {
  switch ((int)status) {
#define XATTN_X(name, number, message) \
  case number:                         \
    return #name;
    XATTN_STATUS_LIST(XATTN_X)
#undef XATTN_X
    default:
      return "XATTN_ERROR_?";
  }
}

const char *xattn_status_message(xattn_status status) {
  switch ((int)status) {
#define XATTN_X(name, number, message) \
  case number:                         \
    return message;
    XATTN_STATUS_LIST(XATTN_X)
#undef XATTN_X
    default:
      return "unknown status";
  }
}

void xattn_error_text(xattn_error *error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
}

xattn_error *xattn_thread_error(void) {
  static _Thread_local xattn_error error;
  return &error;
}

/* A larger size than any version will have is a size that nobody set. */
enum { MOST_BYTES = 1 << 16 };

/* The size field is the first of every sized struct. */
static xattn_status sized(xattn_error *error, const char *name, const void *callers, size_t *size) {
  if (!callers) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: is NULL", name);
  memcpy(size, callers, sizeof *size);
  if (*size < sizeof *size || *size > MOST_BYTES)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                      "%s: size is %zu; set it to sizeof the struct and zero the rest", name,
                      *size);
  return XATTN_OK;
}

xattn_status xattn_read_sized(xattn_error *error, const char *name, const void *callers, void *own,
                              size_t own_size) {
  size_t size = 0;
  xattn_status status = sized(error, name, callers, &size);
  if (status) return status;
  const unsigned char *bytes = callers;
  for (size_t i = own_size; i < size; i++)
    if (bytes[i])
      return xattn_fail(error, XATTN_ERROR_UNSUPPORTED,
                        "%s: byte %zu of %zu is set, this library knows %zu", name, i, size,
                        own_size);
  memset(own, 0, own_size);
  memcpy(own, callers, size < own_size ? size : own_size);
  return XATTN_OK;
}

xattn_status xattn_write_sized(xattn_error *error, const char *name, const void *own,
                               size_t own_size, void *callers) {
  size_t size = 0;
  xattn_status status = sized(error, name, callers, &size);
  if (status) return status;
  size_t end = size < own_size ? size : own_size;
  memcpy((char *)callers + sizeof size, (const char *)own + sizeof size, end - sizeof size);
  if (size > own_size) memset((char *)callers + own_size, 0, size - own_size);
  return XATTN_OK;
}
