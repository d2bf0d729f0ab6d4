/* The simulated card: an H100 in what a program asks about. CUDASIM_CC=80 makes it take PTX for compute
 * capability 8.0 instead of 9.0, CUDASIM_L2_BYTES gives it another cache, CUDASIM_CLOCKS=0 makes it one that does not
 * tell how fast it and its memory are, as those that share the host's do not. */
#ifndef CUDASIM_CARD_H
#define CUDASIM_CARD_H

#include "settings.h"

namespace cudasim {

const int warp_size = 32;
const int most_threads_per_block = 1024;
const int most_block_x = 1024, most_block_y = 1024, most_block_z = 64;
const int most_grid_x = 2147483647, most_grid_y = 65535, most_grid_z = 65535;

const int multiprocessors = 132;
const int threads_per_multiprocessor = 2048, blocks_per_multiprocessor = 32;
const int registers_per_multiprocessor = 65536, registers_per_block = 65536;

const int shared_by_default = 48 * 1024;
const int shared_reserved_per_block = 1024; /* for the system */

inline int compute_capability() {
  return int(setting("CUDASIM_CC", 90));
}
inline int shared_per_multiprocessor() {
  return compute_capability() >= 90 ? 228 * 1024 : 164 * 1024;
}
inline int most_shared_per_block() { /* after cudaFuncSetAttribute */
  return shared_per_multiprocessor() - shared_reserved_per_block;
}
inline bool tells_clocks() {
  return setting("CUDASIM_CLOCKS", 1) != 0;
}
inline int l2_bytes() {
  return int(setting("CUDASIM_L2_BYTES", 50 << 20));
}

}  // namespace cudasim

#endif
