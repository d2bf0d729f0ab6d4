#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"
#include "convert.h"
#include "merge.h"
#include "packed.h"
#include "tensor.h"

/* One weight of a layer: its name, where it goes, the shape it must have (a vector has rows 0). */
typedef struct part {
  const char *name;
  xattn_slot slot;
  const xattn_tensor *tensor;
  int64_t rows, columns;
  size_t offset; /* bytes in the layer's memory */
} part;

enum { PARTS = 8 };

static xattn_status weight_check(xattn_error *error, const char *name, const xattn_tensor *tensor,
                                 int32_t rank) {
  xattn_status status = xattn_tensor_check(error, name, tensor, false);
  if (status) return status;
  xattn_text text;
  if (tensor->rank != rank)
    return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: shape is %s, rank %d is needed", name,
                      xattn_shape_text(&text, tensor), rank);
  if (!xattn_convert_supports(tensor->dtype))
    return xattn_fail(error, XATTN_ERROR_DTYPE, "%s: dtype is %s, must be F32, F16, BF16 or F64",
                      name, xattn_dtype_name(tensor->dtype));
  for (int32_t i = 0; i < rank; i++)
    if (tensor->shape[i] < 1 || tensor->shape[i] > INT32_MAX)
      return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: shape is %s, each must be 1 to %d", name,
                        xattn_shape_text(&text, tensor), INT32_MAX);
  return XATTN_OK;
}

static xattn_status divide(xattn_error *error, const char *name, int64_t rows, const char *what,
                           int64_t heads, int64_t *width) {
  if (rows % heads)
    return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: %lld rows cannot be split into %s %lld", name,
                      (long long)rows, what, (long long)heads);
  *width = rows / heads;
  return XATTN_OK;
}

/* Heads and widths, read off the shapes of the four weights. */
static xattn_status widths(xattn_error *error, const xattn_layer_weights *w,
                           xattn_layer_info *info) {
  xattn_status status = weight_check(error, "query_weight", w->query_weight, 2);
  if (!status) status = weight_check(error, "key_weight", w->key_weight, 2);
  if (!status) status = weight_check(error, "value_weight", w->value_weight, 2);
  if (!status && w->out_weight) status = weight_check(error, "out_weight", w->out_weight, 2);
  if (status) return status;

  const int64_t *query = w->query_weight->shape, *key = w->key_weight->shape,
                *value = w->value_weight->shape;
  info->heads = w->heads ? w->heads : 1;
  info->kv_heads = w->kv_heads ? w->kv_heads : info->heads;
  if (info->heads < 1)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "heads: %lld is below 1",
                      (long long)info->heads);
  if (info->kv_heads < 1 || info->heads % info->kv_heads)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                      "kv_heads: %lld must divide heads, which is %lld", (long long)info->kv_heads,
                      (long long)info->heads);
  info->query_dim = query[1];
  info->context_dim = key[1];
  status = divide(error, "query_weight", query[0], "heads", info->heads, &info->head_dim);
  if (!status)
    status = divide(error, "value_weight", value[0], "kv_heads", info->kv_heads, &info->value_dim);
  if (status) return status;
  if (key[0] != info->kv_heads * info->head_dim)
    return xattn_fail(error, XATTN_ERROR_SHAPE,
                      "key_weight: out_dim %lld, but query_weight's out_dim %lld with %lld of %lld "
                      "heads needs %lld",
                      (long long)key[0], (long long)query[0], (long long)info->kv_heads,
                      (long long)info->heads, (long long)(info->kv_heads * info->head_dim));
  if (value[1] != key[1])
    return xattn_fail(error, XATTN_ERROR_SHAPE, "value_weight: in_dim %lld, key_weight has %lld",
                      (long long)value[1], (long long)key[1]);
  info->out_dim = info->heads * info->value_dim;
  if (w->out_weight) {
    if (w->out_weight->shape[1] != info->out_dim)
      return xattn_fail(error, XATTN_ERROR_SHAPE,
                        "out_weight: in_dim %lld, the joined heads have %lld",
                        (long long)w->out_weight->shape[1], (long long)info->out_dim);
    info->out_dim = w->out_weight->shape[0];
  } else if (w->out_bias) {
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "out_bias: is given without out_weight");
  }
  if (!isfinite(w->scale) || w->scale < 0.0F)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "scale: %g must be finite and not below 0",
                      (double)w->scale);
  info->scale = w->scale != 0.0F ? w->scale : (float)(1.0 / sqrt((double)info->head_dim));
  return XATTN_OK;
}

static xattn_status bias_check(xattn_error *error, const part *bias) {
  if (!bias->tensor) return XATTN_OK;
  xattn_status status = weight_check(error, bias->name, bias->tensor, 1);
  if (status || bias->tensor->shape[0] == bias->columns) return status;
  return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: has %lld elements, its weight has %lld rows",
                    bias->name, (long long)bias->tensor->shape[0], (long long)bias->columns);
}

static void list_parts(const xattn_layer_weights *w, part parts[PARTS]) {
  const xattn_tensor *weights[] = {w->query_weight, w->key_weight, w->value_weight, w->out_weight};
  const xattn_tensor *biases[] = {w->query_bias, w->key_bias, w->value_bias, w->out_bias};
  static const char *const names[] = {"query_weight", "key_weight", "value_weight", "out_weight",
                                      "query_bias",   "key_bias",   "value_bias",   "out_bias"};
  for (int i = 0; i < 4; i++) {
    int64_t rows = weights[i] ? weights[i]->shape[0] : 0;
    parts[i] = (part){.name = names[i],
                      .slot = (xattn_slot)(XATTN_SLOT_WQ + i),
                      .tensor = weights[i],
                      .rows = rows,
                      .columns = weights[i] ? weights[i]->shape[1] : 0};
    parts[4 + i] = (part){.name = names[4 + i],
                          .slot = (xattn_slot)(XATTN_SLOT_BQ + i),
                          .tensor = biases[i],
                          .columns = rows};
  }
}

static int64_t elements(const part *p) {
  return p->tensor ? xattn_tensor_elements(p->tensor) : 0;
}

/* Each weight goes to its place on the device, converted to the layer's dtype on the way. Other streams
 * may use the layer as soon as it is there, so the device is waited for. */
static xattn_status upload(xattn_handle *handle, xattn_layer *layer, const part parts[PARTS]) {
  bool capturing;
  xattn_status status = xattn_handle_begin(handle, &capturing);
  for (int i = 0; i < PARTS && !status; i++) {
    const part *p = &parts[i];
    if (!p->tensor) continue;
    char *to = (char *)layer->memory.data + p->offset;
    status =
        handle->backend->upload(&handle->error, handle->device, to, layer->info.dtype, p->tensor);
    layer->weight[p->slot] = to;
    layer->info.parameters += elements(p);
    handle->stats.bytes_to_device += (uint64_t)elements(p) * xattn_dtype_size(layer->info.dtype);
  }
  return status ? status : handle->backend->synchronize(&handle->error, handle->device);
}

xattn_status xattn_layer_create(xattn_handle *handle, const xattn_layer_weights *weights,
                                xattn_layer **layer) {
  xattn_error *error = xattn_error_of(handle);
  if (!layer) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "layer: is NULL");
  *layer = NULL;
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_layer_weights own;
  xattn_status status = xattn_read_sized(error, "weights", weights, &own, sizeof own);
  xattn_layer made = {.info = {.size = sizeof made.info}};
  if (status) return status;
  made.info.dtype = own.dtype ? own.dtype : XATTN_F32;
  status = xattn_check_dtype(error, "weights", made.info.dtype);
  if (!status) status = widths(error, &own, &made.info);
  if (status) return status;

  part parts[PARTS];
  list_parts(&own, parts);
  for (int i = 4; i < PARTS && !status; i++) status = bias_check(error, &parts[i]);
  if (status) return status;
  size_t bytes = 0;
  bool overflow = false; /* possible only with strides of 0 */
  for (int i = 0; i < PARTS; i++) {
    size_t part_bytes = (size_t)elements(&parts[i]) * xattn_dtype_size(made.info.dtype);
    part_bytes = (part_bytes + XATTN_ALIGNMENT - 1) / XATTN_ALIGNMENT * XATTN_ALIGNMENT;
    parts[i].offset = bytes;
    overflow |= __builtin_add_overflow(bytes, part_bytes, &bytes);
  }
  if (overflow)
    status = xattn_fail(error, XATTN_ERROR_MEMORY, "weights: larger than memory can be");
  if (!status) status = xattn_memory_new(handle, bytes, &made.memory);
  if (status) return status;
  status = upload(handle, &made, parts);
  xattn_layer *result = status ? NULL : malloc(sizeof *result);
  if (result) made.merged = xattn_merged_new();
  if (made.merged) made.packed = xattn_packed_new();
  if (!made.packed) {
    xattn_merged_free(made.merged);
    free(result);
    xattn_memory_free(&made.memory);
    if (!status) status = xattn_fail(error, XATTN_ERROR_MEMORY, "layer: out of memory");
    return status;
  }
  static atomic_uint_fast64_t last_id;
  made.id = atomic_fetch_add(&last_id, 1) + 1;
  *result = made;
  *layer = result;
  return XATTN_OK;
}

xattn_status xattn_layer_get_info(const xattn_layer *layer, xattn_layer_info *info) {
  xattn_error *error = xattn_thread_error();
  if (!layer) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "layer: is NULL");
  return xattn_write_sized(error, "info", &layer->info, sizeof layer->info, info);
}

void xattn_layer_destroy(xattn_layer *layer) {
  if (!layer) return;
  xattn_packed_free(layer->packed);
  xattn_merged_free(layer->merged);
  xattn_memory_free(&layer->memory);
  free(layer);
}
