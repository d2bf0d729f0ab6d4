/* The kernels as C sees them: plain structs, a launch each. All pointers are device memory; strides and
 * leading dimensions are in elements; a launch is asynchronous on the stream. The callers in *.c choose
 * the variant and answer for what a variant asks of its arguments. */
#ifndef XATTN_CUDA_KERNELS_H
#define XATTN_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdint.h>
#include <xattn.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  XATTN_SOFTMAX_LIMITS = 64,           /* key lengths that travel with one launch */
  XATTN_SOFTMAX_SHORT = 256,           /* keys of a row that a warp holds in 8 registers a lane */
  XATTN_SOFTMAX_MEDIUM = 1024,         /* ... and in 32 */
  XATTN_SOFTMAX_SHARED = 12 * 1024 - 8 /* ... that a block holds in 48 KiB, less 32 bytes */
};

typedef struct xattn_rows {
  void *data;
  int64_t item, group, row; /* strides */
} xattn_rows;

/* out = softmax(scale·in) over rows of n keys:
 *
 *     row (i, g, r)  =  data + i·item + g·group + r·row,   i < items, g < groups, r < rows
 *
 * With `limited`, rows of item i have limit[i] keys (0 to n): behind them in is not read and out is 0;
 * then items is at most XATTN_SOFTMAX_LIMITS. */
typedef struct xattn_softmax_arguments {
  xattn_rows in, out;
  int64_t items, groups, rows, n;
  float scale;
  int32_t limited;
  int32_t limit[XATTN_SOFTMAX_LIMITS];
} xattn_softmax_arguments;

typedef enum xattn_softmax_kind {
  XATTN_SOFTMAX_WARP_8,  /* one warp a row, n <= XATTN_SOFTMAX_SHORT */
  XATTN_SOFTMAX_WARP_32, /* one warp a row, n <= XATTN_SOFTMAX_MEDIUM */
  XATTN_SOFTMAX_BLOCK,   /* one block a row, n <= XATTN_SOFTMAX_SHARED */
  XATTN_SOFTMAX_ONLINE   /* one block a row, any n; reads it twice */
} xattn_softmax_kind;

/* Aligned: data and all strides of both sides are multiples of 16 bytes. Dtypes are F32, F16 or BF16, any
 * pair. In place only where both are the same rows of one dtype. */
cudaError_t xattn_cuda_launch_softmax(const xattn_softmax_arguments *arguments, xattn_dtype in,
                                      xattn_dtype out, xattn_softmax_kind kind, int aligned,
                                      cudaStream_t stream);

/* out[i] = in[i] over four dimensions of any strides; in == NULL writes 0. Of one dtype with itself the bits are
 * moved; F32 becomes F16 or BF16, rounded to nearest even, and the other way round. */
typedef struct xattn_copy_arguments {
  int64_t shape[4], in_stride[4], out_stride[4];
  const void *in;
  void *out;
} xattn_copy_arguments;

cudaError_t xattn_cuda_launch_copy(const xattn_copy_arguments *arguments, xattn_dtype in,
                                   xattn_dtype out, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
