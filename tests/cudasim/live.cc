/* Counts of live objects, and CUDASIM_LEAKS=1: a process that ends with some lists them and fails. */
#include "live.h"

#include <unistd.h>

#include <cstdio>

#include "call.h"
#include "cudasim.h"
#include "device.h"
#include "event.h"
#include "host_memory.h"
#include "stream.h"

namespace cudasim {

std::map<const void *, Origin> &cublas_origins() {
  static auto *all = new std::map<const void *, Origin>;
  return *all;
}

namespace {

const int exit_status_of_leaks = 99;

template <class Visit>
void for_each_live_block(Visit visit) {
  for (const Device *device : used_devices())
    for (const MemoryBlock &block : device->memory.blocks())
      if (!block.released) visit(block);
}

void list(const char *what, const Origin &origin) {
  fprintf(stderr, "cudasim: leaked %s, made by %s\n", what, to_text(origin).c_str());
}

size_t list_leaks() {
  size_t leaks = 0;
  for_each_live_block([&](const MemoryBlock &block) {
    fprintf(stderr, "cudasim: leaked %s\n", to_text(block).c_str());
    leaks++;
  });
  for (const auto &[address, block] : pinned_blocks()) {
    list(block.registered ? "registered host memory" : "pinned host memory", block.origin);
    leaks++;
  }
  for (const auto &[handle, stream] : streams().all()) list("stream", stream->origin), leaks++;
  for (const auto &[handle, event] : events().all()) list("event", event->origin), leaks++;
  for (const auto &[handle, origin] : cublas_origins()) list("cuBLAS handle", origin), leaks++;
  if (live_graphs()) fprintf(stderr, "cudasim: leaked %zu graphs\n", live_graphs());
  return leaks + live_graphs();
}

/* After the destructors of everything that uses this library. */
__attribute__((destructor)) void report_leaks() {
  if (!setting("CUDASIM_LEAKS", 0) || forked_after_use()) return;
  if (list_leaks() == 0) return;
  fflush(nullptr);
  _exit(exit_status_of_leaks);
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

size_t cudasim_live_device_blocks(void) {
  std::lock_guard<std::mutex> hold(big_lock);
  size_t count = 0;
  for_each_live_block([&](const MemoryBlock &) { count++; });
  return count;
}

size_t cudasim_live_device_bytes(void) {
  std::lock_guard<std::mutex> hold(big_lock);
  size_t bytes = 0;
  for (const Device *device : used_devices()) bytes += device->memory.bytes_in_use();
  return bytes;
}

size_t cudasim_live_host_blocks(void) {
  std::lock_guard<std::mutex> hold(big_lock);
  return pinned_blocks().size();
}

size_t cudasim_live_streams(void) {
  std::lock_guard<std::mutex> hold(big_lock);
  return streams().all().size();
}

size_t cudasim_live_events(void) {
  std::lock_guard<std::mutex> hold(big_lock);
  return events().all().size();
}

size_t cudasim_live_cublas_handles(void) {
  std::lock_guard<std::mutex> hold(big_lock);
  return cublas_origins().size();
}

}  // extern "C"
