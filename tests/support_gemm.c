#include "support_gemm.h"

#include <stdlib.h>
#include <string.h>

static float small_integer(rng *r) {
  return (float)rng_range(r, -4, 4);
}

/* A stack of matrices [b0, b1, b2] with gaps; levels in the mask `shared` have a stride of 0. Elements are
 * integers, the rest NaN. */
typedef struct stack {
  xattn_matrix m;
  float *memory;
  int64_t size;
} stack;

static float *element(const stack *s, const int64_t at[3], int64_t i, int64_t j) {
  return s->memory + at[0] * s->m.stride[0] + at[1] * s->m.stride[1] + at[2] * s->m.stride[2] +
         i * s->m.ld + j;
}

static stack stack_new(rng *r, const int64_t batch[3], int64_t rows, int64_t columns, int shared,
                       const xattn_matrix *like) {
  stack s = {.m = {.dtype = like->dtype ? like->dtype : XATTN_F32,
                   .ld = like->ld ? like->ld : columns + 2}};
  int64_t item = (rows * s.m.ld > columns ? rows * s.m.ld : columns) + 5;
  int64_t count[3]; /* that are stored */
  for (int i = 0; i < 3; i++) count[i] = shared >> i & 1 ? 1 : batch[i];
  const int64_t outer = item * count[2] * count[1] + like->stride[0];
  s.m.stride[2] = shared & HEADS ? 0 : item;
  s.m.stride[1] = shared & GROUPS ? 0 : item * count[2];
  s.m.stride[0] = shared & ITEMS ? 0 : outer;
  s.size = outer * count[0] + item;
  s.memory = malloc((size_t)s.size * sizeof(float));
  ck_assert_ptr_nonnull(s.memory);
  memset(s.memory, 0xFF, (size_t)s.size * sizeof(float)); /* NaN */
  int64_t at[3];
  for (at[0] = 0; r && at[0] < count[0]; at[0]++)
    for (at[1] = 0; at[1] < count[1]; at[1]++)
      for (at[2] = 0; at[2] < count[2]; at[2]++)
        for (int64_t i = 0; i < rows; i++)
          for (int64_t j = 0; j < columns; j++) *element(&s, at, i, j) = small_integer(r);
  return s;
}

static int64_t limit_of(xattn_lengths limit, int64_t item, int64_t all) {
  return limit.count ? limit.count[item * limit.step] : all;
}

/* A product on the device and what it is made of. */
typedef struct made {
  xattn_gemm g;
  stack a, b, c;
  float *before, *wanted; /* C */
  const float *biases;
} made;

/* Calls the function for each element of C that is written. */
typedef void each_element(made *p, const int64_t at[3], int64_t i, int64_t j);

static void for_each_element(made *p, each_element *function) {
  const xattn_gemm *g = &p->g;
  int64_t at[3];
  for (at[0] = 0; at[0] < g->batch[0]; at[0]++)
    for (at[1] = 0; at[1] < g->batch[1]; at[1]++)
      for (at[2] = 0; at[2] < g->batch[2]; at[2]++)
        for (int64_t i = 0; i < g->m; i++)
          for (int64_t j = 0; j < limit_of(g->n_limit, at[0], g->n); j++) function(p, at, i, j);
}

static void expect(made *p, const int64_t at[3], int64_t i, int64_t j) {
  const xattn_gemm *g = &p->g;
  float *wanted = p->wanted + (element(&p->c, at, i, j) - p->c.memory);
  float sum = g->accumulate ? *wanted : 0.0F;
  if (g->bias)
    sum = p->biases[at[0] * g->bias_stride[0] + at[1] * g->bias_stride[1] +
                    at[2] * g->bias_stride[2] + j];
  const int64_t depth = limit_of(g->k_limit, at[0], g->k), step = g->b_transposed ? 1 : p->b.m.ld;
  const float *row = element(&p->a, at, i, 0);
  const float *column = g->b_transposed ? element(&p->b, at, j, 0) : element(&p->b, at, 0, j);
  for (int64_t l = 0; l < depth; l++) sum += row[l] * column[l * step];
  *wanted = sum;
}

static void compare(made *p, const int64_t at[3], int64_t i, int64_t j) {
  const xattn_gemm *g = &p->g;
  const float *got = element(&p->c, at, i, j), *wanted = p->wanted + (got - p->c.memory);
  if (*got == *wanted) return; /* a check that holds takes its time too */
  ck_abort_msg("%s×%s%s %lld×%lld×%lld: %g, not %g", xattn_dtype_name(g->a.dtype),
               xattn_dtype_name(g->b.dtype), g->packed ? ", packed," : "", (long long)g->m,
               (long long)g->n, (long long)g->k, (double)*got, (double)*wanted);
}

static void run_and_check(xattn_handle *handle, made *p) {
  xattn_gemm *g = &p->g;
  xattn_memory on_device = to_device(handle, p->before, p->c.size);
  g->c = p->c.m;
  g->c.data = on_device.data;
  ASSERT_OK(handle, handle->backend->gemm(&handle->error, handle->device, g, 1));
  from_device(handle, &on_device, p->c.memory, p->c.size);
  for_each_element(p, compare);
  /* Gaps are NaN still. A sum may be a 0 of the other sign. */
  for (int64_t i = 0; i < p->c.size; i++)
    if (p->c.memory[i] != p->wanted[i] && memcmp(p->c.memory + i, p->before + i, sizeof(float)))
      ck_abort_msg("%lld×%lld×%lld: written beside C", (long long)g->m, (long long)g->n,
                   (long long)g->k);
}

/* With B as a backend packs it, if it does and B can be a weight. */
static void check_packed(xattn_handle *handle, made *p) {
  const xattn_backend *backend = handle->backend;
  xattn_gemm *g = &p->g;
  if (!backend->limits(handle->device).packing || (g->batch[0] > 1 && g->b.stride[0])) return;
  const int64_t elements = backend->packed_elements(handle->device, g);
  if (g->b.dtype != XATTN_F32 && elements == 0) return;
  float *packed = malloc((size_t)(elements + 1) * sizeof *packed);
  ck_assert_ptr_nonnull(packed);
  packed[elements] = 42.0F;
  backend->pack(handle->device, g, packed);
  ck_assert_msg(packed[elements] == 42.0F, "packed more than there is room for");
  g->packed = packed;
  run_and_check(handle, p);
  free(packed);
}

void check_shared_gemm(xattn_handle *handle, rng *r, xattn_gemm g, bool bias, int a_shared,
                       int b_shared) {
  made p = {.g = g};
  p.a = stack_new(r, g.batch, g.m, g.k, a_shared, &g.a);
  p.b =
      stack_new(r, g.batch, g.b_transposed ? g.n : g.k, g.b_transposed ? g.k : g.n, b_shared, &g.b);
  p.c = stack_new(g.accumulate ? r : NULL, g.batch, g.m, g.n, 0, &g.c);
  int64_t bias_count = g.n;
  for (int i = 0; i < 3; i++) bias_count += (g.batch[i] - 1) * g.bias_stride[i];
  p.before = malloc((size_t)p.c.size * sizeof *p.before);
  p.wanted = malloc((size_t)p.c.size * sizeof *p.wanted);
  float *biases = malloc((size_t)(bias_count + 1) * sizeof *biases);
  ck_assert(p.before && p.wanted && biases);
  memcpy(p.before, p.c.memory, (size_t)p.c.size * sizeof *p.before);
  memcpy(p.wanted, p.c.memory, (size_t)p.c.size * sizeof *p.wanted);
  for (int64_t j = 0; j < bias_count; j++) biases[j] = small_integer(r);
  p.biases = biases;
  if (!g.bias_dtype) p.g.bias_dtype = XATTN_F32;
  xattn_memory on_device[3] = {to_device_as(handle, p.a.memory, p.a.size, p.a.m.dtype),
                               to_device_as(handle, p.b.memory, p.b.size, p.b.m.dtype),
                               to_device_as(handle, biases, bias_count, p.g.bias_dtype)};
  p.g.a = p.a.m;
  p.g.b = p.b.m;
  p.g.a.data = on_device[0].data;
  p.g.b.data = on_device[1].data;
  p.g.bias = bias ? on_device[2].data : NULL;
  for_each_element(&p, expect);
  run_and_check(handle, &p);
  check_packed(handle, &p);
  for (int i = 0; i < 3; i++) xattn_memory_free(&on_device[i]);
  free(biases);
  free(p.before);
  free(p.wanted);
  free(p.a.memory);
  free(p.b.memory);
  free(p.c.memory);
}

void check_gemm(xattn_handle *handle, rng *r, xattn_gemm g, bool bias) {
  check_shared_gemm(handle, r, g, bias, 0, HEADS);
}
