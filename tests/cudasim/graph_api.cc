/* Capturing into graphs, and running them. */
#include <cuda_runtime_api.h>

#include "call.h"
#include "capture.h"
#include "handles.h"
#include "live.h"

namespace cudasim {

namespace {

Handles<cudaGraph_t, Graph> &graphs() {
  static auto *all = new Handles<cudaGraph_t, Graph>(3);
  return *all;
}

Handles<cudaGraphExec_t, Graph> &executables() {
  static auto *all = new Handles<cudaGraphExec_t, Graph>(4);
  return *all;
}

/* A captured graph never changes, so that its executable can share it. */
void instantiate(cudaGraphExec_t *executable, cudaGraph_t graph) {
  if (!executable) throw Error(cudaErrorInvalidValue, "no place for the handle");
  *executable = executables().add(graphs().get(graph));
}

}  // namespace

size_t live_graphs() {
  return graphs().all().size() + executables().all().size();
}

}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode) {
  return call(HERE, Kind::plain, [&] {
    if (!mode || *mode > cudaStreamCaptureModeRelaxed)
      throw Error(cudaErrorInvalidValue, "no such mode");
    *mode = exchange_thread_mode(*mode);
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call(HERE, cudaErrorUnknown, [&] {
    if (mode > cudaStreamCaptureModeRelaxed) throw Error(cudaErrorInvalidValue, "no such mode");
    begin_capture(*stream_of(stream), mode);
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  return call(HERE, Kind::plain, [&] {
    if (graph) *graph = nullptr;
    const auto captured = end_capture(*stream_of(stream));
    if (!graph) throw Error(cudaErrorInvalidValue, "no place for the graph");
    *graph = graphs().add(captured);
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status) {
  return call(HERE, Kind::plain, [&] {
    const auto stream = stream_of(handle);
    if (stream->sort == Stream::legacy) forbid_legacy_work_while_capturing();
    const Capture *capture = stream->capture.get();
    *status = !capture           ? cudaStreamCaptureStatusNone
              : capture->invalid ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
  });
}

/* Status and number of the capture; the graph being made is not given out. */
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus *status,
                                     unsigned long long *number, cudaGraph_t *graph,
                                     const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges,
                                     size_t *node_count) {
  const cudaError_t error = cudaStreamIsCapturing(handle, status);
  if (error) return error;
  return call(HERE, Kind::plain, [&] {
    if (graph || nodes || edges || node_count)
      throw Error(cudaErrorNotSupported, "the graph of a capture under way");
    const Capture *capture = stream_of(handle)->capture.get();
    if (number && capture) *number = capture->number;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph,
                                 unsigned long long) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { instantiate(executable, graph); });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *executable, cudaGraph_t graph,
                                          unsigned long long) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { instantiate(executable, graph); });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
  return call(HERE, cudaErrorUnknown, [&] {
    executables().get(executable);
    stream_of(stream);
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  return call(HERE, cudaErrorLaunchOutOfResources, [&] {
    const auto graph = executables().get(executable);
    const auto stream = stream_of(handle);
    for (size_t node : graph->ordered())
      stream->add({graph->nodes[node].type, graph->nodes[node].run});
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call(HERE, Kind::release, [&] { graphs().take(graph); });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return call(HERE, Kind::release, [&] { executables().take(executable); });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t *nodes, size_t *count) {
  return call(HERE, Kind::plain, [&] {
    const auto graph = graphs().get(handle);
    if (!count) throw Error(cudaErrorInvalidValue, "no place for the count");
    if (nodes)
      for (size_t i = 0; i < *count; i++)
        nodes[i] = i < graph->nodes.size() ? (cudaGraphNode_t)&graph->nodes[i] : nullptr;
    if (!nodes || *count > graph->nodes.size()) *count = graph->nodes.size();
  });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType *type) {
  return call(HERE, Kind::plain, [&] {
    if (!node || !type) throw Error(cudaErrorInvalidValue, "no node");
    *type = ((const Node *)node)->type;
  });
}

}  // extern "C"
