/* Memory pools. A pool keeps no memory back here: freed bytes are gone. Its attributes are remembered. */
#include <cuda_runtime_api.h>

#include <map>

#include "call.h"
#include "device.h"
#include "handles.h"
#include "memory_api.h"
#include "stream.h"

namespace cudasim {
namespace {

struct Pool {
  Device *device;
  bool is_default;
  uint64_t release_threshold = 0;
  std::map<cudaMemPoolAttr, int> reuse; /* the flags; 1 unless set */
};

Handles<cudaMemPool_t, Pool> &pools() {
  static auto *all = new Handles<cudaMemPool_t, Pool>(5);
  return *all;
}

cudaMemPool_t default_pool(int index) {
  static auto *handles = new std::map<int, cudaMemPool_t>;
  Device &own = device(index);
  if (!handles->count(index)) {
    auto pool = std::make_shared<Pool>();
    pool->device = &own;
    pool->is_default = true;
    (*handles)[index] = pools().add(pool);
  }
  return (*handles)[index];
}

bool is_reuse_flag(cudaMemPoolAttr attribute) {
  return attribute == cudaMemPoolReuseFollowEventDependencies ||
         attribute == cudaMemPoolReuseAllowOpportunistic ||
         attribute == cudaMemPoolReuseAllowInternalDependencies;
}

void set(Pool &pool, cudaMemPoolAttr attribute, const void *value) {
  if (!value) throw Error(cudaErrorInvalidValue, "no value");
  if (is_reuse_flag(attribute))
    pool.reuse[attribute] = *(const int *)value;
  else if (attribute == cudaMemPoolAttrReleaseThreshold)
    pool.release_threshold = *(const uint64_t *)value;
  else if (attribute != cudaMemPoolAttrUsedMemHigh && attribute != cudaMemPoolAttrReservedMemHigh)
    throw Error(cudaErrorInvalidValue, "no such attribute, or one that cannot be set");
}

void get(const Pool &pool, cudaMemPoolAttr attribute, void *value) {
  if (!value) throw Error(cudaErrorInvalidValue, "no place for the value");
  const DeviceMemory &memory = pool.device->memory;
  if (is_reuse_flag(attribute))
    *(int *)value = pool.reuse.count(attribute) ? pool.reuse.at(attribute) : 1;
  else if (attribute == cudaMemPoolAttrReleaseThreshold)
    *(uint64_t *)value = pool.release_threshold;
  else if (attribute == cudaMemPoolAttrUsedMemCurrent ||
           attribute == cudaMemPoolAttrReservedMemCurrent)
    *(uint64_t *)value = memory.bytes_in_use();
  else if (attribute == cudaMemPoolAttrUsedMemHigh || attribute == cudaMemPoolAttrReservedMemHigh)
    *(uint64_t *)value = memory.bytes_at_most();
  else
    throw Error(cudaErrorInvalidValue, "no such attribute");
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device) {
  return call(HERE, Kind::plain, [&] { *pool = default_pool(device); });
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t *pool, int device) {
  return call(HERE, Kind::plain, [&] { *pool = default_pool(device); });
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t *handle, const cudaMemPoolProps *wanted) {
  return call(HERE, cudaErrorMemoryAllocation, [&] {
    if (!handle || !wanted || wanted->allocType != cudaMemAllocationTypePinned ||
        wanted->location.type != cudaMemLocationTypeDevice)
      throw Error(cudaErrorInvalidValue, "only pools of pinned memory on a device");
    auto pool = std::make_shared<Pool>();
    pool->device = &device(wanted->location.id);
    pool->is_default = false;
    *handle = pools().add(pool);
  });
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  return call(HERE, Kind::release, [&] {
    if (pools().get(pool)->is_default) throw Error(cudaErrorInvalidValue, "the default pool stays");
    pools().take(pool);
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void *value) {
  return call(HERE, Kind::plain, [&] { set(*pools().get(pool), attribute, value); });
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void *value) {
  return call(HERE, Kind::plain, [&] { get(*pools().get(pool), attribute, value); });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t) {
  return call(HERE, Kind::plain, [&] { pools().get(pool); });
}

cudaError_t cudaMallocFromPoolAsync(void **address, size_t bytes, cudaMemPool_t pool,
                                    cudaStream_t stream) {
  return call(HERE, cudaErrorMemoryAllocation, [&] {
    const auto on = stream_of(stream);
    if (pools().get(pool)->device != &on->device)
      throw Error(cudaErrorInvalidValue, "the pool belongs to another device than the stream");
    allocate_in_order(address, bytes, *on);
  });
}

}  // extern "C"
