/* .npy files, good and bad, and writing them. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "support_files.h"
#include "support_open.h"

static const float numbers[] = {1, 2, 3, 4, 5, 6};

/* ---------------------------------------------------------------- .npy */

#define DICT(descr, fortran, shape) \
  "{'descr': " descr ", 'fortran_order': " fortran ", 'shape': " shape ", }"

typedef struct good_dict {
  int major;
  const char *dict;
  size_t data;
  xattn_dtype dtype;
  int32_t rank;
  int64_t shape[XATTN_MAX_RANK];
  int64_t strides[XATTN_MAX_RANK];
} good_dict;

static const good_dict good_dicts[] = {
    {1, DICT("'<f4'", "False", "(2, 3)") "   \n", 24, XATTN_F32, 2, {2, 3}, {3, 1}},
    {2, DICT("'<f4'", "False", "(2, 3)") "\n", 24, XATTN_F32, 2, {2, 3}, {3, 1}},
    {3, DICT("'<f4'", "False", "(2, 3)") "\n", 24, XATTN_F32, 2, {2, 3}, {3, 1}},
    {1, DICT("'<f4'", "True", "(2, 3, 4)") "\n", 96, XATTN_F32, 3, {2, 3, 4}, {1, 2, 6}},
    {1, DICT("'<f4'", "True", "(5,)") "\n", 20, XATTN_F32, 1, {5}, {1}},
    {1, DICT("'<f2'", "False", "(3,)"), 6, XATTN_F16, 1, {3}, {1}},
    {1, DICT("'<f8'", "False", "()"), 8, XATTN_F64, 0, {0}, {0}},
    {1, DICT("'<f8'", "True", "()"), 8, XATTN_F64, 0, {0}, {0}},
    {1, DICT("'<f4'", "False", "(0,)"), 0, XATTN_F32, 1, {0}, {1}},
    {1, DICT("'<f4'", "True", "(2, 0, 3)"), 0, XATTN_F32, 3, {2, 0, 3}, {1, 2, 2}},
    {1, DICT("'|b1'", "False", "(2,)"), 2, XATTN_BOOL, 1, {2}, {1}},
    {1, DICT("'|i1'", "False", "(2,)"), 2, XATTN_I8, 1, {2}, {1}},
    {1, DICT("'|u1'", "False", "(2,)"), 2, XATTN_U8, 1, {2}, {1}},
    {1, DICT("'<i2'", "False", "(2,)"), 4, XATTN_I16, 1, {2}, {1}},
    {1, DICT("'<u2'", "False", "(2,)"), 4, XATTN_U16, 1, {2}, {1}},
    {1, DICT("'<i4'", "False", "(2,)"), 8, XATTN_I32, 1, {2}, {1}},
    {1, DICT("'<u4'", "False", "(2,)"), 8, XATTN_U32, 1, {2}, {1}},
    {1, DICT("'<i8'", "False", "(2,)"), 16, XATTN_I64, 1, {2}, {1}},
    {1, DICT("'<u8'", "False", "(2,)"), 16, XATTN_U64, 1, {2}, {1}},
    {1, "{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<f4\"}", 8, XATTN_F32, 1, {2}, {1}},
    {1,
     "  { 'shape' : ( 1 , 2 , ) , 'descr' :\t'<f4' , 'fortran_order' : False }",
     8,
     XATTN_F32,
     2,
     {1, 2},
     {2, 1}},
    {1,
     DICT("'<f4'", "False", "(1, 1, 1, 1, 1, 1, 1, 2)"),
     8,
     XATTN_F32,
     8,
     {1, 1, 1, 1, 1, 1, 1, 2},
     {2, 2, 2, 2, 2, 2, 2, 1}},
};
enum { GOOD_DICTS = sizeof good_dicts / sizeof *good_dicts };

START_TEST(test_good_npy) {
  const good_dict *good = &good_dicts[_i];
  write_with_dict(path, good->major, good->dict, good->data);
  xattn_file *file = open_file();
  const char *name;
  xattn_tensor t;
  ck_assert_int_eq(xattn_file_count(file), 1);
  ck_assert_int_eq(xattn_file_entry(file, 0, &name, &t), XATTN_OK);
  ck_assert_str_eq(name, "");
  ck_assert_int_eq(t.dtype, good->dtype);
  ck_assert_int_eq(t.rank, good->rank);
  for (int32_t i = 0; i < t.rank; i++) {
    ck_assert_int_eq(t.shape[i], good->shape[i]);
    ck_assert_int_eq(t.strides[i], good->strides[i]);
  }
  /* The data begins behind the header: the pattern begins at 0. */
  for (size_t i = 0; i < good->data; i++) ck_assert_uint_eq(((unsigned char *)t.data)[i], i);
  ck_assert_int_eq(xattn_file_find(file, "", &t), XATTN_OK);
  xattn_file_layer_info info = {.size = sizeof info};
  assert_error(xattn_file_layer(file, 0, &info), XATTN_ERROR_NOT_FOUND, "layer index is 0");
  xattn_file_close(file);
}
END_TEST

typedef struct bad_dict {
  int major;
  const char *dict;
  size_t data;
  xattn_status status;
  const char *text;
} bad_dict;

static const bad_dict bad_dicts[] = {
    {0, DICT("'<f4'", "False", "(1,)"), 4, XATTN_ERROR_UNSUPPORTED, "version 0.0 is not supported"},
    {4, DICT("'<f4'", "False", "(1,)"), 4, XATTN_ERROR_UNSUPPORTED, "version 4.0 is not supported"},
    {257, DICT("'<f4'", "False", "(1,)"), 4, XATTN_ERROR_UNSUPPORTED,
     "version 1.1 is not supported"},
    /* dtypes */
    {1, DICT("'|O'", "False", "(1,)"), 8, XATTN_ERROR_UNSUPPORTED,
     "dtype '|O' is not supported (Python objects"},
    {1, DICT("'O'", "False", "(1,)"), 8, XATTN_ERROR_UNSUPPORTED, "dtype 'O' is not supported"},
    {1, DICT("'>f4'", "False", "(1,)"), 4, XATTN_ERROR_UNSUPPORTED,
     "dtype '>f4' is not supported (big-endian)"},
    {1, DICT("[('a', '<f4'), ('b', '<f4')]", "False", "(1,)"), 8, XATTN_ERROR_UNSUPPORTED,
     "a structured dtype is not supported"},
    {1, DICT("('<f4', (2,))", "False", "(1,)"), 8, XATTN_ERROR_UNSUPPORTED,
     "a structured dtype is not supported"},
    {1, DICT("'<c8'", "False", "(1,)"), 8, XATTN_ERROR_UNSUPPORTED, "dtype '<c8' is not supported"},
    {1, DICT("'<f16'", "False", "(1,)"), 16, XATTN_ERROR_UNSUPPORTED, "dtype '<f16' is not"},
    {1, DICT("'f4'", "False", "(1,)"), 4, XATTN_ERROR_UNSUPPORTED, "dtype 'f4' is not"},
    {1, DICT("''", "False", "(1,)"), 4, XATTN_ERROR_UNSUPPORTED, "dtype '' is not"},
    {1, DICT("4", "False", "(1,)"), 4, XATTN_ERROR_FORMAT, "header byte 10: expected a string"},
    /* order */
    {1, DICT("'<f4'", "0", "(1,)"), 4, XATTN_ERROR_FORMAT, "expected True or False, found '0"},
    {1, DICT("'<f4'", "false", "(1,)"), 4, XATTN_ERROR_FORMAT, "expected True or False"},
    {1, DICT("'<f4'", "Falsetto", "(1,)"), 4, XATTN_ERROR_FORMAT,
     "expected ',' or '}', found 'tto"},
    /* shape */
    {1, DICT("'<f4'", "False", "(1)"), 4, XATTN_ERROR_FORMAT, "shape (1) is a number"},
    {1, DICT("'<f4'", "False", "1"), 4, XATTN_ERROR_FORMAT, "expected '(' of the shape"},
    {1, DICT("'<f4'", "False", "[1]"), 4, XATTN_ERROR_FORMAT, "expected '(' of the shape"},
    {1, DICT("'<f4'", "False", "(-1,)"), 4, XATTN_ERROR_FORMAT,
     "expected an extent, 0 or more, found '-1"},
    {1, DICT("'<f4'", "False", "(,)"), 4, XATTN_ERROR_FORMAT, "expected an extent"},
    {1, DICT("'<f4'", "False", "(1,,2)"), 8, XATTN_ERROR_FORMAT, "expected an extent"},
    {1, DICT("'<f4'", "False", "(1 2)"), 8, XATTN_ERROR_FORMAT, "expected ',' or ')' of the shape"},
    {1, DICT("'<f4'", "False", "(1.0,)"), 4, XATTN_ERROR_FORMAT,
     "expected ',' or ')' of the shape"},
    {1, DICT("'<f4'", "False", "(0x1,)"), 4, XATTN_ERROR_FORMAT,
     "expected ',' or ')' of the shape"},
    {1, DICT("'<f4'", "False", "(01,)"), 4, XATTN_ERROR_FORMAT, "shape: 01 starts with 0"},
    {1, DICT("'<f4'", "False", "(9223372036854775808,)"), 4, XATTN_ERROR_FORMAT,
     "shape: 9223372036854775808 is too large"},
    {1, DICT("'<f4'", "False", "(4294967296, 4294967296)"), 0, XATTN_ERROR_FORMAT,
     "the product of shape [4294967296, 4294967296] overflows"},
    {1, DICT("'<f4'", "False", "(9223372036854775807, 2, 0)"), 0, XATTN_ERROR_FORMAT,
     "the product of shape [9223372036854775807, 2, 0] overflows"},
    {1, DICT("'<f8'", "False", "(1152921504606846976,)"), 0, XATTN_ERROR_FORMAT, "overflows"},
    {1, DICT("'<f4'", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), 4, XATTN_ERROR_UNSUPPORTED,
     "rank is 9, at most 8"},
    /* data */
    {1, DICT("'<f4'", "False", "(2, 3)"), 23, XATTN_ERROR_FORMAT,
     "truncated: data has 23 bytes, F32 [2, 3] needs 24"},
    {1, DICT("'<f4'", "True", "(2, 3)"), 25, XATTN_ERROR_FORMAT,
     "bytes behind the data: data has 25 bytes, F32 [2, 3] needs 24"},
    {1, DICT("'<f4'", "False", "(0,)"), 1, XATTN_ERROR_FORMAT, "bytes behind the data"},
    /* the dict */
    {1, "", 0, XATTN_ERROR_FORMAT, "header byte 0: expected '{', found the end"},
    {1, "[]", 0, XATTN_ERROR_FORMAT, "header byte 0: expected '{', found '[]'"},
    {1, "{", 0, XATTN_ERROR_FORMAT, "expected a string, found the end"},
    {1, "{'descr': '<f4', 'fortran_order': False}", 4, XATTN_ERROR_FORMAT,
     "key 'shape' is missing"},
    {1, "{'descr': '<f4', 'shape': (1,)}", 4, XATTN_ERROR_FORMAT, "key 'fortran_order' is missing"},
    {1, "{'fortran_order': False, 'shape': (1,)}", 4, XATTN_ERROR_FORMAT, "key 'descr' is missing"},
    {1, "{'descr': '<f4', 'descr': '<f4'}", 4, XATTN_ERROR_FORMAT, "key 'descr' is there twice"},
    {1, "{'order': 'C'}", 4, XATTN_ERROR_FORMAT, "key 'order' is unknown"},
    {1, "{'descr' '<f4'}", 4, XATTN_ERROR_FORMAT, "expected ':'"},
    {1, "{'descr': '<f4' 'shape': (1,)}", 4, XATTN_ERROR_FORMAT, "expected ',' or '}'"},
    {1, "{,}", 4, XATTN_ERROR_FORMAT, "expected a string"},
    {1, "{'des\\x63r': '<f4'}", 4, XATTN_ERROR_FORMAT,
     "expected a string that ends, without escapes"},
    {1, "{'descr", 4, XATTN_ERROR_FORMAT, "expected a string that ends"},
    {1, DICT("'<f4'", "False", "(1,)") " x", 4, XATTN_ERROR_FORMAT,
     "expected only padding behind the dict, found 'x'"},
    {1, DICT("'<f4'", "False", "(1,"), 4, XATTN_ERROR_FORMAT, "expected an extent"},
};
enum { BAD_DICTS = sizeof bad_dicts / sizeof *bad_dicts };

START_TEST(test_bad_npy) {
  const bad_dict *bad = &bad_dicts[_i];
  write_with_dict(path, bad->major, bad->dict, bad->data);
  assert_refused(bad->status, bad->text);
}
END_TEST

START_TEST(test_npy_cut_short) {
  write_bytes(path, "\x93NUMPY", 6);
  assert_refused(XATTN_ERROR_FORMAT, "ends within the .npy version, at byte 6");
  write_bytes(path, "\x93NUMPY\1\0\1", 9);
  assert_refused(XATTN_ERROR_FORMAT, "ends within the header length, at byte 9");
  write_bytes(path, "\x93NUMPY\2\0\1\0\0", 11);
  assert_refused(XATTN_ERROR_FORMAT, "ends within the header length, at byte 11");
  write_bytes(path, "\x93NUMPY\1\0\3\0{}", 12);
  assert_refused(XATTN_ERROR_FORMAT, "header length is 3, only 2 bytes follow it");
  write_bytes(path, "\x93NUMPY\2\0\377\377\377\377{}", 14);
  assert_refused(XATTN_ERROR_FORMAT, "header length is 4294967295, only 2 bytes follow it");
}
END_TEST

/* ---------------------------------------------------------------- writing .npy */

static int64_t files_in_directory(void) {
  char command[300];
  (void)snprintf(command, sizeof command, "ls -A '%s' | wc -l", directory);
  FILE *pipe = popen(command, "r");
  long long count = -1;
  ck_assert_int_eq(fscanf(pipe, "%lld", &count), 1);
  pclose(pipe);
  return count;
}

static void assert_written(const xattn_tensor *tensor) {
  xattn_status status = xattn_npy_write(path, tensor);
  ck_assert_msg(status == XATTN_OK, "%s", xattn_last_error(NULL));
  ck_assert_int_eq(files_in_directory(), 1);
}

START_TEST(test_write_and_read_back) {
  static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_F64};
  static const int64_t shapes[][4] = {{0}, {7}, {2, 3}, {2, 0, 3}, {3, 1, 2, 5}};
  static const int32_t ranks[] = {0, 1, 2, 3, 4};
  unsigned char data[30 * 8];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 37);
  for (int k = 0; k < 15; k++) {
    xattn_tensor t = xattn_tensor_dense(data, dtypes[k / 5], ranks[k % 5], shapes[k % 5]), back;
    assert_written(&t);
    xattn_file *file = open_file();
    ck_assert_int_eq(xattn_file_entry(file, 0, NULL, &back), XATTN_OK);
    ck_assert_int_eq(back.dtype, t.dtype);
    ck_assert_int_eq(back.rank, t.rank);
    size_t size = xattn_dtype_size(t.dtype);
    for (int32_t i = 0; i < t.rank; i++) {
      ck_assert_int_eq(back.shape[i], t.shape[i]);
      ck_assert_int_eq(back.strides[i], t.strides[i]);
      size *= (size_t)t.shape[i];
    }
    ck_assert(size == 0 || memcmp(back.data, data, size) == 0);
    xattn_file_close(file);
  }
}
END_TEST

START_TEST(test_write_strided) {
  float data[100];
  for (int i = 0; i < 100; i++) data[i] = (float)i;
  xattn_tensor t = XATTN_TENSOR(data, XATTN_F32, 3, 2, 4), back;
  t.strides[0] = 1;
  t.strides[1] = 0;
  t.strides[2] = 10;
  assert_written(&t);
  xattn_file *file = open_file();
  ck_assert_int_eq(xattn_file_entry(file, 0, NULL, &back), XATTN_OK);
  float copy[24];
  memcpy(copy, back.data, sizeof copy);
  for (int i = 0; i < 24; i++) ck_assert_float_eq(copy[i], (float)(i / 8 + i % 4 * 10));
  xattn_file_close(file);
}
END_TEST

/* As NumPy writes it: the data begins at a multiple of 64, the header ends in a newline. */
START_TEST(test_write_layout) {
  xattn_tensor t = XATTN_TENSOR(numbers, XATTN_F32, 6);
  assert_written(&t);
  char text[300] = {0};
  FILE *file = fopen(path, "rb");
  size_t size = fread(text, 1, sizeof text, file);
  fclose(file);
  ck_assert_uint_eq(size, 128 + sizeof numbers);
  ck_assert_mem_eq(text, "\x93NUMPY\1\0\x76\0", 10);
  static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }";
  ck_assert_mem_eq(text + 10, dict, sizeof dict - 1);
  for (size_t i = 10 + sizeof dict - 1; i < 127; i++) ck_assert_int_eq(text[i], ' ');
  ck_assert_int_eq(text[127], '\n');
  ck_assert_mem_eq(text + 128, numbers, sizeof numbers);
}
END_TEST

START_TEST(test_write_mode_and_replacing) {
  xattn_tensor t = XATTN_TENSOR(numbers, XATTN_F32, 6);
  struct stat about;
  mode_t old = umask(027);
  assert_written(&t);
  umask(old);
  ck_assert_int_eq(stat(path, &about), 0);
  ck_assert_uint_eq(about.st_mode & 0777, 0640);
  t = XATTN_TENSOR(numbers, XATTN_F32, 2);
  assert_written(&t); /* over the first, which a reader may still have open */
  xattn_file *file = open_file();
  ck_assert_int_eq(xattn_file_find(file, "", &t), XATTN_OK);
  ck_assert_int_eq(t.shape[0], 2);
  xattn_file_close(file);
  /* A name without a directory is one in the current directory. */
  ck_assert_int_eq(chdir(directory), 0);
  t = XATTN_TENSOR(numbers, XATTN_F32, 6);
  ck_assert_int_eq(xattn_npy_write("other", &t), XATTN_OK);
  ck_assert_int_eq(files_in_directory(), 2);
  ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(test_write_refusals) {
  xattn_tensor t = XATTN_TENSOR(numbers, XATTN_F32, 6), x;
  char other[300];
  assert_error(xattn_npy_write(NULL, &t), XATTN_ERROR_ARGUMENT, "path: is NULL");
  assert_error(xattn_npy_write(path, NULL), XATTN_ERROR_ARGUMENT, "tensor: is NULL");
  x = XATTN_TENSOR(NULL, XATTN_F32, 6);
  assert_error(xattn_npy_write(path, &x), XATTN_ERROR_ARGUMENT, "tensor: data is NULL");
  x = XATTN_TENSOR(numbers, XATTN_BF16, 6);
  assert_error(xattn_npy_write(path, &x), XATTN_ERROR_DTYPE, "dtype is BF16, must be F32, F16 or");
  x = t;
  x.device_type = XATTN_CUDA;
  assert_error(xattn_npy_write(path, &x), XATTN_ERROR_LAYOUT, "device_type is 2");
  (void)snprintf(other, sizeof other, "%s/none/file", directory);
  assert_error(xattn_npy_write(other, &t), XATTN_ERROR_IO,
               "cannot create a file beside it: No such");
  assert_error(xattn_npy_write(directory, &t), XATTN_ERROR_IO, "is not a regular file");
  assert_error(xattn_npy_write("/dev/null", &t), XATTN_ERROR_IO, "is not a regular file");
  assert_error(xattn_npy_write("", &t), XATTN_ERROR_IO, "");
  ck_assert_int_eq(files_in_directory(), 0);
}
END_TEST

/* A disk that is full: nothing is left, and what was there stays. */
START_TEST(test_write_that_fails) {
  static float large[100000];
  xattn_tensor t = XATTN_TENSOR(large, XATTN_F32, 100000);
  write_bytes(path, "before", 6);
  struct rlimit before, limit;
  ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = 4096;
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
  for (int64_t stride = 1; stride >= 0; stride--) {
    t.strides[0] = stride;
    assert_error(xattn_npy_write(path, &t), XATTN_ERROR_IO, "cannot write it: File too large");
  }
  ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
  (void)signal(SIGXFSZ, handler);
  ck_assert_int_eq(files_in_directory(), 1);
  struct stat about;
  ck_assert_int_eq(stat(path, &about), 0);
  ck_assert_int_eq(about.st_size, 6);
}
END_TEST

Suite *suite_npy(void);
Suite *suite_npy(void) {
  Suite *suite = suite_create("npy");
  TCase *npy = tcase_create("npy");
  tcase_add_checked_fixture(npy, set_up, tear_down);
  tcase_add_loop_test(npy, test_good_npy, 0, GOOD_DICTS);
  tcase_add_loop_test(npy, test_bad_npy, 0, BAD_DICTS);
  tcase_add_test(npy, test_npy_cut_short);
  tcase_add_test(npy, test_write_and_read_back);
  tcase_add_test(npy, test_write_strided);
  tcase_add_test(npy, test_write_layout);
  tcase_add_test(npy, test_write_mode_and_replacing);
  tcase_add_test(npy, test_write_refusals);
  tcase_add_test(npy, test_write_that_fails);
  suite_add_tcase(suite, npy);
  return suite;
}
