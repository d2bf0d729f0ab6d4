/* Strided copies of four dimensions: a thread an element of the output, neighbours along the last
 * dimension, so that a dense output is written in whole sectors.
 *
 *     F32 ──▶ F32, F16 ──▶ F16, BF16 ──▶ BF16     bits of 4 or 2 bytes, whatever they mean
 *     F32 ◀─▶ F16, F32 ◀─▶ BF16                   numbers
 */
#include <type_traits>

#include "elements.cuh"
#include "kernels.h"
#include "launch.cuh"

namespace {

constexpr int block_threads = 256;
constexpr long long most_blocks = 1 << 20; /* each thread then takes several elements */

/* To nearest even; beyond the largest number infinity; NaN stays NaN. */
template <class Out, class In>
__device__ inline Out converted(In x) {
  if constexpr (std::is_same<In, Out>::value)
    return x;
  else
    return narrow<Out>(widen(x));
}

template <class Index, class In, class Out>
__device__ inline void copy_one(const xattn_copy_arguments &a, Index index) {
  const Index rest3 = index / static_cast<Index>(a.shape[3]);
  const Index rest2 = rest3 / static_cast<Index>(a.shape[2]);
  const Index i0 = rest2 / static_cast<Index>(a.shape[1]);
  const long long i3 = index - rest3 * static_cast<Index>(a.shape[3]);
  const long long i2 = rest3 - rest2 * static_cast<Index>(a.shape[2]);
  const long long i1 = rest2 - i0 * static_cast<Index>(a.shape[1]);
  const long long to = static_cast<long long>(i0) * a.out_stride[0] + i1 * a.out_stride[1] +
                       i2 * a.out_stride[2] + i3 * a.out_stride[3];
  In value = In();
  if (a.in)
    value = static_cast<const In *>(
        a.in)[static_cast<long long>(i0) * a.in_stride[0] + i1 * a.in_stride[1] +
              i2 * a.in_stride[2] + i3 * a.in_stride[3]];
  static_cast<Out *>(a.out)[to] = converted<Out>(value);
}

/* Division is several times faster in 32 bits, which is enough for most copies. */
template <class Index, class In, class Out>
__global__ void __launch_bounds__(block_threads)
    strided_copy(const __grid_constant__ xattn_copy_arguments a) {
  const long long count = a.shape[0] * a.shape[1] * a.shape[2] * a.shape[3];
  const long long step = static_cast<long long>(gridDim.x) * block_threads;
  for (long long i = static_cast<long long>(blockIdx.x) * block_threads + threadIdx.x; i < count;
       i += step)
    copy_one<Index, In, Out>(a, static_cast<Index>(i));
}

template <class In, class Out>
cudaError_t copy_elements(const xattn_copy_arguments &a, cudaStream_t stream) {
  const long long count = a.shape[0] * a.shape[1] * a.shape[2] * a.shape[3];
  const long long wanted = (count + block_threads - 1) / block_threads;
  const unsigned blocks = static_cast<unsigned>(wanted < most_blocks ? wanted : most_blocks);
  return count >> 32 ? launch(strided_copy<unsigned long long, In, Out>, blocks, block_threads, 0,
                              stream, a)
                     : launch(strided_copy<unsigned, In, Out>, blocks, block_threads, 0, stream, a);
}

template <class Half>
cudaError_t copy_half(const xattn_copy_arguments &a, xattn_dtype in, xattn_dtype out,
                      cudaStream_t stream) {
  if (in == out) return copy_elements<unsigned short, unsigned short>(a, stream);
  if (in == XATTN_F32) return copy_elements<float, Half>(a, stream);
  return out == XATTN_F32 ? copy_elements<Half, float>(a, stream) : cudaErrorInvalidValue;
}

}  // namespace

cudaError_t xattn_cuda_launch_copy(const xattn_copy_arguments *arguments, xattn_dtype in,
                                   xattn_dtype out, cudaStream_t stream) {
  if (in == XATTN_F32 && out == XATTN_F32)
    return copy_elements<unsigned, unsigned>(*arguments, stream);
  switch (in == XATTN_F32 ? out : in) {
    case XATTN_F16:
      return copy_half<__half>(*arguments, in, out, stream);
    case XATTN_BF16:
      return copy_half<__nv_bfloat16>(*arguments, in, out, stream);
    default:
      return cudaErrorInvalidValue;
  }
}
