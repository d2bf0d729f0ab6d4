/* Strided copies of four dimensions: a thread an element of the output, neighbours along the last
 * dimension, so that a dense output is written in whole sectors. Moves bits; knows no dtypes. */
#include "kernels.h"
#include "launch.cuh"

namespace {

constexpr int block_threads = 256;
constexpr long long most_blocks = 1 << 20; /* each thread then takes several elements */

template <class Index, class T>
__device__ inline void copy_one(const xattn_copy_arguments &a, Index index) {
  const Index rest3 = index / static_cast<Index>(a.shape[3]);
  const Index rest2 = rest3 / static_cast<Index>(a.shape[2]);
  const Index i0 = rest2 / static_cast<Index>(a.shape[1]);
  const long long i3 = index - rest3 * static_cast<Index>(a.shape[3]);
  const long long i2 = rest3 - rest2 * static_cast<Index>(a.shape[2]);
  const long long i1 = rest2 - i0 * static_cast<Index>(a.shape[1]);
  const long long to = static_cast<long long>(i0) * a.out_stride[0] + i1 * a.out_stride[1] +
                       i2 * a.out_stride[2] + i3 * a.out_stride[3];
  T value = 0;
  if (a.in)
    value = static_cast<const T *>(
        a.in)[static_cast<long long>(i0) * a.in_stride[0] + i1 * a.in_stride[1] +
              i2 * a.in_stride[2] + i3 * a.in_stride[3]];
  static_cast<T *>(a.out)[to] = value;
}

/* Division is several times faster in 32 bits, which is enough for most copies. */
template <class Index, class T>
__global__ void __launch_bounds__(block_threads)
    strided_copy(const __grid_constant__ xattn_copy_arguments a) {
  const long long count = a.shape[0] * a.shape[1] * a.shape[2] * a.shape[3];
  const long long step = static_cast<long long>(gridDim.x) * block_threads;
  for (long long i = static_cast<long long>(blockIdx.x) * block_threads + threadIdx.x; i < count;
       i += step)
    copy_one<Index, T>(a, static_cast<Index>(i));
}

template <class T>
cudaError_t copy_elements(const xattn_copy_arguments &a, cudaStream_t stream) {
  const long long count = a.shape[0] * a.shape[1] * a.shape[2] * a.shape[3];
  const long long wanted = (count + block_threads - 1) / block_threads;
  const unsigned blocks = static_cast<unsigned>(wanted < most_blocks ? wanted : most_blocks);
  return count >> 32
             ? launch(strided_copy<unsigned long long, T>, blocks, block_threads, 0, stream, a)
             : launch(strided_copy<unsigned, T>, blocks, block_threads, 0, stream, a);
}

}  // namespace

cudaError_t xattn_cuda_launch_copy(const xattn_copy_arguments *arguments, int element_bytes,
                                   cudaStream_t stream) {
  switch (element_bytes) {
    case 4:
      return copy_elements<unsigned>(*arguments, stream);
    case 2:
      return copy_elements<unsigned short>(*arguments, stream);
    default:
      return cudaErrorInvalidValue;
  }
}
