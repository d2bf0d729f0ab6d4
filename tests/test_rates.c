/* Rates of a handle: asked for, set, measured, and the file that they are kept in. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "support_files.h"

static char folder[200], path[260]; /* of a test's own, and its file of rates */

static void make_folder(void) {
  ck_assert_int_eq(make_directory(folder, sizeof folder), 0);
  (void)snprintf(path, sizeof path, "%s/rates.json", folder);
  ck_assert_int_eq(setenv("XATTN_RATES", path, 1), 0);
}

static void drop_folder(void) {
  ck_assert_int_eq(remove_directory(folder), 0);
}

static xattn_rates rates_of(xattn_handle *handle) {
  xattn_rates rates = {.size = sizeof rates};
  ASSERT_OK(handle, xattn_get_rates(handle, &rates));
  const double all[] = {rates.flops,  rates.flops_half, rates.operands,
                        rates.stream, rates.softmax,    rates.launch};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    ck_assert_msg(isfinite(all[i]) && all[i] > 0.0, "rate %zu is %g", i, all[i]);
  return rates;
}

static void check_same(const xattn_rates *a, const xattn_rates *b) {
  ck_assert(a->flops == b->flops && a->flops_half == b->flops_half && a->operands == b->operands);
  ck_assert(a->stream == b->stream && a->softmax == b->softmax && a->launch == b->launch);
}

static const xattn_rates mine = {.size = sizeof mine,
                                 .flops = 1e11,
                                 .flops_half = 2e11,
                                 .operands = 3e10,
                                 .stream = 4e10,
                                 .softmax = 5e8,
                                 .launch = 6e-6,
                                 .source = "not read"};

/* ------------------------------------------------------------------ of a handle */

START_TEST(get_and_set) {
  xattn_handle *handle = test_handle(1);
  xattn_rates built_in = rates_of(handle);
  ck_assert_str_eq(built_in.source, "built in");
  ASSERT_OK(handle, xattn_set_rates(handle, &mine));
  xattn_rates set = rates_of(handle);
  ck_assert_str_eq(set.source, "caller");
  check_same(&set, &mine);
  double *const fields[] = {&set.flops,  &set.flops_half, &set.operands,
                            &set.stream, &set.softmax,    &set.launch};
  static const double wrong[] = {0.0, -1.0, NAN, INFINITY};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    for (size_t j = 0; j < sizeof wrong / sizeof *wrong; j++) {
      double save = *fields[i];
      *fields[i] = wrong[j];
      ASSERT_FAILS(handle, xattn_set_rates(handle, &set), XATTN_ERROR_ARGUMENT,
                   "each must be above 0");
      *fields[i] = save;
      set.size = sizeof set;
      xattn_rates now = rates_of(handle);
      check_same(&now, &mine);
    }
  set.size = 0;
  ASSERT_FAILS(handle, xattn_set_rates(handle, &set), XATTN_ERROR_ARGUMENT, "rates: size is 0");
  ASSERT_FAILS(handle, xattn_get_rates(handle, NULL), XATTN_ERROR_ARGUMENT, "rates");
  ASSERT_FAILS(NULL, xattn_get_rates(NULL, &set), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  ASSERT_FAILS(NULL, xattn_set_rates(NULL, NULL), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  ASSERT_FAILS(NULL, xattn_calibrate(NULL, 0), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  ASSERT_OK(handle, xattn_set_rates(handle, NULL));
  set = rates_of(handle);
  check_same(&set, &built_in);
  ck_assert_str_eq(set.source, "built in");
  xattn_destroy(handle);
}
END_TEST

/* A plan takes longer on a slower device, and the choice follows the rates. */
START_TEST(plans_follow_the_rates) {
  xattn_handle *handle = test_handle(1);
  rng r = {91};
  test_layer l = {.query_dim = 64, .context_dim = 64, .heads = 8, .head_dim = 8, .out_dim = 64};
  test_layer_init(&l, &r);
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
  xattn_tensor x = XATTN_TENSOR(NULL, XATTN_F32, 1, 4, 64),
               y = XATTN_TENSOR(NULL, XATTN_F32, 1, 900, 64);
  xattn_options options = {.size = sizeof options, .plan = "direct"};
  xattn_plan_info fast = {.size = sizeof fast}, slow = fast, chosen = fast;
  ASSERT_OK(handle, xattn_set_rates(handle, &mine));
  ASSERT_OK(handle, xattn_plan(handle, layer, &x, &y, NULL, &options, &fast));
  xattn_rates other = mine;
  other.flops /= 4;
  other.operands /= 4;
  other.stream /= 4;
  other.softmax /= 4;
  other.launch *= 4;
  ASSERT_OK(handle, xattn_set_rates(handle, &other));
  ASSERT_OK(handle, xattn_plan(handle, layer, &x, &y, NULL, &options, &slow));
  ck_assert(fast.seconds > 0.0 && fabs(slow.seconds / fast.seconds - 4.0) < 1e-9);
  ck_assert(slow.flops == fast.flops && slow.bytes == fast.bytes && slow.launches == fast.launches);
  ASSERT_OK(handle, xattn_plan(handle, layer, &x, &y, NULL, NULL, &chosen));
  ck_assert(chosen.seconds < slow.seconds);
  ck_assert_str_ne(chosen.name, "direct"); /* 4 queries, 900 keys */
  /* Where only operations cost, the fewest win. */
  other = (xattn_rates){.size = sizeof other,
                        .flops = 1e18,
                        .flops_half = 1e18,
                        .operands = 1e18,
                        .stream = 1e18,
                        .softmax = 1e18,
                        .launch = 1.0};
  ASSERT_OK(handle, xattn_set_rates(handle, &other));
  ASSERT_OK(handle, xattn_plan(handle, layer, &x, &y, NULL, NULL, &chosen));
  for (int64_t i = 0; xattn_plan_name(i); i++) {
    options.plan = xattn_plan_name(i);
    ASSERT_OK(handle, xattn_plan(handle, layer, &x, &y, NULL, &options, &slow));
    ck_assert_int_ge(slow.launches, chosen.launches);
  }
  xattn_layer_destroy(layer);
  test_layer_free(&l);
  xattn_destroy(handle);
}
END_TEST

/* ------------------------------------------------------------------ the file */

/* What the simulator measures is no figure of a GPU, but must be one. */
START_TEST(calibration_is_kept) {
  make_folder();
  xattn_handle *handle = test_handle(1);
  ck_assert_str_eq(rates_of(handle).source, "built in");
  ASSERT_OK(handle, xattn_calibrate(handle, 0));
  ck_assert_str_eq(rates_of(handle).source, "calibrated");
  ck_assert_int_ne(access(path, F_OK), 0);
  /* What stands there already stays. */
  static const char before[] =
      "{\"cpu; another; threads 99; F32\": {\"flops\": 7.5, \"note\": \"x\"}}";
  ck_assert_int_eq(write_bytes(path, before, sizeof before - 1), 0);
  ASSERT_OK(handle, xattn_calibrate(handle, 1));
  xattn_rates measured = rates_of(handle);
  json_t *file = json_load_file(path, 0, NULL);
  ck_assert_int_eq((int)json_object_size(file), 2);
  json_t *kept = json_object_get(file, "cpu; another; threads 99; F32");
  ck_assert(json_real_value(json_object_get(kept, "flops")) == 7.5);
  ck_assert_str_eq(json_string_value(json_object_get(kept, "note")), "x");
  json_decref(file);
  xattn_destroy(handle);

  /* The next handle reads it; one of another number of threads has no entry. */
  handle = test_handle(1);
  xattn_rates read = rates_of(handle);
  check_same(&read, &measured);
  ck_assert_str_eq(read.source, path);
  ASSERT_OK(handle, xattn_set_rates(handle, &mine));
  ASSERT_OK(handle, xattn_set_rates(handle, NULL)); /* as at its creation */
  read = rates_of(handle);
  check_same(&read, &measured);
  xattn_destroy(handle);
  ck_assert_int_eq(setenv("XATTN_RATES", "builtin", 1), 0);
  handle = test_handle(1);
  ck_assert_str_eq(rates_of(handle).source, "built in");
  xattn_destroy(handle);
  drop_folder(); /* holds nothing but the file: no temporary is left behind */
}
END_TEST

/* The key of this device's entry, as the library wrote it. */
static void key_of(xattn_handle *handle, char key[600]) {
  ASSERT_OK(handle, xattn_calibrate(handle, 1));
  json_t *file = json_load_file(path, 0, NULL);
  ck_assert_int_eq((int)json_object_size(file), 1);
  (void)snprintf(key, 600, "%s", json_object_iter_key(json_object_iter(file)));
  json_decref(file);
}

static const char *source_with(const char *text) {
  static char source[160];
  ck_assert_int_eq(write_bytes(path, text, strlen(text)), 0);
  xattn_handle *handle = test_handle(1);
  (void)snprintf(source, sizeof source, "%s", rates_of(handle).source);
  xattn_destroy(handle);
  return source;
}

START_TEST(entries_that_are_no_rates) {
  make_folder();
  xattn_handle *handle = test_handle(1);
  char key[600], text[1200];
  key_of(handle, key);
  ck_assert_ptr_nonnull(strstr(key, "threads 1"));
  static const char *const bad[] = {"1e9, \"launch\": -1e-6", "0, \"launch\": 1e-6",
                                    "\"1e9\", \"launch\": 1e-6", "1e9"};
  static const char form[] =
      "{\"%s\": {\"flops\": 1e11, \"flops_half\": 2e11, \"operands\": 3e10, \"stream\": 4e10, "
      "\"softmax\": %s}}";
  (void)snprintf(text, sizeof text, form, key, "5e8, \"launch\": 6e-6");
  ck_assert_str_eq(source_with(text), path);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    (void)snprintf(text, sizeof text, form, key, bad[i]);
    ck_assert_str_eq(source_with(text), "built in");
  }
  (void)snprintf(text, sizeof text, "{\"%s\": 5}", key);
  ck_assert_str_eq(source_with(text), "built in");

  /* A file of something else is read as if it were not there, and never written. */
  static const char *const broken[] = {"{\"a\": ", "[1, 2]", "", "no rates at all\n"};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    ck_assert_str_eq(source_with(broken[i]), "built in");
    ASSERT_OK(handle, xattn_set_rates(handle, NULL));
    ASSERT_FAILS(handle, xattn_calibrate(handle, 1), XATTN_ERROR_FORMAT, "is no file of rates");
    ck_assert_ptr_nonnull(strstr(xattn_last_error(handle), path));
    ck_assert_str_eq(rates_of(handle).source, "calibrated"); /* set even so */
    char now[64] = "";
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    size_t size = fread(now, 1, sizeof now - 1, file);
    (void)fclose(file);
    ck_assert_uint_eq(size, strlen(broken[i]));
    ck_assert_str_eq(now, broken[i]);
  }
  xattn_destroy(handle);
  drop_folder();
}
END_TEST

/* XATTN_RATES, then XDG_CACHE_HOME, then HOME; folders are made. */
START_TEST(places_of_the_file) {
  make_folder();
  xattn_handle *handle = test_handle(1);
  char place[400], home[300];
  (void)snprintf(home, sizeof home, "%s/home", folder);
  ck_assert_int_eq(setenv("HOME", home, 1), 0);
  ck_assert_int_eq(setenv("XDG_CACHE_HOME", folder, 1), 0);
  static const char *const named[] = {"builtin", "", "", ""};
  static const char *const below[] = {NULL, "xattn/rates.json", "home/.cache/xattn/rates.json",
                                      "home/.cache/xattn/rates.json"};
  for (int i = 0; i < 4; i++) {
    ck_assert_int_eq(setenv("XATTN_RATES", named[i], 1), 0);
    if (i == 2) ck_assert_int_eq(setenv("XDG_CACHE_HOME", "relative/is/none", 1), 0);
    if (i == 3) ck_assert_int_eq(unsetenv("XDG_CACHE_HOME"), 0);
    if (!below[i]) {
      ASSERT_FAILS(handle, xattn_calibrate(handle, 1), XATTN_ERROR_ARGUMENT,
                   "save: no place for rates");
      continue;
    }
    (void)snprintf(place, sizeof place, "%s/%s", folder, below[i]);
    ASSERT_OK(handle, xattn_calibrate(handle, 1));
    ck_assert_int_eq(access(place, R_OK), 0);
    xattn_handle *reader = test_handle(1);
    ck_assert_str_eq(rates_of(reader).source, place);
    xattn_destroy(reader);
    ck_assert_int_eq(unlink(place), 0);
  }
  ck_assert_int_eq(unsetenv("HOME"), 0);
  ck_assert_int_eq(unsetenv("XATTN_RATES"), 0);
  ASSERT_FAILS(handle, xattn_calibrate(handle, 1), XATTN_ERROR_ARGUMENT,
               "save: no place for rates");
  ck_assert_str_eq(rates_of(handle).source, "calibrated");

  /* A file where a folder should be. */
  (void)snprintf(place, sizeof place, "%s/file", folder);
  ck_assert_int_eq(write_bytes(place, "x", 1), 0);
  (void)snprintf(place, sizeof place, "%s/file/rates.json", folder);
  ck_assert_int_eq(setenv("XATTN_RATES", place, 1), 0);
  ASSERT_FAILS(handle, xattn_calibrate(handle, 1), XATTN_ERROR_IO, "rates.json");
  (void)snprintf(place, sizeof place, "%s/file", folder);
  ck_assert_int_eq(unlink(place), 0);
  static const char *const made[] = {"home/.cache/xattn", "home/.cache", "home", "xattn"};
  for (int i = 0; i < 4; i++) {
    (void)snprintf(place, sizeof place, "%s/%s", folder, made[i]);
    ck_assert_int_eq(rmdir(place), 0); /* empty: no temporary */
  }
  xattn_destroy(handle);
  drop_folder();
}
END_TEST

Suite *suite_rates(void) {
  Suite *suite = suite_create("rates");
  TCase *tests = tcase_create("rates");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, get_and_set);
  tcase_add_test(tests, plans_follow_the_rates);
  tcase_add_test(tests, calibration_is_kept);
  tcase_add_test(tests, entries_that_are_no_rates);
  tcase_add_test(tests, places_of_the_file);
  suite_add_tcase(suite, tests);
  return suite;
}
