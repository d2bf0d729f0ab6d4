#include "call.h"

#include "run.h"

xattn_status xattn_call_prepare(xattn_handle *handle, const xattn_call *call,
                                xattn_problem *problem, xattn_plan_steps *plan,
                                xattn_lengths *lengths) {
  xattn_limits limits = handle->backend->limits(handle->device);
  xattn_status status = xattn_check_call(&handle->error, call, &limits, problem, lengths);
  if (status) return status;
  return xattn_plan_make(&handle->error, problem, call->options.plan, plan);
}

xattn_status xattn_call_execute(xattn_handle *handle, const xattn_call *call,
                                const xattn_plan_steps *plan, xattn_lengths lengths, float *k,
                                float *v) {
  xattn_status status = xattn_workspace(handle, plan->workspace);
  if (status) return status;
  xattn_run run = {.backend = handle->backend, .device = handle->device, .lengths = lengths};
  if (call->layer)
    for (int slot = XATTN_SLOT_WQ; slot <= XATTN_SLOT_BO; slot++)
      run.slot[slot] = call->layer->weight[slot];
  run.slot[XATTN_SLOT_X] = call->x ? call->x->data : NULL;
  run.slot[XATTN_SLOT_Y] = call->y ? call->y->data : NULL;
  run.slot[XATTN_SLOT_OUT] = call->out ? call->out->data : NULL;
  run.slot[XATTN_SLOT_K] = k;
  run.slot[XATTN_SLOT_V] = v;
  run.slot[XATTN_SLOT_WORKSPACE] = handle->workspace.data;
  status = xattn_run_plan(&handle->error, &run, plan);
  handle->stats.launches += run.launches;
  if (status) return status;
  handle->stats.calls++;
  handle->stats.flops += plan->flops;
  return XATTN_OK;
}

xattn_status xattn_call_begin(xattn_handle *handle, const xattn_layer *layer,
                              const xattn_options *options, xattn_call *call) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  if (!layer) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "layer: is NULL");
  xattn_status status = xattn_same_device(handle, "layer", &layer->memory);
  if (status) return status;
  call->layer = layer;
  return xattn_check_options(error, options, &call->options);
}
