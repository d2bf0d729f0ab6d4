/* Data for which the result is known exactly: no tolerance hides a bug here. */
#include <math.h>
#include <string.h>

#include "support.h"

enum { BATCH = 2, QUERIES = 9, KEYS = 37, HEADS = 4, KV_HEADS = 2, WIDTH = 8 };

typedef struct data {
  xattn_handle *handle;
  guarded q, k, v, out;
} data;

static data data_new(void) {
  int64_t q[4] = {BATCH, QUERIES, HEADS, WIDTH}, k[4] = {BATCH, KEYS, KV_HEADS, WIDTH};
  data d = {test_handle(2), guarded_new(GAPS, 4, q), guarded_new(GAPS, 4, k),
            guarded_new(GAPS, 4, k), guarded_new(GAPS, 4, q)};
  rng r = {21};
  guarded_fill(&d.q, &r, 1.0);
  guarded_fill(&d.k, &r, 1.0);
  guarded_fill(&d.v, &r, 1.0);
  return d;
}

static void data_free(data *d) {
  guarded_free(&d->q);
  guarded_free(&d->k);
  guarded_free(&d->v);
  guarded_free(&d->out);
  xattn_destroy(d->handle);
}

static void run(data *d, const int32_t *lengths) {
  xattn_tensor tensor = XATTN_TENSOR(lengths, XATTN_I32, BATCH);
  xattn_options options = {.size = sizeof options, .key_lengths = lengths ? &tensor : NULL};
  ASSERT_OK(d->handle,
            xattn_attention(d->handle, &d->q.t, &d->k.t, &d->v.t, 1.0F, &options, &d->out.t));
  guarded_check(&d->out, "out");
}

#define EACH_OUT(b, i, h, c)              \
  for (int64_t b = 0; b < BATCH; b++)     \
    for (int64_t i = 0; i < QUERIES; i++) \
      for (int64_t h = 0; h < HEADS; h++) \
        for (int64_t c = 0; c < WIDTH; c++)

static void set_all(guarded *g, int64_t rows, int64_t heads, float value) {
  for (int64_t b = 0; b < BATCH; b++)
    for (int64_t i = 0; i < rows; i++)
      for (int64_t h = 0; h < heads; h++)
        for (int64_t c = 0; c < WIDTH; c++) *guarded_at(g, b, i, h, c) = value;
}

START_TEST(values_of_one_give_one) {
  data d = data_new();
  set_all(&d.v, KEYS, KV_HEADS, 1.0F);
  run(&d, NULL);
  EACH_OUT(b, i, h, c)
  ck_assert(fabsf(*guarded_at(&d.out, b, i, h, c) - 1.0F) <= 4e-7F);
  data_free(&d);
}
END_TEST

START_TEST(queries_of_zero_give_the_mean) {
  data d = data_new();
  set_all(&d.q, QUERIES, HEADS, 0.0F);
  /* Integers over a power of two keys: the mean is exact. */
  int32_t lengths[BATCH] = {32, 16};
  for (int64_t b = 0; b < BATCH; b++)
    for (int64_t j = 0; j < KEYS; j++)
      for (int64_t h = 0; h < KV_HEADS; h++)
        for (int64_t c = 0; c < WIDTH; c++)
          *guarded_at(&d.v, b, j, h, c) = (float)((j * 7 + c * 3 + h + b) % 33);
  run(&d, lengths);
  EACH_OUT(b, i, h, c) {
    float sum = 0.0F;
    for (int64_t j = 0; j < lengths[b]; j++) sum += *guarded_at(&d.v, b, j, h / 2, c);
    ck_assert(*guarded_at(&d.out, b, i, h, c) == sum / (float)lengths[b]);
  }
  data_free(&d);
}
END_TEST

/* Key t alone points along the query, so far that every other probability is exactly 0: the result
 * is its value, bit for bit. Every key of every head gets its turn, so none can be lost. */
START_TEST(each_key_can_be_selected) {
  data d = data_new();
  set_all(&d.q, QUERIES, HEADS, 0.0F);
  for (int64_t b = 0; b < BATCH; b++)
    for (int64_t i = 0; i < QUERIES; i++)
      for (int64_t h = 0; h < HEADS; h++) *guarded_at(&d.q, b, i, h, 0) = 1.0F;
  for (int64_t t = 0; t < KEYS; t++) {
    set_all(&d.k, KEYS, KV_HEADS, 0.0F);
    for (int64_t b = 0; b < BATCH; b++)
      for (int64_t h = 0; h < KV_HEADS; h++)
        *guarded_at(&d.k, b, (t + b + 5 * h) % KEYS, h, 0) = 1000.0F;
    run(&d, NULL);
    EACH_OUT(b, i, h, c)
    ck_assert(*guarded_at(&d.out, b, i, h, c) ==
              *guarded_at(&d.v, b, (t + b + 5 * (h / 2)) % KEYS, h / 2, c));
  }
  data_free(&d);
}
END_TEST

START_TEST(small_integers_with_equal_scores) {
  data d = data_new();
  /* Equal scores of any integer size give equal probabilities. */
  set_all(&d.k, KEYS, KV_HEADS, 3.0F);
  set_all(&d.q, QUERIES, HEADS, -2.0F);
  int32_t lengths[BATCH] = {8, 1};
  for (int64_t b = 0; b < BATCH; b++)
    for (int64_t j = 0; j < KEYS; j++)
      for (int64_t h = 0; h < KV_HEADS; h++)
        for (int64_t c = 0; c < WIDTH; c++) *guarded_at(&d.v, b, j, h, c) = (float)(8 * (j + c));
  run(&d, lengths);
  EACH_OUT(b, i, h, c)
  ck_assert(*guarded_at(&d.out, b, i, h, c) == (b ? (float)(8 * c) : (float)(28 + 8 * c)));
  data_free(&d);
}
END_TEST

/* Poison behind the lengths changes no bit. */
START_TEST(masked_keys_never_reach_the_result) {
  data d = data_new();
  int32_t lengths[BATCH] = {11, 30};
  run(&d, lengths);
  float clean[BATCH][QUERIES][HEADS][WIDTH];
  EACH_OUT(b, i, h, c) clean[b][i][h][c] = *guarded_at(&d.out, b, i, h, c);
  static const float poison[] = {1000.0F, NAN, INFINITY, -INFINITY, 3e38F};
  for (size_t p = 0; p < sizeof poison / sizeof *poison; p++) {
    for (int64_t b = 0; b < BATCH; b++)
      for (int64_t j = lengths[b]; j < KEYS; j++)
        for (int64_t h = 0; h < KV_HEADS; h++)
          for (int64_t c = 0; c < WIDTH; c++)
            *guarded_at(&d.k, b, j, h, c) = *guarded_at(&d.v, b, j, h, c) = poison[p];
    run(&d, lengths);
    EACH_OUT(b, i, h, c)
    ck_assert(memcmp(&clean[b][i][h][c], guarded_at(&d.out, b, i, h, c), sizeof(float)) == 0);
  }
  data_free(&d);
}
END_TEST

START_TEST(without_a_key_the_result_is_zero) {
  data d = data_new();
  int32_t lengths[BATCH] = {0, KEYS};
  run(&d, lengths);
  EACH_OUT(b, i, h, c)
  ck_assert((*guarded_at(&d.out, b, i, h, c) == 0.0F) == (b == 0));
  data_free(&d);
}
END_TEST

/* NaN reaches the rows that attend to it and no other. */
START_TEST(nan_stays_in_its_rows) {
  data d = data_new();
  float save = *guarded_at(&d.q, 1, 3, 2, 0);
  *guarded_at(&d.q, 1, 3, 2, 0) = NAN;
  run(&d, NULL);
  EACH_OUT(b, i, h, c)
  ck_assert(isnan(*guarded_at(&d.out, b, i, h, c)) == (b == 1 && i == 3 && h == 2));
  *guarded_at(&d.q, 1, 3, 2, 0) = save;
  save = *guarded_at(&d.k, 0, 36, 1, 5);
  *guarded_at(&d.k, 0, 36, 1, 5) = NAN;
  run(&d, NULL);
  EACH_OUT(b, i, h, c)
  ck_assert(isnan(*guarded_at(&d.out, b, i, h, c)) == (b == 0 && h / 2 == 1));
  *guarded_at(&d.k, 0, 36, 1, 5) = save;
  *guarded_at(&d.v, 0, 7, 0, 5) = NAN;
  run(&d, NULL);
  EACH_OUT(b, i, h, c)
  ck_assert(isnan(*guarded_at(&d.out, b, i, h, c)) == (b == 0 && h / 2 == 0 && c == 5));
  data_free(&d);
}
END_TEST

/* Scores of ±1e38: far over what exp, or a 16-bit float, can hold. */
START_TEST(huge_scores_are_fine) {
  data d = data_new();
  set_all(&d.q, QUERIES, HEADS, 1e18F);
  for (int64_t b = 0; b < BATCH; b++)
    for (int64_t j = 0; j < KEYS; j++)
      for (int64_t h = 0; h < KV_HEADS; h++)
        for (int64_t c = 0; c < WIDTH; c++)
          *guarded_at(&d.k, b, j, h, c) = j == 12 ? 1e19F : -1e19F;
  run(&d, NULL);
  EACH_OUT(b, i, h, c)
  ck_assert(*guarded_at(&d.out, b, i, h, c) == *guarded_at(&d.v, b, 12, h / 2, c));
  data_free(&d);
}
END_TEST

Suite *suite_exact(void) {
  Suite *suite = suite_create("exact");
  TCase *tests = tcase_create("exact");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, values_of_one_give_one);
  tcase_add_test(tests, queries_of_zero_give_the_mean);
  tcase_add_test(tests, each_key_can_be_selected);
  tcase_add_test(tests, small_integers_with_equal_scores);
  tcase_add_test(tests, masked_keys_never_reach_the_result);
  tcase_add_test(tests, without_a_key_the_result_is_zero);
  tcase_add_test(tests, nan_stays_in_its_rows);
  tcase_add_test(tests, huge_scores_are_fine);
  suite_add_tcase(suite, tests);
  return suite;
}
