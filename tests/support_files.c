#include "support_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file under a name of its own, until it is complete. */
typedef struct draft {
  FILE *file;
  char *name;
} draft;

static int begin_draft(draft *d, const char *path) {
  if (asprintf(&d->name, "%s.%ld.tmp", path, (long)getpid()) < 0) return -1;
  d->file = fopen(d->name, "wbe");
  if (d->file) return 0;
  free(d->name);
  return -1;
}

static int end_draft(draft *d, const char *path, bool good) {
  int failure = good ? 0 : errno;
  if (fclose(d->file) && !failure) failure = errno;
  if (!failure && rename(d->name, path)) failure = errno;
  if (failure) (void)unlink(d->name);
  free(d->name);
  errno = failure;
  return failure ? -1 : 0;
}

static size_t bytes_of(const xattn_tensor *tensor) {
  size_t bytes = xattn_dtype_size(tensor->dtype);
  for (int32_t i = 0; i < tensor->rank; i++) bytes *= (size_t)tensor->shape[i];
  return bytes;
}

static bool is_dense(const xattn_tensor *tensor) {
  if (tensor->rank >= 0 && bytes_of(tensor) == 0) return true; /* whatever its strides */
  int64_t stride = 1;
  for (int32_t i = tensor->rank - 1; i >= 0; i--) {
    if (tensor->shape[i] != 1 && tensor->strides[i] != stride) return false;
    stride *= tensor->shape[i];
  }
  return tensor->rank >= 0 && tensor->device_type == XATTN_CPU;
}

static void print_string(FILE *out, const char *text) {
  fputc('"', out);
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c < 0x20)
      fprintf(out, "\\u%04x", c);
    else
      fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
  }
  fputc('"', out);
}

/* The header, padded with spaces so that the data begins at a multiple of 8. */
static char *make_header(const named_tensor *tensors, int count, size_t *length) {
  char *text = NULL;
  FILE *out = open_memstream(&text, length);
  if (!out) return NULL;
  size_t offset = 0;
  fputc('{', out);
  for (int i = 0; i < count; i++) {
    const xattn_tensor *t = &tensors[i].tensor;
    if (i) fputc(',', out);
    print_string(out, tensors[i].name);
    fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", xattn_dtype_name(t->dtype));
    for (int32_t d = 0; d < t->rank; d++)
      fprintf(out, "%s%lld", d ? "," : "", (long long)t->shape[d]);
    fprintf(out, "],\"data_offsets\":[%zu,%zu]}", offset, offset + bytes_of(t));
    offset += bytes_of(t);
  }
  fputc('}', out);
  while (ftell(out) % 8) fputc(' ', out);
  if (!fclose(out)) return text;
  free(text);
  return NULL;
}

static bool write_number(FILE *file, uint64_t number, int bytes) {
  for (int i = 0; i < bytes; i++)
    if (fputc((int)(number >> (8 * i) & 255), file) == EOF) return false;
  return true;
}

int write_safetensors(const char *path, const named_tensor *tensors, int count) {
  for (int i = 0; i < count; i++) {
    if (is_dense(&tensors[i].tensor)) continue;
    errno = EINVAL;
    return -1;
  }
  size_t length;
  draft d;
  char *header = make_header(tensors, count, &length);
  if (!header) return -1;
  if (begin_draft(&d, path)) {
    free(header);
    return -1;
  }
  bool good = write_number(d.file, length, 8) && fwrite(header, 1, length, d.file) == length;
  for (int i = 0; good && i < count; i++) {
    size_t bytes = bytes_of(&tensors[i].tensor);
    if (bytes) good = fwrite(tensors[i].tensor.data, 1, bytes, d.file) == bytes;
  }
  free(header);
  return end_draft(&d, path, good);
}

static bool write_pattern(FILE *file, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (fputc((int)(i & 255), file) == EOF) return false;
  return true;
}

int write_bytes(const char *path, const void *data, size_t size) {
  draft d;
  if (begin_draft(&d, path)) return -1;
  return end_draft(&d, path, fwrite(data, 1, size, d.file) == size);
}

int write_with_header(const char *path, const char *json, size_t data_size) {
  draft d;
  if (begin_draft(&d, path)) return -1;
  bool good = write_number(d.file, strlen(json), 8) && fputs(json, d.file) >= 0 &&
              write_pattern(d.file, data_size);
  return end_draft(&d, path, good);
}

int write_with_dict(const char *path, int major, const char *dict, size_t data_size) {
  draft d;
  if (begin_draft(&d, path)) return -1;
  bool good = fwrite("\x93NUMPY", 1, 6, d.file) == 6 && write_number(d.file, (uint64_t)major, 2) &&
              write_number(d.file, strlen(dict), major == 1 ? 2 : 4) && fputs(dict, d.file) >= 0 &&
              write_pattern(d.file, data_size);
  return end_draft(&d, path, good);
}

int make_directory(char *path, size_t room) {
  const char *parent = getenv("TMPDIR");
  int used = snprintf(path, room, "%s/xattn-test-XXXXXX", parent && *parent ? parent : "/tmp");
  if (used < 0 || (size_t)used >= room) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return mkdtemp(path) ? 0 : -1;
}

int remove_directory(const char *path) {
  DIR *directory = opendir(path);
  if (!directory) return -1;
  for (struct dirent *item; (item = readdir(directory));)
    (void)unlinkat(dirfd(directory), item->d_name, 0);
  (void)closedir(directory);
  return rmdir(path);
}
