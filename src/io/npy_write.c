/* xattn_npy_write: a tensor as .npy, complete or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/text.h"
#include "tensor.h"

static xattn_status refused(xattn_error *error, const char *path, const char *action, int number) {
  xattn_shown name, reason;
  return xattn_fail(error, XATTN_ERROR_IO, "%s: cannot %s: %s", xattn_show(&name, path), action,
                    xattn_show_errno(&reason, number));
}

/* The dict, padded so that the data begins at a multiple of 64. */
static bool write_header(FILE *file, const char *descr, const xattn_tensor *tensor) {
  char text[320];
  int used =
      snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (int32_t i = 0; i < tensor->rank; i++)
    used += snprintf(text + used, sizeof text - (size_t)used, "%s%lld", i ? ", " : "",
                     (long long)tensor->shape[i]);
  used += snprintf(text + used, sizeof text - (size_t)used, "%s), }", tensor->rank == 1 ? "," : "");
  const int preamble = 10;
  int total = (preamble + used + 1 + 63) / 64 * 64;
  int length = total - preamble;
  unsigned char start[] = "\x93NUMPY\1\0\0"; /* two bytes of length, instead of "\0" and the end */
  start[8] = (unsigned char)(length & 255);
  start[9] = (unsigned char)(length >> 8);
  return fwrite(start, 1, sizeof start, file) == sizeof start &&
         fprintf(file, "%-*s\n", length - 1, text) == length;
}

/* Row-major, whatever the strides. */
static bool write_elements(FILE *file, const xattn_tensor *tensor) {
  size_t item = xattn_dtype_size(tensor->dtype);
  size_t count = (size_t)xattn_tensor_elements(tensor);
  const char *at = tensor->data;
  if (count == 0) return true;
  if (xattn_tensor_is_dense(tensor)) return fwrite(at, item, count, file) == count;
  int64_t index[XATTN_MAX_RANK] = {0};
  for (;;) {
    if (fwrite_unlocked(at, item, 1, file) != 1) return false;
    int32_t i = tensor->rank - 1;
    while (i >= 0 && ++index[i] == tensor->shape[i]) {
      at -= (tensor->shape[i] - 1) * tensor->strides[i] * (int64_t)item;
      index[i--] = 0;
    }
    if (i < 0) return true;
    at += tensor->strides[i] * (int64_t)item;
  }
}

/* A new file beside path, under a name no one else has. Unlike mkstemp this leaves the mode to the
 * umask, which a library cannot read without disturbing other threads. */
static int create_beside(const char *path, char *name, size_t room) {
  const char *slash = strrchr(path, '/');
  int directory = slash ? (int)(slash - path) + 1 : 0;
  for (int attempt = 0; attempt < 100; attempt++) {
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) return -1;
    (void)snprintf(name, room, "%.*s.xattn-%016llx", directory, path, (unsigned long long)number);
    int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0 || errno != EEXIST) return descriptor;
  }
  return -1;
}

/* errno after a failure, never 0. */
static int last_errno(void) {
  return errno ? errno : EIO;
}

/* 0, or the errno of what failed. The descriptor is closed either way. */
static int write_content(int descriptor, const char *descr, const xattn_tensor *tensor) {
  FILE *file = fdopen(descriptor, "wb");
  if (!file) {
    int failure = last_errno();
    (void)close(descriptor);
    return failure;
  }
  int failure = 0;
  if (!write_header(file, descr, tensor) || !write_elements(file, tensor)) failure = last_errno();
  if (fclose(file) && !failure) failure = last_errno();
  return failure;
}

static xattn_status write_file(xattn_error *error, const char *path, char *name, size_t room,
                               const char *descr, const xattn_tensor *tensor) {
  int descriptor = create_beside(path, name, room);
  if (descriptor < 0) return refused(error, path, "create a file beside it", errno);
  int failure = write_content(descriptor, descr, tensor);
  if (!failure && rename(name, path)) failure = last_errno();
  if (!failure) return XATTN_OK;
  (void)unlink(name);
  return refused(error, path, "write it", failure);
}

static const char *descr_of(xattn_dtype dtype) {
  switch (dtype) {
    case XATTN_F32:
      return "<f4";
    case XATTN_F16:
      return "<f2";
    case XATTN_F64:
      return "<f8";
    default:
      return NULL;
  }
}

xattn_status xattn_npy_write(const char *path, const xattn_tensor *tensor) {
  xattn_error *error = xattn_thread_error();
  if (!path) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "path: is NULL");
  xattn_status status = xattn_tensor_check(error, "tensor", tensor, false);
  if (status) return status;
  const char *descr = descr_of(tensor->dtype);
  if (!descr)
    return xattn_fail(error, XATTN_ERROR_DTYPE, "tensor: dtype is %s, must be F32, F16 or F64",
                      xattn_dtype_name(tensor->dtype));
  /* rename would put the file in the place of a device. */
  struct stat about;
  xattn_shown shown;
  if (!stat(path, &about) && !S_ISREG(about.st_mode))
    return xattn_fail(error, XATTN_ERROR_IO, "%s: is there and is not a regular file",
                      xattn_show(&shown, path));
  size_t room = strlen(path) + 32;
  char *name = malloc(room);
  if (!name)
    return xattn_fail(error, XATTN_ERROR_MEMORY, "no memory for a name of %zu bytes", room);
  status = write_file(error, path, name, room, descr, tensor);
  free(name);
  return status;
}
