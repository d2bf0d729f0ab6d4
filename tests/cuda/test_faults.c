/* Every call of CUDA and cuBLAS that can fail fails once, in a sequence of every call of the library: the
 * status is clean, the handle goes on, the results are right, nothing leaks. Only on the simulator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_cuda.h"

typedef struct script {
  const job *j;
  cudaStream_t stream;
  cudaEvent_t event;
  xattn_handle *handle;
  xattn_layer *layer;
  xattn_context *context;
  guarded forward;                /* on host tensors */
  guarded merged, appended;       /* the same by a merged plan; over y twice */
  xattn_tensor x, y, out, scores; /* on the device */
  void *memory[4], *spare;
  guarded got, softmax;
} script;

static xattn_tensor on_device(const guarded *like, void *memory) {
  xattn_tensor t = like->t;
  t.data = memory;
  t.device_type = XATTN_CUDA;
  return t;
}

/* ---- the steps: each can be done again after it has failed */

static xattn_status create(script *s) {
  const xattn_handle_options options = {.size = sizeof options, .device = "cuda"};
  return xattn_create(&options, &s->handle);
}

static xattn_status create_layer(script *s) {
  return xattn_layer_create(s->handle, &s->j->l.weights, &s->layer);
}

static xattn_status create_context(script *s) {
  return xattn_context_create(s->handle, s->layer, &s->j->y.t, &s->j->options, &s->context);
}

static xattn_status forward_on_host(script *s) {
  return xattn_forward(s->handle, s->layer, &s->j->x.t, s->context, NULL, &s->forward.t);
}

static xattn_status forward_merged(script *s) {
  const xattn_options options = {.size = sizeof options, .plan = "merge-y+merge-py"};
  return xattn_forward_once(s->handle, s->layer, &s->j->x.t, &s->j->y.t, &options, &s->merged.t);
}

/* The context has room for what it holds: it moves. */
static xattn_status append(script *s) {
  return xattn_context_append(s->handle, s->layer, s->context, &s->j->y.t, NULL);
}

static xattn_status forward_appended(script *s) {
  return xattn_forward(s->handle, s->layer, &s->j->x.t, s->context, NULL, &s->appended.t);
}

static xattn_status allocate(script *s) {
  const guarded *like[4] = {&s->j->x, &s->j->y, &s->j->forward, &s->j->scores};
  xattn_tensor *tensors[4] = {&s->x, &s->y, &s->out, &s->scores};
  for (int i = 0; i < 4; i++) {
    if (s->memory[i]) continue;
    const size_t bytes = (size_t)like[i]->size * sizeof(float);
    const xattn_status status = xattn_device_alloc(s->handle, bytes, &s->memory[i]);
    if (status) return status;
    *tensors[i] = on_device(like[i], s->memory[i]);
  }
  return XATTN_OK;
}

static xattn_status upload(script *s) {
  xattn_status status = xattn_tensor_copy(s->handle, &s->j->x.t, &s->x);
  if (!status) status = xattn_tensor_copy(s->handle, &s->j->y.t, &s->y);
  return status ? status : xattn_tensor_copy(s->handle, &s->j->scores.t, &s->scores);
}

static xattn_status forward_on_device(script *s) {
  return xattn_forward_once(s->handle, s->layer, &s->x, &s->y, &s->j->options, &s->out);
}

static xattn_status attend(script *s) {
  const job *j = s->j;
  return xattn_attention(s->handle, &j->q.t, &j->k.t, &j->v.t, 0.0F, &j->options, &s->got.t);
}

/* On the device, in place; a failed launch has not touched it. */
static xattn_status soften(script *s) {
  return xattn_scale_softmax(s->handle, &s->scores, 0.7F, &s->j->lengths_alone, &s->scores);
}

static xattn_status change_stream(script *s) {
  return xattn_cuda_set_stream(s->handle, s->stream);
}

static xattn_status record(script *s) {
  return xattn_cuda_record_event(s->handle, s->event);
}

static xattn_status wait(script *s) {
  return xattn_cuda_wait_event(s->handle, s->event);
}

static xattn_status reserve(script *s) {
  return xattn_reserve(s->handle, (size_t)1 << 21);
}

static xattn_status download(script *s) {
  xattn_status status = xattn_tensor_copy(s->handle, &s->scores, &s->softmax.t);
  return status ? status : xattn_tensor_copy(s->handle, &s->out, &s->forward.t);
}

static xattn_status spare(script *s) {
  const xattn_status status = xattn_device_alloc(s->handle, 100, &s->spare);
  return status ? status : xattn_device_free(s->handle, s->spare);
}

static xattn_status synchronize(script *s) {
  return xattn_synchronize(s->handle);
}

static const struct step {
  const char *name;
  xattn_status (*run)(script *s);
} steps[] = {{"xattn_create", create},
             {"xattn_layer_create", create_layer},
             {"xattn_context_create", create_context},
             {"xattn_forward, host tensors", forward_on_host},
             {"xattn_device_alloc", allocate},
             {"xattn_tensor_copy to the device", upload},
             {"xattn_forward_once, device tensors", forward_on_device},
             {"xattn_attention", attend},
             {"xattn_scale_softmax in place", soften},
             {"xattn_cuda_set_stream", change_stream},
             {"xattn_cuda_record_event", record},
             {"xattn_cuda_wait_event", wait},
             {"xattn_reserve", reserve},
             {"xattn_context_create again", create_context},
             {"xattn_forward_once, merged weights", forward_merged},
             {"xattn_context_append", append},
             {"xattn_forward, appended rows", forward_appended},
             {"xattn_tensor_copy from the device", download},
             {"xattn_device_alloc and free", spare},
             {"xattn_synchronize", synchronize}};
enum { STEPS = sizeof steps / sizeof *steps };

/* ---- what must hold */

static void check_failure(const script *s, const char *name, long long n, xattn_status status) {
  const char *text = xattn_last_error(s->handle);
  const bool known = status == XATTN_ERROR_MEMORY || status == XATTN_ERROR_DEVICE ||
                     status == XATTN_ERROR_UNAVAILABLE;
  ck_assert_msg(known, "fault %lld, %s: %s: %s", n, name, xattn_status_name(status), text);
  const char *colon = strstr(text, ": ");
  ck_assert_msg(strncmp(text, "cuda: ", 6) == 0 || (colon && colon > text),
                "fault %lld, %s: \"%s\" names neither CUDA nor a field", n, name, text);
}

static void check_results(const script *s, const script *right, long long n) {
  char name[64];
  (void)snprintf(name, sizeof name, "after fault %lld", n);
  check_same_bits(&s->forward, &s->j->forward, name);
  check_same_bits(&s->got, &s->j->attention, name);
  check_same_bits(&s->softmax, &s->j->softmax, name);
  check_same_bits(&s->merged, &right->merged, name);
  check_same_bits(&s->appended, &right->appended, name);
}

/* A result of the round before must not pass for this one's. The tensors are dense. */
static void clear(guarded *g) {
  int64_t count = 1;
  for (int32_t i = 0; i < g->t.rank; i++) count *= g->t.shape[i];
  memset(g->t.data, 0, (size_t)count * sizeof(float));
}

/* Whether the n-th fault came to pass. */
static bool play(const simulator *sim, script *s, const script *right, long long n,
                 int failures[STEPS + 1]) {
  int failed = 0;
  sim->fail_at(n);
  for (int i = 0; i < STEPS; i++) {
    if (steps[i].run == create_context && s->context) {
      xattn_context_destroy(s->context);
      s->context = NULL;
    }
    xattn_status status = steps[i].run(s);
    if (!status) continue;
    check_failure(s, steps[i].name, n, status);
    failures[i]++;
    failed++;
    status = steps[i].run(s); /* the fault was the only one */
    ck_assert_msg(!status, "fault %lld, %s again: %s", n, steps[i].name,
                  xattn_last_error(s->handle));
  }
  ck_assert_int_le(failed, 1);
  check_results(s, right, n);
  xattn_context_destroy(s->context);
  xattn_layer_destroy(s->layer);
  for (int i = 0; i < 3; i++)
    ck_assert_int_eq(xattn_device_free(s->handle, s->memory[i]), XATTN_OK);
  xattn_destroy(s->handle); /* and memory[3] */
  const bool came = sim->fallible_calls() >= n;
  failures[STEPS] += came && !failed;
  sim->fail_at(0);
  return came;
}

START_TEST(every_call_of_cuda_fails_once) {
  const simulator *sim = simulator_or_skip("every_call_of_cuda_fails_once");
  if (!sim) return;
  xattn_handle *handle = cuda_handle();
  job j;
  job_init(&j, handle, 121);
  script right = {.j = &j, .handle = handle, .layer = j.layer};
  right.merged = guarded_new(DENSE, 3, j.forward.t.shape);
  right.appended = guarded_new(DENSE, 3, j.forward.t.shape);
  xattn_status (*const alone[])(script *) = {create_context, forward_merged, append,
                                             forward_appended};
  for (int i = 0; i < 4; i++) ASSERT_OK(handle, alone[i](&right));
  xattn_context_destroy(right.context);
  xattn_layer_destroy(j.layer);
  j.layer = NULL;
  xattn_destroy(handle);
  guarded forward = guarded_new(DENSE, 3, j.forward.t.shape);
  guarded got = guarded_new(DENSE, 4, j.attention.t.shape);
  guarded softmax = guarded_new(DENSE, 3, j.softmax.t.shape);
  guarded merged = guarded_new(DENSE, 3, j.forward.t.shape);
  guarded appended = guarded_new(DENSE, 3, j.forward.t.shape);
  int failures[STEPS + 1] = {0};
  long long n = 1;
  for (bool came = true; came; n++) {
    clear(&forward);
    clear(&got);
    clear(&softmax);
    clear(&merged);
    clear(&appended);
    script s = {.j = &j,
                .stream = stream_new(),
                .forward = forward,
                .merged = merged,
                .appended = appended,
                .got = got,
                .softmax = softmax};
    CUDA_OK(cudaEventCreate(&s.event));
    came = play(sim, &s, &right, n, failures);
    CUDA_OK(cudaEventDestroy(s.event));
    CUDA_OK(cudaStreamDestroy(s.stream));
    static const char *const names[] = {"device blocks", "pinned blocks", "streams", "events",
                                        "cuBLAS handles"};
    for (int i = 0; i < 5; i++)
      ck_assert_msg(sim->live[i]() == 0, "fault %lld: %zu %s leaked", n, sim->live[i](), names[i]);
  }
  printf("faults: %lld call sites were made to fail\n", n - 2);
  for (int i = 0; i <= STEPS; i++)
    printf("  %4d  %s\n", failures[i], i < STEPS ? steps[i].name : "noticed by no status");
  ck_assert_int_gt(n, 100);
  guarded_free(&forward);
  guarded_free(&got);
  guarded_free(&softmax);
  guarded_free(&merged);
  guarded_free(&appended);
  guarded_free(&right.merged);
  guarded_free(&right.appended);
  job_free(&j);
}
END_TEST

/* A fault of auto's device is no fault of the caller's: the CPU is taken, with the reason. */
START_TEST(auto_goes_on_without_a_device_that_fails) {
  const simulator *sim = simulator_or_skip("auto_goes_on_without_a_device_that_fails");
  if (!sim) return;
  bool took_cuda = false;
  for (long long n = 1; !took_cuda; n++) {
    sim->fail_at(n);
    xattn_handle *handle = cuda_handle_of("auto", XATTN_MATH_DEFAULT);
    sim->fail_at(0);
    xattn_handle_info info = {.size = sizeof info};
    ASSERT_OK(handle, xattn_get_info(handle, &info));
    took_cuda = strcmp(info.device, "cpu") != 0;
    ck_assert(took_cuda || strncmp(info.note, "auto took the CPU: ", 19) == 0);
    xattn_destroy(handle);
    nothing_is_alive();
    ck_assert_int_lt(n, 50);
  }
}
END_TEST

/* The application had an error of its own, saw it in what CUDA returned, and left it at that. */
START_TEST(an_error_of_the_caller_is_not_ours) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 122);
  job_to_device(&j, handle, &d);
  void *memory;
  ck_assert_int_eq(cudaMalloc(&memory, (size_t)1 << 50), cudaErrorMemoryAllocation);
  job_run(&j, handle, &d, NULL);
  ck_assert_int_ne(cudaMalloc(&memory, (size_t)1 << 50), cudaSuccess);
  ASSERT_OK(handle, xattn_tensor_copy(handle, &d.x.t, &d.forward.t));
  job_run(&j, handle, &d, NULL);
  job_check(&j, &d);
  (void)cudaGetLastError();
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_faults(void) {
  Suite *suite = suite_create("cuda-faults");
  TCase *tests = cuda_tests("faults");
  tcase_add_test(tests, every_call_of_cuda_fails_once);
  tcase_add_test(tests, auto_goes_on_without_a_device_that_fails);
  tcase_add_test(tests, an_error_of_the_caller_is_not_ours);
  suite_add_tcase(suite, tests);
  return suite;
}
