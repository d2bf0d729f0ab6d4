/* Runs every suite, or with the argument "2/3" the second of three and every third from there on. Check forks each test, so
 * that a crash fails one test, not the run. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

Suite *suite_api(void);
Suite *suite_attention(void);
Suite *suite_cases(void);
Suite *suite_context_rules(void);
Suite *suite_context_types(void);
Suite *suite_contexts(void);
Suite *suite_convert(void);
Suite *suite_errors(void);
Suite *suite_exact(void);
Suite *suite_files(void);
Suite *suite_forms(void);
Suite *suite_gemm(void);
Suite *suite_gemm_types(void);
Suite *suite_half(void);
Suite *suite_layer(void);
Suite *suite_load(void);
Suite *suite_memory(void);
Suite *suite_npy(void);
Suite *suite_plan(void);
Suite *suite_rates(void);
Suite *suite_softmax(void);
Suite *suite_softmax_types(void);
Suite *suite_statedict(void);
Suite *suite_steady(void);
Suite *suite_uneven(void);
Suite *suite_pipe(void);

int main(int argc, char **argv) {
  size_t part = 1, parts = 1;
  if (argc > 2 ||
      (argc == 2 && (sscanf(argv[1], "%zu/%zu", &part, &parts) != 2 || !part || part > parts))) {
    (void)fprintf(stderr, "usage: run [PART/PARTS]\n");
    return 2;
  }
  /* What a user has measured must not choose the plans of the tests. */
  if (setenv("XATTN_RATES", "builtin", 0)) return EXIT_FAILURE;
  Suite *(*const suites[])(void) = {
      suite_api,     suite_errors,        suite_plan,     suite_convert,       suite_files,
      suite_npy,     suite_statedict,     suite_load,     suite_gemm,          suite_gemm_types,
      suite_softmax, suite_softmax_types, suite_exact,    suite_attention,     suite_half,
      suite_layer,   suite_forms,         suite_contexts, suite_context_rules, suite_context_types,
      suite_steady,  suite_uneven,        suite_pipe,     suite_memory,        suite_rates,
      suite_cases,
  };
  SRunner *runner = srunner_create(NULL);
  for (size_t i = part - 1; i < sizeof suites / sizeof *suites; i += parts)
    srunner_add_suite(runner, suites[i]());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
