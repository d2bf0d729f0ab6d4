/* From the tensors of a call to the numbers of a problem: everything a caller can get wrong is
 * found here, before anything is planned, and named with both values. */
#ifndef XATTN_CHECK_H
#define XATTN_CHECK_H

#include "objects.h"

/* What a call asks for. Pointers that a task does not use are NULL. */
typedef struct xattn_call {
  xattn_task task;
  xattn_handle *handle;
  const xattn_layer *layer;
  const xattn_tensor *x, *y; /* attention: x is q */
  xattn_context *context;    /* forward: read; context: appended to, from row `start` on, or NULL */
  int64_t start;
  const xattn_tensor *k, *v;
  const xattn_tensor *out;
  float scale; /* attention alone */
  xattn_options options;
  bool shape_only; /* data of tensors may be NULL; out is not given */
} xattn_call;

/* Reads a caller's options, NULL for the defaults. */
xattn_status xattn_check_options(xattn_error *error, const xattn_options *callers,
                                 xattn_options *options);

/* Key lengths of `batch` items in 0..keys, or none; count points into the caller's tensor. */
xattn_status xattn_check_lengths(xattn_error *error, const xattn_tensor *lengths, int64_t batch,
                                 int64_t keys, bool shape_only, xattn_lengths *result);

/* A tensor that the handle's device computes with, of this dtype (0: of any), aligned, its rank in a
 * range; then as xattn_tensor_check. */
xattn_status xattn_check_operand(const xattn_handle *handle, xattn_error *error, const char *name,
                                 const xattn_tensor *tensor, xattn_dtype dtype, int32_t least_rank,
                                 int32_t most_rank, bool shape_only);

/* Whether it is a dtype of layers and of calls' tensors. */
xattn_status xattn_check_dtype(xattn_error *error, const char *name, xattn_dtype dtype);

xattn_status xattn_check_call(xattn_error *error, const xattn_call *call,
                              const xattn_limits *limits, xattn_problem *problem,
                              xattn_lengths *lengths);

#endif
