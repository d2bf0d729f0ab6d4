/* The backend's strided-batched GEMM on small whole numbers, whose result is known exactly. */
#ifndef XATTN_TESTS_SUPPORT_GEMM_H
#define XATTN_TESTS_SUPPORT_GEMM_H

#include "support.h"
#include "support_device.h"

/* Levels above a matrix, in masks of those that are shared: with a stride of 0. */
enum { ITEMS = 1, GROUPS = 2, HEADS = 4 };

/* Fails the test unless C is right and nothing beside it was written. g has extents, strides of the bias, limits and how
 * B lies; with g.accumulate, C holds integers already. Of A, B and C it may ask for a leading dimension (0: one with a
 * gap) and in stride[0] for a wider gap between items; of A, B and the bias for a dtype (0: F32). Gaps are NaN. */
void check_shared_gemm(xattn_handle *handle, rng *r, xattn_gemm g, bool bias, int a_shared,
                       int b_shared);

/* Heads of a group share B. */
void check_gemm(xattn_handle *handle, rng *r, xattn_gemm g, bool bias);

#endif
