/* Measures the rates of a device with the operations that plans are made of. Each figure is the best of many short
 * rounds, since whatever disturbs a round makes it slower. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "rates.h"

enum { ROUNDS = 20, ROWS = 12 << 10, DEPTH = 1 << 10 }; /* a matrix of 48 MiB is in no cache */

typedef struct bench {
  xattn_handle *handle;
  char *a, *b, *c; /* device memory: b holds ROWS × DEPTH floats, a and c DEPTH × DEPTH */
  xattn_dtype dtype;
  int64_t m, n, k; /* of the product; rows and columns of what else is run */
  int64_t items;
} bench;

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static xattn_matrix matrix(const bench *b, char *data, int64_t ld, int64_t item) {
  return (xattn_matrix){.data = data, .dtype = b->dtype, .ld = ld, .stride = {item}};
}

static xattn_status multiply(const bench *b) {
  xattn_gemm gemm = {.m = b->m,
                     .n = b->n,
                     .k = b->k,
                     .batch = {b->items, 1, 1},
                     .b_transposed = true,
                     .a = matrix(b, b->a, b->k, b->m * b->k),
                     .b = matrix(b, b->b, b->k, b->n * b->k),
                     .c = matrix(b, b->c, b->n, b->m * b->n)};
  return b->handle->backend->gemm(&b->handle->error, b->handle->device, &gemm, 1);
}

static xattn_status soften(const bench *b) {
  xattn_matrix scores = matrix(b, b->c, b->n, 0);
  xattn_softmax softmax = {
      .m = b->m, .n = b->n, .batch = {1, 1, 1}, .scale = 0.125F, .in = scores, .out = scores};
  return b->handle->backend->softmax(&b->handle->error, b->handle->device, &softmax);
}

/* Seconds of one operation, out of as many as `least` seconds hold. */
static xattn_status time_of(const bench *b, xattn_status (*operation)(const bench *), double least,
                            double *seconds) {
  xattn_handle *h = b->handle;
  *seconds = INFINITY;
  xattn_status status = operation(b);
  int64_t repeats = 1;
  for (int round = 0; round < ROUNDS && !status; round++) {
    status = h->backend->synchronize(&h->error, h->device);
    double start = now();
    for (int64_t i = 0; i < repeats && !status; i++) status = operation(b);
    if (!status) status = h->backend->synchronize(&h->error, h->device);
    double spent = now() - start;
    if (spent < least && repeats < 1 << 16) { /* too short to be told from the clock */
      repeats *= 2;
      round--;
      continue;
    }
    *seconds = fmin(*seconds, spent / (double)repeats);
  }
  return status;
}

static bench product(const bench *b, xattn_dtype dtype, int64_t items, int64_t m, int64_t n,
                     int64_t k) {
  bench p = *b;
  p.dtype = dtype;
  p.items = items;
  p.m = m;
  p.n = n;
  p.k = k;
  return p;
}

/* On a busy machine a launch may seem to take longer than what it is part of. */
static double without_launch(double seconds, const xattn_rates *r) {
  return fmax(seconds - r->launch, 0.2 * seconds);
}

static xattn_status measure(const bench *all, xattn_rates *r) {
  const double least = 2e-4;
  const xattn_limits limits = all->handle->backend->limits(all->handle->device);
  double seconds = 0.0;
  /* As small as a product can be that is still spread over the threads. */
  bench b = product(all, XATTN_F32, 1, 40, 40, 40);
  xattn_status status = time_of(&b, multiply, least, &seconds);
  r->launch = seconds;
  b = product(all, XATTN_F32, 1, 1024, 1024, 1024);
  if (!status) status = time_of(&b, multiply, least, &seconds);
  r->flops = r->flops_half = 2.0 * 1024 * 1024 * 1024 / without_launch(seconds, r);
  if (limits.packing_bf16) r->flops_half = 2.0 * r->flops; /* of pairs */
  if (!status && !limits.wide) {
    b = product(all, XATTN_F16, 1, 1024, 1024, 1024);
    status = time_of(&b, multiply, least, &seconds);
    r->flops_half = 2.0 * 1024 * 1024 * 1024 / without_launch(seconds, r);
  }
  /* A few rows, but enough to copy operands for: what takes longer than the sums is their time. */
  b = product(all, XATTN_F32, 8, 40, 1536, 512);
  if (!status) status = time_of(&b, multiply, least, &seconds);
  double flop_time = 2.0 * 8 * 40 * 1536 * 512 / r->flops;
  double moved = 8.0 * (40 * 512 + 1536 * 512 + 40 * 1536) * sizeof(float);
  double left = without_launch(seconds, r);
  r->operands = moved / sqrt(fmax(left * left - flop_time * flop_time, 0.04 * left * left));
  b = product(all, XATTN_F32, 1, 1, ROWS, DEPTH);
  if (!status) status = time_of(&b, multiply, least, &seconds);
  r->stream = (double)ROWS * DEPTH * sizeof(float) / without_launch(seconds, r);
  b = product(all, XATTN_F32, 1, 512, 1024, 1);
  if (!status) status = time_of(&b, soften, least, &seconds);
  r->softmax = 512.0 * 1024 / without_launch(seconds, r);
  return status;
}

/* Small numbers: a product of large ones would be infinite, and some hardware is slow on what is denormal. */
static xattn_status fill(const bench *b) {
  static const float block[DEPTH] = {0.5F, -0.25F, 0.125F, 1.0F};
  const xattn_tensor host = xattn_tensor_dense(block, XATTN_F32, 1, (const int64_t[]){DEPTH});
  const struct {
    char *to;
    size_t blocks;
  } parts[] = {{b->a, DEPTH}, {b->b, ROWS}, {b->c, DEPTH}};
  xattn_handle *h = b->handle;
  xattn_status status = XATTN_OK;
  for (size_t i = 0; i < 3; i++)
    for (size_t row = 0; row < parts[i].blocks && !status; row++)
      status = h->backend->upload(&h->error, h->device, parts[i].to + row * sizeof block, XATTN_F32,
                                  &host);
  return status;
}

xattn_status xattn_rates_measure(xattn_handle *handle, xattn_rates *rates) {
  const size_t row = DEPTH * sizeof(float);
  bool capturing;
  xattn_status status = xattn_handle_begin(handle, &capturing);
  if (!status && capturing)
    status =
        xattn_fail(&handle->error, XATTN_ERROR_CAPTURE, "calibration: cannot be part of a graph");
  xattn_memory memory = {0};
  if (!status) status = xattn_memory_new(handle, (2 * DEPTH + ROWS) * row, &memory);
  if (status) return status;
  bench b = {.handle = handle, .a = memory.data};
  b.b = b.a + DEPTH * row;
  b.c = b.b + ROWS * row;
  status = fill(&b);
  if (!status) status = measure(&b, rates);
  (void)handle->backend->synchronize(&handle->error, handle->device);
  xattn_memory_free(&memory);
  return status;
}
