/* Two devices; no device; no plugin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_cuda.h"

static bool two_devices(const char *test) {
  (void)setenv("CUDASIM_DEVICES", "2", 1); /* read at the first call of CUDA */
  int count = 0;
  CUDA_OK(cudaGetDeviceCount(&count));
  if (count < 2) printf("%s: needs two devices, skipped\n", test);
  return count >= 2;
}

static void current_is(int wanted, const char *call) {
  int device = -1;
  CUDA_OK(cudaGetDevice(&device));
  ck_assert_msg(device == wanted, "device %d is current after %s, not %d", device, call, wanted);
}

/* Whichever device is the thread's, it stays so, and the handle works on its own. */
START_TEST(the_current_device_stays) {
  if (!two_devices("the_current_device_stays")) return;
  for (int mine = 0; mine < 2; mine++)
    for (int current = 0; current < 2; current++) {
      CUDA_OK(cudaSetDevice(current));
#define STAYS(call)             \
  do {                          \
    ASSERT_OK(handle, call);    \
    current_is(current, #call); \
  } while (0)
      xattn_handle *handle = cuda_handle_of(mine ? "cuda:1" : "cuda:0", XATTN_MATH_DEFAULT);
      current_is(current, "xattn_create");
      job j;
      job_tensors d;
      job_init(&j, handle, 111);
      current_is(current, "calls on host tensors");
      job_to_device(&j, handle, &d);
      current_is(current, "xattn_device_alloc and copies");
      ck_assert_int_eq(d.x.t.device_index, mine);
      job_run(&j, handle, &d, NULL);
      current_is(current, "calls on device tensors");
      xattn_context *context;
      STAYS(xattn_context_create(handle, j.layer, &d.y.t, &j.options, &context));
      STAYS(xattn_forward(handle, j.layer, &d.x.t, context, NULL, &d.forward.t));
      STAYS(xattn_synchronize(handle));
      STAYS(xattn_reserve(handle, 10000000));
      job_check(&j, &d);
      CUDA_OK(cudaSetDevice(mine));
      cudaStream_t stream = stream_new();
      cudaEvent_t event;
      CUDA_OK(cudaEventCreate(&event));
      CUDA_OK(cudaSetDevice(current));
      STAYS(xattn_cuda_set_stream(handle, stream));
      STAYS(xattn_cuda_record_event(handle, event));
      STAYS(xattn_cuda_wait_event(handle, event));
      ck_assert_int_ne(xattn_device_free(handle, &j), XATTN_OK);
      current_is(current, "a call that fails");
      job_tensors_free(&d);
      xattn_context_destroy(context);
      current_is(current, "xattn_context_destroy");
      xattn_destroy(handle);
      current_is(current, "xattn_destroy");
      job_free(&j);
      current_is(current, "xattn_layer_destroy");
      CUDA_OK(cudaEventDestroy(event));
      CUDA_OK(cudaStreamDestroy(stream));
    }
}
END_TEST

START_TEST(what_lives_on_the_other_device_is_refused) {
  if (!two_devices("what_lives_on_the_other_device_is_refused")) return;
  xattn_handle *zero = cuda_handle(), *one = cuda_handle_of("cuda:1", XATTN_MATH_DEFAULT);
  job j, other;
  job_tensors d;
  job_init(&j, zero, 112);
  job_init(&other, one, 113);
  job_to_device(&other, one, &d);
  xattn_context *context;
  ASSERT_OK(one, xattn_context_create(one, other.layer, &d.y.t, NULL, &context));
  ASSERT_FAILS(zero, xattn_forward_once(zero, other.layer, &j.x.t, &j.y.t, NULL, &j.forward.t),
               XATTN_ERROR_ARGUMENT,
               "layer: lives on cuda device 1, the handle is on cuda device 0");
  ASSERT_FAILS(zero, xattn_forward(zero, j.layer, &j.x.t, context, NULL, &j.forward.t),
               XATTN_ERROR_ARGUMENT, "context: lives on cuda device 1");
  ASSERT_FAILS(zero, xattn_forward_once(zero, j.layer, &d.x.t, &j.y.t, NULL, &j.forward.t),
               XATTN_ERROR_LAYOUT, "x: lies on device 1, the handle's is 0");
  ASSERT_FAILS(zero, xattn_scale_softmax(zero, &j.scores.t, 1.0F, NULL, &d.softmax.t),
               XATTN_ERROR_LAYOUT, "out: lies on device 1");
  ASSERT_FAILS(zero, xattn_tensor_copy(zero, &d.x.t, &j.x.t), XATTN_ERROR_LAYOUT, "src: lies on");
  ASSERT_FAILS(zero, xattn_device_free(zero, d.x.memory), XATTN_ERROR_ARGUMENT, "memory");
  xattn_handle *cpu = cuda_handle_of("cpu", XATTN_MATH_DEFAULT);
  ASSERT_FAILS(cpu, xattn_scale_softmax(cpu, &d.scores.t, 1.0F, NULL, &d.softmax.t),
               XATTN_ERROR_LAYOUT, "host memory");
  ASSERT_FAILS(cpu, xattn_forward_once(cpu, j.layer, &j.x.t, &j.y.t, NULL, &j.forward.t),
               XATTN_ERROR_ARGUMENT, "layer: lives on cuda device 0, the handle is on cpu");
  xattn_destroy(cpu);
  xattn_context_destroy(context);
  job_tensors_free(&d);
  job_free(&j);
  job_free(&other);
  xattn_destroy(zero);
  xattn_destroy(one);
}
END_TEST

/* ---- no device, no plugin */

static void auto_takes_the_cpu(const char *why) {
  xattn_handle *handle = cuda_handle_of("auto", XATTN_MATH_DEFAULT);
  xattn_handle_info info = {.size = sizeof info};
  ASSERT_OK(handle, xattn_get_info(handle, &info));
  ck_assert_str_eq(info.device, "cpu");
  ck_assert_msg(strncmp(info.note, "auto took the CPU: ", 19) == 0 && strstr(info.note, why),
                "note \"%s\" lacks \"%s\"", info.note, why);
  xattn_destroy(handle);
}

static void cuda_is_unavailable(const char *why) {
  xattn_handle_options options = {.size = sizeof options, .device = "cuda"};
  xattn_handle *handle = (void *)&options;
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_UNAVAILABLE, why);
  ck_assert_ptr_null(handle);
}

static xattn_rates rates_of(xattn_math math) {
  xattn_handle *handle = cuda_handle_of("cuda", math);
  xattn_rates rates = {.size = sizeof rates};
  ASSERT_OK(handle, xattn_get_rates(handle, &rates));
  xattn_destroy(handle);
  ck_assert_str_eq(rates.source, "built in");
  ck_assert(rates.flops > 1e11 && rates.flops_half >= rates.flops && rates.flops_half < 1e16);
  ck_assert(rates.stream > 1e10 && rates.stream < 1e14 && rates.operands >= rates.stream);
  ck_assert(rates.softmax > 1e9 && rates.softmax < 1e13);
  ck_assert(rates.launch > 1e-7 && rates.launch < 1e-4);
  return rates;
}

/* Below what the card can do at best; for one that does not tell, something. */
START_TEST(rates_follow_from_what_the_card_tells) {
  (void)setenv("XATTN_RATES", "builtin", 1);
  const xattn_rates f32 = rates_of(XATTN_MATH_DEFAULT), tf32 = rates_of(XATTN_MATH_TF32);
  ck_assert(tf32.flops >= f32.flops && tf32.flops_half == f32.flops_half);
  if (!simulator_or_skip("the rates of a known card")) return;
  /* An H100: 66.9 TFLOP/s of F32, 989 of F16 at a lower clock, 3.35 TB/s. */
  ck_assert(f32.flops > 0.5 * 66.9e12 && f32.flops < 66.9e12);
  ck_assert(f32.flops_half > 0.5 * 989e12 && f32.flops_half < 989e12);
  ck_assert(tf32.flops > 0.5 * 494e12 && tf32.flops < 494e12);
  ck_assert(f32.stream > 0.5 * 3.35e12 && f32.stream < 3.35e12);
  (void)setenv("CUDASIM_CLOCKS", "0", 1);
  const xattn_rates silent = rates_of(XATTN_MATH_DEFAULT);
  ck_assert(silent.flops < f32.flops && silent.stream < f32.stream);
}
END_TEST

START_TEST(a_device_past_the_last) {
  int count = 0;
  CUDA_OK(cudaGetDeviceCount(&count));
  char name[32], text[64];
  (void)snprintf(name, sizeof name, "cuda:%d", count);
  (void)snprintf(text, sizeof text, "the last CUDA device is %d", count - 1);
  xattn_handle_options options = {.size = sizeof options, .device = name};
  xattn_handle *handle;
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_UNAVAILABLE, text);
  ck_assert_ptr_null(handle);
}
END_TEST

START_TEST(auto_takes_cuda) {
  xattn_handle *handle = cuda_handle_of(NULL, XATTN_MATH_DEFAULT);
  xattn_handle_info info = {.size = sizeof info};
  ASSERT_OK(handle, xattn_get_info(handle, &info));
  ck_assert_str_eq(info.device, "cuda:0");
  ck_assert_str_eq(info.note, "auto took CUDA: its device 0 is there");
  ck_assert_ptr_nonnull(strstr(info.detail, "sm_"));
  xattn_destroy(handle);
}
END_TEST

START_TEST(no_device) {
  (void)setenv("CUDASIM_NO_DEVICE", "1", 1);
  (void)setenv("CUDA_VISIBLE_DEVICES", "", 1); /* the same for a GPU */
  auto_takes_the_cpu("NVIDIA driver");
  cuda_is_unavailable("\"cuda\" is not available: the NVIDIA driver");
}
END_TEST

START_TEST(no_plugin) {
  (void)setenv("XATTN_CUDA_PLUGIN", "/nonexistent/libxattn_cuda.so", 1);
  auto_takes_the_cpu("/nonexistent/libxattn_cuda.so");
  cuda_is_unavailable("/nonexistent/libxattn_cuda.so");
  (void)setenv("XATTN_CUDA_PLUGIN", "libm.so.6", 1); /* a library, but no plugin */
  cuda_is_unavailable("version");
}
END_TEST

Suite *suite_cuda_devices(void) {
  Suite *suite = suite_create("cuda-devices");
  TCase *tests = cuda_tests("devices");
  tcase_add_test(tests, the_current_device_stays);
  tcase_add_test(tests, what_lives_on_the_other_device_is_refused);
  tcase_add_test(tests, rates_follow_from_what_the_card_tells);
  tcase_add_test(tests, a_device_past_the_last);
  tcase_add_test(tests, auto_takes_cuda);
  tcase_add_test(tests, no_device);
  tcase_add_test(tests, no_plugin);
  suite_add_tcase(suite, tests);
  return suite;
}
