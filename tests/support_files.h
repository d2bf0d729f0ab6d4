/* Files for tests and demonstrations. Functions return 0, or -1 with errno set. */
#ifndef SUPPORT_FILES_H
#define SUPPORT_FILES_H

#include <stddef.h>
#include <xattn.h>

typedef struct named_tensor {
  const char *name;
  xattn_tensor tensor;
} named_tensor;

/* Writes dense tensors in host memory as .safetensors, in the order given. The file appears under
 * its name only when complete. */
int write_safetensors(const char *path, const named_tensor *tensors, int count);

/* Writes a file of any bytes. */
int write_bytes(const char *path, const void *data, size_t size);

/* Writes a .safetensors file with this header, right or wrong, and data_size bytes 0, 1, 2, ... */
int write_with_header(const char *path, const char *json, size_t data_size);

/* Writes a .npy file of version major.0 with this dict, right or wrong, and such data. */
int write_with_dict(const char *path, int major, const char *dict, size_t data_size);

/* Makes a directory of its own below TMPDIR or /tmp; removes a directory and the files in it. */
int make_directory(char *path, size_t room);
int remove_directory(const char *path);

#endif
