/* The fused scale-softmax of rows too long for a warp: one block a row. */
#ifndef XATTN_CUDA_SOFTMAX_LONG_CUH
#define XATTN_CUDA_SOFTMAX_LONG_CUH

#include "softmax.cuh"

namespace {

constexpr int block_threads = 256;
constexpr int warps = block_threads / warp_size;

/* Every warp's maximum or sum becomes the block's, the same bits in every thread:
 *
 *     warp 0 ─┐
 *     warp 1 ─┼─▶ part[0 … 7] ─▶ each warp reduces the 8 again
 *       …    ─┘
 *
 * The barrier in front lets `part` be used again by the next call. */
__device__ inline float block_max(float x, float *part) {
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  x = warp_max(x);
  __syncthreads();
  if (lane == 0) part[warp] = x;
  __syncthreads();
  return warp_max(lane < warps ? part[lane] : -infinity());
}

__device__ inline float block_sum(float x, float *part) {
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  x = warp_sum(x);
  __syncthreads();
  if (lane == 0) part[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? part[lane] : 0.0f);
}

template <class Out>
__device__ inline void clear(Out *out, long long from, long long n) {
  for (long long j = from + threadIdx.x; j < n; j += block_threads) out[j] = narrow<Out>(0.0f);
}

/* Shared memory as packs of V: 16 bytes at a time, neighbouring threads at neighbouring places, so that no two
 * meet in a bank. Eight floats are kept as two halves, one row of packs apart:
 *
 *     pack    0         1         2     …   packs - 1     0         1     …
 *          ┌─────────┬─────────┬───────────────────────┬─────────┬─────────
 *          │ 0 1 2 3 │ 0 1 2 3 │ …                     │ 4 5 6 7 │ 4 5 6 7
 */
template <int V>
__device__ inline void hold(float *held, int packs, int pack, const float (&x)[V]) {
  if constexpr (V == 1) {
    held[pack] = x[0];
  } else {
#pragma unroll
    for (int q = 0; q < V / 4; q++)
      reinterpret_cast<float4 *>(held)[q * packs + pack] =
          make_float4(x[4 * q], x[4 * q + 1], x[4 * q + 2], x[4 * q + 3]);
  }
}

template <int V>
__device__ inline void recall(const float *held, int packs, int pack, float (&x)[V]) {
  if constexpr (V == 1) {
    x[0] = held[pack];
  } else {
#pragma unroll
    for (int q = 0; q < V / 4; q++) {
      const float4 part = reinterpret_cast<const float4 *>(held)[q * packs + pack];
      x[4 * q] = part.x;
      x[4 * q + 1] = part.y;
      x[4 * q + 2] = part.z;
      x[4 * q + 3] = part.w;
    }
  }
}

/* The row is read once into shared memory. Each thread comes back to the packs that it held itself, so the
 * only barriers are those of the reductions. */
template <class In, class Out, int V>
__global__ void __launch_bounds__(block_threads)
    softmax_block(const __grid_constant__ xattn_softmax_arguments a) {
  extern __shared__ __align__(16) float held[];
  __shared__ float part[warps];
  const long long rows = a.items * a.groups * a.rows;
  const int room = static_cast<int>((a.n + V - 1) / V); /* n is at most XATTN_SOFTMAX_SHARED */
  for (long long index = blockIdx.x; index < rows; index += gridDim.x) {
    const row_at<In, Out> row(a, index);
    const int keys = static_cast<int>(row.keys), packs = (keys + V - 1) / V;
    float maximum = -infinity();
    for (int p = threadIdx.x; p < packs; p += block_threads) {
      float x[V];
      load_until<V>(row.in, p * V, keys, -infinity(), x);
      hold<V>(held, room, p, x);
#pragma unroll
      for (int e = 0; e < V; e++) maximum = fmaxf(maximum, x[e]);
    }
    maximum = not_minus_infinity(block_max(maximum, part));
    float sum = 0.0f;
    for (int p = threadIdx.x; p < packs; p += block_threads) {
      float x[V];
      recall<V>(held, room, p, x);
#pragma unroll
      for (int e = 0; e < V; e++) {
        x[e] = exponential(x[e], maximum, a.scale);
        sum += x[e];
      }
      hold<V>(held, room, p, x);
    }
    const float inverse = inverse_of(block_sum(sum, part));
    for (int p = threadIdx.x; p < packs; p += block_threads) {
      float x[V];
      recall<V>(held, room, p, x);
#pragma unroll
      for (int e = 0; e < V; e++) x[e] *= inverse;
      store_until<V>(row.out, p * V, keys, x);
    }
    clear(row.out, keys, a.n);
  }
}

/* The online softmax (Milakov and Gimelshein 2018): one reading keeps, per thread, the largest score so
 * far and the sum of exponentials relative to it, rescaling the sum when the largest moves; a second
 * reading writes the result. For rows that no shared memory holds. */
template <class In, class Out, int V>
__global__ void __launch_bounds__(block_threads)
    softmax_online(const __grid_constant__ xattn_softmax_arguments a) {
  __shared__ float part[warps];
  const long long rows = a.items * a.groups * a.rows;
  constexpr int step = block_threads * V;
  for (long long index = blockIdx.x; index < rows; index += gridDim.x) {
    const row_at<In, Out> row(a, index);
    float own = -infinity(), sum = 0.0f; /* this thread's maximum, and its sum relative to it */
    for (long long j = threadIdx.x * V; j < row.keys; j += step) {
      float x[V], next = own;
      load_until<V>(row.in, j, row.keys, -infinity(), x);
#pragma unroll
      for (int e = 0; e < V; e++) next = fmaxf(next, x[e]);
      const float reference = not_minus_infinity(next);
      sum *= exponential(own, reference, a.scale); /* 0·0 as long as own is -inf */
#pragma unroll
      for (int e = 0; e < V; e++) sum += exponential(x[e], reference, a.scale);
      own = next;
    }
    const float maximum = not_minus_infinity(block_max(own, part));
    sum *= exponential(own, maximum, a.scale); /* 0 for a thread that saw -inf alone */
    const float inverse = inverse_of(block_sum(sum, part));
    for (long long j = threadIdx.x * V; j < row.keys; j += step) {
      float x[V];
      load_until<V>(row.in, j, row.keys, -infinity(), x);
#pragma unroll
      for (int e = 0; e < V; e++) x[e] = exponential(x[e], maximum, a.scale) * inverse;
      store_until<V>(row.out, j, row.keys, x);
    }
    clear(row.out, row.keys, a.n);
  }
}

}  // namespace

#endif
