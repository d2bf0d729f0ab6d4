/* More rows, longer rows and wider strides than 16 or 32 bits count. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "support_cuda.h"
#include "support_rules.h"

/* tests/test_softmax_types.c, which knows no kernels, has rows of about these lengths. */
_Static_assert(XATTN_SOFTMAX_SHORT == 256 && XATTN_SOFTMAX_MEDIUM == 1024 &&
                   XATTN_SOFTMAX_SHARED == 12280,
               "tests/test_softmax_types.c has the lengths where they change over");

static const float scale = 0.37F;

/* 65,535 is where the grid's y and z, and cuBLAS's batches, end. */
START_TEST(more_items_than_a_grid_has) {
  enum { ITEMS = 65540, KEYS = 2 };
  xattn_handle *handle = cuda_handle();
  float *q = malloc(ITEMS * sizeof *q), *k = malloc(ITEMS * KEYS * sizeof *k);
  float *out = malloc(ITEMS * sizeof *out), *p = malloc(ITEMS * KEYS * sizeof *p);
  ck_assert(q && k && out && p);
  for (int i = 0; i < ITEMS; i++) {
    q[i] = 1.0F;
    k[2 * i] = 0.0F;
    k[2 * i + 1] = i % 7 == 0 ? 100.0F : -100.0F; /* the second key, or the first, is chosen */
  }
  const xattn_tensor tq = XATTN_TENSOR(q, XATTN_F32, ITEMS, 1, 1, 1);
  const xattn_tensor tk = XATTN_TENSOR(k, XATTN_F32, ITEMS, KEYS, 1, 1);
  const xattn_tensor tout = XATTN_TENSOR(out, XATTN_F32, ITEMS, 1, 1, 1);
  ASSERT_OK(handle, xattn_attention(handle, &tq, &tk, &tk, 1.0F, NULL, &tout));
  for (int i = 0; i < ITEMS; i++)
    ck_assert_msg(fabsf(out[i] - (i % 7 == 0 ? 100.0F : 0.0F)) < 1e-30F, "item %d is %g", i,
                  (double)out[i]);
  const xattn_tensor scores = XATTN_TENSOR(k, XATTN_F32, ITEMS, 1, 1, KEYS);
  const xattn_tensor result = XATTN_TENSOR(p, XATTN_F32, ITEMS, 1, 1, KEYS);
  ASSERT_OK(handle, xattn_scale_softmax(handle, &scores, 1.0F, NULL, &result));
  for (int i = 0; i < ITEMS; i++)
    ck_assert(fabsf(p[2 * i + 1] - (i % 7 == 0 ? 1.0F : 0.0F)) < 1e-30F);
  free(q);
  free(k);
  free(out);
  free(p);
  xattn_destroy(handle);
}
END_TEST

/* [items, keys] with two dimensions of 1 around the items. */
static xattn_tensor at_level(const xattn_tensor *t, int level) {
  const int64_t shape[4] = {1, 1, 1, t->shape[1]};
  xattn_tensor result = xattn_tensor_dense(t->data, t->dtype, 4, shape);
  result.device_type = t->device_type;
  result.device_index = t->device_index;
  result.shape[level] = t->shape[0];
  result.strides[level] = t->strides[0];
  return result;
}

/* The second item lies 2^31 + 8 elements behind the first. The simulator takes memory only where it is
 * written; a GPU needs 13 GB. */
START_TEST(offsets_beyond_31_bits) {
  (void)setenv("CUDASIM_MEMORY", "20000000000", 1);
  enum { KEYS = 40 };
  const int64_t wide = ((int64_t)1 << 31) + 8;
  xattn_handle *handle = cuda_handle();
  float values[2 * KEYS], back[2 * KEYS];
  const xattn_tensor host = XATTN_TENSOR(values, XATTN_F32, 2, KEYS);
  const xattn_tensor result = XATTN_TENSOR(back, XATTN_F32, 2, KEYS);
  rng r = {171};
  for (int i = 0; i < 2 * KEYS; i++) values[i] = (float)(rng_uniform(&r) * 20.0);
  quantise(&host, XATTN_F16);
  void *memory[2];
  xattn_tensor t[2];
  for (int i = 0; i < 2; i++) {
    if (xattn_device_alloc(handle, (size_t)(wide + KEYS) * 2, &memory[i])) {
      printf("offsets_beyond_31_bits: %s, skipped\n", xattn_last_error(handle));
      xattn_destroy(handle);
      return;
    }
    t[i] = XATTN_TENSOR(memory[i], XATTN_F16, 2, KEYS);
    t[i].strides[0] = wide;
    t[i].device_type = XATTN_CUDA;
  }
  ASSERT_OK(handle, xattn_tensor_copy(handle, &host, &t[0]));
  ASSERT_OK(handle, xattn_scale_softmax(handle, &t[0], scale, NULL, &t[1]));
  device_tensor d = {.t = t[1], .handle = handle};
  device_get(&d, &result);
  for (int i = 0; i < 2; i++)
    check_softmax_row(values + i * KEYS, back + i * KEYS, KEYS, KEYS, scale, XATTN_F16);
  for (int level = 0; level < 3; level++) { /* of the copy kernel's four */
    const xattn_tensor from = at_level(&t[0], level), to = at_level(&t[1], level);
    ASSERT_OK(handle, xattn_scale_softmax(handle, &t[0], scale, NULL, &t[1]));
    ASSERT_OK(handle, xattn_tensor_copy(handle, &from, &to));
    device_get(&d, &result);
    ck_assert(memcmp(values, back, sizeof values) == 0);
  }
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_softmax(void) {
  Suite *suite = suite_create("cuda-softmax");
  TCase *tests = cuda_tests("softmax");
  tcase_add_test(tests, more_items_than_a_grid_has);
  tcase_add_test(tests, offsets_beyond_31_bits);
  suite_add_tcase(suite, tests);
  return suite;
}
