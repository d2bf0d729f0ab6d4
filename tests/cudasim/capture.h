/* Stream capture: while a stream captures, work becomes nodes of a graph instead of entries of its queue.
 * The rules of what is forbidden meanwhile are CUDA's; where they differ, stricter (README.md). */
#ifndef CUDASIM_CAPTURE_H
#define CUDASIM_CAPTURE_H

#include <driver_types.h>

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "stream.h"

namespace cudasim {

struct Node {
  cudaGraphNodeType type;
  std::function<void()> run;
  std::vector<size_t> after; /* numbers of nodes, all smaller than its own */
};

struct Graph {
  std::deque<Node> nodes;
  std::vector<size_t> ends; /* the last nodes of the stream that the capture began on */

  /* The nodes that the ends need, each after those that it needs itself; where the graph leaves the
   * order open, CUDASIM_ORDER decides. */
  std::vector<size_t> ordered() const;
};

/* An event recorded in a capture stands for these nodes. */
struct CapturedPoint {
  std::shared_ptr<Capture> capture;
  std::vector<size_t> ends;
};

struct Capture {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  Stream *origin;
  unsigned long long number;
  std::vector<Stream *> members; /* origin too */
  bool active = true, invalid = false;
};

void begin_capture(Stream &stream, cudaStreamCaptureMode mode);
std::shared_ptr<Graph> end_capture(Stream &stream);
void add_to_capture(Stream &stream, Work work);
/* A wait of a stream for an event that was recorded in a capture: the stream joins it. */
void wait_in_capture(Stream &stream, const CapturedPoint &point);
/* A capturing stream goes away. */
void leave_capture(Stream &stream);

/* Makes the capture of the stream, if it has one, invalid and throws. */
void forbid_if_capturing(Stream &stream, cudaError_t error, const char *why);
[[noreturn]] void invalidate(Capture &capture, cudaError_t error, const char *why);
/* For calls that CUDA calls potentially unsafe; depends on the modes of thread and captures. */
void forbid_while_capturing();
/* For synchronisations of the whole device: forbidden in every mode. */
void forbid_while_any_captures();
void forbid_legacy_work_while_capturing();

/* Sets the thread's mode and returns the one before. */
cudaStreamCaptureMode exchange_thread_mode(cudaStreamCaptureMode mode);

}  // namespace cudasim

#endif
