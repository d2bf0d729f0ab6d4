/* Steady state on device tensors: calls enqueue, and do nothing else. */
#include <string.h>

#include "support_cuda.h"

/* What a call in steady state may not ask of CUDA: memory, objects, waiting, transfers. */
static const char *const forbidden[] = {"cudaMalloc",
                                        "cudaMallocAsync",
                                        "cudaMallocFromPoolAsync",
                                        "cudaFree",
                                        "cudaFreeAsync",
                                        "cudaHostAlloc",
                                        "cudaMallocHost",
                                        "cudaFreeHost",
                                        "cudaHostRegister",
                                        "cudaMemcpy",
                                        "cudaMemcpyAsync",
                                        "cudaMemcpy2DAsync",
                                        "cudaMemset",
                                        "cudaMemsetAsync",
                                        "cudaStreamSynchronize",
                                        "cudaEventSynchronize",
                                        "cudaDeviceSynchronize",
                                        "cudaStreamQuery",
                                        "cudaEventQuery",
                                        "cudaStreamCreate",
                                        "cudaStreamCreateWithFlags",
                                        "cudaEventCreate",
                                        "cudaEventCreateWithFlags",
                                        "cublasCreate_v2",
                                        "cublasSetStream_v2",
                                        "cublasSetWorkspace_v2",
                                        "default_workspace_gemm"};
enum { FORBIDDEN = sizeof forbidden / sizeof *forbidden };

static void count(unsigned long long counts[FORBIDDEN]) {
  const simulator *s = the_simulator();
  for (int i = 0; i < FORBIDDEN && s; i++) counts[i] = s->calls(forbidden[i]);
}

static void check_stats(const xattn_stats *before, const xattn_stats *after, uint64_t calls) {
  ck_assert_uint_eq(after->allocations, before->allocations);
  ck_assert_uint_eq(after->allocated_bytes, before->allocated_bytes);
  ck_assert_uint_eq(after->workspace_bytes, before->workspace_bytes);
  ck_assert_uint_eq(after->bytes_to_device, before->bytes_to_device);
  ck_assert_uint_eq(after->bytes_from_device, before->bytes_from_device);
  ck_assert_uint_eq(after->calls, before->calls + calls);
  ck_assert_uint_gt(after->launches, before->launches);
  ck_assert(after->flops > before->flops);
}

static void repeat(const job *j, xattn_handle *handle, const job_tensors *d,
                   const xattn_context *context) {
  enum { ROUNDS = 3 };
  xattn_stats before = {.size = sizeof before}, after = before;
  unsigned long long counts[2][FORBIDDEN] = {{0}};
  job_run(j, handle, d, NULL); /* makes room */
  job_run(j, handle, d, context);
  ASSERT_OK(handle, xattn_get_stats(handle, &before));
  count(counts[0]);
  for (int i = 0; i < ROUNDS; i++) {
    job_run(j, handle, d, NULL);
    job_run(j, handle, d, context);
  }
  count(counts[1]);
  ASSERT_OK(handle, xattn_get_stats(handle, &after));
  check_stats(&before, &after, 6 * ROUNDS);
  for (int i = 0; i < FORBIDDEN; i++)
    ck_assert_msg(counts[0][i] == counts[1][i], "%llu calls of %s in steady state",
                  counts[1][i] - counts[0][i], forbidden[i]);
  ASSERT_OK(handle, xattn_synchronize(handle)); /* d may be another handle's */
  job_check(j, d);
}

START_TEST(calls_on_device_tensors_only_enqueue) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 41);
  job_to_device(&j, handle, &d);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, j.layer, &d.y.t, &j.options, &context));
  repeat(&j, handle, &d, context);
  /* So too on another stream, which resets what cuBLAS was told, and with another handle's context. */
  cudaStream_t stream = stream_new();
  ASSERT_OK(handle, xattn_cuda_set_stream(handle, stream));
  repeat(&j, handle, &d, context);
  xattn_handle *other = cuda_handle();
  ASSERT_OK(handle, xattn_synchronize(handle));
  repeat(&j, other, &d, context);
  xattn_destroy(other);
  xattn_context_destroy(context);
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
  CUDA_OK(cudaStreamDestroy(stream));
}
END_TEST

/* Strided tensors go through copies in the workspace, which is no transfer either. */
START_TEST(strided_tensors_too) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 42);
  job_to_device(&j, handle, &d);
  guarded like = guarded_new(REVERSED, 3, j.x.t.shape);
  device_tensor x = device_new(handle, &like.t, XATTN_F32, 0);
  device_tensor out = device_new(handle, &like.t, XATTN_F32, 0);
  ASSERT_OK(handle, xattn_tensor_copy(handle, &d.x.t, &x.t));
  unsigned long long counts[2][FORBIDDEN] = {{0}};
  for (int i = 0; i < 4; i++) {
    if (i == 1) count(counts[0]);
    ASSERT_OK(handle, xattn_forward_once(handle, j.layer, &x.t, &d.y.t, &j.options, &out.t));
    ASSERT_OK(handle, xattn_tensor_copy(handle, &out.t, &d.forward.t));
  }
  count(counts[1]);
  ck_assert(memcmp(counts[0], counts[1], sizeof counts[0]) == 0);
  check_output(&d.forward, &j.forward, "out");
  device_check(&out, "strided out");
  device_free(&x);
  device_free(&out);
  guarded_free(&like);
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

/* A forward of y, or of a context where there is one, by a plan of its own. */
static void repeat_plan(const job *j, xattn_handle *handle, const job_tensors *d,
                        const xattn_context *context, const xattn_options *options) {
  enum { ROUNDS = 3 };
  xattn_stats before = {.size = sizeof before}, after = before;
  unsigned long long counts[2][FORBIDDEN] = {{0}};
  guarded first = guarded_new(DENSE, 3, j->forward.t.shape);
  for (int i = 0; i <= ROUNDS; i++) {
    ASSERT_OK(handle,
              context
                  ? xattn_forward(handle, j->layer, &d->x.t, context, options, &d->forward.t)
                  : xattn_forward_once(handle, j->layer, &d->x.t, &d->y.t, options, &d->forward.t));
    if (i > 0) continue;
    device_get(&d->forward, &first.t);
    ASSERT_OK(handle, xattn_get_stats(handle, &before));
    count(counts[0]);
  }
  count(counts[1]);
  ASSERT_OK(handle, xattn_get_stats(handle, &after));
  check_stats(&before, &after, ROUNDS);
  for (int i = 0; i < FORBIDDEN; i++)
    ck_assert_msg(counts[0][i] == counts[1][i], "%s: %llu calls of %s in steady state",
                  options && options->plan ? options->plan : "a context",
                  counts[1][i] - counts[0][i], forbidden[i]);
  check_output(&d->forward, &first, "the same again");
  guarded_free(&first);
}

/* Plans that merge weights have done so the first time; none has another way to its result than launches. */
START_TEST(so_does_every_plan) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 45);
  job_to_device(&j, handle, &d);
  xattn_context *context;
  xattn_options options = j.options;
  for (int64_t i = 0; (options.plan = xattn_plan_name(i)) != NULL; i++) {
    const xattn_options own = {.size = sizeof own, .plan = options.plan};
    repeat_plan(&j, handle, &d, NULL, &options);
    ASSERT_OK(handle, xattn_context_create(handle, j.layer, &d.y.t, &options, &context));
    repeat_plan(&j, handle, &d, context, &own);
    xattn_context_destroy(context);
  }
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

/* Stored in 16 bits, widened chunk by chunk in the workspace. */
START_TEST(so_does_a_narrow_context) {
  static const xattn_dtype dtypes[] = {XATTN_BF16, XATTN_F16};
  static const char *const plans[] = {"direct", "push+defer", "merge-y+merge-y"};
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 46);
  job_to_device(&j, handle, &d);
  for (int i = 0; i < 6; i++) {
    xattn_context *context;
    xattn_options options = j.options;
    options.plan = plans[i / 2];
    options.context_dtype = dtypes[i % 2];
    ASSERT_OK(handle, xattn_context_create(handle, j.layer, &d.y.t, &options, &context));
    repeat_plan(&j, handle, &d, context, NULL);
    xattn_context_destroy(context);
  }
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

/* Transfers keep their pinned memory. */
START_TEST(host_tensors_allocate_once) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_init(&j, handle, 43);
  static const char *const names[] = {"cudaHostAlloc", "cudaMallocFromPoolAsync",
                                      "cudaEventCreateWithFlags"};
  const simulator *s = the_simulator();
  unsigned long long before[3] = {0};
  xattn_stats stats = {.size = sizeof stats}, again = stats;
  ASSERT_OK(handle, xattn_get_stats(handle, &stats));
  for (int i = 0; i < 3 && s; i++) before[i] = s->calls(names[i]);
  job_refill(&j, handle, 44);
  for (int i = 0; i < 3 && s; i++) ck_assert_uint_eq(s->calls(names[i]), before[i]);
  ASSERT_OK(handle, xattn_get_stats(handle, &again));
  ck_assert_uint_eq(again.allocations, stats.allocations);
  ck_assert_uint_gt(again.bytes_to_device, stats.bytes_to_device);
  ck_assert_uint_gt(again.bytes_from_device, stats.bytes_from_device);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_quiet(void) {
  Suite *suite = suite_create("cuda-quiet");
  TCase *tests = cuda_tests("quiet");
  tcase_add_test(tests, calls_on_device_tensors_only_enqueue);
  tcase_add_test(tests, strided_tensors_too);
  tcase_add_test(tests, so_does_every_plan);
  tcase_add_test(tests, so_does_a_narrow_context);
  tcase_add_test(tests, host_tensors_allocate_once);
  suite_add_tcase(suite, tests);
  return suite;
}
