#include "capture.h"

void studio_open(studio *s, uint64_t seed, bool warm) {
  s->handle = cuda_handle();
  s->stream = stream_new();
  ASSERT_OK(s->handle, xattn_cuda_set_stream(s->handle, s->stream));
  /* The job runs on another handle: this one's workspace has not been used. */
  xattn_handle *other = cuda_handle();
  job_init(&s->j, other, seed);
  job_to_device(&s->j, s->handle, &s->d);
  ASSERT_OK(other, xattn_context_create(other, s->j.layer, &s->j.y.t, &s->j.options, &s->context));
  xattn_destroy(other);
  if (warm) {
    job_run(&s->j, s->handle, &s->d, NULL);
    job_run(&s->j, s->handle, &s->d, s->context);
  }
  ASSERT_OK(s->handle, xattn_synchronize(s->handle));
}

void studio_close(studio *s) {
  xattn_context_destroy(s->context);
  job_tensors_free(&s->d);
  job_free(&s->j);
  xattn_destroy(s->handle);
  CUDA_OK(cudaStreamDestroy(s->stream));
}

/* In the strictest mode. */
void capture_begin(studio *s) {
  CUDA_OK(cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeGlobal));
}

cudaGraphExec_t capture_end(studio *s) {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CUDA_OK(cudaStreamEndCapture(s->stream, &graph));
  CUDA_OK(cudaGraphInstantiate(&executable, graph, 0));
  CUDA_OK(cudaGraphDestroy(graph));
  return executable;
}

void launch_and_check(studio *s, cudaGraphExec_t graph, uint64_t seed) {
  xattn_handle *other = cuda_handle();
  job_refill(&s->j, other, seed);
  xattn_destroy(other);
  job_put(&s->j, &s->d);
  const device_tensor *outputs[] = {&s->d.forward, &s->d.attention, &s->d.softmax};
  for (int i = 0; i < 3; i++)
    CUDA_OK(cudaMemsetAsync(outputs[i]->memory, 0xFF, outputs[i]->bytes, s->stream));
  CUDA_OK(cudaGraphLaunch(graph, s->stream));
  job_check(&s->j, &s->d);
}

void graph_free(cudaGraphExec_t graph) {
  CUDA_OK(cudaGraphExecDestroy(graph));
}
