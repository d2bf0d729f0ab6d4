/* Deterministic random tensors: the same on every machine and in every run. */
#ifndef XATTN_APPS_RANDOM_H
#define XATTN_APPS_RANDOM_H

#include <stdint.h>
#include <xattn.h>

/* A dense F32 tensor of rank 1 to 3 in new memory, which the caller frees (tensor.data). Its values
 * are uniform in ±1/√width, width being the last extent, so that sums over a row stay near 1.
 * data is NULL if memory is out. */
xattn_tensor random_tensor(uint64_t seed, int32_t rank, const int64_t *shape);

#endif
