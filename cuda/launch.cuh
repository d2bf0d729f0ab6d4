/* A launch whose result is its own: after <<<>>> one has to ask cudaGetLastError, which also gives what the
 * application left behind. */
#ifndef XATTN_CUDA_LAUNCH_CUH
#define XATTN_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

template <class Arguments>
inline cudaError_t launch(void (*kernel)(Arguments), unsigned blocks, unsigned threads,
                          size_t shared, cudaStream_t stream, const Arguments &arguments) {
  void *list[] = {const_cast<void *>(static_cast<const void *>(&arguments))};
  return cudaLaunchKernel(reinterpret_cast<const void *>(kernel), dim3(blocks), dim3(threads), list,
                          shared, stream);
}

#endif
