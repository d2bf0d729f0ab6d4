/* Opening .safetensors and .npy files, good and bad, and writing .npy. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support_files.h"

static char directory[200];
static char path[300]; /* of the file a test is about */

static void set_up(void) {
  ck_assert_int_eq(make_directory(directory, sizeof directory), 0);
  (void)snprintf(path, sizeof path, "%s/file", directory);
}

static void tear_down(void) {
  ck_assert_int_eq(remove_directory(directory), 0);
}

static void assert_error(xattn_status got, xattn_status status, const char *text) {
  ck_assert_msg(got == status, "%s instead of %s: %s", xattn_status_name(got),
                xattn_status_name(status), xattn_last_error(NULL));
  ck_assert_msg(strstr(xattn_last_error(NULL), text), "\"%s\" in \"%s\"", text,
                xattn_last_error(NULL));
}

/* The file at `path` is refused; the message names it and holds the text. */
static void assert_refused(xattn_status status, const char *text) {
  xattn_file *file = NULL;
  assert_error(xattn_file_open(path, &file), status, text);
  ck_assert_ptr_null(file);
  ck_assert_msg(strstr(xattn_last_error(NULL), path), "%s in %s", path, xattn_last_error(NULL));
}

static xattn_file *open_file(void) {
  xattn_file *file = NULL;
  xattn_status status = xattn_file_open(path, &file);
  ck_assert_msg(status == XATTN_OK, "%s", xattn_last_error(NULL));
  return file;
}

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
