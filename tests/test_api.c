/* Statuses, versions, sized structs, handles. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "support.h"

START_TEST(statuses_keep_their_numbers) {
  ck_assert_int_eq(XATTN_OK, 0);
  ck_assert_int_eq(XATTN_ERROR_ARGUMENT, 1);
  ck_assert_int_eq(XATTN_ERROR_FORMAT, 7);
  ck_assert_int_eq(XATTN_ERROR_CAPTURE, 8);
  ck_assert_int_eq(XATTN_ERROR_UNSUPPORTED, 20);
  ck_assert_int_eq(XATTN_ERROR_DEVICE, 25);
  ck_assert_str_eq(xattn_status_name(XATTN_ERROR_SHAPE), "XATTN_ERROR_SHAPE");
  ck_assert_str_eq(xattn_status_message(XATTN_OK), "success");
  ck_assert_str_eq(xattn_status_name((xattn_status)999), "XATTN_ERROR_?");
  ck_assert_str_eq(xattn_status_message((xattn_status)-1), "unknown status");
}
END_TEST

START_TEST(version_is_the_header_s) {
  ck_assert_str_eq(xattn_version(), "0.1.0");
  ck_assert_int_eq(XATTN_VERSION_MAJOR, 0);
}
END_TEST

START_TEST(dtypes_have_names_and_sizes) {
  ck_assert_str_eq(xattn_dtype_name(XATTN_BF16), "BF16");
  ck_assert_uint_eq(xattn_dtype_size(XATTN_F64), 8);
  ck_assert_str_eq(xattn_dtype_name((xattn_dtype)0), "?");
  ck_assert_uint_eq(xattn_dtype_size((xattn_dtype)99), 0);
}
END_TEST

START_TEST(tensors_are_dense) {
  float data[24];
  xattn_tensor t = XATTN_TENSOR(data, XATTN_F32, 2, 3, 4);
  ck_assert_int_eq(t.rank, 3);
  ck_assert_ptr_eq(t.data, data);
  ck_assert_int_eq(t.strides[0], 12);
  ck_assert_int_eq(t.strides[1], 4);
  ck_assert_int_eq(t.strides[2], 1);
  ck_assert_int_eq(t.device_type, XATTN_CPU);
  ck_assert_int_eq(xattn_tensor_dense(data, XATTN_F32, 9, t.shape).rank, -1);
}
END_TEST

/* A later field must not fall into padding, which an older caller leaves undefined. */
_Static_assert(sizeof(xattn_handle_options) == sizeof(size_t) + sizeof(char *) + 8, "padding");
_Static_assert(sizeof(xattn_handle_info) == sizeof(size_t) + 32 + 160 + 160 + 8, "padding");
_Static_assert(sizeof(xattn_stats) == sizeof(size_t) + 8 * 8, "padding");
_Static_assert(sizeof(xattn_layer_weights) == sizeof(size_t) + 2 * 8 + 8 + 8 * sizeof(void *),
               "padding");
_Static_assert(sizeof(xattn_load_options) == sizeof(size_t) + sizeof(char *) + 2 * 8 + 8,
               "padding");
_Static_assert(sizeof(xattn_layer_info) == sizeof(size_t) + 8 * 8 + 8, "padding");
_Static_assert(sizeof(xattn_options) == sizeof(size_t) + 2 * sizeof(void *) + 3 * 8 + 8, "padding");
_Static_assert(sizeof(xattn_plan_info) == sizeof(size_t) + 32 + 3 * 8 + 1024 + 3 * 8, "padding");
_Static_assert(sizeof(xattn_context_info) == sizeof(size_t) + 4 * 8 + 8 + 32, "padding");
_Static_assert(sizeof(xattn_rates) == sizeof(size_t) + 6 * 8 + 160, "padding");
_Static_assert(sizeof(xattn_file_layer_info) == sizeof(size_t) + 256 + 32 + 5 * 8 + 8, "padding");

/* An older caller's struct ends early; a newer one's has fields unknown here. */
START_TEST(sized_structs_of_other_versions) {
  struct {
    size_t size;
    int32_t a;
    int32_t b;
  } own = {0}, callers = {.size = sizeof callers.size + sizeof callers.a, .a = 7, .b = 9};
  xattn_error error;
  ck_assert_int_eq(xattn_read_sized(&error, "s", &callers, &own, sizeof own), XATTN_OK);
  ck_assert_int_eq(own.a, 7);
  ck_assert_int_eq(own.b, 0);

  callers.size = sizeof callers;
  size_t known = sizeof callers.size + sizeof callers.a;
  ck_assert_int_eq(xattn_read_sized(&error, "s", &callers, &own, known), XATTN_ERROR_UNSUPPORTED);
  ck_assert_ptr_nonnull(strstr(error.text, "s: byte"));
  callers.b = 0;
  ck_assert_int_eq(xattn_read_sized(&error, "s", &callers, &own, known), XATTN_OK);

  callers.size = 0;
  ck_assert_int_eq(xattn_read_sized(&error, "s", &callers, &own, sizeof own), XATTN_ERROR_ARGUMENT);
  ck_assert_int_eq(xattn_read_sized(&error, "s", NULL, &own, sizeof own), XATTN_ERROR_ARGUMENT);

  own.a = 1;
  own.b = 2;
  callers.size = known;
  callers.b = 5;
  ck_assert_int_eq(xattn_write_sized(&error, "s", &own, sizeof own, &callers), XATTN_OK);
  ck_assert_int_eq(callers.a, 1);
  ck_assert_int_eq(callers.b, 5);
  ck_assert_uint_eq(callers.size, known);
}
END_TEST

START_TEST(handles_open_and_say_what_they_are) {
  xattn_handle *handle = NULL;
  ASSERT_OK(NULL, xattn_create(NULL, &handle));
  xattn_handle_info info = {.size = sizeof info};
  ASSERT_OK(handle, xattn_get_info(handle, &info));
  bool cpu = strcmp(info.device, "cpu") == 0; /* a machine with a GPU may take it */
  ck_assert(cpu || strcmp(info.device, "cuda:0") == 0);
  ck_assert_ptr_nonnull(strstr(info.detail, cpu ? "kernels" : "cuBLAS"));
  ck_assert_ptr_nonnull(strstr(info.note, cpu ? "auto took the CPU: " : "auto took CUDA"));
  ck_assert_int_ge(info.threads, 1);
  ASSERT_OK(handle, xattn_synchronize(handle));
  ck_assert_str_eq(xattn_last_error(handle), "");
  xattn_destroy(handle);

  handle = test_handle(3);
  ASSERT_OK(handle, xattn_get_info(handle, &info));
  ck_assert(strncmp(info.device, test_device(), strlen(test_device())) == 0);
  ck_assert_int_eq(info.threads, on_cpu() ? 3 : 1);
  ck_assert_str_eq(info.note, "");
  xattn_destroy(handle);
}
END_TEST

START_TEST(devices_that_are_not_there) {
  xattn_handle *handle;
  xattn_handle_options options = {.size = sizeof options, .device = "cuda:99"};
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_UNAVAILABLE, "\"cuda:99\"");
  ck_assert_ptr_null(handle);
  options.device = "cuda:x";
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_ARGUMENT, "\"cuda:x\"");
  options.device = "cuda:99999";
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_ARGUMENT, "0 to 9999");
  options.device = "tpu";
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_ARGUMENT, "\"tpu\" is unknown");
  options.device = "cpu";
  options.threads = -1;
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_ARGUMENT, "threads: -1");
  options.threads = 0;
  options.math = (xattn_math)7;
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_ARGUMENT, "math: 7 is unknown");
  options.size = (size_t)-1;
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_ARGUMENT, "size is 18446");
  options.size = 3;
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_ARGUMENT, "size is 3");
  ASSERT_FAILS(NULL, xattn_create(NULL, NULL), XATTN_ERROR_ARGUMENT, "handle: is NULL");
}
END_TEST

START_TEST(isa_can_be_forced) {
  xattn_handle *handle;
  xattn_handle_options options = {.size = sizeof options, .device = "cpu"};
  setenv("XATTN_CPU_ISA", "base", 1);
  ASSERT_OK(NULL, xattn_create(&options, &handle));
  xattn_handle_info info = {.size = sizeof info};
  ASSERT_OK(handle, xattn_get_info(handle, &info));
  ck_assert_ptr_nonnull(strstr(info.detail, "base kernels"));
  xattn_destroy(handle);
  setenv("XATTN_CPU_ISA", "mmx", 1);
  ASSERT_FAILS(NULL, xattn_create(&options, &handle), XATTN_ERROR_UNAVAILABLE, "\"mmx\"");
}
END_TEST

START_TEST(null_is_destroyed_quietly) {
  xattn_destroy(NULL);
  xattn_layer_destroy(NULL);
  xattn_context_destroy(NULL);
  xattn_file_close(NULL);
}
END_TEST

Suite *suite_api(void) {
  Suite *suite = suite_create("api");
  TCase *tests = tcase_create("api");
  tcase_add_test(tests, statuses_keep_their_numbers);
  tcase_add_test(tests, version_is_the_header_s);
  tcase_add_test(tests, dtypes_have_names_and_sizes);
  tcase_add_test(tests, tensors_are_dense);
  tcase_add_test(tests, sized_structs_of_other_versions);
  tcase_add_test(tests, handles_open_and_say_what_they_are);
  tcase_add_test(tests, devices_that_are_not_there);
  tcase_add_test(tests, isa_can_be_forced);
  tcase_add_test(tests, null_is_destroyed_quietly);
  suite_add_tcase(suite, tests);
  return suite;
}
