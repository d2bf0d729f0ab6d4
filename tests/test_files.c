/* Opening files: what all have in common, and .safetensors, good and bad. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support_files.h"
#include "support_open.h"

/* ---------------------------------------------------------------- the file itself */

START_TEST(test_no_file) {
  assert_refused(XATTN_ERROR_IO, "cannot open it: No such file");
  xattn_file *file;
  assert_error(xattn_file_open(NULL, &file), XATTN_ERROR_ARGUMENT, "path: is NULL");
  assert_error(xattn_file_open(path, NULL), XATTN_ERROR_ARGUMENT, "file: is NULL");
  xattn_file_close(NULL);
}
END_TEST

START_TEST(test_not_a_regular_file) {
  xattn_file *file;
  assert_error(xattn_file_open(directory, &file), XATTN_ERROR_IO, "is a directory");
  assert_error(xattn_file_open("/dev/null", &file), XATTN_ERROR_IO, "/dev/null: is not a file");
  ck_assert_int_eq(mkfifo(path, 0600), 0);
  assert_refused(XATTN_ERROR_IO, "is not a file on disk"); /* and does not wait for a writer */
}
END_TEST

START_TEST(test_too_short) {
  write_bytes(path, "", 0);
  assert_refused(XATTN_ERROR_FORMAT, "has 0 bytes, a .safetensors file has at least 8");
  write_bytes(path, "\2\0\0\0\0\0\0", 7);
  assert_refused(XATTN_ERROR_FORMAT, "has 7 bytes, a .safetensors file has at least 8");
}
END_TEST

/* Descriptors are not left open, neither by good files nor by bad ones. */
START_TEST(test_descriptors) {
  int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(before);
  write_with_header(path, "{}", 0);
  xattn_file *file = open_file();
  int during = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ck_assert_int_eq(before, during);
  close(during);
  xattn_file_close(file);
}
END_TEST

/* ---------------------------------------------------------------- good .safetensors */

static const float numbers[] = {1, 2, 3, 4, 5, 6};
static const uint16_t halves[] = {0x3c00, 0x4000, 0x4200};
static const uint8_t bytes[] = {9};

START_TEST(test_good_safetensors) {
  const named_tensor all[] = {
      {"z.flag", XATTN_TENSOR(bytes, XATTN_BOOL, 1)},
      {"m \"quoted\" \\ \n é", XATTN_TENSOR(numbers, XATTN_F32, 2, 3)},
      {"b.empty", XATTN_TENSOR(NULL, XATTN_F64, 4, 0)},
      {"a.half", XATTN_TENSOR(halves, XATTN_F16, 3)},
      {"scalar", xattn_tensor_dense(numbers, XATTN_F32, 0, NULL)},
  };
  ck_assert_int_eq(write_safetensors(path, all, 5), 0);
  xattn_file *file = open_file();
  ck_assert_int_eq(xattn_file_count(file), 5);
  const char *name;
  xattn_tensor t;
  for (int64_t i = 0; i < 5; i++) { /* in the order of their data, as written */
    ck_assert_int_eq(xattn_file_entry(file, i, &name, &t), XATTN_OK);
    ck_assert_str_eq(name, all[i].name);
    ck_assert_int_eq(t.dtype, all[i].tensor.dtype);
    ck_assert_int_eq(t.rank, all[i].tensor.rank);
    for (int d = 0; d < t.rank; d++) {
      ck_assert_int_eq(t.shape[d], all[i].tensor.shape[d]);
      ck_assert_int_eq(t.strides[d], all[i].tensor.strides[d]);
    }
    ck_assert_int_eq(t.device_type, XATTN_CPU);
  }
  /* Behind one byte, so unaligned. */
  ck_assert_int_eq(xattn_file_find(file, "m \"quoted\" \\ \n é", &t), XATTN_OK);
  ck_assert_uint_ne((uintptr_t)t.data % 4, 0);
  ck_assert_mem_eq(t.data, numbers, sizeof numbers);
  float copy[6];
  xattn_tensor dst = XATTN_TENSOR(copy, XATTN_F32, 2, 3);
  ck_assert_int_eq(xattn_tensor_convert(&t, &dst), XATTN_OK);
  ck_assert_mem_eq(copy, numbers, sizeof numbers);
  ck_assert_int_eq(xattn_file_find(file, "a.half", &t), XATTN_OK);
  ck_assert_mem_eq(t.data, halves, sizeof halves);
  xattn_file_close(file);
}
END_TEST

START_TEST(test_every_dtype) {
  static const struct {
    const char *name;
    xattn_dtype dtype;
  } known[] = {
#define XATTN_X(label, number, text, size) {text, label},
      XATTN_DTYPE_LIST(XATTN_X)
#undef XATTN_X
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    char json[200];
    size_t size = 3 * xattn_dtype_size(known[i].dtype);
    (void)snprintf(json, sizeof json,
                   "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}",
                   known[i].name, size);
    write_with_header(path, json, size);
    xattn_file *file = open_file();
    xattn_tensor t;
    ck_assert_int_eq(xattn_file_find(file, "t", &t), XATTN_OK);
    ck_assert_int_eq(t.dtype, known[i].dtype);
    xattn_file_close(file);
  }
}
END_TEST

#define ENTRY(name, dtype, shape, begin, end)                                                    \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
  "]}"

/* What is unusual but right: no tensor, metadata, padding, fields in any order, unknown fields,
 * empty tensors between others, entries listed in another order than their data. */
START_TEST(test_unusual_safetensors) {
  static const struct {
    const char *json;
    size_t data;
    const char *names[4];
  } good[] = {
      {"{}", 0, {NULL}},
      {"{}   \n ", 0, {NULL}},
      {"{\"__metadata__\":{}}", 0, {NULL}},
      {"{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"}," ENTRY("a", "U8", "[1]", 0, 1) "}",
       1,
       {"a"}},
      {"{ \"a\" : {\"data_offsets\":[0,4],\"note\":[{}],\"shape\":[],\"dtype\":\"F32\"} }",
       4,
       {"a"}},
      {"{" ENTRY("y", "U8", "[2]", 1, 3) "," ENTRY("x", "U8", "[1]", 0, 1) "}", 3, {"x", "y"}},
      {"{" ENTRY("d", "U8", "[1]", 0, 1) "," ENTRY("c", "F32", "[0,7]", 0, 0) "," ENTRY(
           "b", "F32", "[0]", 1, 1) "," ENTRY("a", "F32", "[0]", 0, 0) "}",
       1,
       {"a", "c", "d", "b"}},
      {"{" ENTRY("", "U8", "[1]", 0, 1) "}", 1, {""}},
      {"{" ENTRY("r", "U8", "[1,1,1,1,1,1,1,1]", 0, 1) "}", 1, {"r"}},
      {"{" ENTRY("__metadata", "U8", "[1]", 0, 1) "}", 1, {"__metadata"}},
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    write_with_header(path, good[i].json, good[i].data);
    xattn_file *file = open_file();
    int64_t count = 0;
    while (count < 4 && good[i].names[count]) count++;
    ck_assert_int_eq(xattn_file_count(file), count);
    for (int64_t k = 0; k < count; k++) {
      const char *name;
      xattn_tensor t;
      ck_assert_int_eq(xattn_file_entry(file, k, &name, &t), XATTN_OK);
      ck_assert_str_eq(name, good[i].names[k]);
    }
    xattn_file_close(file);
  }
}
END_TEST

START_TEST(test_entry_and_find) {
  write_with_header(path, "{" ENTRY("a.b", "U8", "[1]", 0, 1) "," ENTRY("a", "U8", "[2]", 1, 3) "}",
                    3);
  xattn_file *file = open_file();
  xattn_tensor t = {.rank = 77};
  const char *name = "kept";
  assert_error(xattn_file_entry(file, 2, &name, &t), XATTN_ERROR_ARGUMENT,
               "index is 2, the file has 2 entries");
  assert_error(xattn_file_entry(file, -1, &name, &t), XATTN_ERROR_ARGUMENT, "index is -1");
  assert_error(xattn_file_entry(file, 0, &name, NULL), XATTN_ERROR_ARGUMENT, "tensor: is NULL");
  assert_error(xattn_file_entry(NULL, 0, &name, &t), XATTN_ERROR_ARGUMENT, "file: is NULL");
  assert_error(xattn_file_find(file, "a.", &t), XATTN_ERROR_NOT_FOUND,
               "\"a.\" is none of its 2 entries");
  assert_error(xattn_file_find(file, NULL, &t), XATTN_ERROR_ARGUMENT, "name: is NULL");
  assert_error(xattn_file_find(NULL, "a", &t), XATTN_ERROR_ARGUMENT, "file: is NULL");
  assert_error(xattn_file_find(file, "a", NULL), XATTN_ERROR_ARGUMENT, "tensor: is NULL");
  ck_assert_str_eq(name, "kept");
  ck_assert_int_eq(t.rank, 77);
  ck_assert_int_eq(xattn_file_entry(file, 1, NULL, &t), XATTN_OK);
  ck_assert_int_eq(t.shape[0], 2);
  ck_assert_int_eq(xattn_file_find(file, "a", &t), XATTN_OK);
  ck_assert_int_eq(t.shape[0], 2);
  ck_assert_int_eq(xattn_file_count(NULL), 0);
  xattn_file_close(file);
}
END_TEST

/* A file of many entries: each is found, in whatever order. */
START_TEST(test_many_entries) {
  enum { N = 3000 };
  static named_tensor many[N];
  static char names[N][16];
  static float values[N];
  for (int i = 0; i < N; i++) {
    (void)snprintf(names[i], sizeof names[i], "t%d", i * 7919 % N);
    values[i] = (float)i;
    many[i] = (named_tensor){names[i], XATTN_TENSOR(&values[i], XATTN_F32, 1)};
  }
  ck_assert_int_eq(write_safetensors(path, many, N), 0);
  xattn_file *file = open_file();
  for (int i = 0; i < N; i++) {
    xattn_tensor t;
    ck_assert_int_eq(xattn_file_find(file, names[i], &t), XATTN_OK);
    ck_assert_mem_eq(t.data, &values[i], sizeof(float));
  }
  xattn_file_close(file);
}
END_TEST

/* ---------------------------------------------------------------- bad .safetensors */

START_TEST(test_header_length) {
  write_bytes(path, "\3\0\0\0\0\0\0\0{}", 10);
  assert_refused(XATTN_ERROR_FORMAT, "header length is 3, only 2 bytes follow it");
  write_bytes(path, "\1\341\365\5\0\0\0\0{}", 10);
  assert_refused(XATTN_ERROR_FORMAT, "header length is 100000001, at most 100000000");
  write_bytes(path, "\377\377\377\377\377\377\377\377{}", 10);
  assert_refused(XATTN_ERROR_FORMAT, "header length is 18446744073709551615");
  write_bytes(path, "\0\0\0\0\0\0\0\0", 8);
  assert_refused(XATTN_ERROR_FORMAT, "header of 0 bytes does not start with '{'");
  write_bytes(path, "\2\0\0\0\0\0\0\0{}x", 11);
  assert_refused(XATTN_ERROR_FORMAT, "bytes 0 to 1 of the data, after the last entry");
}
END_TEST

typedef struct bad_header {
  const char *json;
  size_t data;
  xattn_status status;
  const char *text;
} bad_header;

static const bad_header bad_headers[] = {
    /* JSON */
    {"[]", 0, XATTN_ERROR_FORMAT, "header of 2 bytes does not start with '{'"},
    {" {}", 0, XATTN_ERROR_FORMAT, "header of 3 bytes does not start with '{'"},
    {"{", 0, XATTN_ERROR_FORMAT, "header is not valid JSON: byte 1:"},
    {"{}{}", 0, XATTN_ERROR_FORMAT, "header is not valid JSON: byte 3:"},
    {"{\"a\":}", 0, XATTN_ERROR_FORMAT, "header is not valid JSON: byte 6:"},
    {"{\"a\xff\":1}", 0, XATTN_ERROR_FORMAT, "header is not valid JSON: byte 3: unable to decode"},
    {"{\"a\\u0000b\":1}", 0, XATTN_ERROR_FORMAT, "header is not valid JSON: byte"},
    {"{\"a\":99999999999999999999}", 0, XATTN_ERROR_FORMAT, "too big integer"},
    /* duplicates, with short and long names, escaped quotes, and in an inner object */
    {"{" ENTRY("a", "U8", "[1]", 0, 1) "," ENTRY("a", "U8", "[1]", 1, 2) "}", 2, XATTN_ERROR_FORMAT,
     "the name \"a\" is there twice, again before byte 56"},
    {"{" ENTRY("layers.0.attention.query.weight", "U8", "[1]", 0, 1) ",\n  " ENTRY(
         "layers.0.attention.query.weight", "U8", "[1]", 1, 2) "}",
     2, XATTN_ERROR_FORMAT, "the name \"layers.0.attention.query.weight\" is there twice"},
    {"{\"x\\\"y\\\\\":1,\"x\\\"y\\\\\":2}", 0, XATTN_ERROR_FORMAT,
     "the name \"x\\\"y\\\\\" is there twice"},
    {"{\"\":1,\"\":2}", 0, XATTN_ERROR_FORMAT, "the name \"\" is there twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\"}}", 0, XATTN_ERROR_FORMAT,
     "the name \"dtype\" is there twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, XATTN_ERROR_FORMAT,
     "the name \"__metadata__\" is there twice"},
    /* metadata */
    {"{\"__metadata__\":[]}", 0, XATTN_ERROR_FORMAT,
     "\"__metadata__\" is an array, must be an object of strings"},
    {"{\"__metadata__\":{\"steps\":3}}", 0, XATTN_ERROR_FORMAT,
     "\"__metadata__\": \"steps\" is an integer, must be a string"},
    /* the entry's form */
    {"{\"w\":7}", 0, XATTN_ERROR_FORMAT, "entry \"w\" is an integer, must be an object"},
    {"{\"w\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\" has no dtype"},
    {"{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\" has no shape"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\" has no data_offsets"},
    /* dtype */
    {"{" ENTRY("w", "f32", "[]", 0, 4) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": dtype \"f32\" is unknown"},
    {"{" ENTRY("w", "", "[]", 0, 4) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": dtype \"\" is unknown"},
    {"{" ENTRY("w", "C64", "[]", 0, 8) "}", 8, XATTN_ERROR_UNSUPPORTED,
     "entry \"w\": dtype \"C64\" is not supported"},
    {"{\"w\":{\"dtype\":null,\"shape\":[],\"data_offsets\":[0,4]}}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": dtype is null, must be a string"},
    /* shape */
    {"{" ENTRY("w", "F32", "3", 0, 4) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": shape is an integer, must be an array of integers"},
    {"{" ENTRY("w", "F32", "[1,\"2\"]", 0, 4) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": shape[1] is a string, must be an integer"},
    {"{" ENTRY("w", "F32", "[1.0]", 0, 4) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": shape[0] is a real number, must be an integer"},
    {"{" ENTRY("w", "F32", "[true]", 0, 4) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": shape[0] is a boolean"},
    {"{" ENTRY("w", "F32", "[2,-1]", 0, 4) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": shape[1] is -1, below 0"},
    {"{" ENTRY("w", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, XATTN_ERROR_UNSUPPORTED,
     "entry \"w\": rank is 9, at most 8"},
    {"{" ENTRY("w", "U8", "[4294967296,4294967296]", 0, 0) "}", 0, XATTN_ERROR_FORMAT,
     "entry \"w\": the product of shape [4294967296, 4294967296] overflows"},
    {"{" ENTRY("w", "F64", "[2305843009213693952]", 0, 0) "}", 0, XATTN_ERROR_FORMAT,
     "entry \"w\": the product of shape [2305843009213693952] overflows"},
    {"{" ENTRY("w", "U8", "[9223372036854775807,3,0]", 0, 0) "}", 0, XATTN_ERROR_FORMAT,
     "entry \"w\": the product of shape [9223372036854775807, 3, 0] overflows"},
    /* data_offsets */
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":4}}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": data_offsets must be two integers, is an integer"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4,8]}}", 8, XATTN_ERROR_FORMAT,
     "entry \"w\": data_offsets must be two integers, is an array of 3"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4.0]}}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": data_offsets must be two integers"},
    {"{" ENTRY("w", "F32", "[1]", 4, 0) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": data_offsets [4, 0] are not in order"},
    {"{" ENTRY("w", "F32", "[1]", -4, 0) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\": data_offsets [-4, 0] are not in order"},
    {"{" ENTRY("w", "F32", "[2]", 0, 8) "}", 7, XATTN_ERROR_FORMAT,
     "entry \"w\": data_offsets [0, 8] end beyond the 7 bytes of data"},
    {"{" ENTRY("w", "U8", "[9223372036854775807]", 0, 9223372036854775807) "}", 4,
     XATTN_ERROR_FORMAT, "data_offsets [0, 9223372036854775807] end beyond the 4 bytes of data"},
    {"{" ENTRY("w", "F32", "[2, 3]", 0, 20) "}", 20, XATTN_ERROR_FORMAT,
     "entry \"w\": data_offsets [0, 20] hold 20 bytes, F32 [2, 3] needs 24"},
    {"{" ENTRY("w", "F32", "[0]", 0, 4) "}", 4, XATTN_ERROR_FORMAT, "F32 [0] needs 0"},
    /* covering the data */
    {"{" ENTRY("w", "U8", "[4]", 0, 4) "," ENTRY("v", "U8", "[4]", 3, 7) "}", 7, XATTN_ERROR_FORMAT,
     "entry \"v\", bytes 3 to 7, overlaps \"w\", which ends at byte 4"},
    {"{" ENTRY("w", "U8", "[4]", 0, 4) "," ENTRY("v", "U8", "[4]", 0, 4) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"w\", bytes 0 to 4, overlaps \"v\""},
    {"{" ENTRY("w", "U8", "[4]", 0, 4) "," ENTRY("v", "U8", "[0]", 2, 2) "}", 4, XATTN_ERROR_FORMAT,
     "entry \"v\", bytes 2 to 2, overlaps \"w\""},
    {"{" ENTRY("w", "U8", "[4]", 0, 4) "," ENTRY("v", "U8", "[1]", 6, 7) "}", 7, XATTN_ERROR_FORMAT,
     "bytes 4 to 6 of the data, before entry \"v\", belong to no entry"},
    {"{" ENTRY("w", "U8", "[4]", 1, 5) "}", 5, XATTN_ERROR_FORMAT,
     "bytes 0 to 1 of the data, before entry \"w\", belong to no entry"},
    {"{" ENTRY("w", "U8", "[4]", 0, 4) "}", 6, XATTN_ERROR_FORMAT,
     "bytes 4 to 6 of the data, after the last entry, belong to no entry"},
};
enum { BAD_HEADERS = sizeof bad_headers / sizeof *bad_headers };

START_TEST(test_bad_header) {
  const bad_header *bad = &bad_headers[_i];
  write_with_header(path, bad->json, bad->data);
  assert_refused(bad->status, bad->text);
}
END_TEST

START_TEST(test_nesting_is_bounded) {
  enum { DEPTH = 1000000 };
  char *json = malloc(DEPTH + 1);
  ck_assert_ptr_nonnull(json);
  for (int i = 0; i < DEPTH; i += 5) memcpy(json + i, "{\"a\":", 5);
  json[DEPTH] = '\0';
  write_with_header(path, json, 0);
  free(json);
  assert_refused(XATTN_ERROR_FORMAT, "depth");
}
END_TEST

/* A name far longer than a message, with a terminal's escape sequence in it. */
START_TEST(test_names_are_made_fit_to_show) {
  enum { LENGTH = 5000 };
  static char json[LENGTH + 100], name[LENGTH + 1];
  memset(name, 'n', LENGTH);
  memcpy(name, "\\u001b[31m", 10);
  memcpy(name + LENGTH - 4, ".end", 4);
  (void)snprintf(json, sizeof json, "{\"%s\":7}", name);
  write_with_header(path, json, 0);
  assert_refused(XATTN_ERROR_FORMAT, ".end\" is an integer, must be an object");
  ck_assert_ptr_nonnull(strstr(xattn_last_error(NULL), "entry \"?[31mnnn"));
  ck_assert_ptr_null(strchr(xattn_last_error(NULL), 27));
}
END_TEST

Suite *suite_files(void);
Suite *suite_files(void) {
  Suite *suite = suite_create("files");
  TCase *opening = tcase_create("opening");
  tcase_add_checked_fixture(opening, set_up, tear_down);
  tcase_add_test(opening, test_no_file);
  tcase_add_test(opening, test_not_a_regular_file);
  tcase_add_test(opening, test_too_short);
  tcase_add_test(opening, test_descriptors);
  suite_add_tcase(suite, opening);
  TCase *safetensors = tcase_create("safetensors");
  tcase_add_checked_fixture(safetensors, set_up, tear_down);
  tcase_add_test(safetensors, test_good_safetensors);
  tcase_add_test(safetensors, test_every_dtype);
  tcase_add_test(safetensors, test_unusual_safetensors);
  tcase_add_test(safetensors, test_entry_and_find);
  tcase_add_test(safetensors, test_many_entries);
  tcase_add_test(safetensors, test_header_length);
  tcase_add_loop_test(safetensors, test_bad_header, 0, BAD_HEADERS);
  tcase_add_test(safetensors, test_nesting_is_bounded);
  tcase_add_test(safetensors, test_names_are_made_fit_to_show);
  suite_add_tcase(suite, safetensors);
  return suite;
}
