/* The fused scale-softmax over stacks of rows: rows are spread over the threads, each is worked by
 * the kernel of the chosen instruction set while it is in the first-level cache. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "cpu.h"

/* Below this many elements, starting threads costs more than it saves. */
static const int64_t serial_elements = 1 << 13;

/* A row of which one side or both have 16 bits, in pieces that stay in the cache. Only a row of several pieces is read
 * twice: for the maximum and the sum, and for what is written. */
static void narrow_row(const xattn_softmax *s, const xattn_isa *isa, int64_t in, int64_t out,
                       int64_t keys, float *scratch) {
  float maximum = -INFINITY, sum = 0.0F;
  const int64_t size = XATTN_SOFTMAX_PIECE, pieces = (keys + size - 1) / size;
  for (int pass = pieces > 1 ? 0 : 1; pass < 2; pass++)
    for (int64_t from = 0; from < keys; from += size) {
      int64_t n = keys - from < size ? keys - from : size, ld;
      const float *row = xattn_cpu_rows(isa, &s->in, in + from, 1, n, scratch, &ld);
      if (row != scratch) memcpy(scratch, row, (size_t)n * sizeof *row);
      float factor, ignored = 0.0F;
      isa->softmax_part(1, n, scratch, 0, s->scale, &maximum, pass && pieces > 1 ? &ignored : &sum,
                        &factor);
      if (!pass) continue;
      /* A sum of 0 has no key above -inf, whose row is 0. */
      isa->row_scale(scratch, scratch, n, sum == 0.0F ? 0.0F : 1.0F / sum);
      if (s->out.dtype == XATTN_F32)
        memcpy((float *)s->out.data + out + from, scratch, (size_t)n * sizeof *row);
      else
        isa->narrow(s->out.dtype, n, scratch, (uint16_t *)s->out.data + out + from);
    }
}

static void one_row(const xattn_softmax *s, const xattn_isa *isa, int64_t index, float *scratch) {
  int64_t row = index % s->m;
  int64_t item = index / s->m;
  int64_t head = item % s->batch[2];
  int64_t group = item / s->batch[2] % s->batch[1];
  int64_t b = item / s->batch[2] / s->batch[1];
  int64_t in = xattn_offset(s->in.stride, b, group, head) + row * s->in.ld;
  int64_t out = xattn_offset(s->out.stride, b, group, head) + row * s->out.ld;
  int64_t keys = xattn_limited(s->limit, b, s->n),
          item_size = (int64_t)xattn_dtype_size(s->out.dtype);
  if (s->in.dtype == XATTN_F32 && s->out.dtype == XATTN_F32)
    isa->softmax_row((const float *)s->in.data + in, (float *)s->out.data + out, keys, s->scale);
  else
    narrow_row(s, isa, in, out, keys, scratch);
  if (keys < s->n)
    memset((char *)s->out.data + (out + keys) * item_size, 0, (size_t)((s->n - keys) * item_size));
}

xattn_status xattn_cpu_softmax(xattn_error *error, xattn_device *device,
                               const xattn_softmax *softmax) {
  (void)error;
  int64_t rows = softmax->batch[0] * softmax->batch[1] * softmax->batch[2] * softmax->m;
  if (rows == 0 || softmax->n == 0) return XATTN_OK;
  int threads = rows < serial_elements / softmax->n ? 1 : xattn_cpu_threads(device);
  if (threads > rows) threads = (int)rows;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int64_t index = 0; index < rows; index++)
    one_row(softmax, device->isa, index,
            device->scratch + omp_get_thread_num() * xattn_cpu_scratch());
  return XATTN_OK;
}
