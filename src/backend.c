/* Which backend a device name means. Backends are listed best first; auto takes the first that is
 * there. */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static xattn_status cuda_number(xattn_error *error, const char *name, int32_t *index) {
  *index = 0;
  if (strcmp(name, "cuda") == 0) return XATTN_OK;
  const char *digits = name + strlen("cuda:");
  size_t count = strspn(digits, "0123456789");
  if (count == 0 || count > 4 || digits[count] != '\0')
    return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                      "device: \"%.64s\" must end in a number of 0 to 9999, as in \"cuda:0\"",
                      name);
  *index = (int32_t)strtol(digits, NULL, 10);
  return XATTN_OK;
}

xattn_status xattn_backend_find(xattn_error *error, const char *name, const xattn_backend **backend,
                                int32_t *index, char *note, size_t note_size) {
  static const char no_cuda[] = "this build of xattn has no CUDA backend";
  note[0] = '\0';
  *index = 0;
  *backend = &xattn_backend_cpu;
  if (!name || strcmp(name, "auto") == 0) {
    (void)snprintf(note, note_size, "auto took the CPU: %s", no_cuda);
    return XATTN_OK;
  }
  if (strcmp(name, "cpu") == 0) return XATTN_OK;
  if (strcmp(name, "cuda") == 0 || strncmp(name, "cuda:", 5) == 0) {
    xattn_status status = cuda_number(error, name, index);
    if (status) return status;
    return xattn_fail(error, XATTN_ERROR_UNAVAILABLE, "device: \"%s\" is not available: %s", name,
                      no_cuda);
  }
  return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                    "device: \"%.64s\" is unknown; known are auto, cpu, cuda and cuda:N", name);
}
