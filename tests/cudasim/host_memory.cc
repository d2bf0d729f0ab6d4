#include "host_memory.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>

#include <cstring>

#include "call.h"
#include "device.h"

namespace cudasim {

std::map<uintptr_t, PinnedBlock> &pinned_blocks() {
  static auto *all = new std::map<uintptr_t, PinnedBlock>;
  return *all;
}

bool is_pinned(const void *address, size_t n) {
  auto &all = pinned_blocks();
  auto after = all.upper_bound((uintptr_t)address);
  if (after == all.begin()) return false;
  const auto &[start, block] = *--after;
  const size_t offset = (uintptr_t)address - start;
  return offset < block.size && n <= block.size - offset;
}

namespace {

/* All ones is NaN in every floating type: a result read too early shows. */
void allocate(void **address, size_t bytes) {
  if (!address) throw Error(cudaErrorInvalidValue, "no place for the address");
  forbid_while_capturing();
  *address = nullptr;
  if (bytes == 0) return;
  if (posix_memalign(address, 4096, bytes))
    throw Error(cudaErrorMemoryAllocation, "no host memory");
  memset(*address, 0xff, bytes);
  pinned_blocks()[(uintptr_t)*address] = {bytes, false, current_origin()};
}

PinnedBlock &block_at(void *address, bool registered, cudaError_t otherwise) {
  auto found = pinned_blocks().find((uintptr_t)address);
  if (found == pinned_blocks().end() || found->second.registered != registered)
    throw Error(otherwise, "not the start of such a block");
  return found->second;
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaMallocHost(void **address, size_t bytes) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { allocate(address, bytes); });
}

cudaError_t cudaHostAlloc(void **address, size_t bytes, unsigned) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { allocate(address, bytes); });
}

cudaError_t cudaFreeHost(void *address) {
  return call(HERE, Kind::release, [&] {
    if (!address) return;
    block_at(address, false, cudaErrorInvalidValue);
    forbid_while_capturing();
    synchronize_everything(); /* CUDA may: no program can count on it not to */
    pinned_blocks().erase((uintptr_t)address);
    free(address);
  });
}

cudaError_t cudaHostRegister(void *address, size_t bytes, unsigned) {
  return call(HERE, cudaErrorMemoryAllocation, [&] {
    if (!address || !bytes) throw Error(cudaErrorInvalidValue, "nothing to register");
    forbid_while_capturing();
    const uintptr_t start = (uintptr_t)address;
    for (const auto &[other, block] : pinned_blocks())
      if (start < other + block.size && other < start + bytes)
        throw Error(cudaErrorHostMemoryAlreadyRegistered, "pinned already, in part at least");
    pinned_blocks()[start] = {bytes, true, current_origin()};
  });
}

cudaError_t cudaHostUnregister(void *address) {
  return call(HERE, Kind::release, [&] {
    block_at(address, true, cudaErrorHostMemoryNotRegistered);
    forbid_while_capturing();
    synchronize_everything();
    pinned_blocks().erase((uintptr_t)address);
  });
}

}  // extern "C"
