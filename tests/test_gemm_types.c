/* The backend's GEMM where A, B and the bias are of F32, F16 or BF16 and C is F32. The CPU takes every combination, what
 * is not F32 is widened on the way; CUDA takes those of one dtype, beside a bias of C's. */
#include "cpu/cpu.h"
#include "support_gemm.h"

static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_BF16};
enum { COMBINATIONS = 27 };

/* Handles of one thread and of three take turns. */
typedef struct both {
  xattn_handle *handle[2];
  int turn;
  bool takes;
} both;

/* Combination number `index` of A, B and bias. */
static both both_open(int index, xattn_gemm *g) {
  both h = {.handle = {test_handle(1), test_handle(3)}};
  *g = (xattn_gemm){.batch = {1, 1, 1}};
  g->a.dtype = dtypes[index / 9];
  g->b.dtype = dtypes[index / 3 % 3];
  g->bias_dtype = dtypes[index % 3];
  h.takes = h.handle[0]->backend->limits(h.handle[0]->device).wide ||
            (g->a.dtype == g->b.dtype && g->bias_dtype == XATTN_F32);
  return h;
}

static void both_close(both *h) {
  for (int i = 0; i < 2; i++) xattn_destroy(h->handle[i]);
}

/* B as it lies and transposed; plain, with a bias, added to what is there. */
static void check_uses(both *h, rng *r, xattn_gemm g) {
  for (int use = 0; use < 6; use++) {
    g.b_transposed = use & 1;
    g.accumulate = use / 2 == 2;
    check_gemm(h->handle[h->turn++ % 2], r, g, use / 2 == 1);
  }
}

/* The uses of products of m, n and k. */
static void check_sizes(both *h, rng *r, xattn_gemm g, const int64_t (*sizes)[3], size_t count) {
  for (size_t i = 0; i < count && h->takes; i++) {
    g.m = sizes[i][0];
    g.n = sizes[i][1];
    g.k = sizes[i][2];
    check_uses(h, r, g);
  }
}

/* Few rows and many, with and without rows of a last vector or panel, and no depth at all. */
START_TEST(every_combination_of_dtypes) {
  static const int64_t columns[] = {1, 7, 32, 33, 65}, depths[] = {0, 1, 17, 32, 50, 8, 3};
  xattn_gemm g;
  both h = both_open(_i, &g);
  rng r = {(uint64_t)(210 + _i)};
  for (int64_t row = 1; row <= 42 && h.takes; row++) {
    g.m = row <= 40 ? row : row + 55; /* 96 and 97 */
    g.n = columns[(row + _i) % 5];
    g.k = depths[(row + _i) % 7];
    g.batch[0] = row % 3 + 1;
    g.batch[2] = row % 2 + 1;
    check_uses(&h, &r, g);
  }
  both_close(&h);
}
END_TEST

/* Blocks of 384 of the depth and some 512 columns, 96 rows of A, and some 96 columns of B that are widened at a time. */
START_TEST(across_blocks) {
  static const int64_t sizes[][3] = {{33, 513, 385}, {97, 33, 384}, {96, 512, 10},   {40, 545, 400},
                                     {107, 40, 769}, {38, 1030, 5}, {100, 191, 768}, {40, 190, 384},
                                     {40, 190, 385}, {34, 33, 1201}};
  xattn_gemm g;
  both h = both_open(_i * 3 + _i % 3, &g);
  rng r = {(uint64_t)(240 + _i)};
  check_sizes(&h, &r, g, sizes, sizeof sizes / sizeof *sizes);
  both_close(&h);
}
END_TEST

/* Few rows: all of A is widened, if it fits the room for it, and as many rows of B at a time as fit theirs, if one does.
 * Beyond that they go the way of many. */
START_TEST(few_rows_beyond_the_room) {
  enum { A_ROOM = 3 * 384 * 608, B_ROOM = 2 * 96 * 384 };
  static const int64_t sizes[][3] = {
      {16, 2, A_ROOM / 16},   {16, 2, A_ROOM / 16 + 1}, {2, 5, B_ROOM}, {2, 5, B_ROOM + 1},
      {3, B_ROOM, 3},         {3, B_ROOM + 1, 3},       {5, 700, 150},  {4, B_ROOM / 2, 7},
      {3, B_ROOM / 2 + 1, 7}, {5, 30, B_ROOM / 7}};
  ck_assert_int_eq(xattn_cpu_scratch(), A_ROOM + B_ROOM);
  xattn_gemm g;
  both h = both_open(_i * 3 + _i / 3, &g);
  rng r = {(uint64_t)(250 + _i)};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes && h.takes; i++)
    for (int transposed = 0; transposed < 2; transposed++) {
      g.m = sizes[i][0];
      g.n = sizes[i][1];
      g.k = sizes[i][2];
      g.b_transposed = transposed;
      check_gemm(h.handle[(i + (size_t)_i) % 2], &r, g, (i / 2 + (size_t)_i) % 2);
    }
  both_close(&h);
}
END_TEST

/* What lies behind a limit is neither read nor written; one of 0 leaves the bias, or 0. */
START_TEST(with_limits) {
  static const int32_t counts[] = {3, 0, 17, 40, 33};
  xattn_gemm g;
  both h = both_open(_i, &g);
  rng r = {(uint64_t)(260 + _i)};
  g.batch[0] = 5;
  g.batch[1] = 2;
  for (int64_t m = 1; m < 60 && h.takes; m += 19)
    for (int shared = 0; shared < 2; shared++) {
      xattn_gemm limited = g;
      limited.m = m;
      limited.n = 40;
      limited.k = 9;
      limited.n_limit = (xattn_lengths){.count = counts + 2 * shared, .step = !shared};
      check_uses(&h, &r, limited);
      limited.n = 9;
      limited.k = 40;
      limited.k_limit = limited.n_limit;
      limited.n_limit = (xattn_lengths){0};
      check_uses(&h, &r, limited);
    }
  both_close(&h);
}
END_TEST

/* A bias an item, a group and a head, each alone and together, and operands that they share. */
START_TEST(with_strides_of_each_level) {
  enum { N = 70 };
  xattn_gemm g;
  both h = both_open(_i, &g);
  rng r = {(uint64_t)(270 + _i)};
  for (int levels = 0; levels < 8 && h.takes; levels++)
    for (int64_t m = 2; m < 50; m += 40) {
      xattn_gemm of = g;
      of.m = m;
      of.n = N;
      of.k = 11;
      of.batch[0] = 2;
      of.batch[1] = 3;
      of.batch[2] = 2;
      of.b_transposed = levels & 1;
      if (levels & HEADS) of.bias_stride[2] = N + 3;
      if (levels & GROUPS) of.bias_stride[1] = 2 * (N + 3);
      if (levels & ITEMS) of.bias_stride[0] = 6 * (N + 3) + 1;
      check_shared_gemm(h.handle[h.turn++ % 2], &r, of, true, levels, 7 - levels);
      of.a.ld = of.k; /* without a gap */
      of.b.ld = of.b_transposed ? of.k : of.n;
      of.a.stride[0] = 40;
      of.b.stride[0] = 50;
      check_shared_gemm(h.handle[h.turn++ % 2], &r, of, true, 7 - levels, levels);
    }
  both_close(&h);
}
END_TEST

Suite *suite_gemm_types(void) {
  Suite *suite = suite_create("gemm-types");
  TCase *tests = tcase_create("gemm-types");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, every_combination_of_dtypes, 0, COMBINATIONS);
  tcase_add_loop_test(tests, across_blocks, 0, COMBINATIONS / 3);
  tcase_add_loop_test(tests, few_rows_beyond_the_room, 0, COMBINATIONS / 3);
  tcase_add_loop_test(tests, with_limits, 0, COMBINATIONS);
  tcase_add_loop_test(tests, with_strides_of_each_level, 0, COMBINATIONS);
  suite_add_tcase(suite, tests);
  return suite;
}
