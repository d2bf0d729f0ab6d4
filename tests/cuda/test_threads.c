/* Two handles at once, in a thread and on a stream each, with a layer in common. */
#include <pthread.h>
#include <string.h>

#include "support_cuda.h"

enum { WORKERS = 2, ROUNDS = 20 };

typedef struct worker {
  const job *shared;
  xattn_context *context;
  uint64_t seed;
  bool on_host, done;
} worker;

/* Check's assertions end the whole test from any thread. */
static void *work(void *data) {
  worker *w = data;
  xattn_handle *handle = cuda_handle();
  cudaStream_t stream = stream_new();
  ASSERT_OK(handle, xattn_cuda_set_stream(handle, stream));
  job j = *w->shared; /* its layer and lengths; streams of its own */
  guarded *own[] = {&j.x, &j.y, &j.forward, &j.q, &j.k, &j.v, &j.attention, &j.scores, &j.softmax};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    *own[i] = guarded_new(DENSE, own[i]->t.rank, own[i]->t.shape);
  job_tensors d;
  job_refill(&j, handle, w->seed);
  job_to_device(&j, handle, &d);
  for (int i = 0; i < ROUNDS; i++) {
    const bool with_context = i % 4 == 1, on_host = w->on_host && i % 5 == 2;
    job_run(&j, handle, &d, NULL);
    xattn_context *made = NULL;
    if (with_context) {
      ASSERT_OK(handle, xattn_context_create(handle, j.layer, &d.y.t, &j.options, &made));
      job_run(&j, handle, &d, made);
      xattn_context_destroy(made);
    }
    if (on_host) {
      job_refill(&j, handle, w->seed + (uint64_t)i);
      job_put(&j, &d);
      job_run(&j, handle, &d, NULL);
    }
    job_check(&j, &d);
    /* The context that both read was made from the shared job's y. */
    ASSERT_OK(handle, xattn_forward(handle, j.layer, &d.x.t, w->context, NULL, &d.forward.t));
  }
  job_tensors_free(&d);
  xattn_destroy(handle);
  CUDA_OK(cudaStreamDestroy(stream));
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) guarded_free(own[i]);
  w->done = true;
  return NULL;
}

START_TEST(two_handles_in_two_threads) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_init(&j, handle, 61);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, j.layer, &j.y.t, &j.options, &context));
  worker workers[WORKERS];
  pthread_t threads[WORKERS];
  for (int i = 0; i < WORKERS; i++) {
    workers[i] = (worker){
        .shared = &j, .context = context, .seed = 62 + 10 * (uint64_t)i, .on_host = _i == 1};
    ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < WORKERS; i++) {
    ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert(workers[i].done);
  }
  xattn_context_destroy(context);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_threads(void) {
  Suite *suite = suite_create("cuda-threads");
  TCase *tests = cuda_tests("threads");
  tcase_add_loop_test(tests, two_handles_in_two_threads, 0, 2);
  suite_add_tcase(suite, tests);
  return suite;
}
