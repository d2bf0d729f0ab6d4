/* What a kernel did, summed per kernel name: deterministic, a model, never a time. */
#ifndef CUDASIM_COUNTERS_H
#define CUDASIM_COUNTERS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cudasim_counters {
  uint64_t launches;
  uint64_t warp_instructions;
  uint64_t lane_instructions;
  uint64_t global_loads, global_stores; /* warp-wide instructions */
  uint64_t global_bytes;                /* asked for by lanes */
  uint64_t global_sectors,
      global_sectors_ideal; /* of 32 bytes; ideal: bytes asked for / 32, rounded up */
  uint64_t shared_accesses, shared_wavefronts; /* wavefronts above accesses are bank conflicts */
  uint64_t tensor_operations;                  /* warp-wide mma instructions */
  uint64_t barriers;
} cudasim_counters;

#ifdef __cplusplus
}
#endif

#endif
