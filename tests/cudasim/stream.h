/* Streams. Work is queued, and runs when something forces it: so late that a missing synchronisation
 * shows as data that are not there yet. A stream runs its own queue and, where it waits for an event,
 * first what that event needs of another stream; nothing else.
 *
 * With CUDASIM_ORDER=early the others' work runs before the stream's own instead: one of the two orders
 * shows a wait that is missing between two streams. */
#ifndef CUDASIM_STREAM_H
#define CUDASIM_STREAM_H

#include <driver_types.h>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "device.h"
#include "handles.h"
#include "origin.h"

namespace cudasim {

class Stream;
struct Capture;

/* What a stream was given up to some time. */
struct Point {
  std::shared_ptr<Stream> stream;
  uint64_t position = 0;
  bool reached() const;
};

struct Work {
  cudaGraphNodeType type;
  std::function<void()> run;
};

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  enum Sort { blocking, non_blocking, legacy }; /* blocking: in order with the legacy stream */

  Stream(Device &device, Sort sort, int priority, Origin origin);

  Device &device;
  const Sort sort;
  const int priority;
  const Origin origin;
  bool destroyed = false;
  int queries = 0; /* in a row that found work waiting */

  /* Set while the stream captures; then `ends` are the nodes that the next one comes after. */
  std::shared_ptr<Capture> capture;
  std::vector<size_t> ends;

  /* Queues work, or captures it. Throws Error where that is forbidden. */
  void add(Work work);
  void wait_for(const Point &point);
  Point end();

  bool idle() const {
    return queue_.empty();
  }
  size_t waiting() const {
    return queue_.size();
  }
  uint64_t done() const {
    return done_;
  }
  void run_to(uint64_t position);
  void run_all() {
    run_to(done_ + queue_.size());
  }
  /* Work that never runs: the device was reset. */
  void drop_all();

 private:
  struct Entry {
    std::function<void()> run;
    Point wait;
    bool is_host_function;
  };
  void order_with_legacy();
  void run_others_first(uint64_t position);
  void run_entry(const Entry &entry);
  void run_host_function(const Entry &entry);
  std::string default_stream_hint() const;

  std::deque<Entry> queue_;
  uint64_t done_ = 0;    /* entries that have run; queue_[0] is the next, or runs */
  bool running_ = false; /* queue_[0] runs */
};

Handles<cudaStream_t, Stream> &streams();
/* Null and cudaStreamLegacy: the default stream of the current device. */
std::shared_ptr<Stream> stream_of(cudaStream_t handle);
/* The same, refused unless it belongs to the current device, as launches want it. */
std::shared_ptr<Stream> own_stream_of(cudaStream_t handle);
void forget_finished_streams(Device &device);
void destroy_streams_of(Device &device);

}  // namespace cudasim

#endif
