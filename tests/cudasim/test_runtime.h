/* The test of the runtime and of cuBLAS. Every case runs in a process of its own (the program again), for
 * a fault breaks the device for good, and some cases end by a signal. */
#ifndef TEST_RUNTIME_H
#define TEST_RUNTIME_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#include "cudasim.h"

struct test {
  const char *name;
  void (*run)(void);
  const char *environment; /* "NAME=value NAME=value", or null */
  int exit_status;         /* minus the signal that ends it */
  const char *message;     /* what it must have said on stderr, or null */
};

extern const struct test memory_tests[], copy_tests[], stream_tests[], capture_tests[],
    process_tests[], gemm_tests[], cublas_tests[];

/* Prints the line and counts, and goes on. */
#define CHECK(condition) check((condition), __FILE__, __LINE__, #condition)
#define EQUAL(a, b) check_equal((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)
/* What has to work for the case to make sense. */
#define OK(call) EQUAL(call, 0)

void check(bool condition, const char *file, int line, const char *text);
void check_equal(long long a, long long b, const char *file, int line, const char *text);
int failures(void);

/* The functions of cudasim.h, found as a test of a product would find them. */
struct simulator {
  void (*fail_at)(long long);
  long long (*fallible_calls)(void);
  size_t (*live_device_blocks)(void), (*live_device_bytes)(void), (*live_host_blocks)(void);
  size_t (*live_streams)(void), (*live_events)(void), (*live_cublas_handles)(void);
  unsigned long long (*calls)(const char *);
  const char *(*fault)(void);
};
extern struct simulator sim;

bool fault_says(const char *text);
cudaStream_t new_stream(void); /* non-blocking */
cudaEvent_t new_event(void);
cublasHandle_t new_handle(cudaStream_t stream);
float *device_floats(size_t n, const float *values); /* written and there, if values are given */
float *pinned_floats(size_t n, float value);
/* On the null stream, and done. */
void upload(void *to, const void *from, size_t bytes);
void download(void *to, const void *from, size_t bytes);

#endif
