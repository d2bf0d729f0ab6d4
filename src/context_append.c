/* Rows behind those that a context has. Items of different lengths are appended to in runs of one length. */
#include <stdlib.h>

#include "call.h"
#include "tensor.h"

static int64_t length_of(const xattn_context *context, int64_t item) {
  return context->lengths ? context->lengths[item] : context->keys;
}

static int64_t added_to(const xattn_lengths *added, int64_t item, int64_t rows) {
  return added->count ? added->count[item * added->step] : rows;
}

/* ------------------------------------------------------------------ growing */

/* One kind of what is kept, moved to where it lies in larger memory: from one offset to the other, `groups` blocks an item
 * of `width` elements a row. */
static xattn_status move(xattn_handle *handle, const xattn_context *context, xattn_dtype dtype,
                         int64_t from, const xattn_memory *memory, int64_t to, int64_t capacity,
                         int64_t groups, int64_t width) {
  xattn_status status = XATTN_OK;
  if (width == 0 || groups == 0) return status;
  int64_t item = (int64_t)xattn_dtype_size(dtype), before = context->store.capacity * width;
  int64_t after = capacity * width;
  bool single = context->stored_batch < context->batch;
  for (int64_t b = 0; b < context->stored_batch && !status; b++) {
    int64_t rows = single ? context->keys : length_of(context, b);
    xattn_copy copy = {.shape = {1, 1, groups, rows * width},
                       .in_dtype = dtype,
                       .out_dtype = dtype,
                       .in = (char *)context->memory.data + from + b * groups * before * item,
                       .out = (char *)memory->data + to + b * groups * after * item,
                       .in_stride = {0, 0, before, 1},
                       .out_stride = {0, 0, after, 1}};
    handle->stats.launches++;
    status = handle->backend->copy(&handle->error, handle->device, &copy);
  }
  return status;
}

static xattn_status move_all(xattn_handle *handle, const xattn_context *context,
                             const xattn_memory *memory, const xattn_layout *to, int64_t capacity) {
  const xattn_layout *from = &context->layout;
  xattn_dtype dtype = context->store.dtype;
  xattn_status status =
      move(handle, context, dtype, from->k, memory, to->k, capacity, 1, to->k_width);
  if (!status)
    status = move(handle, context, dtype, from->v, memory, to->v, capacity, 1, to->v_width);
  if (!status)
    status = move(handle, context, dtype, from->raw, memory, to->raw, capacity, 1, to->raw_width);
  if (!status)
    status = move(handle, context, XATTN_F32, from->key_bias, memory, to->key_bias, capacity,
                  to->bias_heads, 1);
  return status;
}

static xattn_status grow(xattn_handle *handle, const xattn_problem *p, int64_t rows,
                         xattn_context *context) {
  xattn_store store = context->store;
  xattn_layout layout;
  store.capacity = 2 * store.capacity > rows ? 2 * store.capacity : rows;
  if (store.capacity > p->limits.max_extent) store.capacity = p->limits.max_extent;
  xattn_problem sized = *p;
  sized.context_batch = context->stored_batch;
  if (rows > store.capacity || !xattn_store_layout(&sized, &store, &layout))
    return xattn_fail(&handle->error, XATTN_ERROR_MEMORY,
                      "context: %lld rows are larger than memory can be", (long long)rows);
  xattn_memory memory;
  xattn_status status = xattn_memory_new(handle, (size_t)layout.bytes, &memory);
  if (!status) status = move_all(handle, context, &memory, &layout, store.capacity);
  /* The old memory may be another handle's, who is to give it back when the move has read it; the new is whole even
   * if the rows to come fail. */
  if (!status) status = handle->backend->publish(&handle->error, handle->device, &context->memory);
  if (!status) status = handle->backend->publish(&handle->error, handle->device, &memory);
  if (status) {
    xattn_memory_free(&memory);
    return status;
  }
  xattn_memory_free(&context->memory);
  context->memory = memory;
  context->store = store;
  context->layout = layout;
  return XATTN_OK;
}

/* ------------------------------------------------------------------ checks */

static xattn_status check(const xattn_call *call, const xattn_context *context,
                          const xattn_prepared *prepared) {
  xattn_error *error = &call->handle->error;
  const xattn_problem *p = &prepared->problem;
  if (p->batch != context->batch)
    return xattn_fail(error, XATTN_ERROR_SHAPE, "y: batch is %lld, the context has %lld",
                      (long long)p->batch, (long long)context->batch);
  bool single = context->stored_batch < context->batch;
  if (single && p->context_batch != 1)
    return xattn_fail(error, XATTN_ERROR_LAYOUT,
                      "y: its items differ (batch stride %lld), the context was made of equal ones "
                      "(batch stride 0)",
                      (long long)p->y.batch);
  for (int64_t b = 1; single && b < context->batch; b++)
    if (length_of(context, b) != length_of(context, 0) ||
        added_to(&prepared->lengths, b, p->keys) != added_to(&prepared->lengths, 0, p->keys))
      return xattn_fail(error, XATTN_ERROR_UNSUPPORTED,
                        "y: items 0 and %lld of a context of equal ones would differ in length",
                        (long long)b);
  return XATTN_OK;
}

/* The longest item afterwards. */
static int64_t longest(const xattn_context *context, const xattn_prepared *prepared) {
  int64_t most = 0;
  for (int64_t b = 0; b < context->batch; b++) {
    int64_t length =
        length_of(context, b) + added_to(&prepared->lengths, b, prepared->problem.keys);
    if (length > most) most = length;
  }
  return most;
}

/* ------------------------------------------------------------------ appending */

/* Items first to first + count of y, their first `rows` rows, to row `start` of each. */
static xattn_status append_run(const xattn_call *whole, int64_t first, int64_t count, int64_t rows,
                               int64_t start) {
  xattn_tensor y = *whole->y;
  int32_t batched = y.rank == 3;
  xattn_context view = *whole->context;
  if (batched) {
    y.data = (char *)y.data + first * y.strides[0] * (int64_t)xattn_dtype_size(y.dtype);
    y.shape[0] = count;
  }
  y.shape[batched] = rows;
  /* The items of the run as a context of their own. */
  int64_t item = (int64_t)xattn_dtype_size(view.store.dtype) * view.store.capacity * first;
  view.layout.k += item * view.layout.k_width;
  view.layout.v += item * view.layout.v_width;
  view.layout.raw += item * view.layout.raw_width;
  view.layout.key_bias +=
      first * view.layout.bias_heads * view.store.capacity * (int64_t)sizeof(float);
  xattn_call call = *whole;
  call.y = &y;
  call.context = &view;
  call.start = start;
  call.options.key_lengths = NULL;
  xattn_prepared prepared;
  xattn_status status = xattn_call_prepare(&call, &prepared);
  return status ? status : xattn_call_execute(&call, &prepared);
}

static xattn_status append_runs(const xattn_call *call, const xattn_prepared *prepared) {
  const xattn_context *context = call->context;
  int64_t rows = prepared->problem.keys, items = context->stored_batch;
  xattn_status status = XATTN_OK;
  for (int64_t first = 0, next; first < items && !status; first = next) {
    int64_t start = length_of(context, first), added = added_to(&prepared->lengths, first, rows);
    /* Where y repeats one item for items that are stored apart, each is a run. */
    bool repeats = items > 1 && call->y->rank == 3 && call->y->strides[0] == 0;
    for (next = first + 1; next < items && !repeats; next++)
      if (length_of(context, next) != start || added_to(&prepared->lengths, next, rows) != added)
        break;
    /* Equal items go in as they came: the batch with its stride of 0. */
    int64_t count = items < context->batch ? context->batch : next - first;
    if (added) status = append_run(call, first, count, added, start);
  }
  return status;
}

/* Lengths of all items, which are needed as soon as two differ; NULL where they do not. */
static xattn_status new_lengths(const xattn_call *call, const xattn_prepared *prepared,
                                int32_t **lengths) {
  const xattn_context *context = call->context;
  *lengths = NULL;
  if (!context->lengths && !prepared->lengths.count) return XATTN_OK;
  *lengths = malloc((size_t)(context->batch + 1) * sizeof **lengths);
  if (!*lengths)
    return xattn_fail(&call->handle->error, XATTN_ERROR_MEMORY, "context: out of memory");
  for (int64_t b = 0; b < context->batch; b++)
    (*lengths)[b] =
        (int32_t)(length_of(context, b) + added_to(&prepared->lengths, b, prepared->problem.keys));
  return XATTN_OK;
}

xattn_status xattn_context_append(xattn_handle *handle, const xattn_layer *layer,
                                  xattn_context *context, const xattn_tensor *y,
                                  const xattn_options *options) {
  xattn_call call = {.task = XATTN_TASK_CONTEXT, .y = y, .context = context};
  xattn_prepared prepared;
  xattn_status status = xattn_call_begin(handle, layer, options, &call);
  if (status) return status;
  xattn_error *error = &handle->error;
  if (!context) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "context: is NULL");
  status = xattn_same_device(handle, "context", &context->memory);
  if (status) return status;
  if (context->layer != layer->id)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "context: was made with another layer");
  if (call.options.plan)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                      "options.plan: \"%.64s\", must be NULL: the context has its form",
                      call.options.plan);
  call.options.plan = xattn_form_name(context->form);
  status = xattn_call_prepare(&call, &prepared);
  if (!status) status = check(&call, context, &prepared);
  int32_t *lengths = NULL;
  if (!status) status = new_lengths(&call, &prepared, &lengths);
  int64_t keys = status ? 0 : longest(context, &prepared);
  bool capturing;
  if (!status) status = xattn_handle_begin(handle, &capturing);
  if (!status && capturing)
    status = xattn_fail(
        error, XATTN_ERROR_CAPTURE,
        "context: a graph would append to it again and again; append before the capture");
  if (!status) status = handle->backend->acquire(error, handle->device, &context->memory);
  if (!status && keys > context->store.capacity)
    status = grow(handle, &prepared.problem, keys, context);
  if (!status) status = append_runs(&call, &prepared);
  if (!status) status = handle->backend->publish(error, handle->device, &context->memory);
  if (status) {
    free(lengths);
    return status;
  }
  context->keys = keys;
  if (lengths) {
    free(context->lengths);
    context->lengths = lengths;
  }
  return XATTN_OK;
}
