/* The CUDA backend is a plugin, libxattn_cuda.so, opened at run time: libxattn itself links nothing of
 * CUDA, and a machine without a GPU pays for one failed dlopen. */
#ifndef XATTN_PLUGIN_H
#define XATTN_PLUGIN_H

#include "backend.h"

/* The plugin's backend; loaded once per process. NULL if there is none, and then `why` says which of driver,
 * device and plugin is missing. */
const xattn_backend *xattn_plugin_cuda(char *why, size_t size);

#endif
