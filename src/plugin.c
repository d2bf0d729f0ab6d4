#include "plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char plugin_name[] = "libxattn_cuda.so";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const xattn_backend *loaded;

/* Asks the driver itself, which is there wherever a GPU can be used: no library of the toolkit is opened
 * in vain. cuInit and cuDeviceGetCount are of the driver's stable interface. */
static bool has_device(char *why, size_t size) {
  void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!driver) {
    (void)snprintf(why, size, "no NVIDIA driver (libcuda.so.1) is installed");
    return false;
  }
  int (*init)(unsigned) = NULL;
  int (*get_count)(int *) = NULL;
  *(void **)&init = dlsym(driver, "cuInit");
  *(void **)&get_count = dlsym(driver, "cuDeviceGetCount");
  int count = 0, code = init && get_count ? init(0) : -1;
  if (!code) code = get_count(&count);
  if (code)
    (void)snprintf(why, size, "the NVIDIA driver reports error %d", code);
  else if (count < 1)
    (void)snprintf(why, size, "the NVIDIA driver sees no device");
  return !code && count > 0; /* the driver stays open: CUDA will use it */
}

/* The folder of the library, or of the program that has it linked in; "" where it cannot be told. */
static void own_folder(char folder[PATH_MAX]) {
  Dl_info self;
  folder[0] = '\0';
  if (!dladdr(plugin_name, &self) || !self.dli_fname) return;
  /* A program found by way of PATH is known by its bare name. */
  const char *name = strchr(self.dli_fname, '/') ? self.dli_fname : "/proc/self/exe";
  if (!realpath(name, folder)) folder[0] = '\0';
  char *slash = strrchr(folder, '/');
  if (slash) *slash = '\0';
}

/* Beside this library, then in ../lib of it, then wherever the loader looks. XATTN_CUDA_PLUGIN names one
 * file instead. */
static void *open_plugin(void) {
  const char *forced = getenv("XATTN_CUDA_PLUGIN");
  if (forced && *forced) return dlopen(forced, RTLD_NOW | RTLD_LOCAL);
  static const char *const places[] = {"", "/../lib"};
  char folder[PATH_MAX], path[PATH_MAX + 64];
  own_folder(folder);
  for (int i = 0; i < 2 && folder[0]; i++) {
    (void)snprintf(path, sizeof path, "%s%s/%s", folder, places[i], plugin_name);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin) return plugin;
  }
  return dlopen(plugin_name, RTLD_NOW | RTLD_LOCAL);
}

static const xattn_backend *load(char *why, size_t size) {
  if (!has_device(why, size)) return NULL;
  void *library = open_plugin();
  if (!library) {
    const char *reason = dlerror();
    (void)snprintf(why, size, "%s", reason ? reason : "libxattn_cuda.so cannot be opened");
    return NULL;
  }
  const xattn_plugin *plugin = dlsym(library, XATTN_PLUGIN_SYMBOL);
  if (plugin && strcmp(plugin->version, xattn_version()) == 0) return plugin->backend;
  (void)snprintf(why, size, "%s is of version %s, this library of %s", plugin_name,
                 plugin ? plugin->version : "?", xattn_version());
  (void)dlclose(library);
  return NULL;
}

const xattn_backend *xattn_plugin_cuda(char *why, size_t size) {
  (void)pthread_mutex_lock(&lock);
  if (!loaded) loaded = load(why, size);
  (void)pthread_mutex_unlock(&lock);
  return loaded;
}
