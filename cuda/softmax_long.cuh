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

/* The row is read once into shared memory. Each thread comes back to the elements that it wrote itself, so
 * the only barriers are those of the reductions. */
template <class In, class Out, int V>
__global__ void __launch_bounds__(block_threads)
    softmax_block(const __grid_constant__ xattn_softmax_arguments a) {
  extern __shared__ __align__(16) float held[];
  __shared__ float part[warps];
  const long long rows = a.items * a.groups * a.rows;
  constexpr int step = block_threads * V;
  for (long long index = blockIdx.x; index < rows; index += gridDim.x) {
    const row_at<In, Out> row(a, index);
    const int keys = static_cast<int>(row.keys); /* at most XATTN_SOFTMAX_SHARED */
    float maximum = -infinity();
    for (int j = threadIdx.x * V; j < keys; j += step) {
      float x[V];
      load_until<V>(row.in, j, keys, -infinity(), x);
      store<V>(held + j, x);
#pragma unroll
      for (int e = 0; e < V; e++) maximum = fmaxf(maximum, x[e]);
    }
    maximum = not_minus_infinity(block_max(maximum, part));
    float sum = 0.0f;
    for (int j = threadIdx.x * V; j < keys; j += step) {
      float x[V];
      load<V>(held + j, x);
#pragma unroll
      for (int e = 0; e < V; e++) {
        x[e] = exponential(x[e], maximum, a.scale);
        sum += x[e];
      }
      store<V>(held + j, x);
    }
    const float inverse = inverse_of(block_sum(sum, part));
    for (int j = threadIdx.x * V; j < keys; j += step) {
      float x[V];
      load<V>(held + j, x);
#pragma unroll
      for (int e = 0; e < V; e++) x[e] *= inverse;
      store_until<V>(row.out, j, keys, x);
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
