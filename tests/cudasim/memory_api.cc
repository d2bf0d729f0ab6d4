/* Device memory given out and taken back, at once or in stream order. */
#include <cuda_runtime_api.h>

#include "call.h"
#include "capture.h"
#include "device.h"
#include "host_memory.h"
#include "memory_api.h"
#include "stream.h"

namespace cudasim {

/* The address is there now, the memory when the stream gets to it. */
void allocate_in_order(void **address, size_t bytes, Stream &stream) {
  if (!address || bytes == 0) throw Error(cudaErrorInvalidValue, "no place, or no bytes");
  DeviceMemory &memory = stream.device.memory;
  MemoryBlock &block = memory.allocate(bytes, MemoryBlock::planned, current_origin());
  if (stream.capture) {
    count_call("captured_allocations");
    memory.release(block);
    block.of_graph = true;
  }
  const auto begin = [&memory, &block] {
    if (block.state == MemoryBlock::live)
      throw Fault(to_text(block) + ": a graph allocates it again before it was freed");
    memory.begin(block);
  };
  try {
    stream.add({cudaGraphNodeTypeMemAlloc, begin});
  } catch (const Error &) {
    memory.end(block);
    throw;
  }
  *address = (void *)block.address;
}

namespace {

/* The block that starts at the address and was not given back yet. */
MemoryBlock &block_at(void *address) {
  Device *owner = device_of(address);
  MemoryBlock *block = owner ? owner->memory.near((uint64_t)address) : nullptr;
  if (!block || block->address != (uint64_t)address)
    throw Error(cudaErrorInvalidValue, "not the start of a block of device memory");
  if (block->released && !block->of_graph)
    throw Error(cudaErrorInvalidValue, to_text(*block) + " was freed before");
  return *block;
}

void allocate_now(void **address, size_t bytes) {
  if (!address) throw Error(cudaErrorInvalidValue, "no place for the address");
  forbid_while_capturing();
  *address = nullptr;
  if (bytes == 0) return;
  *address =
      (void *)current_device().memory.allocate(bytes, MemoryBlock::live, current_origin()).address;
}

void free_now(void *address) {
  forbid_while_capturing();
  if (!address) return;
  MemoryBlock &block = block_at(address);
  Device &owner = *device_of(address);
  owner.synchronize();
  owner.memory.end(block);
}

void free_in_order(void *address, Stream &stream) {
  MemoryBlock &block = block_at(address);
  if (!block.of_graph)
    forbid_if_capturing(stream, cudaErrorInvalidValue, "a graph frees only what a graph allocated");
  DeviceMemory &memory = device_of(address)->memory;
  const auto end = [&memory, &block] {
    if (block.state != MemoryBlock::live)
      throw Fault(to_text(block) + " is freed before its allocation ran, in stream order");
    memory.end(block);
  };
  stream.add({cudaGraphNodeTypeMemFree, end});
  if (!block.of_graph) memory.release(block);
}

void describe(cudaPointerAttributes &attributes, const void *address) {
  attributes = {};
  attributes.type = cudaMemoryTypeUnregistered;
  attributes.device = current_device().index;
  attributes.hostPointer = (void *)address;
  Device *owner = device_of(address);
  if (owner && owner->memory.holding((uint64_t)address, 1)) {
    attributes.type = cudaMemoryTypeDevice;
    attributes.device = owner->index;
    attributes.devicePointer = (void *)address;
    attributes.hostPointer = nullptr;
  } else if (is_pinned(address, 1)) {
    attributes.type = cudaMemoryTypeHost;
    attributes.devicePointer = (void *)address;
  }
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaMalloc(void **address, size_t bytes) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { allocate_now(address, bytes); });
}

cudaError_t cudaFree(void *address) {
  return call(HERE, Kind::release, [&] { free_now(address); });
}

cudaError_t cudaMallocAsync(void **address, size_t bytes, cudaStream_t stream) {
  return call(HERE, cudaErrorMemoryAllocation,
              [&] { allocate_in_order(address, bytes, *stream_of(stream)); });
}

cudaError_t cudaFreeAsync(void *address, cudaStream_t stream) {
  return call(HERE, Kind::release, [&] { free_in_order(address, *stream_of(stream)); });
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
  return call(HERE, Kind::plain, [&] {
    if (!available || !total) throw Error(cudaErrorInvalidValue, "no place for the sizes");
    *total = DeviceMemory::limit();
    *available = *total - current_device().memory.bytes_in_use();
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *address) {
  return call(HERE, Kind::plain, [&] {
    if (!attributes) throw Error(cudaErrorInvalidValue, "no place for the attributes");
    describe(*attributes, address);
  });
}

}  // extern "C"
