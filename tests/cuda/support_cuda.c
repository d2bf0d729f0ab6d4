#include "support_cuda.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

/* ---- the simulator */

static void find(const char *name, void *function) {
  *(void **)function = dlsym(RTLD_DEFAULT, name);
}

const simulator *the_simulator(void) {
  static simulator s;
  if (s.fail_at) return &s;
  find("cudasim_fail_at", &s.fail_at);
  if (!s.fail_at) return NULL;
  find("cudasim_fallible_calls", &s.fallible_calls);
  find("cudasim_live_device_blocks", &s.live[0]);
  find("cudasim_live_host_blocks", &s.live[1]);
  find("cudasim_live_streams", &s.live[2]);
  find("cudasim_live_events", &s.live[3]);
  find("cudasim_live_cublas_handles", &s.live[4]);
  find("cudasim_calls", &s.calls);
  find("cudasim_fault", &s.fault);
  find("cudasim_counters_of", &s.counters_of);
  find("cudasim_counters_reset", &s.counters_reset);
  return &s;
}

const simulator *simulator_or_skip(const char *test) {
  const simulator *s = the_simulator();
  if (!s) printf("%s: needs the simulator, skipped\n", test);
  return s;
}

void nothing_is_alive(void) {
  static const char *const names[] = {"device blocks", "pinned blocks", "streams", "events",
                                      "cuBLAS handles"};
  const simulator *s = the_simulator();
  if (!s) return;
  for (int i = 0; i < 5; i++)
    ck_assert_msg(s->live[i]() == 0, "%zu %s are alive at the end", s->live[i](), names[i]);
  ck_assert_msg(s->fault()[0] == '\0', "fault: %s", s->fault());
  /* What works, and must not be: see cudasim.h. */
  ck_assert_uint_eq(s->calls("default_workspace_gemm"), 0);
  ck_assert_uint_eq(s->calls("captured_allocations"), 0);
}

TCase *cuda_tests(const char *name) {
  TCase *tests = tcase_create(name);
  tcase_set_timeout(tests, 120);
  tcase_add_checked_fixture(tests, NULL, nothing_is_alive);
  return tests;
}

/* ---- handles and streams */

xattn_handle *cuda_handle_of(const char *device, xattn_math math) {
  xattn_handle_options options = {.size = sizeof options, .device = device, .math = math};
  xattn_handle *handle;
  ASSERT_OK(NULL, xattn_create(&options, &handle));
  return handle;
}

xattn_handle *cuda_handle(void) {
  return cuda_handle_of("cuda", XATTN_MATH_DEFAULT);
}

cudaStream_t stream_new(void) {
  cudaStream_t stream;
  CUDA_OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

static void CUDART_CB wait_at(void *data) {
  while (!((gate *)data)->open) sched_yield();
}

void gate_close(gate *g, cudaStream_t stream) {
  g->open = 0;
  CUDA_OK(cudaLaunchHostFunc(stream, wait_at, g));
}

void gate_open(gate *g) {
  g->open = 1;
}

/* ---- bits */

void check_same_bits(const guarded *got, const guarded *wanted, const char *name) {
  ck_assert_int_eq(got->size, wanted->size);
  for (int64_t i = 0; i < got->size; i++)
    ck_assert_msg(memcmp(got->memory + i, wanted->memory + i, sizeof(float)) == 0,
                  "%s: element %lld is %.9g, not %.9g", name, (long long)i, (double)got->memory[i],
                  (double)wanted->memory[i]);
}

/* ---- a job */

enum { BATCH = 3, QUERIES = 20, KEYS = 50, QUERY_DIM = 24, CONTEXT_DIM = 40, HEADS = 4, WIDTH = 8 };

static void fill(job *j, uint64_t seed) {
  rng r = {seed};
  guarded_fill(&j->x, &r, 1.0);
  guarded_fill(&j->y, &r, 1.0);
  guarded_fill(&j->q, &r, 1.0);
  guarded_fill(&j->k, &r, 1.0);
  guarded_fill(&j->v, &r, 1.0);
  guarded_fill(&j->scores, &r, 4.0);
}

void job_refill(job *j, xattn_handle *handle, uint64_t seed) {
  fill(j, seed);
  ASSERT_OK(handle,
            xattn_forward_once(handle, j->layer, &j->x.t, &j->y.t, &j->options, &j->forward.t));
  ASSERT_OK(handle,
            xattn_attention(handle, &j->q.t, &j->k.t, &j->v.t, 0.0F, &j->options, &j->attention.t));
  ASSERT_OK(handle,
            xattn_scale_softmax(handle, &j->scores.t, 0.7F, &j->lengths_alone, &j->softmax.t));
  const layer_verdict verdict =
      oracle_check_layer(&j->l.weights, &j->x.t, &j->y.t, j->lengths, &j->forward.t, 3);
  ck_assert_msg(verdict.right, "error %.3g, plain %.3g", verdict.error, verdict.plain_error);
}

void job_init(job *j, xattn_handle *handle, uint64_t seed) {
  memset(j, 0, sizeof *j);
  j->l = (test_layer){.batch = BATCH,
                      .queries = QUERIES,
                      .keys = KEYS,
                      .query_dim = QUERY_DIM,
                      .context_dim = CONTEXT_DIM,
                      .heads = HEADS,
                      .head_dim = WIDTH,
                      .out_dim = QUERY_DIM,
                      .biases = true};
  rng r = {seed + 1};
  test_layer_init(&j->l, &r);
  ASSERT_OK(handle, xattn_layer_create(handle, &j->l.weights, &j->layer));
  const int32_t lengths[BATCH] = {KEYS, 17, 31};
  memcpy(j->lengths, lengths, sizeof lengths);
  j->lengths_tensor = XATTN_TENSOR(j->lengths, XATTN_I32, BATCH);
  j->lengths_alone =
      (xattn_options){.size = sizeof j->lengths_alone, .key_lengths = &j->lengths_tensor};
  j->options = j->lengths_alone;
  j->options.plan = "direct";
  const int64_t query[4] = {BATCH, QUERIES, HEADS, WIDTH}, key[4] = {BATCH, KEYS, HEADS, WIDTH};
  j->x = guarded_new(DENSE, 3, (int64_t[]){BATCH, QUERIES, QUERY_DIM});
  j->y = guarded_new(DENSE, 3, (int64_t[]){BATCH, KEYS, CONTEXT_DIM});
  j->forward = guarded_new(DENSE, 3, (int64_t[]){BATCH, QUERIES, QUERY_DIM});
  j->q = guarded_new(DENSE, 4, query);
  j->k = guarded_new(DENSE, 4, key);
  j->v = guarded_new(DENSE, 4, key);
  j->attention = guarded_new(DENSE, 4, query);
  j->scores = guarded_new(DENSE, 3, (int64_t[]){BATCH, QUERIES, KEYS});
  j->softmax = guarded_new(DENSE, 3, (int64_t[]){BATCH, QUERIES, KEYS});
  job_refill(j, handle, seed);
}

void job_free(job *j) {
  guarded *all[] = {&j->x, &j->y,         &j->forward, &j->q,      &j->k,
                    &j->v, &j->attention, &j->scores,  &j->softmax};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
  xattn_layer_destroy(j->layer);
  test_layer_free(&j->l);
}

void job_to_device(const job *j, xattn_handle *handle, job_tensors *d) {
  d->x = device_copy(handle, &j->x.t, XATTN_F32);
  d->y = device_copy(handle, &j->y.t, XATTN_F32);
  d->q = device_copy(handle, &j->q.t, XATTN_F32);
  d->k = device_copy(handle, &j->k.t, XATTN_F32);
  d->v = device_copy(handle, &j->v.t, XATTN_F32);
  d->scores = device_copy(handle, &j->scores.t, XATTN_F32);
  d->forward = device_new(handle, &j->forward.t, XATTN_F32, 0);
  d->attention = device_new(handle, &j->attention.t, XATTN_F32, 0);
  d->softmax = device_new(handle, &j->softmax.t, XATTN_F32, 0);
}

void job_put(const job *j, const job_tensors *d) {
  device_put(&d->x, &j->x.t);
  device_put(&d->y, &j->y.t);
  device_put(&d->q, &j->q.t);
  device_put(&d->k, &j->k.t);
  device_put(&d->v, &j->v.t);
  device_put(&d->scores, &j->scores.t);
}

void job_tensors_free(job_tensors *d) {
  device_tensor *all[] = {&d->x, &d->y,         &d->forward, &d->q,      &d->k,
                          &d->v, &d->attention, &d->scores,  &d->softmax};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) device_free(all[i]);
}

void check_output(const device_tensor *got, const guarded *wanted, const char *name) {
  guarded host = guarded_new(DENSE, wanted->t.rank, wanted->t.shape);
  device_get(got, &host.t);
  check_same_bits(&host, wanted, name);
  device_check(got, name);
  guarded_free(&host);
}

void job_run(const job *j, xattn_handle *handle, const job_tensors *d,
             const xattn_context *context) {
  if (context)
    ASSERT_OK(handle, xattn_forward(handle, j->layer, &d->x.t, context, NULL, &d->forward.t));
  else
    ASSERT_OK(handle,
              xattn_forward_once(handle, j->layer, &d->x.t, &d->y.t, &j->options, &d->forward.t));
  ASSERT_OK(handle,
            xattn_attention(handle, &d->q.t, &d->k.t, &d->v.t, 0.0F, &j->options, &d->attention.t));
  ASSERT_OK(handle,
            xattn_scale_softmax(handle, &d->scores.t, 0.7F, &j->lengths_alone, &d->softmax.t));
}

void job_check(const job *j, const job_tensors *d) {
  check_output(&d->forward, &j->forward, "forward");
  check_output(&d->attention, &j->attention, "attention");
  check_output(&d->softmax, &j->softmax, "softmax");
}
