#include "stream.h"

#include <algorithm>
#include <condition_variable>

#include "call.h"
#include "capture.h"

namespace cudasim {

namespace {
std::condition_variable_any entry_ended;

}  // namespace

bool Point::reached() const {
  return !stream || stream->done() >= position;
}

Stream::Stream(Device &on, Sort how, int urgency, Origin made_by)
    : device(on), sort(how), priority(urgency), origin(made_by) {
}

void Stream::add(Work work) {
  if (sort == legacy) forbid_legacy_work_while_capturing();
  if (capture) return add_to_capture(*this, std::move(work));
  order_with_legacy();
  queries = 0;
  queue_.push_back({std::move(work.run), Point(), work.type == cudaGraphNodeTypeHost});
}

void Stream::wait_for(const Point &point) {
  if (!point.reached() && point.stream.get() != this) queue_.push_back({nullptr, point, false});
}

Point Stream::end() {
  return {shared_from_this(), done_ + queue_.size()};
}

/* The legacy stream waits for the blocking streams of its device, and they for it. */
void Stream::order_with_legacy() {
  if (sort == blocking) wait_for(device.legacy->end());
  if (sort != legacy) return;
  for (const auto &other : device.streams)
    if (other->sort == blocking) wait_for(other->end());
}

/* Positions only lead back in time, so this ends. */
void Stream::run_others_first(uint64_t position) {
  for (uint64_t at = done_; at < position; at = std::max(at + 1, done_)) {
    const Point wait = queue_[at - done_].wait;
    if (!wait.reached()) wait.stream->run_to(wait.position);
  }
}

/* Only a host function lets another thread in while an entry runs; that thread waits. The same thread
 * comes back here only for what has run already. */
void Stream::run_to(uint64_t position) {
  if (others_first()) run_others_first(position);
  while (done_ < position) {
    if (running_) {
      entry_ended.wait(big_lock);
      continue;
    }
    const Entry &entry = queue_.front(); /* stays where it is when others are queued */
    running_ = true;
    if (!entry.wait.reached()) entry.wait.stream->run_to(entry.wait.position);
    if (entry.run && !device.sticky_error()) run_entry(entry);
    running_ = false;
    queue_.pop_front();
    done_++;
    entry_ended.notify_all();
  }
}

void Stream::run_entry(const Entry &entry) {
  if (entry.is_host_function) return run_host_function(entry);
  try {
    entry.run();
  } catch (const std::exception &fault) { /* Fault; or the simulator's own memory is used up */
    const bool address = device.memory.address_fault();
    device.break_down(fault.what() + default_stream_hint(),
                      address ? cudaErrorIllegalAddress : cudaErrorLaunchFailure);
  }
}

/* The one surprise in CUDA's order that programs get away with on a GPU, mostly. */
std::string Stream::default_stream_hint() const {
  if (sort != non_blocking || device.legacy->idle()) return "";
  return format(
      "\ncudasim: (%zu operations wait on the default stream, cudaMemcpy and cudaMemset "
      "among them; a stream made with cudaStreamNonBlocking does not wait for them)",
      device.legacy->waiting());
}

/* Without the lock: it may wait for another thread that calls CUDA. */
void Stream::run_host_function(const Entry &entry) {
  in_host_function = true;
  big_lock.unlock();
  entry.run();
  big_lock.lock();
  in_host_function = false;
}

void Stream::drop_all() {
  while (running_) entry_ended.wait(big_lock);
  done_ += queue_.size();
  queue_.clear();
}

Handles<cudaStream_t, Stream> &streams() {
  static auto *all = new Handles<cudaStream_t, Stream>(1);
  return *all;
}

std::shared_ptr<Stream> stream_of(cudaStream_t handle) {
  if (!handle || handle == cudaStreamLegacy) return current_device().legacy;
  if (handle == cudaStreamPerThread)
    throw Error(cudaErrorNotSupported, "cudaStreamPerThread is not simulated");
  return streams().get(handle);
}

std::shared_ptr<Stream> own_stream_of(cudaStream_t handle) {
  std::shared_ptr<Stream> stream = stream_of(handle);
  if (&stream->device != &current_device())
    throw Error(cudaErrorInvalidResourceHandle, "the stream belongs to another device");
  return stream;
}

void forget_finished_streams(Device &device) {
  auto &all = device.streams;
  const auto finished = [](const std::shared_ptr<Stream> &stream) {
    return stream->destroyed && stream->idle();
  };
  all.erase(std::remove_if(all.begin(), all.end(), finished), all.end());
}

void destroy_streams_of(Device &device) {
  for (auto each = streams().all().begin(); each != streams().all().end();)
    each = &each->second->device == &device ? streams().all().erase(each) : std::next(each);
  device.streams.clear();
}

}  // namespace cudasim
