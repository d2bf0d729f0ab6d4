#include "test_runtime.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int checks, failed;

void check(bool condition, const char *file, int line, const char *text) {
  checks++;
  if (condition) return;
  failed++;
  printf("%s:%d: %s\n", file, line, text);
}

void check_equal(long long a, long long b, const char *file, int line, const char *text) {
  check(a == b, file, line, text);
  if (a != b) printf("    %lld and %lld\n", a, b);
}

int failures(void) {
  return failed;
}

struct simulator sim;

static void find(void *function, const char *name) {
  void *symbol = dlsym(RTLD_DEFAULT, name);
  CHECK(symbol != NULL);
  memcpy(function, &symbol, sizeof symbol);
}

static void find_simulator(void) {
  find(&sim.fail_at, "cudasim_fail_at");
  find(&sim.fallible_calls, "cudasim_fallible_calls");
  find(&sim.live_device_blocks, "cudasim_live_device_blocks");
  find(&sim.live_device_bytes, "cudasim_live_device_bytes");
  find(&sim.live_host_blocks, "cudasim_live_host_blocks");
  find(&sim.live_streams, "cudasim_live_streams");
  find(&sim.live_events, "cudasim_live_events");
  find(&sim.live_cublas_handles, "cudasim_live_cublas_handles");
  find(&sim.calls, "cudasim_calls");
  find(&sim.fault, "cudasim_fault");
}

bool fault_says(const char *text) {
  if (strstr(sim.fault(), text)) return true;
  printf("    the fault is \"%s\"\n", sim.fault());
  return false;
}

cudaStream_t new_stream(void) {
  cudaStream_t stream = NULL;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

cudaEvent_t new_event(void) {
  cudaEvent_t event = NULL;
  OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}

void upload(void *to, const void *from, size_t bytes) {
  OK(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
  OK(cudaDeviceSynchronize());
}

void download(void *to, const void *from, size_t bytes) {
  OK(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}

float *device_floats(size_t n, const float *values) {
  void *address = NULL;
  OK(cudaMalloc(&address, n * sizeof(float)));
  if (values) upload(address, values, n * sizeof(float));
  return address;
}

float *pinned_floats(size_t n, float value) {
  void *address = NULL;
  OK(cudaMallocHost(&address, n * sizeof(float)));
  float *floats = address;
  for (size_t i = 0; i < n; i++) floats[i] = value;
  return floats;
}

static const struct test *const suites[] = {memory_tests,  copy_tests, stream_tests, capture_tests,
                                            process_tests, gemm_tests, cublas_tests};
enum { suite_count = sizeof suites / sizeof suites[0] };

/* The child: one case. Its checks are counted through the descriptor that the parent left. */
static int run_case(const char *name, int count_to) {
  find_simulator();
  for (int i = 0; i < suite_count; i++)
    for (const struct test *t = suites[i]; t->name; t++)
      if (strcmp(t->name, name) == 0) t->run();
  if (write(count_to, &checks, sizeof checks) < 0) return 1;
  fflush(stdout);
  return failed != 0;
}

static void set_environment(const char *settings) {
  char *copy = strdup(settings ? settings : ""), *rest = NULL;
  for (char *s = strtok_r(copy, " ", &rest); s; s = strtok_r(NULL, " ", &rest)) putenv(s);
}

/* All that comes through the pipe, up to a limit. */
static void slurp(int from, char *to, size_t room) {
  size_t have = 0;
  for (ssize_t got; have + 1 < room && (got = read(from, to + have, room - 1 - have)) > 0;)
    have += (size_t)got;
  to[have] = 0;
}

static void spawn(const char *self, const struct test *t, int message_to, int count_to) {
  char number[16];
  snprintf(number, sizeof number, "%d", count_to);
  dup2(message_to, STDERR_FILENO);
  set_environment(t->environment);
  alarm(60);
  execl(self, self, t->name, number, (char *)NULL);
  _exit(127);
}

static bool case_passes(const char *self, const struct test *t, int *total) {
  int message[2], count[2], status, of_case = 0;
  if (pipe2(message, O_CLOEXEC) || pipe(count)) return false;
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) spawn(self, t, message[1], count[1]);
  close(message[1]);
  close(count[1]);
  static char text[65536];
  slurp(message[0], text, sizeof text);
  if (read(count[0], &of_case, sizeof of_case) == sizeof of_case) *total += of_case;
  close(message[0]);
  close(count[0]);
  waitpid(child, &status, 0);
  const int ended = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  const bool said = !t->message || strstr(text, t->message);
  if (ended != t->exit_status) printf("%s: ended with %d\n", t->name, ended);
  if (!said) printf("%s: did not say \"%s\"\n", t->name, t->message);
  const bool passes = ended == t->exit_status && said;
  if (!passes && *text) printf("    stderr: %s\n", text);
  return passes;
}

int main(int count, char **arguments) {
  if (count == 3) return run_case(arguments[1], atoi(arguments[2]));
  int cases = 0, bad = 0, total = 0;
  for (int i = 0; i < suite_count; i++)
    for (const struct test *t = suites[i]; t->name; t++) {
      if (count == 2 && strcmp(arguments[1], t->name) != 0) continue;
      cases++;
      bad += !case_passes("/proc/self/exe", t, &total);
    }
  printf("cudasim runtime: %d cases, %d checks, %d cases failed\n", cases, total, bad);
  return bad != 0;
}
