#include "workload.h"

#include <stdlib.h>

#include "commands.h"
#include "device.h"
#include "random.h"
#include "report.h"

/* ------------------------------------------------------------------ sizes */

/* What the layer's parts are called where they go, and their shapes; a bias has columns 0. */
typedef struct part {
  const xattn_tensor **to;
  int64_t rows, columns;
} part;

enum { PARTS = 8 };

static int64_t or_else(int64_t size, int64_t other) {
  return size ? size : other;
}

static int64_t value_width(const bench_case *sizes, int64_t heads) {
  return heads * or_else(sizes->value_dim, sizes->head_dim);
}

static int64_t out_width(const bench_case *sizes) {
  return or_else(sizes->out_dim, value_width(sizes, sizes->heads));
}

/* ------------------------------------------------------------------ the layer */

static xattn_tensor make_part(const part *p, uint64_t seed, bool filled) {
  static const float zero = 0;
  int64_t shape[] = {p->rows, p->columns};
  int32_t rank = p->columns ? 2 : 1;
  if (filled) return random_tensor(seed, rank, shape);
  xattn_tensor tensor = xattn_tensor_dense(&zero, XATTN_F32, rank, shape);
  tensor.strides[0] = tensor.strides[1] = 0;
  return tensor;
}

xattn_status workload_make_layer(workload *work, const bench_case *sizes, bool filled) {
  int64_t kv_heads = or_else(sizes->kv_heads, sizes->heads);
  int64_t query = sizes->heads * sizes->head_dim, key = kv_heads * sizes->head_dim,
          value = value_width(sizes, kv_heads), out = sizes->out_dim;
  bool biases = sizes->biases;
  xattn_layer_weights weights = {
      .size = sizeof weights, .heads = sizes->heads, .kv_heads = kv_heads};
  const part parts[PARTS] = {
      {&weights.query_weight, query, sizes->query_dim},
      {&weights.key_weight, key, sizes->context_dim},
      {&weights.value_weight, value, sizes->context_dim},
      {&weights.out_weight, out, value_width(sizes, sizes->heads)},
      {&weights.query_bias, biases ? query : 0, 0},
      {&weights.key_bias, biases ? key : 0, 0},
      {&weights.value_bias, biases ? value : 0, 0},
      {&weights.out_bias, biases ? out : 0, 0},
  };
  xattn_tensor tensors[PARTS] = {{.data = NULL}};
  xattn_status status = XATTN_OK;
  for (size_t i = 0; i < PARTS && !status; i++) {
    if (!parts[i].rows) continue;
    tensors[i] = make_part(&parts[i], i + 1, filled);
    if (!tensors[i].data) status = XATTN_ERROR_MEMORY;
    *parts[i].to = &tensors[i];
  }
  if (!status) status = xattn_layer_create(work->handle, &weights, &work->layer);
  for (size_t i = 0; filled && i < PARTS; i++) free(tensors[i].data);
  return status;
}

/* ------------------------------------------------------------------ the streams */

static xattn_status make_stream(xattn_handle *handle, uint64_t seed, const int64_t shape[3],
                                bool filled, xattn_tensor *stream) {
  *stream = filled ? random_tensor(seed, 3, shape) : xattn_tensor_dense(NULL, XATTN_F32, 3, shape);
  if (!filled) return XATTN_OK;
  return stream->data ? move_to_device(handle, stream) : XATTN_ERROR_MEMORY;
}

xattn_status workload_make_streams(workload *work, const bench_case *sizes, bool filled) {
  const int64_t x[] = {sizes->batch, sizes->queries, sizes->query_dim},
                y[] = {sizes->batch, sizes->keys, sizes->context_dim},
                out[] = {sizes->batch, sizes->queries, out_width(sizes)};
  xattn_status status = make_stream(work->handle, PARTS + 1, x, filled, &work->x);
  if (!status) status = make_stream(work->handle, PARTS + 2, y, filled, &work->y);
  /* Values are overwritten; writing some now keeps page faults out of the times. */
  return status ? status : make_stream(work->handle, PARTS + 3, out, filled, &work->out);
}

/* ------------------------------------------------------------------ using them */

xattn_status workload_forward(const workload *work, const xattn_context *context,
                              const xattn_options *options) {
  xattn_status status =
      context
          ? xattn_forward(work->handle, work->layer, &work->x, context, options, &work->out)
          : xattn_forward_once(work->handle, work->layer, &work->x, &work->y, options, &work->out);
  return status ? status : xattn_synchronize(work->handle);
}

void workload_free(workload *work) {
  xattn_layer_destroy(work->layer);
  free_tensor(work->handle, &work->x);
  free_tensor(work->handle, &work->y);
  free_tensor(work->handle, &work->out);
  *work = (workload){.handle = work->handle};
}

int workload_failed(const char *subject, const xattn_handle *handle, xattn_status status) {
  if (status == XATTN_ERROR_MEMORY) {
    /* Ours or the library's: last_error need not be about this. */
    complain(subject, "%s", xattn_status_message(status));
  } else {
    complain_status(subject, handle, status);
  }
  return EXIT_FAILED;
}
