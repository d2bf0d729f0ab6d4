/* xattn_attention against the oracle, by the rule of SEMANTICS.md, between guard bands. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "support.h"

typedef struct shape {
  int64_t batch, queries, keys, heads, kv_heads, head_dim, value_dim;
} shape;

static void describe(char *text, size_t size, const shape *s) {
  (void)snprintf(text, size, "B%lld Nq%lld Nk%lld H%lld/%lld Dh%lld Dv%lld", (long long)s->batch,
                 (long long)s->queries, (long long)s->keys, (long long)s->heads,
                 (long long)s->kv_heads, (long long)s->head_dim, (long long)s->value_dim);
}

/* |o - o*| <= c·bracket, and rms(error)/rms(bracket) <= r from 64 elements on; c = 8, r = 2. */
static void check_rule(const shape *s, const guarded *out, const double *exact,
                       const double *bracket) {
  char text[128];
  describe(text, sizeof text, s);
  double error2 = 0.0, bracket2 = 0.0;
  int64_t index = 0;
  for (int64_t b = 0; b < s->batch; b++)
    for (int64_t i = 0; i < s->queries; i++)
      for (int64_t h = 0; h < s->heads; h++)
        for (int64_t d = 0; d < s->value_dim; d++, index++) {
          double got = (double)*guarded_at(out, b, i, h, d), error = fabs(got - exact[index]);
          ck_assert_msg(error <= 8.0 * bracket[index],
                        "%s: out[%lld, %lld, %lld, %lld] is %.9g, not %.9g", text, (long long)b,
                        (long long)i, (long long)h, (long long)d, got, exact[index]);
          error2 += error * error;
          bracket2 += bracket[index] * bracket[index];
        }
  ck_assert_msg(index < 64 || error2 <= 4.0 * bracket2, "%s: rms error %.3g of the bracket", text,
                sqrt(error2 / bracket2));
}

static void check_attention(xattn_handle *handle, rng *r, const shape *s, const layout how[4],
                            bool with_lengths) {
  int64_t q_shape[4] = {s->batch, s->queries, s->heads, s->head_dim};
  int64_t k_shape[4] = {s->batch, s->keys, s->kv_heads, s->head_dim};
  int64_t v_shape[4] = {s->batch, s->keys, s->kv_heads, s->value_dim};
  int64_t out_shape[4] = {s->batch, s->queries, s->heads, s->value_dim};
  guarded q = guarded_new(how[0], 4, q_shape), k = guarded_new(how[1], 4, k_shape);
  guarded v = guarded_new(how[2], 4, v_shape), out = guarded_new(how[3], 4, out_shape);
  guarded_fill(&q, r, 2.0);
  guarded_fill(&k, r, 2.0);
  guarded_fill(&v, r, 1.0);
  int64_t count = s->batch * s->queries * s->heads * s->value_dim;
  double *exact = malloc((size_t)(count + 1) * sizeof *exact);
  double *bracket = malloc((size_t)(count + 1) * sizeof *bracket);
  int32_t *lengths = malloc((size_t)(s->batch + 1) * sizeof *lengths);
  ck_assert(exact && bracket && lengths);
  for (int64_t b = 0; b < s->batch; b++) lengths[b] = (int32_t)rng_range(r, 0, s->keys);
  xattn_tensor lengths_tensor = xattn_tensor_dense(lengths, XATTN_I32, 1, &s->batch);
  xattn_options options = {.size = sizeof options,
                           .key_lengths = with_lengths ? &lengths_tensor : NULL};
  oracle_attention(&q.t, &k.t, &v.t, 1.0 / sqrt((double)s->head_dim), with_lengths ? lengths : NULL,
                   exact, bracket);
  ASSERT_OK(handle, xattn_attention(handle, &q.t, &k.t, &v.t, 0.0F, &options, &out.t));
  check_rule(s, &out, exact, bracket);
  guarded_check(&out, "out");
  guarded_check(&q, "q");
  guarded_check(&k, "k");
  guarded_check(&v, "v");
  free(lengths);
  free(bracket);
  free(exact);
  guarded_free(&q);
  guarded_free(&k);
  guarded_free(&v);
  guarded_free(&out);
}

START_TEST(edge_grid) {
  static const int64_t edges[] = {0, 1, 31, 32, 33, 67};
  enum { EDGES = sizeof edges / sizeof *edges };
  static const layout dense[4] = {DENSE, DENSE, DENSE, DENSE};
  xattn_handle *handle = test_handle(2);
  rng r = {11};
  for (int i = 0; i < EDGES; i++)
    for (int j = 0; j < EDGES; j++)
      for (int d = 1; d < EDGES; d++) {
        shape s = {2, edges[i], edges[j], 2, 1, edges[d], edges[EDGES - d]};
        check_attention(handle, &r, &s, dense, false);
        check_attention(handle, &r, &s, dense, true);
      }
  xattn_destroy(handle);
}
END_TEST

START_TEST(every_layout_of_every_tensor) {
  xattn_handle *handle = test_handle(2);
  rng r = {12};
  shape s = {3, 17, 29, 4, 2, 13, 7};
  for (int code = 0; code < 4 * 4 * 4 * 3; code++) {
    layout how[4] = {(layout)(code % 4), (layout)(code / 4 % 4), (layout)(code / 16 % 4),
                     (layout)(code / 64)};
    check_attention(handle, &r, &s, how, code & 1);
  }
  xattn_destroy(handle);
}
END_TEST

START_TEST(random_shapes) {
  static const layout dense[4] = {DENSE, GAPS, DENSE, GAPS};
  xattn_handle *handle = test_handle(_i);
  rng r = {(uint64_t)(13 + _i)};
  for (int i = 0; i < 60; i++) {
    int64_t kv_heads = rng_range(&r, 1, 4);
    shape s = {rng_range(&r, 0, 5),
               rng_range(&r, 0, 60),
               rng_range(&r, 0, 90),
               kv_heads * rng_range(&r, 1, 4),
               kv_heads,
               rng_range(&r, 1, 70),
               rng_range(&r, 1, 70)};
    check_attention(handle, &r, &s, dense, i & 1);
  }
  xattn_destroy(handle);
}
END_TEST

/* One to four rows of several heads whose keys lie side by side: rows that are queries, or heads that share keys. Widths of
 * whole vectors and others, blocks of keys whole and not, all keys at once and cut into pieces. */
START_TEST(heads_abreast) {
  static const layout how[2][4] = {{DENSE, DENSE, DENSE, DENSE}, {GAPS, GAPS, GAPS, GAPS}};
  static const int64_t widths[] = {1, 5, 16, 24, 40, 67}, keys[] = {1, 47, 48, 49, 700};
  const int64_t rows = _i % 4 + 1;
  for (int threads = 1; threads <= 3; threads++) {
    xattn_handle *handle = test_handle(threads);
    rng r = {(uint64_t)(17 + _i)};
    for (int i = 0; i < 6 * 5; i++) {
      int64_t kv_heads = rng_range(&r, 2, 9);
      shape s = {.batch = rng_range(&r, 1, 3),
                 .queries = _i < 4 ? rows : 1,
                 .keys = keys[i % 5],
                 .heads = kv_heads * (_i < 4 ? 1 : rows),
                 .kv_heads = kv_heads,
                 .head_dim = widths[i % 6],
                 .value_dim = widths[(i + i / 6) % 6]};
      check_attention(handle, &r, &s, how[i / 5 % 2], i & 1);
    }
    xattn_destroy(handle);
  }
}
END_TEST

/* Larger than one chunk of scores (4 MiB with one thread), cut at each level in turn: batch items,
 * groups, heads of a group, rows. The first and the fourth are tiles of one pass on the CPU, in blocks of keys; the
 * last two, of few rows and of wide heads, are chunks there too. */
START_TEST(several_chunks) {
  static const layout dense[4] = {DENSE, DENSE, DENSE, DENSE};
  static const shape shapes[] = {{6, 100, 4001, 2, 2, 4, 3}, {2, 10, 26001, 6, 6, 3, 4},
                                 {2, 10, 26001, 6, 1, 3, 4}, {2, 301, 9001, 2, 1, 4, 3},
                                 {6, 15, 26001, 2, 2, 4, 3}, {1, 60, 20001, 1, 1, 513, 3}};
  xattn_handle *handle = test_handle(1);
  rng r = {14};
  check_attention(handle, &r, &shapes[_i], dense, false);
  check_attention(handle, &r, &shapes[_i], dense, true);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_attention(void) {
  Suite *suite = suite_create("attention");
  TCase *tests = tcase_create("attention");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, edge_grid);
  tcase_add_test(tests, every_layout_of_every_tensor);
  tcase_add_loop_test(tests, random_shapes, 1, 4);
  tcase_add_loop_test(tests, heads_abreast, 0, 8);
  tcase_add_loop_test(tests, several_chunks, 0, getenv("XATTN_TEST_SHORT") ? 1 : 6);
  suite_add_tcase(suite, tests);
  return suite;
}
