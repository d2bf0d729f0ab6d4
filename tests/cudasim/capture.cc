#include "capture.h"

#include <algorithm>
#include <utility>

#include "call.h"

namespace cudasim {

namespace {

thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

std::vector<std::shared_ptr<Capture>> &active_captures() {
  static auto *all = new std::vector<std::shared_ptr<Capture>>;
  return *all;
}

void join(Stream &stream, const std::shared_ptr<Capture> &capture) {
  stream.capture = capture;
  stream.ends.clear();
  capture->members.push_back(&stream);
}

void merge(std::vector<size_t> &ends, const std::vector<size_t> &more) {
  for (size_t node : more)
    if (std::find(ends.begin(), ends.end(), node) == ends.end()) ends.push_back(node);
}

/* The streams are ordinary ones again. */
void close(Capture &capture) {
  for (Stream *member : capture.members) {
    member->capture = nullptr;
    member->ends.clear();
  }
  capture.active = false;
  auto &all = active_captures();
  all.erase(std::find_if(all.begin(), all.end(), [&](auto &c) { return c.get() == &capture; }));
}

bool forbids_unsafe_calls(const Capture &capture) {
  if (thread_mode == cudaStreamCaptureModeRelaxed) return false;
  if (capture.thread == std::this_thread::get_id())
    return capture.mode != cudaStreamCaptureModeRelaxed;
  return capture.mode == cudaStreamCaptureModeGlobal && thread_mode == cudaStreamCaptureModeGlobal;
}

}  // namespace

void invalidate(Capture &capture, cudaError_t error, const char *why) {
  capture.invalid = true;
  throw Error(error, why);
}

void begin_capture(Stream &stream, cudaStreamCaptureMode mode) {
  static unsigned long long captures;
  if (stream.sort == Stream::legacy)
    throw Error(cudaErrorStreamCaptureUnsupported, "the default stream cannot capture");
  if (stream.capture) throw Error(cudaErrorIllegalState, "the stream captures already");
  auto capture = std::make_shared<Capture>();
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = &stream;
  capture->number = ++captures;
  join(stream, capture);
  active_captures().push_back(capture);
}

std::shared_ptr<Graph> end_capture(Stream &stream) {
  const std::shared_ptr<Capture> capture = stream.capture;
  if (!capture) throw Error(cudaErrorIllegalState, "the stream does not capture");
  if (capture->origin != &stream)
    throw Error(cudaErrorStreamCaptureUnmatched, "the capture began on another stream");
  if (capture->mode != cudaStreamCaptureModeRelaxed &&
      capture->thread != std::this_thread::get_id())
    throw Error(cudaErrorStreamCaptureWrongThread, "the capture began in another thread");
  Graph &graph = *capture->graph;
  graph.ends = stream.ends;
  close(*capture);
  if (capture->invalid)
    throw Error(cudaErrorStreamCaptureInvalidated, "a call had ruined the capture");
  if (graph.ordered().size() != graph.nodes.size())
    throw Error(cudaErrorStreamCaptureUnjoined, "work on another stream was not waited for");
  return capture->graph;
}

void add_to_capture(Stream &stream, Work work) {
  Capture &capture = *stream.capture;
  if (capture.invalid)
    throw Error(cudaErrorStreamCaptureInvalidated, "a call before has ruined the capture");
  capture.graph->nodes.push_back({work.type, std::move(work.run), stream.ends});
  stream.ends = {capture.graph->nodes.size() - 1};
}

void wait_in_capture(Stream &stream, const CapturedPoint &point) {
  Capture &capture = *point.capture;
  if (!capture.active)
    throw Error(cudaErrorCapturedEvent, "the event was last recorded in a capture that is over");
  if (capture.invalid)
    throw Error(cudaErrorStreamCaptureInvalidated, "a call before has ruined the capture");
  if (stream.sort == Stream::legacy)
    invalidate(capture, cudaErrorStreamCaptureImplicit, "the default stream cannot join a capture");
  if (!stream.capture) join(stream, point.capture);
  if (stream.capture != point.capture) {
    stream.capture->invalid = true;
    invalidate(capture, cudaErrorStreamCaptureMerge, "the event belongs to another capture");
  }
  merge(stream.ends, point.ends);
}

void leave_capture(Stream &stream) {
  if (!stream.capture) return;
  Capture &capture = *stream.capture;
  capture.invalid = true;
  auto &members = capture.members;
  members.erase(std::find(members.begin(), members.end(), &stream));
  if (capture.origin == &stream) close(capture);
  stream.capture = nullptr;
}

void forbid_if_capturing(Stream &stream, cudaError_t error, const char *why) {
  if (stream.capture) invalidate(*stream.capture, error, why);
}

void forbid_while_capturing() {
  for (const auto &capture : active_captures())
    if (forbids_unsafe_calls(*capture))
      invalidate(*capture, cudaErrorStreamCaptureUnsupported, "a stream captures");
}

void forbid_while_any_captures() {
  if (active_captures().empty()) return;
  invalidate(*active_captures().front(), cudaErrorStreamCaptureUnsupported, "a stream captures");
}

void forbid_legacy_work_while_capturing() {
  for (const auto &capture : active_captures())
    for (const Stream *member : capture->members)
      if (member->sort == Stream::blocking)
        invalidate(*capture, cudaErrorStreamCaptureImplicit,
                   "the default stream would wait for a stream that captures");
  forbid_while_capturing();
}

cudaStreamCaptureMode exchange_thread_mode(cudaStreamCaptureMode mode) {
  return std::exchange(thread_mode, mode);
}

std::vector<size_t> Graph::ordered() const {
  const bool early = others_first();
  std::vector<bool> seen(nodes.size());
  std::vector<size_t> result;
  /* Depth first without recursion: a graph may be one long chain. */
  struct Visit {
    const std::vector<size_t> *after;
    size_t next, node;
  };
  std::vector<Visit> stack = {{&ends, 0, nodes.size()}};
  while (!stack.empty()) {
    Visit &visit = stack.back();
    const std::vector<size_t> &after = *visit.after;
    if (visit.next < after.size()) {
      const size_t at = visit.next++;
      const size_t node = early ? after[after.size() - 1 - at] : after[at];
      if (seen[node]) continue;
      seen[node] = true;
      stack.push_back({&nodes[node].after, 0, node});
      continue;
    }
    if (visit.node < nodes.size()) result.push_back(visit.node);
    stack.pop_back();
  }
  return result;
}

}  // namespace cudasim
