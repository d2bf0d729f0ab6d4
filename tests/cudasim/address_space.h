/* Access to memory by the lanes of a warp, whatever the state space (PTX ISA 5.1): checks, counts,
 * copies. */
#ifndef CUDASIM_ADDRESS_SPACE_H
#define CUDASIM_ADDRESS_SPACE_H

#include "execute.h"

namespace cudasim {

/* How many bytes each lane of the warp asks for, and where. */
struct Accesses {
  Space space;
  unsigned size;
  bool strong;
  uint32_t mask;
  uint64_t address[kLanes];
};

constexpr unsigned kMostBytes = 32; /* of one lane in one access */

/* Lane l's bytes are at data + l * size. */
void read_lanes(Warp &warp, const Accesses &accesses, uint8_t *data);
void write_lanes(Warp &warp, const Accesses &accesses, const uint8_t *data);

/* The bytes of one lane, for an atomic operation. Only global and shared memory have those. */
uint8_t *update_lane(Warp &warp, const Accesses &accesses, int lane);

/* To call before update_lane, once for the instruction. */
void count_update(Warp &warp, const Accesses &accesses);

}  // namespace cudasim

#endif
