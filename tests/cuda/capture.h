/* Captures of a job's calls into graphs. */
#ifndef XATTN_TESTS_CUDA_CAPTURE_H
#define XATTN_TESTS_CUDA_CAPTURE_H

#include "support_cuda.h"

/* A handle on a stream of the caller's, a job and its tensors. */
typedef struct studio {
  xattn_handle *handle;
  cudaStream_t stream;
  job j;
  job_tensors d;
  xattn_context *context;
} studio;
/* Warm: every call has run once. */
void studio_open(studio *s, uint64_t seed, bool warm);
void studio_close(studio *s);

void capture_begin(studio *s);
/* Fails unless the capture is valid. */
cudaGraphExec_t capture_end(studio *s);

/* Launches the graph on inputs of its own and checks what it gives; with a context, y stays. */
void launch_and_check(studio *s, cudaGraphExec_t graph, uint64_t seed);
void graph_free(cudaGraphExec_t graph);

#endif
