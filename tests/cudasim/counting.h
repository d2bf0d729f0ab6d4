/* What kernels did, by name, and the models behind two of the numbers of counters.h. */
#ifndef CUDASIM_COUNTING_H
#define CUDASIM_COUNTING_H

#include <string>

#include "counters.h"

namespace cudasim {

/* Adds one launch to the kernel's counters. */
void add_counters(const std::string &kernel, const cudasim_counters &of_launch);

/* A warp instruction by which the lanes of `mask` each access `size` bytes of global memory. */
void count_global(cudasim_counters &counters, const uint64_t address[32], uint32_t mask,
                  unsigned size, bool store);

/* The same for shared memory: 32 banks of 4 bytes. A wavefront serves one word of each bank.
 * Accesses of 8 and 16 bytes go in two and four parts; each part counts as an access of its own. */
void count_shared(cudasim_counters &counters, const uint64_t offset[32], uint32_t mask,
                  unsigned size);

}  // namespace cudasim

#endif
