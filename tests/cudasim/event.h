/* Events: a point of a stream, or nodes of a capture. */
#ifndef CUDASIM_EVENT_H
#define CUDASIM_EVENT_H

#include <driver_types.h>

#include <chrono>
#include <memory>

#include "capture.h"
#include "handles.h"
#include "stream.h"

namespace cudasim {

struct Event {
  using Time = std::chrono::steady_clock::time_point;

  Device *device;
  bool timed;
  Origin origin;
  Point point;            /* of the last recording; no stream before the first */
  CapturedPoint captured; /* instead, if that was in a capture */
  std::shared_ptr<Time> time;
  int queries = 0; /* in a row that found it not reached */
};

Handles<cudaEvent_t, Event> &events();
void wait_for_event(Stream &stream, const Event &event);

}  // namespace cudasim

#endif
