/* Contexts: what a layer's plans want of y, resident. */
#include <stdio.h>
#include <stdlib.h>

#include "call.h"

/* The backends take lengths from host memory. */
static xattn_status copy_lengths(xattn_handle *handle, int64_t count, xattn_lengths lengths,
                                 xattn_context *made) {
  if (!lengths.count || count == 0) return XATTN_OK;
  made->lengths = malloc((size_t)count * sizeof *made->lengths);
  if (!made->lengths)
    return xattn_fail(&handle->error, XATTN_ERROR_MEMORY, "context: out of memory");
  for (int64_t b = 0; b < count; b++) made->lengths[b] = lengths.count[b * lengths.step];
  return XATTN_OK;
}

/* Room for what the plan's form keeps. */
static xattn_status context_memory(xattn_handle *handle, const xattn_prepared *prepared,
                                   xattn_context *made) {
  const xattn_problem *p = &prepared->problem;
  made->form = prepared->plan.form;
  made->store = p->store;
  made->store.scores = xattn_form_keeps_scores(made->form);
  made->store.values = xattn_form_keeps_values(made->form);
  if (!xattn_store_layout(p, &made->store, &made->layout))
    return xattn_fail(&handle->error, XATTN_ERROR_MEMORY,
                      "context: %lld × %lld rows are larger than memory can be",
                      (long long)p->context_batch, (long long)made->store.capacity);
  return xattn_memory_new(handle, (size_t)made->layout.bytes, &made->memory);
}

xattn_status xattn_context_create(xattn_handle *handle, const xattn_layer *layer,
                                  const xattn_tensor *y, const xattn_options *options,
                                  xattn_context **context) {
  if (!context) return xattn_fail(xattn_error_of(handle), XATTN_ERROR_ARGUMENT, "context: is NULL");
  *context = NULL;
  xattn_call call = {.task = XATTN_TASK_CONTEXT, .y = y};
  xattn_prepared prepared;
  xattn_status status = xattn_call_begin(handle, layer, options, &call);
  if (!status) status = xattn_call_prepare(&call, &prepared);
  if (status) return status;

  xattn_context *made = calloc(1, sizeof *made);
  if (!made) return xattn_fail(&handle->error, XATTN_ERROR_MEMORY, "context: out of memory");
  made->layer = layer->id;
  made->batch = prepared.problem.batch;
  made->stored_batch = prepared.problem.context_batch;
  made->keys = prepared.problem.keys;
  status = copy_lengths(handle, made->batch, prepared.lengths, made);
  if (!status) status = context_memory(handle, &prepared, made);
  call.context = made;
  if (!status) status = xattn_call_execute(&call, &prepared);
  if (!status) status = handle->backend->publish(&handle->error, handle->device, &made->memory);
  if (status) {
    xattn_context_destroy(made);
    return status;
  }
  *context = made;
  return XATTN_OK;
}

void xattn_context_destroy(xattn_context *context) {
  if (!context) return;
  xattn_memory_free(&context->memory);
  free(context->lengths);
  free(context);
}

xattn_status xattn_context_truncate(xattn_context *context, int64_t keys) {
  xattn_error *error = xattn_thread_error();
  if (!context) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "context: is NULL");
  if (keys < 0 || keys > context->keys)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "keys: %lld is not in 0 to %lld",
                      (long long)keys, (long long)context->keys);
  context->keys = keys;
  for (int64_t b = 0; context->lengths && b < context->batch; b++)
    if (context->lengths[b] > keys) context->lengths[b] = (int32_t)keys;
  return XATTN_OK;
}

xattn_status xattn_context_get_info(const xattn_context *context, xattn_context_info *info) {
  xattn_error *error = xattn_thread_error();
  if (!context) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "context: is NULL");
  xattn_context_info own = {.size = sizeof own,
                            .batch = context->batch,
                            .keys = context->keys,
                            .capacity = context->store.capacity,
                            .bytes = (uint64_t)context->layout.bytes,
                            .dtype = context->store.dtype};
  (void)snprintf(own.form, sizeof own.form, "%s", xattn_form_name(context->form));
  return xattn_write_sized(error, "info", &own, sizeof own, info);
}
