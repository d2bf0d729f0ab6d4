/* The fused scale-softmax over stacks of rows: rows are spread over the threads, each is worked by
 * the kernel of the chosen instruction set while it is in the first-level cache. */
#include <omp.h>
#include <string.h>

#include "cpu.h"

/* Below this many elements, starting threads costs more than it saves. */
static const int64_t serial_elements = 1 << 13;

static void one_row(const xattn_softmax *s, const xattn_isa *isa, int64_t index) {
  int64_t row = index % s->m;
  int64_t item = index / s->m;
  int64_t head = item % s->batch[2];
  int64_t group = item / s->batch[2] % s->batch[1];
  int64_t b = item / s->batch[2] / s->batch[1];
  const float *in =
      (const float *)s->in.data + xattn_offset(s->in.stride, b, group, head) + row * s->in.ld;
  float *out = (float *)s->out.data + xattn_offset(s->out.stride, b, group, head) + row * s->out.ld;
  int64_t keys = xattn_limited(s->limit, b, s->n);
  isa->softmax_row(in, out, keys, s->scale);
  if (keys < s->n) memset(out + keys, 0, (size_t)(s->n - keys) * sizeof *out);
}

xattn_status xattn_cpu_softmax(xattn_error *error, xattn_device *device,
                               const xattn_softmax *softmax) {
  (void)error;
  int64_t rows = softmax->batch[0] * softmax->batch[1] * softmax->batch[2] * softmax->m;
  if (rows == 0 || softmax->n == 0) return XATTN_OK;
  int threads = rows < serial_elements / softmax->n ? 1 : xattn_cpu_threads(device);
  if (threads > rows) threads = (int)rows;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int64_t index = 0; index < rows; index++) one_row(softmax, device->isa, index);
  return XATTN_OK;
}
