/* Launching kernels, and what CUDA checks before it does. */
#include <cuda_runtime_api.h>

#include <cstring>

#include "call.h"
#include "capture.h"
#include "card.h"
#include "device.h"
#include "functions.h"
#include "stream.h"

namespace cudasim {

LoadedKernel load(Function &function) {
  Image &image = *function.image;
  if (!image.problem.empty()) {
    fprintf(stderr, "cudasim: %s: %s\n", function.name.c_str(), image.problem.c_str());
    throw Error(cudaErrorNoKernelImageForDevice, image.problem);
  }
  try {
    if (!image.module) image.module = std::make_shared<Module>(image.ptx);
    if (!image.module->has(function.name))
      throw Error(cudaErrorInvalidDeviceFunction, function.name + " is not in the PTX");
    return {image.module, &image.module->kernel(function.name)};
  } catch (const Fault &fault) { /* something the interpreter does not know */
    current_device().break_down(fault.what(), cudaErrorInvalidPtx);
    throw Error(cudaErrorInvalidPtx, fault.what());
  }
}

namespace {

/* What the dynamic part may be, for the function as its attributes are now. */
size_t most_dynamic_shared(const Function &function, const Kernel &kernel) {
  if (function.most_dynamic_shared >= 0) return size_t(function.most_dynamic_shared);
  const size_t fixed = static_shared_bytes(kernel);
  return fixed < shared_by_default ? shared_by_default - fixed : 0;
}

void check_shape(dim3 grid, dim3 block) {
  const size_t threads = size_t(block.x) * block.y * block.z;
  if (!threads || threads > most_threads_per_block || block.x > most_block_x ||
      block.y > most_block_y || block.z > most_block_z)
    throw Error(cudaErrorInvalidConfiguration,
                format("a block of %u x %u x %u threads", block.x, block.y, block.z));
  if (!grid.x || !grid.y || !grid.z || grid.x > unsigned(most_grid_x) || grid.y > most_grid_y ||
      grid.z > most_grid_z)
    throw Error(cudaErrorInvalidConfiguration,
                format("a grid of %u x %u x %u blocks", grid.x, grid.y, grid.z));
}

void check_resources(const Function &function, const Kernel &kernel, dim3 block, size_t shared) {
  const size_t threads = size_t(block.x) * block.y * block.z;
  if (threads > max_threads(kernel))
    throw Error(cudaErrorLaunchOutOfResources,
                format("%zu threads, __launch_bounds__ says %u", threads, max_threads(kernel)));
  const size_t most = most_dynamic_shared(function, kernel);
  if (shared > most)
    throw Error(cudaErrorInvalidValue,
                format("%zu bytes of dynamic shared memory, %zu are allowed (cudaFuncSetAttribute "
                       "raises that)",
                       shared, most));
}

/* The arguments as they are now, laid out as the kernel wants them. */
std::vector<uint8_t> pack(const Kernel &kernel, void **arguments) {
  std::vector<uint8_t> bytes;
  size_t i = 0;
  for (const Parameter &parameter : parameters(kernel)) {
    bytes.resize(parameter.offset + parameter.size);
    memcpy(&bytes[parameter.offset], arguments[i++], parameter.size);
  }
  return bytes;
}

void launch(const void *host_function, dim3 grid, dim3 block, void **arguments, size_t shared,
            cudaStream_t handle) {
  Function &function = function_at(host_function);
  const auto stream = own_stream_of(handle);
  check_shape(grid, block);
  const LoadedKernel loaded = load(function);
  check_resources(function, *loaded.kernel, block, shared);
  const std::vector<uint8_t> bytes = pack(*loaded.kernel, arguments);
  Memory &memory = stream->device.memory;
  stream->add({cudaGraphNodeTypeKernel, [=, &memory] {
                 run(*loaded.kernel, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared,
                     bytes, memory);
               }});
}

void set_attribute(const void *host_function, cudaFuncAttribute name, int value) {
  Function &function = function_at(host_function);
  if (name == cudaFuncAttributePreferredSharedMemoryCarveout) {
    if (value < -1 || value > 100) throw Error(cudaErrorInvalidValue, "not a percentage");
    return;
  }
  if (name != cudaFuncAttributeMaxDynamicSharedMemorySize)
    throw Error(cudaErrorInvalidValue, "this attribute is not simulated");
  const int fixed = int(static_shared_bytes(*load(function).kernel));
  if (value < 0 || value + fixed > most_shared_per_block())
    throw Error(cudaErrorInvalidValue, format("%d bytes of dynamic and %d of static shared memory; "
                                              "the card has %d a block",
                                              value, fixed, most_shared_per_block()));
  function.most_dynamic_shared = value;
}

void describe(cudaFuncAttributes &attributes, const void *host_function) {
  Function &function = function_at(host_function);
  const LoadedKernel loaded = load(function);
  attributes = {};
  attributes.sharedSizeBytes = static_shared_bytes(*loaded.kernel);
  attributes.maxThreadsPerBlock = int(max_threads(*loaded.kernel));
  attributes.maxDynamicSharedSizeBytes = int(most_dynamic_shared(function, *loaded.kernel));
  attributes.ptxVersion = attributes.binaryVersion = compute_capability();
  attributes.numRegs = 32; /* a guess: only ptxas knows */
  attributes.preferredShmemCarveout = -1;
}

/* By threads, blocks and shared memory; registers are not known. */
int occupancy(const void *host_function, int threads, size_t shared) {
  const LoadedKernel loaded = load(function_at(host_function));
  if (threads <= 0) throw Error(cudaErrorInvalidValue, "no threads");
  if (threads > int(max_threads(*loaded.kernel))) return 0;
  const int warps = (threads + warp_size - 1) / warp_size;
  const size_t bytes = shared + static_shared_bytes(*loaded.kernel) + shared_reserved_per_block;
  const int by_threads = threads_per_multiprocessor / (warps * warp_size);
  const int by_shared = int(size_t(shared_per_multiprocessor()) / bytes);
  return std::min(blocks_per_multiprocessor, std::min(by_threads, by_shared));
}

/* Hints may be ignored; what would change what a kernel does may not. */
void check_attributes(const cudaLaunchConfig_t &config) {
  for (unsigned i = 0; i < config.numAttrs; i++) {
    const cudaLaunchAttribute &attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeIgnore || attribute.id == cudaLaunchAttributePriority ||
        attribute.id == cudaLaunchAttributePreferredSharedMemoryCarveout)
      continue;
    throw Error(cudaErrorNotSupported, format("launch attribute %d", int(attribute.id)));
  }
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments,
                             size_t shared, cudaStream_t stream) {
  return call(HERE, cudaErrorLaunchOutOfResources,
              [&] { launch(function, grid, block, arguments, shared, stream); });
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function,
                                void **arguments) {
  return call(HERE, cudaErrorLaunchOutOfResources, [&] {
    if (!config) throw Error(cudaErrorInvalidValue, "no configuration");
    check_attributes(*config);
    launch(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes,
           config->stream);
  });
}

cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute name, int value) {
  return call(HERE, cudaErrorUnknown, [&] { set_attribute(function, name, value); });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function) {
  return call(HERE, Kind::plain, [&] { describe(*attributes, function); });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function,
                                                          int threads, size_t shared) {
  return call(HERE, Kind::plain, [&] { *blocks = occupancy(function, threads, shared); });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks,
                                                                   const void *function,
                                                                   int threads, size_t shared,
                                                                   unsigned) {
  return call(HERE, Kind::plain, [&] { *blocks = occupancy(function, threads, shared); });
}

}  // extern "C"
