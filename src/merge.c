/* M = Wqᵀ·Wk [H, Dq, Dc] and N = Wo·Wv [Do, H, Dc], per head, and what becomes of the biases:
 *
 *     head h of group g:   M[h] = Wq[h]ᵀ·Wk[g]        from [Dh, Dq] and [Dh, Dc]
 *                          m[h] = bq[h]·Wk[g]         [H, Dc]
 *                          N[·, h, ·] = Wo[·, h]·Wv[g]  from [Do, Dv] and [Dv, Dc]
 *                          n[h] = Wo[·, h]·bv[g]      [H, Do],   total = bo + Σ n[h]   [Do]
 *
 * N lies so that both its uses are products of strided rows: [Do, H·Dc] as it is, and [Do, Dc] of each head. */
#include "merge.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

typedef struct side {
  atomic_bool ready;
  xattn_memory memory;
  char *slot[XATTN_SLOT_COUNT];
} side;

struct xattn_merged {
  pthread_mutex_t lock;
  side scores, values;
};

struct xattn_merged *xattn_merged_new(void) {
  struct xattn_merged *merged = calloc(1, sizeof *merged);
  if (merged) (void)pthread_mutex_init(&merged->lock, NULL);
  return merged;
}

void xattn_merged_free(struct xattn_merged *merged) {
  if (!merged) return;
  xattn_memory_free(&merged->scores.memory);
  xattn_memory_free(&merged->values.memory);
  (void)pthread_mutex_destroy(&merged->lock);
  free(merged);
}

/* ------------------------------------------------------------------ matrices on the host */

/* Host memory of one merge, all of it given back at once. */
enum { MOST_BLOCKS = 12 };
typedef struct scratch {
  xattn_handle *handle;
  const xattn_layer *layer;
  void *block[MOST_BLOCKS];
  int blocks;
  xattn_status status;
} scratch;

static void *take(scratch *s, int64_t count, size_t item) {
  void *block = s->status ? NULL : calloc((size_t)(count ? count : 1), item);
  if (block)
    s->block[s->blocks++] = block;
  else if (!s->status)
    s->status = xattn_fail(&s->handle->error, XATTN_ERROR_MEMORY,
                           "layer: out of memory for merged weights");
  return block;
}

static void give_back(scratch *s) {
  for (int i = 0; i < s->blocks; i++) free(s->block[i]);
}

/* A weight or bias of the layer in float64; NULL where it has none, or after a failure. */
static double *fetch(scratch *s, xattn_slot slot, int64_t count) {
  const xattn_layer *layer = s->layer;
  xattn_dtype dtype = layer->info.dtype;
  if (!layer->weight[slot]) return NULL;
  void *narrow = take(s, count, xattn_dtype_size(dtype));
  double *wide = take(s, count, sizeof *wide);
  if (s->status) return NULL;
  xattn_tensor host = xattn_tensor_dense(narrow, dtype, 1, &count);
  xattn_handle *handle = s->handle;
  s->status = handle->backend->download(&handle->error, handle->device, layer->weight[slot], &host);
  if (!s->status) s->status = handle->backend->synchronize(&handle->error, handle->device);
  if (s->status) return NULL;
  if (handle->backend->memory != XATTN_CPU)
    handle->stats.bytes_from_device += (uint64_t)count * xattn_dtype_size(dtype);
  xattn_convert_row(wide, XATTN_F64, 1, narrow, dtype, 1, count);
  return wide;
}

/* What is made: parts one after another in one block of host memory, as it will be on the device. */
typedef struct part {
  xattn_slot slot;
  int64_t count, offset; /* elements */
} part;

static int64_t lay_out(part *parts, int count, size_t item) {
  int64_t unit = XATTN_ALIGNMENT / (int64_t)item, total = 0;
  for (int i = 0; i < count; i++) {
    parts[i].offset = total;
    total += (parts[i].count + unit - 1) / unit * unit;
  }
  return total;
}

static char *place(const scratch *s, void *made, const part *to, int64_t index) {
  return (char *)made + (to->offset + index) * (int64_t)xattn_dtype_size(s->layer->info.dtype);
}

static void narrow(const scratch *s, void *made, const part *to, int64_t index, const double *from,
                   int64_t count) {
  xattn_convert_row(place(s, made, to, index), s->layer->info.dtype, 1, from, XATTN_F64, 1, count);
}

static xattn_status upload(scratch *s, const part *parts, int count, const void *made,
                           int64_t elements, side *to) {
  xattn_handle *handle = s->handle;
  xattn_dtype dtype = s->layer->info.dtype;
  size_t bytes = (size_t)elements * xattn_dtype_size(dtype);
  xattn_status status = xattn_memory_new(handle, bytes, &to->memory);
  if (status) return status;
  xattn_tensor host = xattn_tensor_dense(made, dtype, 1, &elements);
  status = handle->backend->upload(&handle->error, handle->device, to->memory.data, dtype, &host);
  /* Other streams may use it as soon as it is said to be ready. */
  if (!status) status = handle->backend->synchronize(&handle->error, handle->device);
  if (status) {
    xattn_memory_free(&to->memory);
    return status;
  }
  handle->stats.bytes_to_device += bytes;
  for (int i = 0; i < count; i++)
    to->slot[parts[i].slot] =
        (char *)to->memory.data + parts[i].offset * (int64_t)xattn_dtype_size(dtype);
  return XATTN_OK;
}

/* ------------------------------------------------------------------ the two sides */

static void make_scores(scratch *s, side *to) {
  const xattn_layer_info *n = &s->layer->info;
  int64_t dh = n->head_dim, dq = n->query_dim, dc = n->context_dim;
  part parts[] = {{.slot = XATTN_SLOT_M, .count = n->heads * dq * dc},
                  {.slot = XATTN_SLOT_M_BIAS, .count = n->heads * dc}};
  int64_t elements = lay_out(parts, 2, xattn_dtype_size(n->dtype));
  const double *wq = fetch(s, XATTN_SLOT_WQ, n->heads * dh * dq);
  const double *bq = fetch(s, XATTN_SLOT_BQ, n->heads * dh);
  const double *wk = fetch(s, XATTN_SLOT_WK, n->kv_heads * dh * dc);
  double *product = take(s, dq * dc, sizeof *product);
  void *made = take(s, elements, xattn_dtype_size(n->dtype));
  if (s->status) return;
  for (int64_t h = 0; h < n->heads; h++) {
    const double *key = wk + h / (n->heads / n->kv_heads) * dh * dc;
    xattn_multiply_f64(true, dq, dc, dh, wq + h * dh * dq, key, product);
    narrow(s, made, &parts[0], h * dq * dc, product, dq * dc);
    if (!bq) continue;
    xattn_multiply_f64(false, 1, dc, dh, bq + h * dh, key, product);
    narrow(s, made, &parts[1], h * dc, product, dc);
  }
  s->status = upload(s, parts, 2, made, elements, to);
}

static void make_values(scratch *s, side *to) {
  const xattn_layer_info *n = &s->layer->info;
  int64_t dv = n->value_dim, dc = n->context_dim, rows = n->out_dim, joined = n->heads * dv;
  part parts[] = {{.slot = XATTN_SLOT_N, .count = rows * n->heads * dc},
                  {.slot = XATTN_SLOT_N_BIAS, .count = n->heads * rows},
                  {.slot = XATTN_SLOT_N_TOTAL, .count = rows}};
  int64_t elements = lay_out(parts, 3, xattn_dtype_size(n->dtype));
  const double *wo = fetch(s, XATTN_SLOT_WO, rows * joined);
  const double *bo = fetch(s, XATTN_SLOT_BO, rows);
  const double *wv = fetch(s, XATTN_SLOT_WV, n->kv_heads * dv * dc);
  const double *bv = fetch(s, XATTN_SLOT_BV, n->kv_heads * dv);
  double *head = take(s, rows * dv, sizeof *head), *product = take(s, rows * dc, sizeof *product);
  double *total = take(s, rows, sizeof *total);
  void *made = take(s, elements, xattn_dtype_size(n->dtype));
  if (s->status) return;
  if (bo) memcpy(total, bo, (size_t)rows * sizeof *total);
  for (int64_t h = 0; h < n->heads; h++) {
    int64_t group = h / (n->heads / n->kv_heads);
    for (int64_t o = 0; o < rows; o++)
      memcpy(head + o * dv, wo + o * joined + h * dv, (size_t)dv * sizeof *head);
    xattn_multiply_f64(false, rows, dc, dv, head, wv + group * dv * dc, product);
    for (int64_t o = 0; o < rows; o++)
      narrow(s, made, &parts[0], (o * n->heads + h) * dc, product + o * dc, dc);
    if (!bv) continue;
    xattn_multiply_f64(false, rows, 1, dv, head, bv + group * dv, product);
    narrow(s, made, &parts[1], h * rows, product, rows);
    for (int64_t o = 0; o < rows; o++) total[o] += product[o];
  }
  narrow(s, made, &parts[2], 0, total, rows);
  s->status = upload(s, parts, 3, made, elements, to);
}

/* ------------------------------------------------------------------ on demand */

static xattn_status make(xattn_handle *handle, const xattn_layer *layer, bool values, side *to) {
  bool capturing;
  xattn_status status = xattn_handle_begin(handle, &capturing);
  if (!status && capturing)
    status = xattn_fail(&handle->error, XATTN_ERROR_CAPTURE,
                        "layer: its weights are not merged yet, which a graph cannot do; run the "
                        "call once before the capture");
  if (status) return status;
  scratch s = {.handle = handle, .layer = layer};
  if (values)
    make_values(&s, to);
  else
    make_scores(&s, to);
  give_back(&s);
  return s.status;
}

static xattn_status ready(xattn_handle *handle, const xattn_layer *layer, bool values,
                          char *slot[XATTN_SLOT_COUNT]) {
  struct xattn_merged *merged = layer->merged;
  side *of = values ? &merged->values : &merged->scores;
  xattn_status status = XATTN_OK;
  if (!atomic_load(&of->ready)) {
    (void)pthread_mutex_lock(&merged->lock);
    if (!atomic_load(&of->ready)) status = make(handle, layer, values, of);
    if (!status) atomic_store(&of->ready, true);
    (void)pthread_mutex_unlock(&merged->lock);
  }
  for (int i = XATTN_SLOT_M; !status && i <= XATTN_SLOT_N_TOTAL; i++)
    if (of->slot[i]) slot[i] = of->slot[i];
  return status;
}

xattn_status xattn_layer_merge(xattn_handle *handle, const xattn_layer *layer, xattn_form form,
                               char *slot[XATTN_SLOT_COUNT]) {
  xattn_status status = XATTN_OK;
  if (xattn_form_merges_scores(form)) status = ready(handle, layer, false, slot);
  if (!status && xattn_form_merges_values(form)) status = ready(handle, layer, true, slot);
  return status;
}
