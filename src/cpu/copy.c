/* Strided copies of four dimensions, converted on the way. */
#include <string.h>

#include "convert.h"
#include "cpu.h"

static const int64_t serial_elements = 1 << 14;

static void one_row(const xattn_copy *c, const xattn_isa *isa, int64_t index) {
  int64_t i2 = index % c->shape[2];
  int64_t i1 = index / c->shape[2] % c->shape[1];
  int64_t i0 = index / c->shape[2] / c->shape[1];
  int64_t from = i0 * c->in_stride[0] + i1 * c->in_stride[1] + i2 * c->in_stride[2];
  int64_t to = i0 * c->out_stride[0] + i1 * c->out_stride[1] + i2 * c->out_stride[2];
  size_t in_item = xattn_dtype_size(c->in_dtype), out_item = xattn_dtype_size(c->out_dtype);
  const char *in = (const char *)c->in + from * (int64_t)in_item;
  char *out = (char *)c->out + to * (int64_t)out_item;
  bool dense = c->in_stride[3] == 1 && c->out_stride[3] == 1;
  if (dense && c->in_dtype == c->out_dtype)
    memcpy(out, in, (size_t)c->shape[3] * out_item);
  else if (dense && c->out_dtype == XATTN_F32)
    isa->widen(c->in_dtype, 1, c->shape[3], (const uint16_t *)(const void *)in, 0,
               (float *)(void *)out);
  else if (dense)
    isa->narrow(c->out_dtype, c->shape[3], (const float *)(const void *)in,
                (uint16_t *)(void *)out);
  else
    xattn_convert_row(out, c->out_dtype, c->out_stride[3], in, c->in_dtype, c->in_stride[3],
                      c->shape[3]);
}

xattn_status xattn_cpu_copy(xattn_error *error, xattn_device *device, const xattn_copy *copy) {
  (void)error;
  int64_t rows = copy->shape[0] * copy->shape[1] * copy->shape[2];
  if (rows == 0 || copy->shape[3] == 0) return XATTN_OK;
  int threads = rows < serial_elements / copy->shape[3] ? 1 : xattn_cpu_threads(device);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int64_t index = 0; index < rows; index++) one_row(copy, device->isa, index);
  return XATTN_OK;
}
