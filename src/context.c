#include <stdlib.h>

#include "call.h"

/* Bytes of a kept K or V, rounded up to the alignment; false if memory cannot be that large. */
static bool kept_bytes(const xattn_problem *p, int64_t width, int64_t *bytes) {
  int64_t item = (int64_t)xattn_dtype_size(p->dtype);
  if (__builtin_mul_overflow(p->context_batch, p->keys, bytes) ||
      __builtin_mul_overflow(*bytes, p->kv_heads * width, bytes) || *bytes > INT64_MAX / 16)
    return false;
  *bytes = (*bytes * item + XATTN_ALIGNMENT - 1) / XATTN_ALIGNMENT * XATTN_ALIGNMENT;
  return true;
}

static xattn_status context_memory(xattn_handle *handle, const xattn_problem *problem,
                                   xattn_context *made) {
  int64_t k, v;
  if (!kept_bytes(problem, problem->head_dim, &k) || !kept_bytes(problem, problem->value_dim, &v))
    return xattn_fail(&handle->error, XATTN_ERROR_MEMORY,
                      "context: %lld × %lld rows are larger than memory can be",
                      (long long)problem->context_batch, (long long)problem->keys);
  xattn_status status = xattn_memory_new(handle, (size_t)(k + v), &made->memory);
  made->k = made->memory.data;
  made->v = (char *)made->memory.data + k;
  return status;
}

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
  if (!status) status = context_memory(handle, &prepared.problem, made);
  if (!status) status = xattn_call_execute(&call, &prepared, made->k, made->v);
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
