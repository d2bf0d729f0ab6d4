/* The case table of the benchmark (bench/shapes/cases.txt), computed and compared with the oracle. By
 * default one batch item of each, rows sampled; XATTN_TEST_LONG=1 runs the whole cases. */
#include <stdlib.h>
#include <string.h>

#include "../apps/cases.h"
#include "oracle.h"
#include "support.h"

static case_table table;

static void check_case(const bench_case *c, bool whole, bool lengths) {
  xattn_handle *handle = test_handle(0);
  rng r = {61};
  test_layer l = {.batch = whole ? c->batch : 1,
                  .queries = c->queries,
                  .keys = whole ? c->keys : (c->keys + 3) / 4 + 1,
                  .query_dim = c->query_dim,
                  .context_dim = c->context_dim,
                  .heads = c->heads,
                  .head_dim = c->head_dim,
                  .out_dim = c->out_dim};
  test_layer_init(&l, &r);
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
  int64_t width = l.out_dim ? l.out_dim : l.heads * l.value_dim;
  guarded x = guarded_new(DENSE, 3, (int64_t[]){l.batch, l.queries, l.query_dim});
  guarded y = guarded_new(DENSE, 3, (int64_t[]){l.batch, l.keys, l.context_dim});
  guarded out = guarded_new(DENSE, 3, (int64_t[]){l.batch, l.queries, width});
  guarded_fill(&x, &r, 1.7);
  guarded_fill(&y, &r, 1.7);
  int32_t length[64];
  ck_assert_int_le(l.batch, 64);
  for (int64_t b = 0; b < l.batch; b++) length[b] = (int32_t)rng_range(&r, 1, l.keys);
  xattn_tensor tensor = xattn_tensor_dense(length, XATTN_I32, 1, &l.batch);
  xattn_options options = {.size = sizeof options, .key_lengths = lengths ? &tensor : NULL};
  ASSERT_OK(handle, xattn_forward_once(handle, layer, &x.t, &y.t, &options, &out.t));
  layer_verdict v =
      oracle_check_layer(&l.weights, &x.t, &y.t, lengths ? length : NULL, &out.t, whole ? 24 : 4);
  ck_assert_msg(v.right, "%s: error %.3g, plain float32 %.3g, largest value %.3g", c->name, v.error,
                v.plain_error, v.largest);
  ck_assert(v.largest > 0.0);
  guarded_check(&out, "out");
  guarded_free(&x);
  guarded_free(&y);
  guarded_free(&out);
  xattn_layer_destroy(layer);
  test_layer_free(&l);
  xattn_destroy(handle);
}

static int table_status;

START_TEST(the_table_is_there) {
  ck_assert_int_eq(table_status, 0);
  ck_assert_uint_ge(table.count, 6);
}
END_TEST

START_TEST(a_case) {
  bool whole = getenv("XATTN_TEST_LONG") != NULL;
  check_case(&table.cases[_i], whole, false);
  check_case(&table.cases[_i], whole, true);
}
END_TEST

Suite *suite_cases(void) {
  Suite *suite = suite_create("cases");
  TCase *tests = tcase_create("cases");
  tcase_set_timeout(tests, 600);
  table_status = cases_read("bench/shapes/cases.txt", &table);
  tcase_add_test(tests, the_table_is_there);
  tcase_add_loop_test(tests, a_case, 0, (int)table.count);
  suite_add_tcase(suite, tests);
  return suite;
}
