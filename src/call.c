#include "call.h"

#include <string.h>

#include "merge.h"
#include "packed.h"
#include "run.h"

/* The tensors of a call are shown to the steps where they are, or packed behind the plan's workspace. For
 * a plan alone, out is taken to be where x is. */
static xattn_status place_tensors(const xattn_call *call, xattn_prepared *p) {
  xattn_handle *handle = call->handle;
  p->workspace = p->plan.workspace;
  xattn_status status = xattn_stage_plan(handle, call->x, &p->workspace, &p->x);
  if (!status) status = xattn_stage_plan(handle, call->y, &p->workspace, &p->y);
  if (!status) status = xattn_stage_plan(handle, call->k, &p->workspace, &p->k);
  if (!status) status = xattn_stage_plan(handle, call->v, &p->workspace, &p->v);
  if (status || !call->shape_only) {
    return status ? status : xattn_stage_plan(handle, call->out, &p->workspace, &p->out);
  }
  xattn_tensor out = *call->x;
  out.shape[out.rank - 1] = call->layer->info.out_dim;
  for (int32_t i = 0; i < out.rank; i++) out.strides[i] = 1; /* none is repeated */
  xattn_place room;
  p->out = (xattn_place){.offset = -1};
  return xattn_stage_plan(handle, &out, &p->workspace, &room);
}

/* A plan by name, or the one that was chosen for the same problem before. */
static xattn_status plan(const xattn_call *call, xattn_prepared *p) {
  xattn_handle *handle = call->handle;
  const char *name = call->options.plan;
  bool chosen = !name || strcmp(name, "auto") == 0;
  if (chosen) name = xattn_choice_recall(&handle->choices, &p->problem);
  xattn_status status =
      xattn_plan_make(&handle->error, &p->problem, &handle->rates, name, &p->plan);
  if (!status && chosen && !name) xattn_choice_note(&handle->choices, &p->problem, p->plan.form);
  return status;
}

xattn_status xattn_call_prepare(const xattn_call *call, xattn_prepared *p) {
  xattn_handle *handle = call->handle;
  xattn_limits limits = handle->backend->limits(handle->device);
  xattn_status status = xattn_check_call(&handle->error, call, &limits, &p->problem, &p->lengths);
  if (!status) status = plan(call, p);
  return status ? status : place_tensors(call, p);
}

/* What must hold before anything is enqueued. */
static xattn_status begin(const xattn_call *call, const xattn_prepared *p) {
  xattn_handle *handle = call->handle;
  bool capturing;
  xattn_status status = xattn_handle_begin(handle, &capturing);
  if (!status && capturing && p->workspace > p->plan.workspace)
    status = xattn_fail(&handle->error, XATTN_ERROR_CAPTURE,
                        "x, y or out: lies in host memory, which a graph cannot copy; use tensors "
                        "on the device");
  if (!status && call->context)
    status = handle->backend->acquire(&handle->error, handle->device, &call->context->memory);
  return status;
}

/* What the context keeps. */
static void context_slots(const xattn_context *context, char *slot[XATTN_SLOT_COUNT]) {
  const xattn_layout *at = &context->layout;
  char *memory = context->memory.data;
  slot[XATTN_SLOT_K] = memory + at->k;
  slot[XATTN_SLOT_V] = memory + at->v;
  slot[XATTN_SLOT_RAW] = memory + at->raw;
  slot[XATTN_SLOT_KEY_BIAS] = memory + at->key_bias;
}

xattn_status xattn_call_execute(const xattn_call *call, const xattn_prepared *p) {
  xattn_handle *handle = call->handle;
  char *workspace;
  xattn_run run = {.backend = handle->backend, .device = handle->device, .lengths = p->lengths};
  xattn_status status = begin(call, p);
  if (!status && call->layer)
    status = xattn_layer_merge(handle, call->layer, p->plan.form, run.slot);
  if (!status) status = xattn_workspace(handle, p->workspace, &workspace);
  if (!status) status = xattn_stage_in(handle, &p->x, p->problem.dtype, workspace);
  if (!status) status = xattn_stage_in(handle, &p->y, p->problem.dtype, workspace);
  if (!status) status = xattn_stage_in(handle, &p->k, p->problem.dtype, workspace);
  if (!status) status = xattn_stage_in(handle, &p->v, p->problem.dtype, workspace);
  if (status) return status;

  if (call->layer)
    for (int slot = XATTN_SLOT_WQ; slot <= XATTN_SLOT_BO; slot++)
      run.slot[slot] = call->layer->weight[slot];
  run.slot[XATTN_SLOT_X] = xattn_stage_address(&p->x, workspace);
  run.slot[XATTN_SLOT_Y] = xattn_stage_address(&p->y, workspace);
  run.slot[XATTN_SLOT_OUT] = xattn_stage_address(&p->out, workspace);
  run.slot[XATTN_SLOT_K] = xattn_stage_address(&p->k, workspace);
  run.slot[XATTN_SLOT_V] = xattn_stage_address(&p->v, workspace);
  if (call->context) context_slots(call->context, run.slot);
  run.slot[XATTN_SLOT_WORKSPACE] = workspace;
  if (call->layer) status = xattn_layer_pack(handle, call->layer, &p->plan, &run);
  if (!status) status = xattn_run_plan(&handle->error, &run, &p->plan);
  handle->stats.launches += run.launches;
  if (!status) status = xattn_stage_out(handle, &p->out, workspace);
  if (status) return status;
  handle->stats.calls++;
  handle->stats.flops += p->plan.cost.flops;
  return XATTN_OK;
}

xattn_status xattn_call_begin(xattn_handle *handle, const xattn_layer *layer,
                              const xattn_options *options, xattn_call *call) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  if (!layer) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "layer: is NULL");
  xattn_status status = xattn_same_device(handle, "layer", &layer->memory);
  if (status) return status;
  call->handle = handle;
  call->layer = layer;
  return xattn_check_options(error, options, &call->options);
}
