/* The flow that every call follows: begin, prepare (check, then plan), execute. */
#ifndef XATTN_CALL_H
#define XATTN_CALL_H

#include "check.h"
#include "stage.h"

/* What a call on a layer needs before its tensors are looked at: a handle and a layer of one
 * device, options that can be read. */
xattn_status xattn_call_begin(xattn_handle *handle, const xattn_layer *layer,
                              const xattn_options *options, xattn_call *call);

/* A checked and planned call: what execute needs. */
typedef struct xattn_prepared {
  xattn_problem problem;
  xattn_plan_steps plan;
  xattn_lengths lengths;
  int64_t workspace; /* bytes: the plan's, then the packed host tensors */
  xattn_place x, y, k, v, out;
} xattn_prepared;

/* Checks the call and plans it. Nothing on the device is touched. */
xattn_status xattn_call_prepare(const xattn_call *call, xattn_prepared *prepared);

/* Makes room in the workspace and runs the plan. call->context may have been made since. */
xattn_status xattn_call_execute(const xattn_call *call, const xattn_prepared *prepared);

#endif
