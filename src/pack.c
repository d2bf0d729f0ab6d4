#include "pack.h"

#include "convert.h"

xattn_tensor xattn_stored(const xattn_tensor *tensor) {
  xattn_tensor stored = *tensor;
  for (int32_t i = 0; i < tensor->rank; i++)
    if (tensor->strides[i] == 0 && tensor->shape[i] > 1) stored.shape[i] = 1;
  return stored;
}

xattn_tensor xattn_packed(const xattn_tensor *tensor) {
  const xattn_tensor stored = xattn_stored(tensor);
  xattn_tensor packed = *tensor;
  packed.data = NULL;
  int64_t stride = 1;
  for (int32_t i = tensor->rank - 1; i >= 0; i--) {
    packed.strides[i] = stored.shape[i] == tensor->shape[i] ? stride : 0;
    stride *= stored.shape[i];
  }
  return packed;
}

/* The dimensions, innermost first, neighbours without a gap between them joined: a dense tensor is one
 * dimension. */
typedef struct loops {
  int count;
  int64_t shape[XATTN_MAX_RANK + 1], stride[XATTN_MAX_RANK + 1];
} loops;

static loops dimensions(const xattn_tensor *t) {
  loops l = {.count = 0};
  for (int32_t i = t->rank - 1; i >= 0; i--) {
    if (t->shape[i] == 1) continue;
    int last = l.count - 1;
    if (l.count && t->strides[i] == l.shape[last] * l.stride[last]) {
      l.shape[last] *= t->shape[i];
      continue;
    }
    l.shape[l.count] = t->shape[i];
    l.stride[l.count++] = t->strides[i];
  }
  if (l.count == 0) {
    l.count = 1;
    l.shape[0] = l.stride[0] = 1;
  }
  return l;
}

/* The element of the tensor at a place of the packed order, and how many follow it in its row. */
static int64_t locate(const loops *l, int64_t place, int64_t *in_row) {
  int64_t offset = place % l->shape[0] * l->stride[0];
  *in_row = l->shape[0] - place % l->shape[0];
  place /= l->shape[0];
  for (int i = 1; i < l->count; i++) {
    offset += place % l->shape[i] * l->stride[i];
    place /= l->shape[i];
  }
  return offset;
}

void xattn_pack(const xattn_tensor *from, int64_t first, int64_t count, xattn_dtype dtype,
                void *to) {
  const loops l = dimensions(from);
  const size_t from_item = xattn_dtype_size(from->dtype), to_item = xattn_dtype_size(dtype);
  const char *data = from->data;
  for (int64_t done = 0, n; done < count; done += n) {
    int64_t offset = locate(&l, first + done, &n);
    if (n > count - done) n = count - done;
    xattn_convert_row((char *)to + (size_t)done * to_item, dtype, 1,
                      data + (size_t)offset * from_item, from->dtype, l.stride[0], n);
  }
}

void xattn_unpack(const void *from, const xattn_tensor *to, int64_t first, int64_t count) {
  const loops l = dimensions(to);
  const size_t item = xattn_dtype_size(to->dtype);
  char *data = to->data;
  for (int64_t done = 0, n; done < count; done += n) {
    int64_t offset = locate(&l, first + done, &n);
    if (n > count - done) n = count - done;
    xattn_convert_row(data + (size_t)offset * item, to->dtype, l.stride[0],
                      (const char *)from + (size_t)done * item, to->dtype, 1, n);
  }
}
