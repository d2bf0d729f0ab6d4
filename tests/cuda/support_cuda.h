/* What the suites of CUDA share: handles and streams, a job whose results are known, and what the simulator tells. */
#ifndef XATTN_TESTS_SUPPORT_CUDA_H
#define XATTN_TESTS_SUPPORT_CUDA_H

#include <cuda_runtime_api.h>
#include <xattn_cuda.h>

#include "cudasim.h"
#include "support.h"
#include "support_typed.h"

#define CUDA_OK(call)                                                                \
  do {                                                                               \
    cudaError_t code_ = (call);                                                      \
    ck_assert_msg(code_ == cudaSuccess, "%s: %s", #call, cudaGetErrorString(code_)); \
  } while (0)

/* ---- the simulator */

/* Its functions, as cudasim.h has them. */
typedef struct simulator {
  void (*fail_at)(long long n);
  long long (*fallible_calls)(void);
  size_t (*live[5])(void); /* device blocks, pinned blocks, streams, events, cuBLAS handles */
  unsigned long long (*calls)(const char *name);
  const char *(*fault)(void);
  cudasim_counters (*counters_of)(const char *kernel);
  void (*counters_reset)(void);
} simulator;

/* NULL on a real GPU. */
const simulator *the_simulator(void);
/* The same, and says that the test is skipped without. */
const simulator *simulator_or_skip(const char *test);

/* A test case whose tests end with nothing alive on the device and no fault. */
TCase *cuda_tests(const char *name);
/* Fails unless nothing is alive on the device: what cuda_tests does behind each test. */
void nothing_is_alive(void);

/* ---- handles and streams */

xattn_handle *cuda_handle(void); /* of device 0 */
xattn_handle *cuda_handle_of(const char *device, xattn_math math);
cudaStream_t stream_new(void); /* does not wait for the default stream */

/* Work of a stream that waits for the host: until the gate is opened, nothing behind it runs. */
typedef struct gate {
  volatile int open;
} gate;
void gate_close(gate *g, cudaStream_t stream);
void gate_open(gate *g);

/* ---- bits */

/* Fails unless both hold the same bits, guard bands included. */
void check_same_bits(const guarded *got, const guarded *wanted, const char *name);

/* ---- a job */

/* One of each call, small, with what it gives on host tensors. The layer's result is checked against the
 * oracle. */
typedef struct job {
  test_layer l;
  xattn_layer *layer;
  int32_t lengths[3];
  xattn_tensor lengths_tensor;
  xattn_options options;       /* the lengths, and one plan: a context gives the same bits as y */
  xattn_options lengths_alone; /* of softmax, which has no plan */
  guarded x, y, forward;       /* [3, 20, 24] [3, 50, 40] [3, 20, 24] */
  guarded q, k, v, attention;
  guarded scores, softmax;
} job;
void job_init(job *j, xattn_handle *handle, uint64_t seed);
/* The streams are filled with other numbers, and the results made again. */
void job_refill(job *j, xattn_handle *handle, uint64_t seed);
void job_free(job *j);

/* Its tensors on a device; the outputs are not written yet. */
typedef struct job_tensors {
  device_tensor x, y, forward, q, k, v, attention, scores, softmax;
} job_tensors;
void job_to_device(const job *j, xattn_handle *handle, job_tensors *d);
void job_put(const job *j, const job_tensors *d); /* the inputs again */
void job_tensors_free(job_tensors *d);

/* Fails unless the output has the bits that host tensors gave. */
void check_output(const device_tensor *got, const guarded *wanted, const char *name);

/* Enqueues forward_once (context NULL) or forward, attention and softmax. */
void job_run(const job *j, xattn_handle *handle, const job_tensors *d,
             const xattn_context *context);
void job_check(const job *j, const job_tensors *d);

#endif
