/* Where device memory comes from: the caller's allocator, the caller's workspace, and what happens when there
 * is no more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_cuda.h"

/* An allocator that keeps accounts; after `left` blocks it has no more. */
typedef struct account {
  int64_t blocks, bytes, given;
  int64_t left; /* below 0: no end */
} account;

static void *allocate(void *context, size_t bytes, void *stream) {
  account *a = context;
  void *memory = NULL;
  if (a->left == 0) return NULL;
  a->left--;
  CUDA_OK(cudaMallocAsync(&memory, bytes, stream));
  a->blocks++;
  a->bytes += (int64_t)bytes;
  a->given++;
  return memory;
}

static void release(void *context, void *memory, size_t bytes, void *stream) {
  account *a = context;
  CUDA_OK(cudaFreeAsync(memory, stream));
  a->blocks--;
  a->bytes -= (int64_t)bytes;
}

static xattn_cuda_allocator allocator_of(account *a) {
  return (xattn_cuda_allocator){
      .size = sizeof(xattn_cuda_allocator), .context = a, .allocate = allocate, .release = release};
}

START_TEST(the_callers_allocator_gives_all_memory) {
  xattn_handle *handle = cuda_handle();
  account a = {.left = -1};
  const xattn_cuda_allocator allocator = allocator_of(&a);
  ASSERT_OK(handle, xattn_cuda_set_allocator(handle, &allocator));
  xattn_stats before = {.size = sizeof before}, after = before;
  ASSERT_OK(handle, xattn_get_stats(handle, &before));
  job j;
  job_tensors d;
  job_init(&j, handle, 101);
  job_to_device(&j, handle, &d);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, j.layer, &d.y.t, &j.options, &context));
  job_run(&j, handle, &d, context);
  job_check(&j, &d);
  ASSERT_OK(handle, xattn_get_stats(handle, &after));
  ck_assert_int_eq(a.given, (int64_t)(after.allocations - before.allocations));
  ck_assert_int_gt(a.given, 10);
  /* What it gave goes back to it, also after another took its place. */
  ASSERT_OK(handle, xattn_cuda_set_allocator(handle, NULL));
  const int64_t given = a.given;
  void *memory;
  ASSERT_OK(handle, xattn_device_alloc(handle, 100, &memory));
  ck_assert_int_eq(a.given, given);
  xattn_context_destroy(context);
  job_tensors_free(&d);
  xattn_destroy(handle);
  job_free(&j); /* the layer is freed last, without its handle */
  ck_assert_int_eq(a.blocks, 0);
  ck_assert_int_eq(a.bytes, 0);
}
END_TEST

START_TEST(an_allocator_must_be_whole) {
  xattn_handle *handle = cuda_handle();
  account a = {.left = -1};
  xattn_cuda_allocator wrong = allocator_of(&a);
  wrong.release = NULL;
  ASSERT_FAILS(handle, xattn_cuda_set_allocator(handle, &wrong), XATTN_ERROR_ARGUMENT,
               "allocator.release: is NULL");
  wrong = allocator_of(&a);
  wrong.allocate = NULL;
  ASSERT_FAILS(handle, xattn_cuda_set_allocator(handle, &wrong), XATTN_ERROR_ARGUMENT,
               "allocator.allocate: is NULL");
  wrong = allocator_of(&a);
  wrong.size = 1;
  ASSERT_FAILS(handle, xattn_cuda_set_allocator(handle, &wrong), XATTN_ERROR_ARGUMENT, "size");
  xattn_destroy(handle);
}
END_TEST

/* Every call that allocates, with an allocator that has nothing, then with one that has. */
START_TEST(an_empty_allocator) {
  xattn_handle *handle = cuda_handle(), *maker = cuda_handle();
  account a = {.left = 0};
  const xattn_cuda_allocator allocator = allocator_of(&a);
  ASSERT_OK(handle, xattn_cuda_set_allocator(handle, &allocator));
  job j;
  job_init(&j, maker, 102);
  xattn_layer *layer = (void *)&j;
  xattn_context *context = (void *)&j;
  void *memory = &j;
  static const char text[] = "allocator: the caller's has no";
#define NO_MEMORY(call) ASSERT_FAILS(handle, call, XATTN_ERROR_MEMORY, text)
  NO_MEMORY(xattn_layer_create(handle, &j.l.weights, &layer));
  NO_MEMORY(xattn_context_create(handle, j.layer, &j.y.t, NULL, &context));
  NO_MEMORY(xattn_forward_once(handle, j.layer, &j.x.t, &j.y.t, NULL, &j.forward.t));
  NO_MEMORY(xattn_attention(handle, &j.q.t, &j.k.t, &j.v.t, 0.0F, NULL, &j.attention.t));
  NO_MEMORY(xattn_scale_softmax(handle, &j.scores.t, 1.0F, NULL, &j.softmax.t));
  NO_MEMORY(xattn_device_alloc(handle, 100, &memory));
  NO_MEMORY(xattn_reserve(handle, 100));
  ck_assert(!layer && !context && !memory);
  a.left = 1; /* the context's memory, but no workspace to make it */
  NO_MEMORY(xattn_context_create(handle, j.layer, &j.y.t, NULL, &context));
  ck_assert_ptr_null(context);
  ck_assert_int_eq(a.blocks, 0);
  a.left = -1;
  job_refill(&j, handle, 102);
  job_free(&j);
  xattn_destroy(handle);
  xattn_destroy(maker);
  ck_assert_int_eq(a.blocks, 0);
}
END_TEST

static void run_forward(xattn_handle *handle, const job *j, const job_tensors *d) {
  ASSERT_OK(handle,
            xattn_forward_once(handle, j->layer, &d->x.t, &d->y.t, &j->options, &d->forward.t));
  ASSERT_OK(handle, xattn_synchronize(handle)); /* d is another handle's */
  check_output(&d->forward, &j->forward, "forward");
}

START_TEST(the_callers_workspace) {
  xattn_handle *handle = cuda_handle(), *maker = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, maker, 103);
  job_to_device(&j, maker, &d); /* this handle's pool stays empty */
  ASSERT_OK(maker, xattn_synchronize(maker));
  xattn_plan_info info = {.size = sizeof info};
  ASSERT_OK(handle, xattn_plan(handle, j.layer, &d.x.t, &d.y.t, NULL, &j.options, &info));
  const size_t needed = (size_t)info.workspace_bytes;
  char small[64], *memory;
  (void)snprintf(small, sizeof small, "needs %zu bytes, the caller's has %zu", needed,
                 needed - 256);
  CUDA_OK(cudaMalloc((void **)&memory, needed + 256));
  ASSERT_OK(handle, xattn_set_workspace(handle, memory, needed - 256));
  ASSERT_FAILS(handle,
               xattn_forward_once(handle, j.layer, &d.x.t, &d.y.t, &j.options, &d.forward.t),
               XATTN_ERROR_MEMORY, small);
  ASSERT_FAILS(handle, xattn_set_workspace(handle, memory + 128, needed), XATTN_ERROR_LAYOUT,
               "is not aligned to 256 bytes");
  ASSERT_FAILS(handle, xattn_set_workspace(handle, memory, 0), XATTN_ERROR_ARGUMENT, "0 bytes");
  ASSERT_FAILS(handle, xattn_set_workspace(handle, NULL, needed), XATTN_ERROR_ARGUMENT, "NULL");
  xattn_stats before = {.size = sizeof before}, after = before;
  ASSERT_OK(handle, xattn_get_stats(handle, &before));
  ASSERT_OK(handle, xattn_set_workspace(handle, memory, needed));
  CUDA_OK(cudaMemset(memory, 0x55, needed + 256));
  CUDA_OK(cudaDeviceSynchronize());
  run_forward(handle, &j, &d);
  unsigned char behind[256];
  CUDA_OK(cudaMemcpy(behind, memory + needed, sizeof behind, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 256; i++) ck_assert_int_eq(behind[i], 0x55);
  ASSERT_OK(handle, xattn_get_stats(handle, &after));
  ck_assert_uint_eq(after.allocations, before.allocations);
  ck_assert_uint_eq(after.workspace_bytes, 0);
  /* Back to the pool. */
  ASSERT_OK(handle, xattn_set_workspace(handle, NULL, 0));
  ASSERT_OK(handle, xattn_synchronize(handle));
  CUDA_OK(cudaFree(memory));
  run_forward(handle, &j, &d);
  ASSERT_OK(handle, xattn_get_stats(handle, &after));
  ck_assert_uint_eq(after.allocations, before.allocations + 1);
  ck_assert_uint_eq(after.workspace_bytes, needed);
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
  xattn_destroy(maker);
}
END_TEST

static uint64_t workspace_of(xattn_handle *handle, const job *j, int64_t rows) {
  xattn_tensor x = XATTN_TENSOR(NULL, XATTN_F32, rows, j->l.query_dim);
  xattn_tensor y = XATTN_TENSOR(NULL, XATTN_F32, rows, j->l.context_dim);
  x.device_type = y.device_type = XATTN_CUDA;
  xattn_plan_info info = {.size = sizeof info};
  ASSERT_OK(handle, xattn_plan(handle, j->layer, &x, &y, NULL, NULL, &info));
  return info.workspace_bytes;
}

/* The scores alone would be 16 GiB per head, then 64. What grows is Q, K, V and O, with Nq and Nk; a chunk of
 * scores keeps below the cache, whatever it is. */
START_TEST(workspace_does_not_grow_with_the_scores) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_init(&j, handle, 104);
  int l2;
  CUDA_OK(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, 0));
  const uint64_t once = workspace_of(handle, &j, 65536), twice = workspace_of(handle, &j, 131072);
  const uint64_t streams = (uint64_t)65536 * 4 * (4 * 32); /* Q, K, V, O */
  ck_assert_uint_le(once, streams + (uint64_t)l2);
  ck_assert_uint_le(twice, 2 * streams + (uint64_t)l2);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

START_TEST(more_memory_than_there_is) {
  (void)setenv("CUDASIM_MEMORY", "100000000", 1);
  xattn_handle *handle = cuda_handle();
  void *memory = handle;
  ASSERT_FAILS(handle, xattn_device_alloc(handle, (size_t)1 << 45, &memory), XATTN_ERROR_MEMORY,
               "cuda: allocating 35184372088832 bytes: cudaErrorMemoryAllocation");
  ck_assert_int_eq(cudaGetLastError(), cudaSuccess); /* nor does the application find it */
  ck_assert_ptr_null(memory);
  ASSERT_FAILS(handle, xattn_reserve(handle, (size_t)1 << 45), XATTN_ERROR_MEMORY, "cuda:");
  ASSERT_FAILS(handle, xattn_reserve(handle, SIZE_MAX), XATTN_ERROR_MEMORY, "bytes:");
  ASSERT_FAILS(handle, xattn_device_alloc(handle, SIZE_MAX, &memory), XATTN_ERROR_MEMORY, "cuda");
  job j;
  job_init(&j, handle, 105); /* the handle goes on */
  job_free(&j);
  ASSERT_OK(handle, xattn_device_free(handle, NULL));
  ASSERT_OK(handle, xattn_device_alloc(handle, 0, &memory));
  ck_assert_ptr_nonnull(memory);
  ck_assert_uint_eq((uintptr_t)memory % 256, 0);
  ASSERT_FAILS(handle, xattn_device_free(handle, (char *)memory + 1), XATTN_ERROR_ARGUMENT,
               "is not from this handle");
  xattn_destroy(handle); /* takes with it what was not returned */
}
END_TEST

Suite *suite_cuda_memory(void) {
  Suite *suite = suite_create("cuda-memory");
  TCase *tests = cuda_tests("memory");
  tcase_add_test(tests, the_callers_allocator_gives_all_memory);
  tcase_add_test(tests, an_allocator_must_be_whole);
  tcase_add_test(tests, an_empty_allocator);
  tcase_add_test(tests, the_callers_workspace);
  tcase_add_test(tests, workspace_does_not_grow_with_the_scores);
  tcase_add_test(tests, more_memory_than_there_is);
  suite_add_tcase(suite, tests);
  return suite;
}
