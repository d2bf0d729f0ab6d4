/* The entry points of the forward pass. */
#include <stdio.h>
#include <string.h>

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
  return xattn_call_execute(&call, &prepared);
}

xattn_status xattn_forward(xattn_handle *handle, const xattn_layer *layer, const xattn_tensor *x,
                           const xattn_context *context, const xattn_options *options,
                           const xattn_tensor *out) {
  /* Read only; a call's context is also what append writes. */
  xattn_call call = {
      .task = XATTN_TASK_FORWARD, .x = x, .context = (xattn_context *)context, .out = out};
  xattn_prepared prepared;
  xattn_status status = xattn_call_begin(handle, layer, options, &call);
  if (!status && !context)
    status = xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT, "context: is NULL");
  if (!status) status = xattn_same_device(handle, "context", &context->memory);
  if (!status) status = xattn_call_prepare(&call, &prepared);
  if (status || nothing_to_do(&prepared.problem)) return status;
  return xattn_call_execute(&call, &prepared);
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
  return xattn_call_execute(&call, &prepared);
}

/* The plan of a context for x, and of forwards over it. */
static xattn_status plan_uses(const xattn_call *call, xattn_prepared *forward,
                              xattn_cost *context_cost, char *text, size_t size) {
  xattn_handle *handle = call->handle;
  xattn_error *error = &handle->error;
  xattn_problem context = forward->problem;
  context.task = XATTN_TASK_CONTEXT;
  context.expected_queries = forward->problem.queries;
  xattn_plan_steps made;
  xattn_status status = xattn_plan_make(error, &context, &handle->rates, call->options.plan, &made);
  if (status) return status;
  *context_cost = made.cost;
  xattn_plan_text(&made, text, size);
  xattn_problem use = xattn_plan_use(&context, made.form);
  use.x = forward->problem.x;
  const char *name = call->options.plan ? xattn_form_name(made.form) : NULL;
  return xattn_plan_make(error, &use, &handle->rates, name, &forward->plan);
}

xattn_status xattn_plan(xattn_handle *handle, const xattn_layer *layer, const xattn_tensor *x,
                        const xattn_tensor *y, const xattn_context *context,
                        const xattn_options *options, xattn_plan_info *info) {
  xattn_call call = {.task = context ? XATTN_TASK_FORWARD : XATTN_TASK_ONCE,
                     .x = x,
                     .y = y,
                     .context = (xattn_context *)context,
                     .shape_only = true};
  xattn_prepared prepared;
  xattn_plan_steps direct;
  xattn_status status = xattn_call_begin(handle, layer, options, &call);
  if (!status && context && y)
    status = xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT,
                        "y: is given beside a context; one of them must be NULL");
  if (!status) status = xattn_call_prepare(&call, &prepared);
  if (status) return status;
  xattn_plan_info own = {.size = sizeof own};
  xattn_cost before = {0};
  double uses = 1.0;
  size_t used = 0;
  xattn_problem plain = prepared.problem;
  if (y && call.options.expected_uses > 0) {
    uses = (double)call.options.expected_uses;
    status = plan_uses(&call, &prepared, &before, own.text, sizeof own.text);
    used = strlen(own.text);
  } else if (context) { /* as if K and V were kept */
    plain.store.scores = plain.store.values = XATTN_KEPT_PROJECTED;
  }
  if (!status) status = xattn_plan_make(&handle->error, &plain, &handle->rates, "direct", &direct);
  if (status) return status;
  const xattn_cost *cost = &prepared.plan.cost;
  own.flops = before.flops + uses * cost->flops;
  own.flops_direct = direct.cost.flops;
  own.bytes = before.bytes + uses * cost->bytes;
  own.seconds = before.seconds + uses * cost->seconds;
  own.launches = before.launches + (int64_t)uses * cost->launches;
  own.workspace_bytes = (uint64_t)prepared.workspace;
  (void)snprintf(own.name, sizeof own.name, "%s", xattn_form_name(prepared.plan.form));
  xattn_plan_text(&prepared.plan, own.text + used, sizeof own.text - used);
  return xattn_write_sized(&handle->error, "info", &own, sizeof own, info);
}
