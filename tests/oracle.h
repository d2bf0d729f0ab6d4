/* The oracle: attention in float64, and the same in plain float32 to measure by. Independent of
 * src/: it shares no code and follows another order of operations where that is exact.
 *
 * Tensors are host float32 of any strides. Results are dense, row-major. */
#ifndef XATTN_TESTS_ORACLE_H
#define XATTN_TESTS_ORACLE_H

#include <stdbool.h>
#include <xattn.h>

/* softmax(scale·q·kᵀ)·v in float64, with q [B, Nq, H, Dh], k [B, Nk, Hkv, Dh], v [B, Nk, Hkv, Dv];
 * lengths [B] or NULL. out [B, Nq, H, Dv]. bracket of the same shape gets the sum in the square
 * brackets of SEMANTICS.md ("How right is right") for float32. */
void oracle_attention(const xattn_tensor *q, const xattn_tensor *k, const xattn_tensor *v,
                      double scale, const int32_t *lengths, double *out, double *bracket);

/* One row of a whole layer: query row x_row [Dq] of batch item `item`, in float64. The projections
 * of K and V are pushed to the query's side, (q·Wk)·yᵀ and (P·y)·Wvᵀ, so that one row costs little
 * even where the context is long. out [Do]. */
void oracle_layer_row(const xattn_layer_weights *weights, const xattn_tensor *x,
                      const xattn_tensor *y, int64_t item, int64_t row, int64_t length,
                      double *out);

/* The plain float32 implementation: K and V of one batch item projected by simple loops, then rows
 * attended to one at a time. */
typedef struct plain plain;
plain *plain_new(const xattn_layer_weights *weights, const xattn_tensor *y, int64_t item,
                 int64_t length);
void plain_row(const plain *p, const xattn_tensor *x, int64_t row, float *out);
void plain_free(plain *p);

/* The end-to-end rule of SEMANTICS.md over the given number of rows of every batch item, spread
 * evenly: the largest error of out is at most 2× the largest error of plain float32, plus 2 ulp of
 * the largest value. lengths [B] or NULL. */
typedef struct layer_verdict {
  double error, plain_error, largest;
  bool right;
} layer_verdict;
layer_verdict oracle_check_layer(const xattn_layer_weights *weights, const xattn_tensor *x,
                                 const xattn_tensor *y, const int32_t *lengths,
                                 const xattn_tensor *out, int64_t rows_per_item);

#endif
