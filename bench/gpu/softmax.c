/* The scale-softmax alone, over rows of many lengths, so that every one of its kernels is met: in the dtypes of
 * a forward (F32 scores, narrower probabilities) and in those of the tensors. */
#include <stdio.h>

#include "bench.h"

static const int64_t lengths[] = {64,   77,   256,  512,   1000,  1024,
                                  1500, 4096, 8192, 12288, 16384, 65536};
static const struct {
  xattn_dtype in, out;
} pairs[] = {{XATTN_F32, XATTN_F32},
             {XATTN_F32, XATTN_F16},
             {XATTN_F32, XATTN_BF16},
             {XATTN_F16, XATTN_F16},
             {XATTN_BF16, XATTN_BF16}};
enum { LENGTHS = sizeof lengths / sizeof *lengths, PAIRS = sizeof pairs / sizeof *pairs };

typedef struct softmax_work {
  xattn_handle *handle;
  xattn_tensor in, out;
} softmax_work;

static bool enqueue_softmax(bench *b, void *what) {
  softmax_work *s = what;
  return xattn_fine(b, s->handle, xattn_scale_softmax(s->handle, &s->in, 0.125F, NULL, &s->out),
                    "softmax");
}

static void measure_one(bench *b, xattn_dtype in, xattn_dtype out, int64_t n) {
  char name[64];
  (void)snprintf(name, sizeof name, "softmax of %lld, %s to %s", (long long)n, xattn_dtype_name(in),
                 xattn_dtype_name(out));
  if (time_is_up(b, name)) return;
  softmax_work s = {.handle = open_handle(b, XATTN_MATH_DEFAULT)};
  if (!s.handle) return;
  const int64_t fit = b->set.softmax_count / n, rows = fit ? fit : 1;
  s.in = device_filled(b, s.handle, in, rows, n);
  s.out = device_tensor(b, s.handle, out, 0, 2, (const int64_t[]){rows, n});
  const work w = {enqueue_softmax, &s, stream_of(s.handle)};
  timing warm, cold;
  if (s.in.data && s.out.data && time_work(b, &w, WARM, &warm) && time_work(b, &w, COLD, &cold)) {
    const int64_t bad = count_not_finite(b, s.handle, &s.out);
    if (bad > 0) complain_about(b, "%s: %lld results are not finite", name, (long long)bad);
    json_begin(&b->out, NULL, '{');
    json_text(&b->out, "in", xattn_dtype_name(in));
    json_text(&b->out, "out", xattn_dtype_name(out));
    json_integer(&b->out, "rows", rows);
    json_integer(&b->out, "n", n);
    json_integer(&b->out, "bytes",
                 rows * n * (int64_t)(xattn_dtype_size(in) + xattn_dtype_size(out)));
    print_timing(&b->out, "warm", &warm);
    print_timing(&b->out, "cold", &cold);
    json_end(&b->out, '}');
  }
  xattn_destroy(s.handle);
}

void measure_softmax(bench *b) {
  const double seconds = b->set.seconds;
  b->set.seconds = seconds / 4; /* there are many of them, and each is one kernel */
  json_begin(&b->out, "softmax", '[');
  for (int p = 0; p < PAIRS; p++)
    for (int i = 0; i < LENGTHS; i++) measure_one(b, pairs[p].in, pairs[p].out, lengths[i]);
  json_end(&b->out, ']');
  b->set.seconds = seconds;
}
