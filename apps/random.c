#include "random.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* SplitMix64: one word of state, any seed is good. */
static uint64_t next(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

xattn_tensor random_tensor(uint64_t seed, int32_t rank, const int64_t *shape) {
  size_t elements = 1, bytes;
  bool fits = true;
  for (int32_t i = 0; i < rank; i++)
    fits &= !__builtin_mul_overflow(elements, (size_t)shape[i], &elements);
  fits &= !__builtin_mul_overflow(elements, sizeof(float), &bytes);
  float *data = fits ? malloc(bytes) : NULL;
  float scale = 1.0f / sqrtf((float)shape[rank - 1]);
  /* 24 bits are what a float holds: uniform in [-1, 1). */
  for (size_t i = 0; data && i < elements; i++)
    data[i] = scale * ((float)(next(&seed) >> 40) * 0x1p-23f - 1.0f);
  return xattn_tensor_dense(data, XATTN_F32, rank, shape);
}
