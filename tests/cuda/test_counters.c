/* What the kernels ask of memory, as the simulator counts it, and how many launches a call takes. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "support_cuda.h"

static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_BF16};

/* Dense rows; n is a multiple of 16, so that each starts with a sector in every dtype. */
static cudasim_counters count_softmax(const simulator *s, xattn_handle *handle, xattn_dtype from,
                                      xattn_dtype to, int64_t rows, int64_t n) {
  guarded host = guarded_new(DENSE, 2, (int64_t[]){rows, n});
  rng r = {181};
  guarded_fill(&host, &r, 5.0);
  device_tensor in = device_copy(handle, &host.t, from);
  device_tensor out = device_new(handle, &host.t, to, 0);
  ASSERT_OK(handle, xattn_synchronize(handle));
  s->counters_reset();
  ASSERT_OK(handle, xattn_scale_softmax(handle, &in.t, 1.0F, NULL, &out.t));
  ASSERT_OK(handle, xattn_synchronize(handle));
  const cudasim_counters all = s->counters_of(NULL), softmax = s->counters_of("softmax");
  ck_assert_uint_eq(all.launches, 1);
  ck_assert_uint_eq(softmax.launches, 1);
  device_free(&in);
  device_free(&out);
  guarded_free(&host);
  return softmax;
}

/* Each score is read once and each result written once (read twice by the online kernel), in whole sectors,
 * and shared memory is used without bank conflicts. */
START_TEST(softmax_moves_what_it_must) {
  static const int64_t lengths[] = {16,
                                    64,
                                    240,
                                    XATTN_SOFTMAX_SHORT,
                                    XATTN_SOFTMAX_SHORT + 16,
                                    XATTN_SOFTMAX_MEDIUM,
                                    XATTN_SOFTMAX_MEDIUM + 16,
                                    8192,
                                    XATTN_SOFTMAX_SHARED - 8,
                                    XATTN_SOFTMAX_SHARED + 8,
                                    16384};
  const simulator *s = simulator_or_skip("softmax_moves_what_it_must");
  if (!s) return;
  xattn_handle *handle = cuda_handle();
  for (int pair = 0; pair < 9; pair++)
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
      const xattn_dtype from = dtypes[pair / 3], to = dtypes[pair % 3];
      const int64_t n = lengths[i], rows = n > 2000 ? 2 : 7;
      const cudasim_counters c = count_softmax(s, handle, from, to, rows, n);
      const uint64_t reads = n > XATTN_SOFTMAX_SHARED ? 2 : 1;
      const uint64_t bytes =
          (uint64_t)(rows * n) * (reads * xattn_dtype_size(from) + xattn_dtype_size(to));
      const char *in = xattn_dtype_name(from), *out = xattn_dtype_name(to);
      ck_assert_msg(c.global_bytes == bytes, "%s to %s, n %lld: %llu bytes, not %llu", in, out,
                    (long long)n, (unsigned long long)c.global_bytes, (unsigned long long)bytes);
      ck_assert_msg(c.global_sectors == c.global_sectors_ideal,
                    "%s to %s, n %lld: %llu sectors, ideal %llu", in, out, (long long)n,
                    (unsigned long long)c.global_sectors,
                    (unsigned long long)c.global_sectors_ideal);
      ck_assert_msg(c.shared_wavefronts == c.shared_accesses,
                    "%s to %s, n %lld: %llu wavefronts for %llu accesses", in, out, (long long)n,
                    (unsigned long long)c.shared_wavefronts, (unsigned long long)c.shared_accesses);
    }
  xattn_destroy(handle);
}
END_TEST

/* Lengths spare what lies behind them: it is written as 0, not read. */
START_TEST(keys_behind_a_length_are_not_read) {
  enum { ROWS = 4, KEYS = 512 };
  const simulator *s = simulator_or_skip("keys_behind_a_length_are_not_read");
  if (!s) return;
  xattn_handle *handle = cuda_handle();
  guarded host = guarded_new(DENSE, 2, (int64_t[]){ROWS, KEYS});
  rng r = {182};
  guarded_fill(&host, &r, 5.0);
  device_tensor in = device_copy(handle, &host.t, XATTN_F32);
  device_tensor out = device_new(handle, &host.t, XATTN_F32, 0);
  const int32_t lengths[ROWS] = {512, 128, 0, 64};
  const xattn_tensor lengths_tensor = XATTN_TENSOR(lengths, XATTN_I32, ROWS);
  const xattn_options options = {.size = sizeof options, .key_lengths = &lengths_tensor};
  ASSERT_OK(handle, xattn_synchronize(handle));
  s->counters_reset();
  ASSERT_OK(handle, xattn_scale_softmax(handle, &in.t, 1.0F, &options, &out.t));
  ASSERT_OK(handle, xattn_synchronize(handle));
  const cudasim_counters c = s->counters_of("softmax");
  ck_assert_uint_eq(c.global_bytes, 4 * (512 + 128 + 64) + 4 * ROWS * KEYS);
  device_free(&in);
  device_free(&out);
  guarded_free(&host);
  xattn_destroy(handle);
}
END_TEST

static unsigned long long gemms(const simulator *s) {
  return s->calls("cublasGemmStridedBatchedEx");
}

/* forward_once of dense tensors without biases: four projections, two products, one softmax; with a context
 * two projections less. cuBLAS has one batch level: of items and heads, which do not follow one another
 * here, the shorter is walked. */
START_TEST(launches_of_a_call) {
  const simulator *s = simulator_or_skip("launches_of_a_call");
  if (!s) return;
  xattn_handle *handle = cuda_handle();
  const xattn_options direct = {.size = sizeof direct, .plan = "direct"};
  test_layer l = {.query_dim = 16, .context_dim = 24, .heads = 4, .head_dim = 8, .out_dim = 16};
  rng r = {183};
  test_layer_init(&l, &r);
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
  guarded x = guarded_new(DENSE, 3, (int64_t[]){3, 10, 16});
  guarded y = guarded_new(DENSE, 3, (int64_t[]){3, 40, 24});
  guarded_fill(&x, &r, 1.0);
  guarded_fill(&y, &r, 1.0);
  device_tensor dx = device_copy(handle, &x.t, XATTN_F32),
                dy = device_copy(handle, &y.t, XATTN_F32);
  device_tensor out = device_new(handle, &x.t, XATTN_F32, 0);
  xattn_context *context;
  ASSERT_OK(handle, xattn_context_create(handle, layer, &dy.t, &direct, &context));
  for (int with_context = 0; with_context < 2; with_context++) {
    xattn_stats before = {.size = sizeof before}, after = before;
    ASSERT_OK(handle, xattn_synchronize(handle));
    ASSERT_OK(handle, xattn_get_stats(handle, &before));
    s->counters_reset();
    const unsigned long long products = gemms(s);
    if (with_context)
      ASSERT_OK(handle, xattn_forward(handle, layer, &dx.t, context, NULL, &out.t));
    else
      ASSERT_OK(handle, xattn_forward_once(handle, layer, &dx.t, &dy.t, &direct, &out.t));
    ASSERT_OK(handle, xattn_synchronize(handle));
    ASSERT_OK(handle, xattn_get_stats(handle, &after));
    const uint64_t planned = with_context ? 5 : 7;
    ck_assert_uint_eq(after.launches - before.launches, planned);
    /* The batch of 3 is walked; the heads, 4, are the longer level. */
    ck_assert_uint_eq(gemms(s) - products, planned - 3 + 2 * 3);
    ck_assert_uint_eq(s->counters_of(NULL).launches, 1);
    ck_assert_uint_eq(s->counters_of("softmax").launches, 1);
  }
  xattn_context_destroy(context);
  device_free(&dx);
  device_free(&dy);
  device_free(&out);
  guarded_free(&x);
  guarded_free(&y);
  xattn_layer_destroy(layer);
  test_layer_free(&l);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_counters(void) {
  Suite *suite = suite_create("cuda-counters");
  TCase *tests = cuda_tests("counters");
  tcase_add_test(tests, softmax_moves_what_it_must);
  tcase_add_test(tests, keys_behind_a_length_are_not_read);
  tcase_add_test(tests, launches_of_a_call);
  suite_add_tcase(suite, tests);
  return suite;
}
