/* Which backend a device name means. Backends are listed best first; auto takes the first that is
 * there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

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
  char why[128] = "";
  note[0] = '\0';
  *index = 0;
  *backend = &xattn_backend_cpu;
  if (!name || strcmp(name, "auto") == 0) {
    const xattn_backend *cuda = xattn_plugin_cuda(why, sizeof why);
    if (cuda) *backend = cuda;
    (void)snprintf(note, note_size, "auto took %s%s",
                   cuda ? "CUDA: its device 0 is there" : "the CPU: ", why);
    return XATTN_OK;
  }
  if (strcmp(name, "cpu") == 0) return XATTN_OK;
  if (strcmp(name, "cuda") == 0 || strncmp(name, "cuda:", 5) == 0) {
    xattn_status status = cuda_number(error, name, index);
    if (status) return status;
    *backend = xattn_plugin_cuda(why, sizeof why);
    if (*backend) return XATTN_OK;
    return xattn_fail(error, XATTN_ERROR_UNAVAILABLE, "device: \"%s\" is not available: %s", name,
                      why);
  }
  return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                    "device: \"%.64s\" is unknown; known are auto, cpu, cuda and cuda:N", name);
}
