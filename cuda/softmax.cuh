/* The fused scale-softmax: scale, maximum, exp, sum and division in one read and one write of the scores
 * (two reads in the online form). F32 inside, whatever is read and written.
 *
 *   warp: a row in the registers of one warp            block: a row in shared memory of one block
 *
 *     lane   0    1   …   31                              thread 0    1   …  255
 *          ┌────┬────┬──┬────┐ pack 0                            ┌────┬────┬──┬────┐ read once,
 *          ├────┼────┼──┼────┤ pack 1   V elements a pack,       ├────┼────┼──┼────┤ kept as F32
 *          └────┴────┴──┴────┘   …      E elements a lane        └────┴────┴──┴────┘
 *
 * Numerics, the same as on the CPU. With m the largest score, exp((x - m)·scale) lies in [0, 1]: nothing
 * overflows and the sum is at least 1. Subtracting before scaling keeps equal scores equal. fmaxf skips
 * NaN, the sum does not: a NaN makes its whole row NaN. Where m is -inf, 0 stands in for it: exp(-inf - 0)
 * is 0, the sum is 0, and the row becomes 0 (a query without keys) unless a NaN says otherwise. +inf gives
 * inf - inf = NaN, as it must. What comes between the scale and the maximum (softcap, bias, masks) is to go
 * where the scores are read, in score(). */
#ifndef XATTN_CUDA_SOFTMAX_CUH
#define XATTN_CUDA_SOFTMAX_CUH

#include "elements.cuh"
#include "kernels.h"

namespace {

constexpr int warp_size = 32;
constexpr int rows_per_block = 4; /* of the warp kernels, a warp each */
constexpr unsigned all_lanes = 0xffffffffu;

__device__ inline float infinity() {
  return __int_as_float(0x7f800000);
}

__device__ inline float warp_max(float x) {
#pragma unroll
  for (int step = warp_size / 2; step > 0; step /= 2)
    x = fmaxf(x, __shfl_xor_sync(all_lanes, x, step));
  return x;
}

__device__ inline float warp_sum(float x) {
#pragma unroll
  for (int step = warp_size / 2; step > 0; step /= 2) x += __shfl_xor_sync(all_lanes, x, step);
  return x;
}

__device__ inline float exponential(float x, float maximum, float scale) {
  return expf((x - maximum) * scale);
}

__device__ inline float not_minus_infinity(float maximum) {
  return maximum == -infinity() ? 0.0f : maximum;
}

__device__ inline float inverse_of(float sum) {
  return sum == 0.0f ? 0.0f : 1.0f / sum;
}

/* Where a row lies on either side, and how many keys it has. Most calls have one item and one group, and
 * most indices fit in 32 bits: the divisions, which are slow in 64, are avoided where they can be. */
template <class In, class Out>
struct row_at {
  const In *in;
  Out *out;
  long long keys;

  __device__ row_at(const xattn_softmax_arguments &a, long long index) {
    long long item = 0, group = 0, row = index;
    if (a.items * a.groups > 1) {
      long long outer;
      if (static_cast<unsigned long long>(index | a.rows) >> 32 == 0) {
        outer = static_cast<unsigned>(index) / static_cast<unsigned>(a.rows);
      } else {
        outer = index / a.rows;
      }
      row = index - outer * a.rows;
      item = a.groups == 1 ? outer : outer / a.groups;
      group = outer - item * a.groups;
    }
    in =
        static_cast<const In *>(a.in.data) + item * a.in.item + group * a.in.group + row * a.in.row;
    out =
        static_cast<Out *>(a.out.data) + item * a.out.item + group * a.out.group + row * a.out.row;
    keys = a.limited ? a.limit[item] : a.n;
  }
};

/* One warp a row, E elements a lane in registers, in packs of V. */
template <class In, class Out, int V, int E>
__global__ void __launch_bounds__(rows_per_block *warp_size)
    softmax_warp(const __grid_constant__ xattn_softmax_arguments a) {
  constexpr int packs = E / V;
  const int lane = threadIdx.x % warp_size;
  const long long rows = a.items * a.groups * a.rows;
  const long long step = static_cast<long long>(gridDim.x) * rows_per_block;
  long long index = static_cast<long long>(blockIdx.x) * rows_per_block + threadIdx.x / warp_size;
  for (; index < rows; index += step) {
    const row_at<In, Out> row(a, index);
    float x[packs][V];
    float maximum = -infinity();
#pragma unroll
    for (int p = 0; p < packs; p++) {
      load_until<V>(row.in, (p * warp_size + lane) * V, row.keys, -infinity(), x[p]);
#pragma unroll
      for (int e = 0; e < V; e++) maximum = fmaxf(maximum, x[p][e]);
    }
    maximum = not_minus_infinity(warp_max(maximum));
    float sum = 0.0f;
#pragma unroll
    for (int p = 0; p < packs; p++)
#pragma unroll
      for (int e = 0; e < V; e++) {
        x[p][e] = exponential(x[p][e], maximum, a.scale);
        sum += x[p][e];
      }
    const float inverse = inverse_of(warp_sum(sum));
#pragma unroll
    for (int p = 0; p < packs; p++) {
#pragma unroll
      for (int e = 0; e < V; e++) x[p][e] *= inverse;
      store_until<V>(row.out, (p * warp_size + lane) * V, a.n, x[p]);
    }
  }
}

}  // namespace

#endif
