#include <stdlib.h>

#include "call.h"

/* Memory of a new context: K, V, and the lengths behind them, each aligned. */
static xattn_status context_memory(xattn_handle *handle, const xattn_problem *problem,
                                   xattn_lengths lengths, xattn_context *made) {
  int64_t rows = problem->context_batch * problem->keys;
  int64_t k = rows * problem->kv_heads * problem->head_dim;
  int64_t v = rows * problem->kv_heads * problem->value_dim;
  enum { FLOATS = XATTN_ALIGNMENT / sizeof(float) };
  k = (k + FLOATS - 1) / FLOATS * FLOATS;
  v = (v + FLOATS - 1) / FLOATS * FLOATS;
  int64_t count = lengths.count ? problem->batch : 0;
  xattn_status status =
      xattn_memory_new(handle, (size_t)(k + v + count) * sizeof(float), &made->memory);
  if (status) return status;
  made->k = made->memory.data;
  made->v = made->memory.data + k;
  if (count == 0) return XATTN_OK;
  int32_t *dense = malloc((size_t)count * sizeof *dense);
  if (!dense) return xattn_fail(&handle->error, XATTN_ERROR_MEMORY, "context: out of memory");
  for (int64_t b = 0; b < count; b++) dense[b] = lengths.count[b * lengths.step];
  size_t bytes = (size_t)count * sizeof *dense;
  float *to = made->memory.data + k + v;
  status = handle->backend->upload(&handle->error, handle->device, to, dense, bytes);
  if (!status) status = handle->backend->synchronize(&handle->error, handle->device);
  handle->stats.bytes_to_device += bytes;
  free(dense);
  made->lengths = (const int32_t *)(const void *)to;
  return status;
}

xattn_status xattn_context_create(xattn_handle *handle, const xattn_layer *layer,
                                  const xattn_tensor *y, const xattn_options *options,
                                  xattn_context **context) {
  if (!context) return xattn_fail(xattn_error_of(handle), XATTN_ERROR_ARGUMENT, "context: is NULL");
  *context = NULL;
  xattn_call call = {.task = XATTN_TASK_CONTEXT, .y = y};
  xattn_problem problem;
  xattn_plan_steps plan;
  xattn_lengths lengths;
  xattn_status status = xattn_call_begin(handle, layer, options, &call);
  if (!status) status = xattn_call_prepare(handle, &call, &problem, &plan, &lengths);
  if (status) return status;

  xattn_context *made = calloc(1, sizeof *made);
  if (!made) return xattn_fail(&handle->error, XATTN_ERROR_MEMORY, "context: out of memory");
  made->layer = layer;
  made->batch = problem.batch;
  made->stored_batch = problem.context_batch;
  made->keys = problem.keys;
  status = context_memory(handle, &problem, lengths, made);
  if (!status) status = xattn_call_execute(handle, &call, &plan, lengths, made->k, made->v);
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
  free(context);
}
