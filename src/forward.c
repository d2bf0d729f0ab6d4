/* The entry points of the forward pass. */
#include <stdio.h>

#include "call.h"

static bool nothing_to_do(const xattn_problem *problem) {
  return problem->batch == 0 || problem->queries == 0;
}

xattn_status xattn_forward_once(xattn_handle *handle, const xattn_layer *layer,
                                const xattn_tensor *x, const xattn_tensor *y,
                                const xattn_options *options, const xattn_tensor *out) {
  xattn_call call = {.task = XATTN_TASK_ONCE, .x = x, .y = y, .out = out};
  xattn_prepared prepared;
  xattn_status status = xattn_call_begin(handle, layer, options, &call);
  if (!status) status = xattn_call_prepare(&call, &prepared);
  if (status || nothing_to_do(&prepared.problem)) return status;
  return xattn_call_execute(&call, &prepared, NULL, NULL);
}

xattn_status xattn_forward(xattn_handle *handle, const xattn_layer *layer, const xattn_tensor *x,
                           const xattn_context *context, const xattn_options *options,
                           const xattn_tensor *out) {
  xattn_call call = {.task = XATTN_TASK_FORWARD, .x = x, .context = context, .out = out};
  xattn_prepared prepared;
  xattn_status status = xattn_call_begin(handle, layer, options, &call);
  if (!status && !context)
    status = xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT, "context: is NULL");
  if (!status) status = xattn_same_device(handle, "context", &context->memory);
  if (!status) status = xattn_call_prepare(&call, &prepared);
  if (status || nothing_to_do(&prepared.problem)) return status;
  return xattn_call_execute(&call, &prepared, context->k, context->v);
}

xattn_status xattn_attention(xattn_handle *handle, const xattn_tensor *q, const xattn_tensor *k,
                             const xattn_tensor *v, float scale, const xattn_options *options,
                             const xattn_tensor *out) {
  xattn_call call = {.task = XATTN_TASK_ATTENTION,
                     .handle = handle,
                     .x = q,
                     .k = k,
                     .v = v,
                     .scale = scale,
                     .out = out};
  xattn_prepared prepared;
  if (!handle) return xattn_fail(xattn_thread_error(), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_status status = xattn_check_options(&handle->error, options, &call.options);
  if (!status) status = xattn_call_prepare(&call, &prepared);
  if (status || nothing_to_do(&prepared.problem)) return status;
  return xattn_call_execute(&call, &prepared, NULL, NULL);
}

xattn_status xattn_plan(xattn_handle *handle, const xattn_layer *layer, const xattn_tensor *x,
                        const xattn_tensor *y, const xattn_context *context,
                        const xattn_options *options, xattn_plan_info *info) {
  xattn_call call = {.task = context ? XATTN_TASK_FORWARD : XATTN_TASK_ONCE,
                     .x = x,
                     .y = y,
                     .context = context,
                     .shape_only = true};
  xattn_prepared prepared;
  xattn_plan_steps direct;
  xattn_status status = xattn_call_begin(handle, layer, options, &call);
  if (!status && context && y)
    status = xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT,
                        "y: is given beside a context; one of them must be NULL");
  if (!status) status = xattn_call_prepare(&call, &prepared);
  if (!status) status = xattn_plan_make(&handle->error, &prepared.problem, "direct", &direct);
  if (status) return status;
  xattn_plan_info own = {.size = sizeof own,
                         .flops = prepared.plan.flops,
                         .flops_direct = direct.flops,
                         .workspace_bytes = (uint64_t)prepared.workspace};
  (void)snprintf(own.name, sizeof own.name, "%s", prepared.plan.name);
  xattn_plan_text(&prepared.plan, own.text, sizeof own.text);
  return xattn_write_sized(&handle->error, "info", &own, sizeof own, info);
}
