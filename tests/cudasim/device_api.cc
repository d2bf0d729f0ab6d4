/* Which devices there are, and what they say of themselves. */
#include <cuda_runtime_api.h>

#include <cstring>

#include "call.h"
#include "card.h"
#include "device.h"

namespace cudasim {
namespace {

const int cuda_version = 13000;

struct Attribute {
  cudaDeviceAttr name;
  int value;
};

int attribute(cudaDeviceAttr wanted) {
  const Attribute all[] = {
      {cudaDevAttrMaxThreadsPerBlock, most_threads_per_block},
      {cudaDevAttrMaxBlockDimX, most_block_x},
      {cudaDevAttrMaxBlockDimY, most_block_y},
      {cudaDevAttrMaxBlockDimZ, most_block_z},
      {cudaDevAttrMaxGridDimX, most_grid_x},
      {cudaDevAttrMaxGridDimY, most_grid_y},
      {cudaDevAttrMaxGridDimZ, most_grid_z},
      {cudaDevAttrMaxSharedMemoryPerBlock, shared_by_default},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, most_shared_per_block()},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, shared_per_multiprocessor()},
      {cudaDevAttrReservedSharedMemoryPerBlock, shared_reserved_per_block},
      {cudaDevAttrTotalConstantMemory, 65536},
      {cudaDevAttrWarpSize, warp_size},
      {cudaDevAttrMaxPitch, 2147483647},
      {cudaDevAttrMaxRegistersPerBlock, registers_per_block},
      {cudaDevAttrMaxRegistersPerMultiprocessor, registers_per_multiprocessor},
      {cudaDevAttrClockRate, tells_clocks() ? 1980000 : 0},
      {cudaDevAttrMemoryClockRate, tells_clocks() ? 2619000 : 0},
      {cudaDevAttrGlobalMemoryBusWidth, tells_clocks() ? 5120 : 0},
      {cudaDevAttrMultiProcessorCount, multiprocessors},
      {cudaDevAttrMaxThreadsPerMultiProcessor, threads_per_multiprocessor},
      {cudaDevAttrMaxBlocksPerMultiprocessor, blocks_per_multiprocessor},
      {cudaDevAttrL2CacheSize, l2_bytes()},
      {cudaDevAttrComputeCapabilityMajor, compute_capability() / 10},
      {cudaDevAttrComputeCapabilityMinor, compute_capability() % 10},
      {cudaDevAttrUnifiedAddressing, 1},
      {cudaDevAttrCanMapHostMemory, 1},
      {cudaDevAttrConcurrentKernels, 1},
      {cudaDevAttrAsyncEngineCount, 3},
      {cudaDevAttrEccEnabled, 1},
      {cudaDevAttrStreamPrioritiesSupported, 1},
      {cudaDevAttrMemoryPoolsSupported, 1},
      {cudaDevAttrHostRegisterSupported, 1},
      {cudaDevAttrPciBusId, 1},
      {cudaDevAttrComputeMode, cudaComputeModeDefault},
      /* What the simulator cannot do, a program must not find. */
      {cudaDevAttrCooperativeLaunch, 0},
      {cudaDevAttrClusterLaunch, 0},
      {cudaDevAttrManagedMemory, 0},
      {cudaDevAttrConcurrentManagedAccess, 0},
      {cudaDevAttrPageableMemoryAccess, 0},
      {cudaDevAttrHostNativeAtomicSupported, 0},
      {cudaDevAttrMaxPersistingL2CacheSize, 0},
      {cudaDevAttrMaxAccessPolicyWindowSize, 0},
      {cudaDevAttrIntegrated, 0},
      {cudaDevAttrTccDriver, 0},
      {cudaDevAttrKernelExecTimeout, 0},
      {cudaDevAttrPciDeviceId, 0},
      {cudaDevAttrPciDomainId, 0},
      {cudaDevAttrIsMultiGpuBoard, 0},
  };
  for (const Attribute &each : all)
    if (each.name == wanted) return each.value;
  throw Error(cudaErrorInvalidValue, format("device attribute %d is not simulated", int(wanted)));
}

void describe(cudaDeviceProp &p, int index) {
  memset(&p, 0, sizeof p);
  strcpy(p.name, "cudasim (as an H100)");
  p.uuid.bytes[0] = char(index + 1);
  p.totalGlobalMem = DeviceMemory::limit();
  p.sharedMemPerBlock = shared_by_default;
  p.sharedMemPerBlockOptin = size_t(most_shared_per_block());
  p.sharedMemPerMultiprocessor = size_t(shared_per_multiprocessor());
  p.reservedSharedMemPerBlock = shared_reserved_per_block;
  p.regsPerBlock = registers_per_block;
  p.regsPerMultiprocessor = registers_per_multiprocessor;
  p.warpSize = warp_size;
  p.memPitch = 2147483647;
  p.maxThreadsPerBlock = most_threads_per_block;
  p.maxThreadsDim[0] = most_block_x;
  p.maxThreadsDim[1] = most_block_y;
  p.maxThreadsDim[2] = most_block_z;
  p.maxGridSize[0] = most_grid_x;
  p.maxGridSize[1] = most_grid_y;
  p.maxGridSize[2] = most_grid_z;
  p.totalConstMem = 65536;
  p.major = compute_capability() / 10;
  p.minor = compute_capability() % 10;
  p.multiProcessorCount = multiprocessors;
  p.maxThreadsPerMultiProcessor = threads_per_multiprocessor;
  p.maxBlocksPerMultiProcessor = blocks_per_multiprocessor;
  p.l2CacheSize = l2_bytes();
  p.concurrentKernels = p.unifiedAddressing = p.canMapHostMemory = 1;
  p.ECCEnabled = p.streamPrioritiesSupported = p.memoryPoolsSupported = 1;
  p.hostRegisterSupported = 1;
  p.asyncEngineCount = 3;
  p.memoryBusWidth = tells_clocks() ? 5120 : 0;
  p.pciBusID = index + 1;
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

/* Without a device the output stays as it was, as with NVIDIA's runtime. */
cudaError_t cudaGetDeviceCount(int *count) {
  return call(HERE, Kind::plain, [&] {
    if (!count) throw Error(cudaErrorInvalidValue, "no place for the count");
    *count = device_count();
  });
}

cudaError_t cudaGetDevice(int *index) {
  return call(HERE, Kind::plain, [&] { *index = current_device().index; });
}

cudaError_t cudaSetDevice(int index) {
  return call(HERE, Kind::plain, [&] { set_current_device(index); });
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr name, int index) {
  return call(HERE, Kind::plain, [&] {
    device(index);
    *value = attribute(name);
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int index) {
  return call(HERE, Kind::plain, [&] {
    device(index);
    describe(*properties, index);
  });
}

cudaError_t cudaDeviceGetPCIBusId(char *text, int size, int index) {
  return call(HERE, Kind::plain, [&] {
    device(index);
    const std::string id = format("0000:%02x:00.0", index + 1);
    if (!text || size <= int(id.size())) throw Error(cudaErrorInvalidValue, "too small");
    strcpy(text, id.c_str());
  });
}

cudaError_t cudaDeviceReset(void) {
  return call(HERE, Kind::release, [&] {
    forbid_while_capturing();
    current_device().reset();
  });
}

/* These do not touch the driver. */
cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = cuda_version;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
  *version = device_count() ? cuda_version : 0;
  return cudaSuccess;
}

}  // extern "C"
