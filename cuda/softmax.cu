/* One instance of a kernel for every pair of dtypes, and for rows that are aligned or not. */
#include "launch.cuh"
#include "softmax_long.cuh"

namespace {

constexpr long long most_blocks = 0x7fffffff; /* of grid.x; y and z end at 65,535 */

template <class In, class Out, int V>
cudaError_t launch_kind(const xattn_softmax_arguments &a, xattn_softmax_kind kind,
                        cudaStream_t stream) {
  const long long rows = a.items * a.groups * a.rows;
  const bool by_warp = kind == XATTN_SOFTMAX_WARP_8 || kind == XATTN_SOFTMAX_WARP_32;
  const long long wanted = by_warp ? (rows + rows_per_block - 1) / rows_per_block : rows;
  const unsigned blocks = static_cast<unsigned>(wanted < most_blocks ? wanted : most_blocks);
  constexpr unsigned warp_threads = rows_per_block * warp_size;
  switch (kind) {
    case XATTN_SOFTMAX_WARP_8:
      return launch(softmax_warp<In, Out, V, 8>, blocks, warp_threads, 0, stream, a);
    case XATTN_SOFTMAX_WARP_32:
      return launch(softmax_warp<In, Out, V, 32>, blocks, warp_threads, 0, stream, a);
    case XATTN_SOFTMAX_BLOCK: {
      const size_t shared = static_cast<size_t>((a.n + V - 1) / V * V) * sizeof(float);
      return launch(softmax_block<In, Out, V>, blocks, block_threads, shared, stream, a);
    }
    case XATTN_SOFTMAX_ONLINE:
      return launch(softmax_online<In, Out, V>, blocks, block_threads, 0, stream, a);
  }
  return cudaErrorInvalidValue;
}

/* As many elements as the wider side has in 16 bytes. */
template <class In, class Out>
cudaError_t launch_pair(const xattn_softmax_arguments &a, xattn_softmax_kind kind, bool aligned,
                        cudaStream_t stream) {
  constexpr int width = 16 / (sizeof(In) > sizeof(Out) ? sizeof(In) : sizeof(Out));
  return aligned ? launch_kind<In, Out, width>(a, kind, stream)
                 : launch_kind<In, Out, 1>(a, kind, stream);
}

template <class In>
cudaError_t launch_from(const xattn_softmax_arguments &a, xattn_dtype out, xattn_softmax_kind kind,
                        bool aligned, cudaStream_t stream) {
  switch (out) {
    case XATTN_F32:
      return launch_pair<In, float>(a, kind, aligned, stream);
    case XATTN_F16:
      return launch_pair<In, __half>(a, kind, aligned, stream);
    case XATTN_BF16:
      return launch_pair<In, __nv_bfloat16>(a, kind, aligned, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t xattn_cuda_launch_softmax(const xattn_softmax_arguments *arguments, xattn_dtype in,
                                      xattn_dtype out, xattn_softmax_kind kind, int aligned,
                                      cudaStream_t stream) {
  switch (in) {
    case XATTN_F32:
      return launch_from<float>(*arguments, out, kind, aligned, stream);
    case XATTN_F16:
      return launch_from<__half>(*arguments, out, kind, aligned, stream);
    case XATTN_BF16:
      return launch_from<__nv_bfloat16>(*arguments, out, kind, aligned, stream);
    default:
      return cudaErrorInvalidValue;
  }
}
