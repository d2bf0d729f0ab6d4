/* Pinned host memory. A copy from or to it is asynchronous, one with other host memory is not. */
#ifndef CUDASIM_HOST_MEMORY_H
#define CUDASIM_HOST_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <map>

#include "origin.h"

namespace cudasim {

struct PinnedBlock {
  size_t size;
  bool registered; /* the program's own memory, by cudaHostRegister */
  Origin origin;
};

/* By first address. */
std::map<uintptr_t, PinnedBlock> &pinned_blocks();
bool is_pinned(const void *address, size_t n);

}  // namespace cudasim

#endif
