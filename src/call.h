/* The flow that every call follows: begin, prepare (check, then plan), execute. */
#ifndef XATTN_CALL_H
#define XATTN_CALL_H

#include "check.h"

/* What a call on a layer needs before its tensors are looked at: a handle and a layer of one
 * device, options that can be read. */
xattn_status xattn_call_begin(xattn_handle *handle, const xattn_layer *layer,
                              const xattn_options *options, xattn_call *call);

/* Checks the call and plans it. Nothing on the device is touched. */
xattn_status xattn_call_prepare(xattn_handle *handle, const xattn_call *call,
                                xattn_problem *problem, xattn_plan_steps *plan,
                                xattn_lengths *lengths);

/* Makes room in the workspace and runs the plan. k and v are a context's, or the caller's. */
xattn_status xattn_call_execute(xattn_handle *handle, const xattn_call *call,
                                const xattn_plan_steps *plan, xattn_lengths lengths, float *k,
                                float *v);

#endif
