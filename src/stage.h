/* Host tensors in calls on a device with memory of its own: each is given a packed place behind the
 * call's workspace, is copied there before the steps, and the result back behind them. */
#ifndef XATTN_STAGE_H
#define XATTN_STAGE_H

#include "objects.h"

/* True if the tensor lies in host memory and the handle's device cannot use it there. */
bool xattn_is_staged(const xattn_handle *handle, const xattn_tensor *tensor);

/* The tensor that the steps see: itself, or its packed form. */
xattn_tensor xattn_as_staged(const xattn_handle *handle, const xattn_tensor *tensor);

/* Where a tensor of a call is while its steps run. */
typedef struct xattn_place {
  const xattn_tensor *tensor;
  int64_t offset; /* in the workspace; -1: in the tensor's own memory */
} xattn_place;

/* Appends room for the tensor, if it is staged, to a workspace of *bytes. */
xattn_status xattn_stage_plan(xattn_handle *handle, const xattn_tensor *tensor, int64_t *bytes,
                              xattn_place *place);

/* The address while the steps run. */
char *xattn_stage_address(const xattn_place *place, char *workspace);

/* Copies a staged tensor in, converted to the dtype, or out; otherwise does nothing. */
xattn_status xattn_stage_in(xattn_handle *handle, const xattn_place *place, xattn_dtype dtype,
                            char *workspace);
xattn_status xattn_stage_out(xattn_handle *handle, const xattn_place *place, char *workspace);

#endif
