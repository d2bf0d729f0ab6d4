/* libcuda.so.1: only what a program asks to find out whether there is a driver and a device. */
#include <cuda.h>
#include <dlfcn.h>
#include <pthread.h>

#include "settings.h"

namespace {

bool initialized, initialized_before_fork;

__attribute__((constructor)) void watch_forks() {
  pthread_atfork(nullptr, nullptr,
                 [] { initialized_before_fork = initialized_before_fork || initialized; });
}

/* fork.cc has the rule. */
bool forked_after_use() {
  if (initialized_before_fork) return true;
  void *runtime = dlopen("libcudart.so.13", RTLD_LAZY | RTLD_NOLOAD);
  if (!runtime) return false;
  auto *ask = (int (*)())dlsym(runtime, "cudasim_runtime_forked_after_use");
  const bool forked = ask && ask();
  dlclose(runtime);
  return forked;
}

struct Name {
  CUresult result;
  const char *text;
};
const Name names[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN"},
};

}  // namespace

extern "C" {

int cudasim_driver_forked_after_use(void) {
  return initialized_before_fork;
}

CUresult cuInit(unsigned flags) {
  if (flags) return CUDA_ERROR_INVALID_VALUE;
  if (forked_after_use()) return CUDA_ERROR_NOT_INITIALIZED;
  if (cudasim::device_count() == 0) return CUDA_ERROR_NO_DEVICE;
  initialized = true;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
  if (!initialized || forked_after_use()) return CUDA_ERROR_NOT_INITIALIZED;
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  *count = cudasim::device_count();
  return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version) {
  if (!version) return CUDA_ERROR_INVALID_VALUE;
  *version = 13000;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult result, const char **text) {
  if (!text) return CUDA_ERROR_INVALID_VALUE;
  for (const Name &name : names)
    if (name.result == result) {
      *text = name.text;
      return CUDA_SUCCESS;
    }
  *text = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

}  // extern "C"
