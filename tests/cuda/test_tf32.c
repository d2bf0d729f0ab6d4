/* TF32, which only CUDA has. */
#include <math.h>

#include "support_cuda.h"
#include "support_rules.h"

/* TF32 keeps its own rule, breaks that of F32, and is not taken unless asked for. */
START_TEST(tf32_where_asked_for) {
  static const attention_shape s = {2, 33, 70, 4, 2, 64, 32};
  static const layout dense[4] = {DENSE, DENSE, DENSE, DENSE};
  xattn_handle *tf32 = cuda_handle_of("cuda", XATTN_MATH_TF32), *f32 = cuda_handle();
  check_attention(tf32, &rule_tf32, XATTN_F32, &s, dense, true, 141);
  check_attention(f32, &rule_f32, XATTN_F32, &s, dense, true, 141);
  job j;
  job_init(&j, f32, 142);
  guarded other = guarded_new(DENSE, 3, j.forward.t.shape);
  ASSERT_OK(tf32, xattn_forward_once(tf32, j.layer, &j.x.t, &j.y.t, &j.options, &other.t));
  double worst = 0.0;
  for (int64_t i = 0; i < 3 * 20 * 24; i++)
    worst = fmax(worst,
                 fabs((double)((float *)other.t.data)[i] - (double)((float *)j.forward.t.data)[i]));
  ck_assert_msg(worst > 1e-5 && worst < 1e-2, "TF32 differs by %.3g", worst);
  guarded_free(&other);
  /* F16 is what it is on either. */
  check_attention(tf32, &rule_f16, XATTN_F16, &s, dense, false, 143);
  job_free(&j);
  xattn_destroy(tf32);
  xattn_destroy(f32);
}
END_TEST

Suite *suite_cuda_tf32(void) {
  Suite *suite = suite_create("cuda-tf32");
  TCase *tests = cuda_tests("tf32");
  tcase_add_test(tests, tf32_where_asked_for);
  suite_add_tcase(suite, tests);
  return suite;
}
