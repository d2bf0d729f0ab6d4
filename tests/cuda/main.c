/* Runs the suites of what only CUDA has. Check forks each test: CUDA is used in the children alone. */
#include <check.h>
#include <stdlib.h>

Suite *suite_cuda_copy(void);
Suite *suite_cuda_quiet(void);
Suite *suite_cuda_streams(void);
Suite *suite_cuda_tensors(void);
Suite *suite_cuda_threads(void);
Suite *suite_cuda_graphs(void);
Suite *suite_cuda_capture_errors(void);
Suite *suite_cuda_memory(void);
Suite *suite_cuda_devices(void);
Suite *suite_cuda_faults(void);
Suite *suite_cuda_tf32(void);
Suite *suite_cuda_softmax(void);
Suite *suite_cuda_counters(void);
Suite *suite_cuda_process(void);

int main(void) {
  Suite *(*const suites[])(void) = {
      suite_cuda_tensors,  suite_cuda_copy,    suite_cuda_quiet,          suite_cuda_streams,
      suite_cuda_threads,  suite_cuda_graphs,  suite_cuda_capture_errors, suite_cuda_memory,
      suite_cuda_devices,  suite_cuda_faults,  suite_cuda_tf32,           suite_cuda_softmax,
      suite_cuda_counters, suite_cuda_process,
  };
  SRunner *runner = srunner_create(NULL);
  for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
    srunner_add_suite(runner, suites[i]());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
