/* A process that has forked, and a device that has failed: CUDA is gone for good, which every call says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support_cuda.h"

/* ---- fork */

static void check_exit(pid_t child) {
  int status = 0;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %#x",
                (unsigned)status);
}

/* In the child: 0 if the call says why it cannot be. */
static int told(xattn_handle *handle, xattn_status status) {
  return status == XATTN_ERROR_UNAVAILABLE && strstr(xattn_last_error(handle), "fork") ? 0 : 1;
}

static int use_after_fork(xattn_handle *handle, job *j, job_tensors *d, xattn_context *context) {
  xattn_handle_options options = {.size = sizeof options, .device = "cuda"};
  xattn_handle *another;
  void *memory;
  int wrong = told(NULL, xattn_create(&options, &another));
  wrong += told(handle, xattn_forward(handle, j->layer, &d->x.t, context, NULL, &d->forward.t));
  wrong +=
      told(handle, xattn_forward_once(handle, j->layer, &j->x.t, &j->y.t, NULL, &j->forward.t));
  wrong += told(handle, xattn_device_alloc(handle, 100, &memory));
  wrong += told(handle, xattn_tensor_copy(handle, &j->x.t, &d->x.t));
  wrong += told(handle, xattn_synchronize(handle));
  wrong += told(handle, xattn_reserve(handle, (size_t)1 << 30));
  wrong += told(handle, xattn_cuda_set_stream(handle, NULL));
  (void)xattn_device_free(handle, d->x.memory);
  xattn_context_destroy(context);
  xattn_layer_destroy(j->layer);
  xattn_destroy(handle);
  options.device = "cpu";
  wrong += xattn_create(&options, &another) != XATTN_OK;
  xattn_destroy(another);
  return wrong;
}

START_TEST(fork_after_use) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 114);
  job_to_device(&j, handle, &d);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, j.layer, &d.y.t, &j.options, &context));
  const pid_t child = fork();
  ck_assert_int_ge(child, 0);
  if (child == 0) _exit(use_after_fork(handle, &j, &d, context));
  check_exit(child);
  job_run(&j, handle, &d, context); /* the parent goes on */
  job_check(&j, &d);
  xattn_context_destroy(context);
  job_tensors_free(&d);
  job_free(&j);
  xattn_destroy(handle);
}
END_TEST

static void whole_job(void) {
  xattn_handle *handle = cuda_handle();
  job j;
  job_init(&j, handle, 115);
  job_free(&j);
  xattn_destroy(handle);
}

START_TEST(fork_before_use) {
  const pid_t child = fork();
  ck_assert_int_ge(child, 0);
  if (child == 0) {
    whole_job();
    nothing_is_alive();
    _exit(0);
  }
  check_exit(child);
  whole_job();
}
END_TEST

/* ---- a fault of the device */

static void is_dead(xattn_handle *handle, xattn_status status, const char *call) {
  ck_assert_msg(status == XATTN_ERROR_DEVICE && strstr(xattn_last_error(handle), "cudaError"),
                "%s: %s: %s", call, xattn_status_name(status), xattn_last_error(handle));
}

/* 0: an address that was never memory; 1: memory that was freed, which a GPU may not notice. */
START_TEST(a_fault_fails_every_later_call) {
  if (_i == 1 && !simulator_or_skip("a fault by freed memory")) return;
  (void)unsetenv("CUDASIM_LEAKS"); /* a broken device keeps what it has */
  ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
  xattn_handle *handle = cuda_handle();
  job j;
  job_tensors d;
  job_init(&j, handle, 116);
  job_to_device(&j, handle, &d);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, j.layer, &d.y.t, &j.options, &context));
  xattn_tensor wrong = d.scores.t;
  if (_i == 0)
    wrong.data = (void *)4096;
  else
    device_free(&d.scores);
  xattn_status status = xattn_scale_softmax(handle, &wrong, 1.0F, NULL, &d.softmax.t);
  if (!status) status = xattn_synchronize(handle);
  is_dead(handle, status, "the call, or synchronize");
  ck_assert_ptr_nonnull(strstr(xattn_last_error(handle), "cudaErrorIllegalAddress"));
  xattn_handle_options options = {.size = sizeof options, .device = "cuda"};
  xattn_handle *another = handle;
  xattn_layer *layer;
  xattn_context *made;
  void *memory;
#define DEAD(call) is_dead(handle, call, #call)
  DEAD(xattn_synchronize(handle));
  DEAD(xattn_forward(handle, j.layer, &d.x.t, context, NULL, &d.forward.t));
  DEAD(xattn_forward_once(handle, j.layer, &j.x.t, &j.y.t, NULL, &j.forward.t));
  DEAD(xattn_attention(handle, &d.q.t, &d.k.t, &d.v.t, 0.0F, NULL, &d.attention.t));
  DEAD(xattn_tensor_copy(handle, &j.x.t, &d.x.t));
  DEAD(xattn_layer_create(handle, &j.l.weights, &layer));
  DEAD(xattn_context_create(handle, j.layer, &d.y.t, NULL, &made));
  DEAD(xattn_device_alloc(handle, 100, &memory));
  DEAD(xattn_cuda_set_stream(handle, NULL));
  ck_assert_int_ne(xattn_create(&options, &another), XATTN_OK);
  ck_assert_ptr_null(another);
  (void)xattn_device_free(handle, d.x.memory);
  xattn_context_destroy(context);
  xattn_destroy(handle);
  job_free(&j);
}
END_TEST

Suite *suite_cuda_process(void) {
  Suite *suite = suite_create("cuda-process");
  TCase *tests = cuda_tests("fork"), *faults = tcase_create("faults");
  tcase_set_timeout(faults, 120);
  tcase_add_test(tests, fork_after_use);
  tcase_add_test(tests, fork_before_use);
  tcase_add_loop_test(faults, a_fault_fails_every_later_call, 0, 2);
  suite_add_tcase(suite, tests);
  suite_add_tcase(suite, faults);
  return suite;
}
