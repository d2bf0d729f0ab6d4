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

void check_shared_gemm(xattn_handle *handle, rng *r, xattn_gemm g, bool bias, int a_shared,
                       int b_shared) {
  stack a = stack_new(r, g.batch, g.m, g.k, a_shared, &g.a);
  stack b =
      stack_new(r, g.batch, g.b_transposed ? g.n : g.k, g.b_transposed ? g.k : g.n, b_shared, &g.b);
  stack c = stack_new(g.accumulate ? r : NULL, g.batch, g.m, g.n, 0, &g.c);
  int64_t bias_count = g.n;
  for (int i = 0; i < 3; i++) bias_count += (g.batch[i] - 1) * g.bias_stride[i];
  float *before = malloc((size_t)c.size * sizeof *before);
  float *biases = malloc((size_t)(bias_count + 1) * sizeof *biases);
  ck_assert(before && biases);
  memcpy(before, c.memory, (size_t)c.size * sizeof *before);
  for (int64_t j = 0; j < bias_count; j++) biases[j] = small_integer(r);
  if (!g.bias_dtype) g.bias_dtype = XATTN_F32;
  xattn_memory on_device[4] = {to_device_as(handle, a.memory, a.size, a.m.dtype),
                               to_device_as(handle, b.memory, b.size, b.m.dtype),
                               to_device(handle, c.memory, c.size),
                               to_device_as(handle, biases, bias_count, g.bias_dtype)};
  g.a = a.m;
  g.b = b.m;
  g.c = c.m;
  g.a.data = on_device[0].data;
  g.b.data = on_device[1].data;
  g.c.data = on_device[2].data;
  g.bias = bias ? on_device[3].data : NULL;
  ASSERT_OK(handle, handle->backend->gemm(&handle->error, handle->device, &g, 1));
  from_device(handle, &on_device[2], c.memory, c.size);
  xattn_memory_free(&on_device[0]);
  xattn_memory_free(&on_device[1]);
  xattn_memory_free(&on_device[3]);
  int64_t at[3];
  for (at[0] = 0; at[0] < g.batch[0]; at[0]++)
    for (at[1] = 0; at[1] < g.batch[1]; at[1]++)
      for (at[2] = 0; at[2] < g.batch[2]; at[2]++)
        for (int64_t i = 0; i < g.m; i++)
          for (int64_t j = 0; j < limit_of(g.n_limit, at[0], g.n); j++) {
            float *got = element(&c, at, i, j), *was = before + (got - c.memory);
            float sum = g.accumulate ? *was : 0.0F;
            if (bias)
              sum = biases[at[0] * g.bias_stride[0] + at[1] * g.bias_stride[1] +
                           at[2] * g.bias_stride[2] + j];
            for (int64_t l = 0; l < limit_of(g.k_limit, at[0], g.k); l++)
              sum += *element(&a, at, i, l) *
                     (g.b_transposed ? *element(&b, at, j, l) : *element(&b, at, l, j));
            ck_assert_msg(*got == sum, "%s×%s %lld×%lld×%lld: %g, not %g",
                          xattn_dtype_name(a.m.dtype), xattn_dtype_name(b.m.dtype), (long long)g.m,
                          (long long)g.n, (long long)g.k, (double)*got, (double)sum);
            memcpy(was, got, sizeof *got);
          }
  ck_assert_msg(memcmp(before, c.memory, (size_t)c.size * sizeof *before) == 0,
                "%lld×%lld×%lld: written beside C", (long long)g.m, (long long)g.n, (long long)g.k);
  free(biases);
  free(before);
  free(a.memory);
  free(b.memory);
  free(c.memory);
}

void check_gemm(xattn_handle *handle, rng *r, xattn_gemm g, bool bias) {
  check_shared_gemm(handle, r, g, bias, 0, HEADS);
}
