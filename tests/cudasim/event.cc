#include "event.h"

#include <cuda_runtime_api.h>

#include "call.h"

namespace cudasim {

Handles<cudaEvent_t, Event> &events() {
  static auto *all = new Handles<cudaEvent_t, Event>(2);
  return *all;
}

void wait_for_event(Stream &stream, const Event &event) {
  if (event.captured.capture) return wait_in_capture(stream, event.captured);
  forbid_if_capturing(stream, cudaErrorStreamCaptureIsolation,
                      "the event was not recorded in the capture");
  if (event.point.stream) stream.wait_for(event.point);
}

namespace {

const int patience = 3; /* the query that runs the work, so that a loop of queries ends */

void create(cudaEvent_t *handle, unsigned flags) {
  const unsigned known = cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;
  if (!handle || flags & ~known)
    throw Error(cudaErrorInvalidValue, "no place for the handle, or unknown flags");
  auto event = std::make_shared<Event>();
  event->device = &current_device();
  event->timed = !(flags & cudaEventDisableTiming);
  event->origin = current_origin();
  *handle = events().add(event);
}

void record(Event &event, Stream &stream) {
  if (event.device != &stream.device)
    throw Error(cudaErrorInvalidResourceHandle, "event and stream belong to different devices");
  event.queries = 0;
  if (stream.capture) {
    if (stream.capture->invalid)
      throw Error(cudaErrorStreamCaptureInvalidated, "a call before has ruined the capture");
    event.captured = {stream.capture, stream.ends};
    event.point = {};
    return;
  }
  auto time = std::make_shared<Event::Time>();
  stream.add({cudaGraphNodeTypeEventRecord, [=] { *time = std::chrono::steady_clock::now(); }});
  event.captured = {};
  event.point = stream.end();
  event.time = time;
}

/* An event of a capture says nothing about when anything ran. */
void refuse_if_captured(const Event &event) {
  if (!event.captured.capture) return;
  Capture &capture = *event.captured.capture;
  if (capture.active)
    invalidate(capture, cudaErrorCapturedEvent, "the event was recorded in a capture");
  throw Error(cudaErrorCapturedEvent, "the event was last recorded in a capture");
}

void run_to(const Event &event) {
  if (event.point.stream) event.point.stream->run_to(event.point.position);
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaEventCreate(cudaEvent_t *event) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { create(event, cudaEventDefault); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  return call(HERE, cudaErrorMemoryAllocation, [&] { create(event, flags); });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call(HERE, Kind::release, [&] { events().take(event); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call(HERE, cudaErrorUnknown, [&] { record(*events().get(event), *stream_of(stream)); });
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return call(HERE, cudaErrorUnknown, [&] {
    if (flags != cudaEventRecordDefault) throw Error(cudaErrorNotSupported, "flags of the record");
    record(*events().get(event), *stream_of(stream));
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call(HERE, cudaErrorUnknown, [&] {
    const auto event = events().get(handle);
    refuse_if_captured(*event);
    run_to(*event);
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call(HERE, Kind::plain, [&] {
    const auto event = events().get(handle);
    refuse_if_captured(*event);
    forbid_while_capturing();
    if (!event->point.reached() && ++event->queries < patience)
      throw Error(cudaErrorNotReady, "the work before the event has not run");
    run_to(*event);
  });
}

/* The time of the simulator: good for seeing that a program measures, for nothing else. */
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t first, cudaEvent_t second) {
  return call(HERE, Kind::plain, [&] {
    const auto start = events().get(first), stop = events().get(second);
    refuse_if_captured(*start);
    refuse_if_captured(*stop);
    if (!milliseconds) throw Error(cudaErrorInvalidValue, "no place for the time");
    if (!start->timed || !stop->timed || !start->point.stream || !stop->point.stream)
      throw Error(cudaErrorInvalidResourceHandle, "an event without timing, or never recorded");
    if (!start->point.reached() || !stop->point.reached())
      throw Error(cudaErrorNotReady, "the work before the events has not run");
    *milliseconds = std::chrono::duration<float, std::milli>(*stop->time - *start->time).count();
  });
}

}  // extern "C"
