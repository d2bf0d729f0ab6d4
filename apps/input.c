#include "input.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "report.h"

/* Opens a file that holds one array. */
static int open_array(const char *path, xattn_file **file, xattn_tensor *array) {
  xattn_status status = xattn_file_open(path, file);
  if (status) {
    complain_status(path, NULL, status);
    return EXIT_FAILED;
  }
  int64_t count = xattn_file_count(*file);
  if (count != 1) {
    complain(path, "holds %" PRId64 " tensors, expected 1", count);
    return EXIT_FAILED;
  }
  status = xattn_file_entry(*file, 0, NULL, array);
  if (status) complain_status(path, NULL, status);
  return status ? EXIT_FAILED : EXIT_FINE;
}

/* A dense tensor of the shape of `like`, in new memory. */
static int allocate_like(const char *path, const xattn_tensor *like, xattn_dtype dtype,
                         xattn_tensor *tensor) {
  size_t bytes = (size_t)tensor_elements(like);
  void *data = NULL;
  if (!__builtin_mul_overflow(bytes, xattn_dtype_size(dtype), &bytes))
    data = malloc(bytes ? bytes : 1);
  if (!data) complain(path, "no memory for %s", shape_text(like).text);
  *tensor = xattn_tensor_dense(data, dtype, like->rank, like->shape);
  return data ? EXIT_FINE : EXIT_FAILED;
}

static int convert_stream(const char *path, const xattn_tensor *array, xattn_tensor *tensor) {
  if (array->rank != 2 && array->rank != 3) {
    complain(path, "rank is %d, shape %s; expected rank 2 or 3", (int)array->rank,
             shape_text(array).text);
    return EXIT_FAILED;
  }
  if (array->dtype != XATTN_F32 && array->dtype != XATTN_F16 && array->dtype != XATTN_BF16 &&
      array->dtype != XATTN_F64) {
    complain(path, "dtype is %s, expected F32, F16, BF16 or F64", xattn_dtype_name(array->dtype));
    return EXIT_FAILED;
  }
  int code = allocate_like(path, array, XATTN_F32, tensor);
  if (code) return code;
  xattn_status status = xattn_tensor_convert(array, tensor);
  if (status) complain_status(path, NULL, status);
  return status ? EXIT_FAILED : EXIT_FINE;
}

/* Entry i of an I32 or I64 array, which need not be aligned. */
static int64_t integer_at(const xattn_tensor *array, int64_t i) {
  const char *at =
      (const char *)array->data + (size_t)(i * array->strides[0]) * xattn_dtype_size(array->dtype);
  int64_t wide;
  int32_t narrow;
  if (array->dtype == XATTN_I64) {
    memcpy(&wide, at, sizeof wide);
    return wide;
  }
  memcpy(&narrow, at, sizeof narrow);
  return narrow;
}

static int convert_lengths(const char *path, const xattn_tensor *array, xattn_tensor *tensor) {
  if (array->rank != 1) {
    complain(path, "rank is %d, shape %s; expected rank 1", (int)array->rank,
             shape_text(array).text);
    return EXIT_FAILED;
  }
  if (array->dtype != XATTN_I32 && array->dtype != XATTN_I64) {
    complain(path, "dtype is %s, expected I32 or I64", xattn_dtype_name(array->dtype));
    return EXIT_FAILED;
  }
  int code = allocate_like(path, array, XATTN_I32, tensor);
  if (code) return code;
  for (int64_t i = 0; i < array->shape[0]; i++) {
    int64_t length = integer_at(array, i);
    if (length < 0 || length > INT32_MAX) {
      complain(path, "length %" PRId64 " is %" PRId64 ", expected 0 to %d", i, length, INT32_MAX);
      return EXIT_FAILED;
    }
    ((int32_t *)tensor->data)[i] = (int32_t)length;
  }
  return EXIT_FINE;
}

static int read_array(const char *path, xattn_tensor *tensor,
                      int (*convert)(const char *, const xattn_tensor *, xattn_tensor *)) {
  xattn_file *file = NULL;
  xattn_tensor array;
  int code = open_array(path, &file, &array);
  if (!code) code = convert(path, &array, tensor);
  xattn_file_close(file);
  return code;
}

int read_stream(const char *path, xattn_tensor *tensor) {
  return read_array(path, tensor, convert_stream);
}

int read_lengths(const char *path, xattn_tensor *tensor) {
  return read_array(path, tensor, convert_lengths);
}
