/* One simulated device: its memory, its streams, and the fault that broke it. */
#ifndef CUDASIM_DEVICE_H
#define CUDASIM_DEVICE_H

#include <driver_types.h>

#include <memory>
#include <string>
#include <vector>

#include "device_memory.h"
#include "settings.h"

namespace cudasim {

class Stream;

class Device {
 public:
  explicit Device(int index);

  const int index;
  DeviceMemory memory;
  std::shared_ptr<Stream> legacy; /* the default stream */
  std::vector<std::shared_ptr<Stream>>
      streams; /* the others; destroyed ones while they have work */

  /* A kernel or a copy did what a GPU punishes. Every call fails from now on. */
  void break_down(const std::string &fault, cudaError_t error);
  cudaError_t sticky_error() const {
    return sticky_error_;
  }
  /* Runs all work of all streams. */
  void synchronize();
  /* cudaDeviceReset: what the program had on the device is gone. */
  void reset();

 private:
  cudaError_t sticky_error_ = cudaSuccess;
};

/* Devices come into being when they are first used; throws Error for a number out of range. */
Device &device(int index);
Device &current_device();
void set_current_device(int index);
/* The device whose memory this is; null for host memory. */
Device *device_of(const void *address);
/* Those that were used so far. */
std::vector<Device *> used_devices();
cudaError_t sticky_error_if_used();
void synchronize_everything();

/* Refuses calls that CUDA forbids while a stream captures: see capture.h. */
void forbid_while_capturing();

}  // namespace cudasim

#endif
