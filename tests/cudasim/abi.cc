/* What nvcc's host code calls by itself: the registration of kernels when a library is loaded, and the
 * two halves of kernel<<<...>>>(...). */
#include <cuda_runtime_api.h>

#include <map>
#include <vector>

#include "call.h"
#include "functions.h"

namespace cudasim {

namespace {

std::map<const void *, Function> &functions() {
  static auto *all = new std::map<const void *, Function>;
  return *all;
}

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

}  // namespace

void register_function(const void *host_function, Function function) {
  functions()[host_function] = std::move(function);
}

void forget_functions_of(const Image *image) {
  for (auto each = functions().begin(); each != functions().end();)
    each = each->second.image.get() == image ? functions().erase(each) : std::next(each);
}

Function &function_at(const void *host_function) {
  const auto found = functions().find(host_function);
  if (found == functions().end())
    throw Error(cudaErrorInvalidDeviceFunction, "no kernel is registered for this address");
  return found->second;
}

}  // namespace cudasim

using namespace cudasim;

/* The handle that goes through nvcc's code is the address of a shared pointer. */
static std::shared_ptr<Image> &image_of(void **handle) {
  return *(std::shared_ptr<Image> *)handle;
}

extern "C" {

void **__cudaRegisterFatBinary(void *wrapper) {
  std::lock_guard<std::mutex> hold(big_lock);
  return (void **)new std::shared_ptr<Image>(read_fat_binary(wrapper));
}

void __cudaRegisterFatBinaryEnd(void **) {
}

void __cudaUnregisterFatBinary(void **handle) {
  std::lock_guard<std::mutex> hold(big_lock);
  forget_functions_of(image_of(handle).get());
  delete &image_of(handle);
}

void __cudaRegisterFunction(void **handle, const char *host_function, char *, const char *name, int,
                            uint3 *, uint3 *, dim3 *, dim3 *, int *) {
  std::lock_guard<std::mutex> hold(big_lock);
  register_function(host_function, {image_of(handle), name, -1});
}

/* The interpreter keeps a module's variables; the host side of them is not simulated. */
void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int) {
}

char __cudaInitModule(void **) {
  return 1;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
  if (configurations.empty()) return cudaErrorMissingConfiguration;
  const Configuration c = configurations.back();
  configurations.pop_back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *(cudaStream_t *)stream = c.stream;
  return cudaSuccess;
}

/* A kernel handle is the address of the host function. */
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *host_function) {
  *kernel = (cudaKernel_t)host_function;
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments,
                               size_t shared, cudaStream_t stream) {
  return cudaLaunchKernel((const void *)kernel, grid, block, arguments, shared, stream);
}

}  // extern "C"
