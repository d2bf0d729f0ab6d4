/* The benchmark of xattn on a GPU: what its parts share. Public headers, CUDA's runtime and cuBLAS alone. */
#ifndef XATTN_BENCH_GPU_BENCH_H
#define XATTN_BENCH_GPU_BENCH_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <xattn.h>
#include <xattn_cuda.h>

#include "../../apps/cases.h"
#include "../../apps/timing.h"
#include "json.h"

enum { MOST_RUNS = 1000, FEWEST_RUNS = 10, WARM_UPS = 3, MOST_PROBLEMS = 64 };

typedef struct settings {
  const char *cases, *only, *out;
  double seconds; /* to spend on one measurement, of which there are FEWEST_RUNS runs at least */
  double limit;   /* seconds, for everything; what does not fit is left out, and said so */
  double graph_below;    /* ms; calls that take longer are not replayed as a graph */
  int64_t copy_bytes;    /* of the large copy */
  int64_t gemm;          /* rows of the large square product */
  int64_t softmax_count; /* elements of each softmax */
} settings;

/* How a product is computed, and the dtype of the tensors. */
typedef struct mode {
  const char *name;
  xattn_dtype dtype;
  xattn_math math;
  cudaDataType_t type;
  cublasComputeType_t compute;
} mode;
enum { MODES = 4 };
extern const mode modes[MODES]; /* F32, TF32, F16, BF16 */

typedef struct bench {
  settings set;
  json out;
  void *flush; /* twice the second-level cache */
  size_t flush_bytes;
  cudaEvent_t begin[MOST_RUNS], end[MOST_RUNS];
  double end_ms; /* of now_ms: when the time is up */
  int problems;
  char problem[MOST_PROBLEMS][512];
} bench;

/* ---- device.c */

bool bench_open(bench *b);
void bench_close(bench *b);
void print_device(bench *b);

/* Notes what went wrong; the benchmark goes on without it. */
void complain_about(bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool cuda_fine(bench *b, cudaError_t code, const char *what);
bool blas_fine(bench *b, cublasStatus_t status, const char *what);
bool xattn_fine(bench *b, const xattn_handle *handle, xattn_status status, const char *what);
/* Notes that `what` is left out, if the time is up. */
bool time_is_up(bench *b, const char *what);

/* A handle on CUDA's device 0. NULL on failure, noted. */
xattn_handle *open_handle(bench *b, xattn_math math);
cudaStream_t stream_of(xattn_handle *handle);

/* A dense tensor on the handle's device, from xattn_device_alloc, which dies with the handle. Random numbers
 * within ±bound/√width (apps/random.h), or NaN where seed is 0. data is NULL on failure, noted. */
xattn_tensor device_tensor(bench *b, xattn_handle *handle, xattn_dtype dtype, uint64_t seed,
                           int32_t rank, const int64_t *shape);
/* The same for large tensors: a block of random numbers in ±1, repeated. */
xattn_tensor device_filled(bench *b, xattn_handle *handle, xattn_dtype dtype, int64_t rows,
                           int64_t columns);
/* Elements that are NaN or infinite; -1 on failure, noted. */
int64_t count_not_finite(bench *b, xattn_handle *handle, const xattn_tensor *t);

/* ---- clock.c */

/* Something that can be enqueued over and over. */
typedef struct work {
  bool (*enqueue)(bench *b, void *what);
  void *what;
  cudaStream_t stream;
} work;

typedef struct timing {
  size_t runs; /* 0: not measured */
  summary ms;
} timing;

/* WARM: one run behind another, the caches as the run before left them. COLD: before every run, outside its
 * time, a buffer of twice the second-level cache is written. */
typedef enum temperature { WARM, COLD } temperature;

/* Times runs by events on the stream. All are enqueued before the first is looked at, so that the device does
 * not wait for the host, unless enqueuing takes longer than the work. */
bool time_work(bench *b, const work *w, temperature how, timing *result);
/* What the host needs to enqueue it once, with nothing before it: the median in µs, -1 on failure. */
double time_enqueue(bench *b, const work *w);
void print_timing(json *out, const char *name, const timing *t);

/* ---- the parts, each of which writes a member of the JSON object */

void measure_ceilings(bench *b);
void measure_cases(bench *b, const case_table *table);
void measure_softmax(bench *b);

#endif
