/* Global memory of the simulated device, kept so that mistakes show:
 *
 *   - a device address is mapped without access in host code, which dies with SIGSEGV if it touches it;
 *     the simulator reaches the same bytes through a second mapping of the same memory file;
 *   - every byte knows whether it was written: reading one that was not is a fault;
 *   - blocks lie apart, between gaps that are never valid, and an address is never given out twice: out of
 *     bounds and use after free are faults that name the block;
 *   - a block allocated in stream order is valid only between the points of its stream where the
 *     allocation and the release run.
 */
#ifndef CUDASIM_MEMORY_H
#define CUDASIM_MEMORY_H

#include <cstddef>
#include <cstdint>

#include "fault.h"

namespace cudasim {

class Memory {
 public:
  /* Where the simulator finds the n bytes at a device address. Throws Fault unless they lie in one live
   * block; for reading, unless every one of them was written. `write` marks them written. */
  virtual const uint8_t *read(uint64_t address, size_t n) = 0;
  virtual uint8_t *write(uint64_t address, size_t n) = 0;
  virtual ~Memory() = default;
};

}  // namespace cudasim

#endif
