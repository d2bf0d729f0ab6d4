/* Steady state: the second call with the same shapes allocates nothing; the same call gives the same
 * bits; handles in several threads share a layer. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* This program's malloc, calloc and aligned_alloc count, then call the C library's: every allocation
 * of the library and of OpenMP is seen. */
static atomic_long allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

#if !defined(__SANITIZE_ADDRESS__)
void *malloc(size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_calloc(count, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_memalign(alignment, size);
}

START_TEST(the_counter_counts) {
  long before = atomic_load(&allocations);
  void *volatile memory = malloc(10);
  free(memory);
  ck_assert_int_eq(atomic_load(&allocations), before + 1);
}
END_TEST
#endif

typedef struct job {
  test_layer l;
  xattn_layer *layer;
  guarded x, y, out;
} job;

static void job_init(job *j, xattn_handle *handle, int64_t keys) {
  memset(j, 0, sizeof *j);
  j->l = (test_layer){.batch = 3,
                      .queries = 40,
                      .keys = keys,
                      .query_dim = 48,
                      .context_dim = 80,
                      .heads = 4,
                      .head_dim = 16,
                      .out_dim = 48,
                      .biases = true};
  rng r = {51};
  test_layer_init(&j->l, &r);
  ASSERT_OK(handle, xattn_layer_create(handle, &j->l.weights, &j->layer));
  j->x = guarded_new(REVERSED, 3, (int64_t[]){3, 40, 48});
  j->y = guarded_new(DENSE, 3, (int64_t[]){3, keys, 80});
  j->out = guarded_new(GAPS, 3, (int64_t[]){3, 40, 48});
  guarded_fill(&j->x, &r, 1.0);
  guarded_fill(&j->y, &r, 1.0);
}

static void job_free(job *j) {
  guarded_free(&j->x);
  guarded_free(&j->y);
  guarded_free(&j->out);
  xattn_layer_destroy(j->layer);
  test_layer_free(&j->l);
}

/* Of every form: merged weights are there after the first call. */
START_TEST(the_second_call_allocates_nothing) {
  xattn_handle *handle = test_handle(2);
  job j;
  job_init(&j, handle, 300);
  xattn_context *context;
  xattn_options options = {.size = sizeof options, .plan = xattn_plan_name(_i)};
  ASSERT_OK(handle, xattn_context_create(handle, j.layer, &j.y.t, &options, &context));
  xattn_stats before = {.size = sizeof before}, after = before;
  long mallocs = 0;
  int failures = 0; /* Check's own assertions allocate */
  for (int i = 0; i < 4; i++) {
    failures += xattn_forward_once(handle, j.layer, &j.x.t, &j.y.t, &options, &j.out.t) != XATTN_OK;
    failures += xattn_forward(handle, j.layer, &j.x.t, context, &options, &j.out.t) != XATTN_OK;
    if (i > 0) continue; /* the first round makes room */
    failures += xattn_get_stats(handle, &before) != XATTN_OK;
    mallocs = atomic_load(&allocations);
  }
  mallocs = atomic_load(&allocations) - mallocs;
  ck_assert_int_eq(failures, 0);
  ASSERT_OK(handle, xattn_get_stats(handle, &after));
  if (on_cpu()) ck_assert_int_eq(mallocs, 0); /* the simulator of CUDA allocates */
  ck_assert_uint_eq(after.allocations, before.allocations);
  ck_assert_uint_eq(after.allocated_bytes, before.allocated_bytes);
  ck_assert_uint_eq(after.workspace_bytes, before.workspace_bytes);
  /* Host tensors travel: x six times, y three times, out back. */
  uint64_t x = 3 * 40 * 48 * 4, y = 3 * 300 * 80 * 4;
  ck_assert_uint_eq(after.bytes_to_device, before.bytes_to_device + (on_cpu() ? 0 : 6 * x + 3 * y));
  ck_assert_uint_eq(after.bytes_from_device, before.bytes_from_device + (on_cpu() ? 0 : 6 * x));
  ck_assert_uint_eq(after.calls, before.calls + 6);
  ck_assert_uint_gt(after.launches, before.launches);
  ck_assert(after.flops > before.flops);
  xattn_context_destroy(context);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

START_TEST(stats_agree_with_the_plan) {
  xattn_handle *handle = test_handle(1);
  job j;
  job_init(&j, handle, 30);
  xattn_plan_info info = {.size = sizeof info};
  xattn_options options = {.size = sizeof options, .plan = "direct"};
  xattn_tensor x = j.x.t, y = j.y.t;
  x.data = y.data = NULL;
  ASSERT_OK(handle, xattn_plan(handle, j.layer, &x, &y, NULL, &options, &info));
  /* [3, 40] × 48 → 64, [3, 30] × 80 → 2 · 64, attention, [3, 40] × 64 → 48 */
  double flops = 2.0 * 3 * (40 * 48 * 64 + 30 * 80 * 128 + 2 * 40 * 30 * 64 + 40 * 64 * 48);
  ck_assert(info.flops == flops);
  ck_assert(info.flops_direct == flops);
  ck_assert_str_eq(info.name, "direct");
  ck_assert_ptr_nonnull(strstr(info.text, "Q = x·Wqᵀ + bq"));
  ASSERT_OK(handle, xattn_forward_once(handle, j.layer, &j.x.t, &j.y.t, &options, &j.out.t));
  xattn_stats stats = {.size = sizeof stats};
  ASSERT_OK(handle, xattn_get_stats(handle, &stats));
  ck_assert(stats.flops == flops);
  ck_assert_uint_eq(stats.workspace_bytes, info.workspace_bytes);
  uint64_t streams = on_cpu() ? 0 : 4 * 3 * (40 * 48 + 30 * 80);
  ck_assert_uint_eq(stats.bytes_to_device,
                    4 * (64 * 48 + 2 * 64 * 80 + 48 * 64 + 3 * 64 + 48) + streams);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

/* Of every form, and of the one that is chosen. */
START_TEST(stats_agree_with_every_plan) {
  xattn_handle *handle = test_handle(1);
  job j;
  job_init(&j, handle, 30);
  for (int64_t f = -1; f < 16; f++) {
    xattn_options options = {.size = sizeof options, .plan = xattn_plan_name(f)};
    xattn_plan_info info = {.size = sizeof info};
    xattn_stats before = {.size = sizeof before}, after = before;
    ASSERT_OK(handle, xattn_plan(handle, j.layer, &j.x.t, &j.y.t, NULL, &options, &info));
    ck_assert(f < 0 || strcmp(info.name, options.plan) == 0);
    ASSERT_OK(handle, xattn_get_stats(handle, &before));
    ASSERT_OK(handle, xattn_forward_once(handle, j.layer, &j.x.t, &j.y.t, &options, &j.out.t));
    ASSERT_OK(handle, xattn_get_stats(handle, &after));
    ck_assert(after.flops - before.flops == info.flops);
    ck_assert_msg((int64_t)(after.launches - before.launches) == info.launches,
                  "%s: %lld launches, planned %lld", info.name,
                  (long long)(after.launches - before.launches), (long long)info.launches);
    ck_assert_uint_ge(after.workspace_bytes, info.workspace_bytes);
  }
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

START_TEST(the_same_call_gives_the_same_bits) {
  for (int threads = 1; threads <= 4; threads++) {
    xattn_handle *handle = test_handle(threads);
    job j;
    job_init(&j, handle, 1000);
    float *first = NULL;
    for (int i = 0; i < 10; i++) {
      ASSERT_OK(handle, xattn_forward_once(handle, j.layer, &j.x.t, &j.y.t, NULL, &j.out.t));
      size_t bytes = (size_t)j.out.size * sizeof *first;
      if (!first) {
        first = malloc(bytes);
        ck_assert_ptr_nonnull(first);
        memcpy(first, j.out.memory, bytes);
      }
      ck_assert(memcmp(first, j.out.memory, bytes) == 0);
    }
    free(first);
    job_free(&j);
    xattn_destroy(handle);
  }
}
END_TEST

/* The child of a process that has computed has none of its OpenMP threads, and computes with one; CUDA
 * does not work in it, which it is told. */
START_TEST(a_forked_child_computes) {
  xattn_handle *handle = test_handle(2);
  job j;
  job_init(&j, handle, 300);
  ASSERT_OK(handle, xattn_forward_once(handle, j.layer, &j.x.t, &j.y.t, NULL, &j.out.t));
  pid_t child = fork();
  ck_assert_int_ge(child, 0);
  if (child == 0) {
    xattn_status status = xattn_forward_once(handle, j.layer, &j.x.t, &j.y.t, NULL, &j.out.t);
    bool right = on_cpu() ? status == XATTN_OK
                          : status == XATTN_ERROR_UNAVAILABLE &&
                                strstr(xattn_last_error(handle), "is a fork of one") != NULL;
    xattn_layer_destroy(j.layer);
    xattn_destroy(handle);
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert_int_eq(status, 0);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

typedef struct worker {
  const job *j;
  const xattn_context *context;
  const float *expected;
  bool right;
} worker;

static void *work(void *data) {
  worker *w = data;
  xattn_handle_options options = {.size = sizeof options, .device = test_device(), .threads = 1};
  xattn_handle *handle;
  if (xattn_create(&options, &handle)) return NULL;
  guarded out = guarded_new(GAPS, 3, w->j->out.t.shape);
  w->right = true;
  for (int i = 0; i < 20; i++) {
    if (xattn_forward(handle, w->j->layer, &w->j->x.t, w->context, NULL, &out.t) ||
        memcmp(out.memory, w->expected, (size_t)out.size * sizeof(float)) != 0)
      w->right = false;
  }
  guarded_free(&out);
  xattn_destroy(handle);
  return NULL;
}

START_TEST(threads_share_a_layer_and_a_context) {
  enum { WORKERS = 4 };
  xattn_handle *handle = test_handle(1);
  job j;
  job_init(&j, handle, 200);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, j.layer, &j.y.t, NULL, &context));
  ASSERT_OK(handle, xattn_forward(handle, j.layer, &j.x.t, context, NULL, &j.out.t));
  xattn_destroy(handle); /* both outlive the handle that made them */
  worker workers[WORKERS];
  pthread_t threads[WORKERS];
  for (int i = 0; i < WORKERS; i++) {
    workers[i] = (worker){&j, context, j.out.memory, false};
    ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < WORKERS; i++) {
    ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert(workers[i].right);
  }
  xattn_context_destroy(context);
  job_free(&j);
}
END_TEST

Suite *suite_steady(void) {
  Suite *suite = suite_create("steady");
  TCase *tests = tcase_create("steady");
  tcase_set_timeout(tests, 60);
#if !defined(__SANITIZE_ADDRESS__)
  tcase_add_test(tests, the_counter_counts);
#endif
  tcase_add_loop_test(tests, the_second_call_allocates_nothing, 0, 16);
  tcase_add_test(tests, stats_agree_with_the_plan);
  tcase_add_test(tests, stats_agree_with_every_plan);
  tcase_add_test(tests, the_same_call_gives_the_same_bits);
  tcase_add_test(tests, a_forked_child_computes);
  tcase_add_test(tests, threads_share_a_layer_and_a_context);
  suite_add_tcase(suite, tests);
  return suite;
}
