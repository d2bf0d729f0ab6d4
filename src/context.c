#include <stdlib.h>

#include "call.h"

/* Elements of a kept K or V, rounded up to the alignment; false if memory cannot be that large. */
static bool kept_elements(const xattn_problem *p, int64_t width, int64_t *elements) {
  enum { FLOATS = XATTN_ALIGNMENT / sizeof(float) };
  if (__builtin_mul_overflow(p->context_batch, p->keys, elements) ||
      __builtin_mul_overflow(*elements, p->kv_heads * width, elements) ||
      *elements > INT64_MAX / 16)
    return false;
  *elements = (*elements + FLOATS - 1) / FLOATS * FLOATS;
  return true;
}

/* Memory of a new context: K, V, and the lengths behind them, each aligned. */
static xattn_status context_memory(xattn_handle *handle, const xattn_problem *problem,
                                   xattn_lengths lengths, xattn_context *made) {
  int64_t k, v, count = lengths.count ? problem->batch : 0;
  if (!kept_elements(problem, problem->head_dim, &k) ||
      !kept_elements(problem, problem->value_dim, &v))
    return xattn_fail(&handle->error, XATTN_ERROR_MEMORY,
                      "context: %lld × %lld rows are larger than memory can be",
                      (long long)problem->context_batch, (long long)problem->keys);
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
  made->layer = layer->id;
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
