/* Workspace, memory for the caller's tensors, copies between tensors: the same on every device. */
#include <stdlib.h>
#include <string.h>
#include <xattn_cuda.h>

#include "support.h"

static xattn_stats stats_of(xattn_handle *handle) {
  xattn_stats stats = {.size = sizeof stats};
  ASSERT_OK(handle, xattn_get_stats(handle, &stats));
  return stats;
}

/* A call of attention small enough to have its numbers at hand. */
enum { ROWS = 40, KEYS = 5, WIDTH = 4 };

typedef struct call {
  float q[ROWS * WIDTH], k[KEYS * WIDTH], v[KEYS * WIDTH], out[ROWS * WIDTH];
  xattn_tensor tensor[4];
} call;

static void call_init(call *c) {
  memset(c, 0, sizeof *c);
  rng r = {71};
  for (int i = 0; i < KEYS * WIDTH; i++) {
    if (i < ROWS * WIDTH) c->q[i] = (float)rng_uniform(&r);
    c->k[i] = (float)rng_uniform(&r);
    c->v[i] = (float)rng_uniform(&r);
  }
  c->tensor[0] = XATTN_TENSOR(c->q, XATTN_F32, 1, ROWS, 1, WIDTH);
  c->tensor[1] = XATTN_TENSOR(c->k, XATTN_F32, 1, KEYS, 1, WIDTH);
  c->tensor[2] = XATTN_TENSOR(c->v, XATTN_F32, 1, KEYS, 1, WIDTH);
  c->tensor[3] = XATTN_TENSOR(c->out, XATTN_F32, 1, ROWS, 1, WIDTH);
}

static xattn_status attend(xattn_handle *handle, const call *c) {
  const xattn_tensor *t = c->tensor;
  return xattn_attention(handle, &t[0], &t[1], &t[2], 0.0F, NULL, &t[3]);
}

START_TEST(what_is_reserved_is_not_allocated_again) {
  xattn_handle *handle = test_handle(1);
  call c;
  call_init(&c);
  ASSERT_OK(handle, xattn_reserve(handle, 1 << 16));
  xattn_stats before = stats_of(handle);
  ck_assert_uint_eq(before.workspace_bytes, 1 << 16);
  ASSERT_OK(handle, attend(handle, &c));
  ASSERT_OK(handle, xattn_reserve(handle, 1 << 10)); /* less than there is */
  ck_assert_uint_eq(stats_of(handle).allocations, before.allocations);
  ck_assert_uint_eq(stats_of(handle).workspace_bytes, 1 << 16);
  ASSERT_FAILS(handle, xattn_reserve(handle, SIZE_MAX), XATTN_ERROR_MEMORY, "bytes: 1844");
  ASSERT_FAILS(NULL, xattn_reserve(NULL, 1), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_destroy(handle);
}
END_TEST

START_TEST(workspace_of_the_caller) {
  xattn_handle *handle = test_handle(1);
  call c;
  call_init(&c);
  ASSERT_OK(handle, attend(handle, &c));
  float expected[ROWS * WIDTH];
  memcpy(expected, c.out, sizeof expected);
  uint64_t needed = stats_of(handle).workspace_bytes;
  ck_assert_uint_gt(needed, 0);
  void *memory;
  ASSERT_OK(handle, xattn_device_alloc(handle, needed + 256, &memory));
  ASSERT_OK(handle, xattn_set_workspace(handle, memory, needed - 1));
  ASSERT_FAILS(handle, attend(handle, &c), XATTN_ERROR_MEMORY, "workspace: the call needs");
  ASSERT_OK(handle, xattn_set_workspace(handle, memory, needed));
  memset(c.out, 0, sizeof c.out);
  uint64_t allocations = stats_of(handle).allocations;
  ASSERT_OK(handle, attend(handle, &c));
  ck_assert(memcmp(expected, c.out, sizeof expected) == 0);
  ck_assert_uint_eq(stats_of(handle).allocations, allocations);
  ASSERT_FAILS(handle, xattn_set_workspace(handle, (char *)memory + 8, needed), XATTN_ERROR_LAYOUT,
               "is not aligned to 256 bytes");
  ASSERT_FAILS(handle, xattn_set_workspace(handle, NULL, needed), XATTN_ERROR_ARGUMENT,
               "workspace: NULL with");
  ASSERT_OK(handle, xattn_set_workspace(handle, NULL, 0));
  ASSERT_OK(handle, attend(handle, &c));
  ASSERT_FAILS(handle, xattn_device_free(handle, c.q), XATTN_ERROR_ARGUMENT,
               "is not from this handle");
  ASSERT_OK(handle, xattn_device_free(handle, memory));
  ASSERT_OK(handle, xattn_device_free(handle, NULL));
  ASSERT_OK(handle, xattn_device_alloc(handle, 100, &memory)); /* goes with the handle */
  ck_assert_uint_eq((uintptr_t)memory % 256, 0);
  xattn_destroy(handle);
}
END_TEST

START_TEST(copies_between_host_tensors_convert) {
  xattn_handle *handle = test_handle(1);
  float in[6] = {1, 2, 3, 4, 5, 6}, out[6] = {0};
  uint16_t half[6];
  xattn_tensor from = XATTN_TENSOR(in, XATTN_F32, 2, 3), to = XATTN_TENSOR(half, XATTN_F16, 2, 3);
  ASSERT_OK(handle, xattn_tensor_copy(handle, &from, &to));
  xattn_tensor turned = XATTN_TENSOR(out, XATTN_F32, 2, 3);
  turned.strides[0] = 1;
  turned.strides[1] = 2;
  ASSERT_OK(handle, xattn_tensor_copy(handle, &to, &turned));
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 3; j++) ck_assert(out[i + 2 * j] == in[3 * i + j]);
  to.shape[1] = 2;
  ASSERT_FAILS(handle, xattn_tensor_copy(handle, &from, &to), XATTN_ERROR_SHAPE,
               "dst: shape is [2, 2]");
  ASSERT_FAILS(handle, xattn_tensor_copy(handle, NULL, &to), XATTN_ERROR_ARGUMENT, "src: is NULL");
  ASSERT_FAILS(NULL, xattn_tensor_copy(NULL, &from, &to), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_destroy(handle);
}
END_TEST

/* F16 and BF16 are computed with; what is neither of them nor F32 is refused. */
START_TEST(sixteen_bits) {
  static const xattn_dtype halves[] = {XATTN_F16, XATTN_BF16};
  xattn_handle *handle = test_handle(1);
  call c;
  call_init(&c);
  uint16_t memory[4][(ROWS + KEYS) * WIDTH];
  call narrow = c;
  for (int i = 0; i < 4; i++) {
    narrow.tensor[i].data = memory[i];
    narrow.tensor[i].dtype = halves[_i];
    ASSERT_OK(NULL, xattn_tensor_convert(&c.tensor[i], &narrow.tensor[i]));
  }
  xattn_layer_weights weights = {.size = sizeof weights, .dtype = halves[_i]};
  xattn_tensor weight = XATTN_TENSOR(c.k, XATTN_F32, KEYS, WIDTH);
  weights.query_weight = weights.key_weight = weights.value_weight = &weight;
  xattn_layer *layer = NULL;
  ASSERT_OK(handle, attend(handle, &narrow));
  ASSERT_OK(handle, attend(handle, &c));
  float out[ROWS * WIDTH];
  xattn_tensor wide = XATTN_TENSOR(out, XATTN_F32, 1, ROWS, 1, WIDTH);
  ASSERT_OK(NULL, xattn_tensor_convert(&narrow.tensor[3], &wide));
  for (int i = 0; i < ROWS * WIDTH; i++)
    ck_assert(out[i] - c.out[i] < 0.03F && c.out[i] - out[i] < 0.03F);
  ASSERT_OK(handle, xattn_layer_create(handle, &weights, &layer));
  xattn_layer_info info = {.size = sizeof info};
  ASSERT_OK(NULL, xattn_layer_get_info(layer, &info));
  ck_assert_int_eq(info.dtype, halves[_i]);
  ASSERT_FAILS(handle,
               xattn_forward_once(handle, layer, &c.tensor[0], &c.tensor[1], NULL, &c.tensor[3]),
               XATTN_ERROR_SHAPE, "rank 4");
  xattn_tensor x = XATTN_TENSOR(c.q, XATTN_F32, ROWS, WIDTH);
  ASSERT_FAILS(handle, xattn_forward_once(handle, layer, &x, &x, NULL, &x), XATTN_ERROR_DTYPE,
               _i ? "y: dtype is F32, must be BF16" : "y: dtype is F32, must be F16");
  weights.dtype = XATTN_I8;
  xattn_layer *other;
  ASSERT_FAILS(handle, xattn_layer_create(handle, &weights, &other), XATTN_ERROR_DTYPE,
               "weights: dtype is I8, must be F32, F16 or BF16");
  xattn_layer_destroy(layer);
  xattn_destroy(handle);
}
END_TEST

START_TEST(streams_belong_to_cuda) {
  xattn_handle *handle = test_handle(1);
  void *stream = NULL;
  xattn_cuda_allocator allocator = {.size = sizeof allocator};
  if (on_cpu()) {
    static const char text[] = "handle: is on cpu, which has no CUDA stream";
    ASSERT_FAILS(handle, xattn_cuda_get_stream(handle, &stream), XATTN_ERROR_ARGUMENT, text);
    ASSERT_FAILS(handle, xattn_cuda_set_stream(handle, NULL), XATTN_ERROR_ARGUMENT, text);
    ASSERT_FAILS(handle, xattn_cuda_wait_event(handle, NULL), XATTN_ERROR_ARGUMENT, text);
    ASSERT_FAILS(handle, xattn_cuda_record_event(handle, NULL), XATTN_ERROR_ARGUMENT, text);
    ASSERT_FAILS(handle, xattn_cuda_set_allocator(handle, NULL), XATTN_ERROR_ARGUMENT, text);
  } else {
    ASSERT_OK(handle, xattn_cuda_get_stream(handle, &stream));
    ck_assert_ptr_nonnull(stream);
    ASSERT_OK(handle, xattn_cuda_set_stream(handle, stream));
    ASSERT_FAILS(handle, xattn_cuda_get_stream(handle, NULL), XATTN_ERROR_ARGUMENT,
                 "stream: is NULL");
    ASSERT_FAILS(handle, xattn_cuda_wait_event(handle, NULL), XATTN_ERROR_ARGUMENT,
                 "event: is NULL");
    ASSERT_FAILS(handle, xattn_cuda_record_event(handle, NULL), XATTN_ERROR_ARGUMENT,
                 "event: is NULL");
    ASSERT_FAILS(handle, xattn_cuda_set_allocator(handle, &allocator), XATTN_ERROR_ARGUMENT,
                 "allocator.allocate: is NULL");
    ASSERT_OK(handle, xattn_cuda_set_allocator(handle, NULL));
  }
  ASSERT_FAILS(NULL, xattn_cuda_get_stream(NULL, &stream), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_destroy(handle);
}
END_TEST

Suite *suite_memory(void) {
  Suite *suite = suite_create("memory");
  TCase *tests = tcase_create("memory");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, what_is_reserved_is_not_allocated_again);
  tcase_add_test(tests, workspace_of_the_caller);
  tcase_add_test(tests, copies_between_host_tensors_convert);
  tcase_add_loop_test(tests, sixteen_bits, 0, 2);
  tcase_add_test(tests, streams_belong_to_cuda);
  suite_add_tcase(suite, tests);
  return suite;
}
