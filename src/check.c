#include "check.h"

#include <math.h>
#include <string.h>

#include "stage.h"
#include "tensor.h"

/* [B, N, D] or [N, D] as the steps will see it. */
static xattn_view stream_view(const xattn_call *call, const xattn_tensor *tensor) {
  xattn_tensor t = xattn_as_staged(call->handle, tensor);
  const int64_t *last = t.strides + t.rank - 2;
  return (xattn_view){.batch = t.rank == 3 ? t.strides[0] : 0, .row = last[0], .column = last[1]};
}

/* [B, N, H, D] */
static xattn_view head_view(const xattn_call *call, const xattn_tensor *tensor) {
  xattn_tensor t = xattn_as_staged(call->handle, tensor);
  return (xattn_view){t.strides[0], t.strides[1], t.strides[2], t.strides[3]};
}

static int64_t batch_of(const xattn_tensor *t) {
  return t->rank == 3 ? t->shape[0] : 1;
}

static int64_t rows_of(const xattn_tensor *t) {
  return t->shape[t->rank - 2];
}

static int64_t width_of(const xattn_tensor *t) {
  return t->shape[t->rank - 1];
}

static xattn_status expect(xattn_error *error, const char *name, const xattn_tensor *tensor,
                           const char *what, int64_t value, const char *other, int64_t wanted) {
  if (value == wanted) return XATTN_OK;
  xattn_text text;
  return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: %s is %lld (shape %s), %s %lld", name, what,
                    (long long)value, xattn_shape_text(&text, tensor), other, (long long)wanted);
}

static xattn_status extents(xattn_error *error, const char *name, const xattn_tensor *tensor,
                            int64_t most) {
  for (int32_t i = 0; i < tensor->rank; i++)
    if (tensor->shape[i] > most)
      return xattn_fail(error, XATTN_ERROR_UNSUPPORTED, "%s: shape[%d] is %lld, at most %lld", name,
                        i, (long long)tensor->shape[i], (long long)most);
  return XATTN_OK;
}

static xattn_status stream(xattn_error *error, const xattn_call *call, const char *name,
                           const xattn_tensor *tensor, const xattn_problem *p) {
  if (!tensor) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: is NULL", name);
  xattn_status status =
      xattn_check_operand(call->handle, error, name, tensor, p->dtype, 2, 3, call->shape_only);
  return status ? status : extents(error, name, tensor, p->limits.max_extent);
}

static void from_layer(const xattn_layer *layer, xattn_problem *p) {
  const xattn_layer_info *info = &layer->info;
  p->query_dim = info->query_dim;
  p->context_dim = info->context_dim;
  p->heads = info->heads;
  p->kv_heads = info->kv_heads;
  p->head_dim = info->head_dim;
  p->value_dim = info->value_dim;
  p->out_dim = layer->weight[XATTN_SLOT_WO] ? info->out_dim : 0;
  p->query_bias = layer->weight[XATTN_SLOT_BQ] != NULL;
  p->value_bias = layer->weight[XATTN_SLOT_BV] != NULL;
  p->out_bias = layer->weight[XATTN_SLOT_BO] != NULL;
  p->scale = info->scale;
  p->dtype = info->dtype;
}

/* Equal items, told by a batch stride of 0, are projected once. */
static xattn_status context_stream(xattn_error *error, const xattn_call *call, xattn_problem *p) {
  xattn_status status = stream(error, call, "y", call->y, p);
  if (!status)
    status = expect(error, "y", call->y, "width", width_of(call->y), "key_weight has in_dim",
                    p->context_dim);
  if (status) return status;
  p->y = stream_view(call, call->y);
  p->keys = rows_of(call->y);
  p->batch = batch_of(call->y);
  p->context_batch = p->y.batch == 0 && p->batch > 1 && p->keys > 0 ? 1 : p->batch;
  return XATTN_OK;
}

static xattn_status query_stream(xattn_error *error, const xattn_call *call, xattn_problem *p) {
  const xattn_tensor *x = call->x;
  xattn_status status = stream(error, call, "x", x, p);
  if (!status)
    status = expect(error, "x", x, "width", width_of(x), "query_weight has in_dim", p->query_dim);
  if (status) return status;
  p->x = stream_view(call, x);
  p->queries = rows_of(x);
  return XATTN_OK;
}

static xattn_status output_stream(xattn_error *error, const xattn_call *call, xattn_problem *p) {
  int64_t width = p->out_dim ? p->out_dim : p->heads * p->value_dim;
  if (call->shape_only) { /* planned for a dense output */
    p->out = (xattn_view){p->queries * width, width, p->value_dim, 1};
    return XATTN_OK;
  }
  const xattn_tensor *out = call->out;
  xattn_status status = stream(error, call, "out", out, p);
  if (status) return status;
  status = expect(error, "out", out, "rank", out->rank, "x has", call->x->rank);
  if (!status)
    status = expect(error, "out", out, "batch", batch_of(out), "x has", batch_of(call->x));
  if (!status) status = expect(error, "out", out, "rows", rows_of(out), "x has", p->queries);
  if (!status)
    status = expect(error, "out", out, "width", width_of(out), "the layer's out_dim is", width);
  if (!status) status = xattn_tensor_distinct(error, "out", out);
  if (!status) status = xattn_tensor_disjoint(error, "out", out, "x", call->x);
  if (!status && call->y) status = xattn_tensor_disjoint(error, "out", out, "y", call->y);
  if (status) return status;
  p->out = stream_view(call, out);
  p->out.head = p->value_dim * p->out.column;
  return XATTN_OK;
}

/* Lengths are read while the call runs. */
static xattn_status key_lengths(xattn_error *error, const xattn_call *call, xattn_problem *p,
                                xattn_lengths *lengths) {
  const xattn_tensor *tensor = call->options.key_lengths;
  xattn_status status =
      xattn_check_lengths(error, tensor, p->batch, p->keys, call->shape_only, lengths);
  p->lengths = tensor != NULL;
  if (status || !tensor || !call->out) return status;
  return xattn_tensor_disjoint(error, "out", call->out, "options.key_lengths", tensor);
}

/* What the options say of a context that is made. */
static xattn_status store_of(xattn_error *error, const xattn_call *call, xattn_problem *p) {
  const xattn_options *o = &call->options;
  if (o->expected_uses < 0 || o->expected_queries < 0)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                      "options.expected_uses: %lld, expected_queries: %lld; neither may be below 0",
                      (long long)o->expected_uses, (long long)o->expected_queries);
  if (o->context_capacity && o->context_capacity < p->keys)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                      "options.context_capacity: %lld is below the %lld rows of y",
                      (long long)o->context_capacity, (long long)p->keys);
  if (o->context_capacity > p->limits.max_extent)
    return xattn_fail(error, XATTN_ERROR_UNSUPPORTED,
                      "options.context_capacity: %lld, at most %lld",
                      (long long)o->context_capacity, (long long)p->limits.max_extent);
  xattn_dtype dtype = o->context_dtype ? o->context_dtype : p->dtype;
  bool narrow = p->dtype == XATTN_F32 && (dtype == XATTN_F16 || dtype == XATTN_BF16);
  if (dtype != p->dtype && !narrow)
    return xattn_fail(error, XATTN_ERROR_DTYPE,
                      "options.context_dtype: is %s; must be the layer's, %s%s",
                      xattn_dtype_name(dtype), xattn_dtype_name(p->dtype),
                      p->dtype == XATTN_F32 ? ", or F16 or BF16" : "");
  p->uses = o->expected_uses;
  p->expected_queries = o->expected_queries;
  p->store = (xattn_store){.dtype = dtype,
                           .capacity = o->context_capacity ? o->context_capacity : p->keys};
  return XATTN_OK;
}

/* Options that only a context's maker may set. */
static xattn_status no_store_options(xattn_error *error, const xattn_options *o) {
  const struct {
    const char *name;
    int64_t value;
  } fields[] = {{"expected_uses", o->expected_uses},
                {"expected_queries", o->expected_queries},
                {"context_capacity", o->context_capacity},
                {"context_dtype", o->context_dtype}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (fields[i].value)
      return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                        "options.%s: %lld; it is for xattn_context_create, must be 0 here",
                        fields[i].name, (long long)fields[i].value);
  return XATTN_OK;
}

static xattn_status once(xattn_error *error, const xattn_call *call, xattn_problem *p,
                         xattn_lengths *lengths) {
  xattn_status status = context_stream(error, call, p);
  if (!status) status = query_stream(error, call, p);
  if (!status) status = expect(error, "y", call->y, "rank", call->y->rank, "x has", call->x->rank);
  if (!status) status = expect(error, "y", call->y, "batch", p->batch, "x has", batch_of(call->x));
  if (!status) status = output_stream(error, call, p);
  if (!status) status = key_lengths(error, call, p, lengths);
  if (status) return status;
  return call->shape_only ? store_of(error, call, p) : no_store_options(error, &call->options);
}

static xattn_status forward(xattn_error *error, const xattn_call *call, xattn_problem *p,
                            xattn_lengths *lengths) {
  const xattn_context *context = call->context;
  if (!call->layer || context->layer != call->layer->id)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "context: was made with another layer");
  if (call->options.key_lengths)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                      "options.key_lengths: the context carries its own, this must be NULL");
  xattn_status status = no_store_options(error, &call->options);
  if (!status) status = query_stream(error, call, p);
  if (status) return status;
  p->batch = batch_of(call->x);
  if (context->batch != 1)
    status = expect(error, "x", call->x, "batch", p->batch, "the context has", context->batch);
  p->keys = context->keys;
  p->context_batch = context->stored_batch;
  p->store = context->store;
  p->lengths = context->lengths != NULL;
  if (!status) status = output_stream(error, call, p);
  if (context->lengths)
    *lengths = (xattn_lengths){.count = context->lengths, .step = context->batch == 1 ? 0 : 1};
  return status;
}

/* Rows for a context that is made, or for one that is there, from row call->start on. */
static xattn_status context(xattn_error *error, const xattn_call *call, xattn_problem *p,
                            xattn_lengths *lengths) {
  xattn_status status = context_stream(error, call, p);
  if (!status) status = key_lengths(error, call, p, lengths);
  if (status || !call->context) return status ? status : store_of(error, call, p);
  p->store = call->context->store;
  p->store.start = call->start;
  return no_store_options(error, &call->options);
}

static xattn_status attention_shapes(xattn_error *error, const xattn_call *call, xattn_problem *p) {
  const xattn_tensor *q = call->x, *k = call->k, *v = call->v, *out = call->out;
  xattn_status status = expect(error, "k", k, "batch", k->shape[0], "q has", q->shape[0]);
  if (!status) status = expect(error, "v", v, "batch", v->shape[0], "q has", q->shape[0]);
  if (!status) status = expect(error, "out", out, "batch", out->shape[0], "q has", q->shape[0]);
  if (!status) status = expect(error, "out", out, "rows", out->shape[1], "q has", q->shape[1]);
  if (!status) status = expect(error, "v", v, "rows", v->shape[1], "k has", k->shape[1]);
  if (!status) status = expect(error, "out", out, "heads", out->shape[2], "q has", q->shape[2]);
  if (!status) status = expect(error, "v", v, "heads", v->shape[2], "k has", k->shape[2]);
  if (!status) status = expect(error, "k", k, "head width", k->shape[3], "q has", q->shape[3]);
  if (!status)
    status = expect(error, "out", out, "head width", out->shape[3], "v has", v->shape[3]);
  if (status) return status;
  if (k->shape[2] == 0 || q->shape[2] % k->shape[2])
    return xattn_fail(error, XATTN_ERROR_SHAPE, "k: has %lld heads, must divide q's %lld",
                      (long long)k->shape[2], (long long)q->shape[2]);
  if (q->shape[2] == 0 || q->shape[3] == 0 || v->shape[3] == 0)
    return xattn_fail(error, XATTN_ERROR_SHAPE,
                      "q: has %lld heads of width %lld, v of width %lld; none may be 0",
                      (long long)q->shape[2], (long long)q->shape[3], (long long)v->shape[3]);
  /* A dense copy has rows of heads × width. */
  int64_t most = p->limits.max_extent;
  if (q->shape[2] > most / q->shape[3] || q->shape[2] > most / v->shape[3])
    return xattn_fail(
        error, XATTN_ERROR_UNSUPPORTED, "q: %lld heads × width %lld, v × %lld; each at most %lld",
        (long long)q->shape[2], (long long)q->shape[3], (long long)v->shape[3], (long long)most);
  p->dtype = q->dtype;
  p->batch = p->context_batch = q->shape[0];
  p->queries = q->shape[1];
  p->keys = k->shape[1];
  p->heads = q->shape[2];
  p->kv_heads = k->shape[2];
  p->head_dim = q->shape[3];
  p->value_dim = v->shape[3];
  return XATTN_OK;
}

static xattn_status attention(xattn_error *error, const xattn_call *call, xattn_problem *p,
                              xattn_lengths *lengths) {
  const struct {
    const char *name;
    const xattn_tensor *tensor;
  } tensors[] = {{"q", call->x}, {"k", call->k}, {"v", call->v}, {"out", call->out}};
  xattn_status status = XATTN_OK;
  for (int i = 0; i < 4 && !status; i++) {
    status = xattn_check_operand(call->handle, error, tensors[i].name, tensors[i].tensor,
                                 i ? call->x->dtype : 0, 4, 4, false);
    if (!status) status = extents(error, tensors[i].name, tensors[i].tensor, p->limits.max_extent);
  }
  if (!status) status = attention_shapes(error, call, p);
  if (!status) status = xattn_tensor_distinct(error, "out", call->out);
  for (int i = 0; i < 3 && !status; i++)
    status = xattn_tensor_disjoint(error, "out", call->out, tensors[i].name, tensors[i].tensor);
  if (!status) status = key_lengths(error, call, p, lengths);
  if (!status) status = no_store_options(error, &call->options);
  if (status) return status;
  if (!isfinite(call->scale) || call->scale < 0.0F)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "scale: %g must be finite and not below 0",
                      (double)call->scale);
  p->scale = call->scale != 0.0F ? call->scale : (float)(1.0 / sqrt((double)p->head_dim));
  p->x = head_view(call, call->x);
  p->k = head_view(call, call->k);
  p->v = head_view(call, call->v);
  p->out = head_view(call, call->out);
  return XATTN_OK;
}

xattn_status xattn_check_call(xattn_error *error, const xattn_call *call,
                              const xattn_limits *limits, xattn_problem *problem,
                              xattn_lengths *lengths) {
  memset(problem, 0, sizeof *problem); /* padding too: problems are compared as bytes */
  problem->task = call->task;
  problem->limits = *limits;
  *lengths = (xattn_lengths){0};
  if (call->layer) from_layer(call->layer, problem);
  switch (call->task) {
    case XATTN_TASK_ONCE:
      return once(error, call, problem, lengths);
    case XATTN_TASK_CONTEXT:
      return context(error, call, problem, lengths);
    case XATTN_TASK_FORWARD:
      return forward(error, call, problem, lengths);
    case XATTN_TASK_ATTENTION:
      return attention(error, call, problem, lengths);
  }
  return xattn_fail(error, XATTN_ERROR_ARGUMENT, "task: %d is unknown", (int)call->task);
}
