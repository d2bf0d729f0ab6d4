/* Copies and fills. What is asynchronous is CUDA's own table ("API synchronization behavior"):
 *
 *   host to device, pageable: the source is read during the call, the device gets the bytes later;
 *   host to device, pinned:   the source is read when the stream gets there; cudaMemcpy waits;
 *   device to host, pageable: the call waits for the stream;
 *   device to host, pinned:   the stream writes later; cudaMemcpy waits;
 *   device to device:         later, cudaMemcpy does not wait either.
 *
 * In a capture nothing is read or written during the call: the nodes do it whenever the graph runs. */
#include <cuda_runtime_api.h>

#include <cstring>

#include "call.h"
#include "capture.h"
#include "device.h"
#include "host_memory.h"
#include "stream.h"

namespace cudasim {
namespace {

/* One end of a copy: `rows` rows of `width` bytes, `pitch` bytes apart. */
struct Place {
  uint8_t *address;
  size_t pitch;
  Device *device; /* null: host */
  bool pageable;
};

struct Rows {
  size_t width, count;
};

size_t extent(const Place &place, Rows rows) {
  return place.pitch * (rows.count - 1) + rows.width;
}

Place place_at(const void *address, size_t pitch, Rows rows) {
  Place place = {(uint8_t *)address, pitch, device_of(address), false};
  const size_t bytes = extent(place, rows);
  if (!address) throw Error(cudaErrorInvalidValue, "null address");
  if (place.device && !place.device->memory.holding((uint64_t)address, bytes)) {
    const MemoryBlock *block = place.device->memory.near((uint64_t)address);
    throw Error(cudaErrorInvalidValue,
                format("%zu bytes at %p: ", bytes, address) +
                    (block ? "not all in " + to_text(*block) + ", or freed" : "no block there"));
  }
  place.pageable = !place.device && !is_pinned(address, bytes);
  return place;
}

void check_kind(cudaMemcpyKind kind, const Place &to, const Place &from) {
  if (kind > cudaMemcpyDefault) throw Error(cudaErrorInvalidMemcpyDirection, "no such direction");
  if (kind == cudaMemcpyDefault) return;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (to_device != bool(to.device) || from_device != bool(from.device))
    throw Error(cudaErrorInvalidValue, "the direction does not fit the addresses");
}

/* Runs when the stream gets there. */
void copy_rows(const Place &to, const Place &from, Rows rows) {
  if (to.pitch == rows.width && from.pitch == rows.width) rows = {rows.width * rows.count, 1};
  for (size_t i = 0; i < rows.count; i++) {
    uint8_t *target = to.address + i * to.pitch;
    const uint8_t *source = from.address + i * from.pitch;
    if (from.device) source = from.device->memory.read((uint64_t)source, rows.width);
    if (to.device) target = to.device->memory.write((uint64_t)target, rows.width);
    memmove(target, source, rows.width);
  }
}

/* The rows of a pageable source as they are now, packed. */
std::shared_ptr<std::vector<uint8_t>> snapshot(const Place &from, Rows rows) {
  auto bytes = std::make_shared<std::vector<uint8_t>>(rows.width * rows.count);
  for (size_t i = 0; i < rows.count; i++)
    memcpy(bytes->data() + i * rows.width, from.address + i * from.pitch, rows.width);
  return bytes;
}

enum class Host { goes_on, waits }; /* what the function's name promises about pinned memory */

void copy(void *target, size_t target_pitch, const void *source, size_t source_pitch, Rows rows,
          cudaMemcpyKind kind, cudaStream_t handle, Host host) {
  const auto stream = stream_of(handle);
  if (host == Host::waits) forbid_while_capturing();
  if (rows.width == 0 || rows.count == 0) return;
  if (target_pitch < rows.width || source_pitch < rows.width)
    throw Error(cudaErrorInvalidPitchValue, "rows overlap");
  const Place to = place_at(target, target_pitch, rows);
  const Place from = place_at(source, source_pitch, rows);
  check_kind(kind, to, from);
  const auto later = [=] { copy_rows(to, from, rows); };
  if (stream->capture) return stream->add({cudaGraphNodeTypeMemcpy, later});

  if (from.pageable && to.device) {
    if (host == Host::waits) stream->run_all();
    const auto bytes = snapshot(from, rows);
    const Place packed = {bytes->data(), rows.width, nullptr, false};
    stream->add({cudaGraphNodeTypeMemcpy, [=] {
                   (void)bytes; /* kept until here */
                   copy_rows(to, packed, rows);
                 }});
    return;
  }
  stream->add({cudaGraphNodeTypeMemcpy, later});
  const bool waits = host == Host::waits || from.pageable || to.pageable;
  if (waits && !(to.device && from.device)) stream->run_all();
}

void fill(void *target, size_t pitch, int value, Rows rows, cudaStream_t handle) {
  const auto stream = stream_of(handle);
  if (rows.width == 0 || rows.count == 0) return;
  if (pitch < rows.width) throw Error(cudaErrorInvalidPitchValue, "rows overlap");
  const Place to = place_at(target, pitch, rows);
  if (!to.device) throw Error(cudaErrorInvalidValue, "not device memory");
  stream->add({cudaGraphNodeTypeMemset, [=] {
                 for (size_t i = 0; i < rows.count; i++) {
                   const uint64_t row = (uint64_t)to.address + i * to.pitch;
                   memset(to.device->memory.write(row, rows.width), value, rows.width);
                 }
               }});
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
  return call(HERE, cudaErrorUnknown, [&] {
    copy(to, bytes, from, bytes, {bytes, 1}, kind, cudaStreamLegacy, Host::waits);
  });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call(HERE, cudaErrorUnknown, [&] {
    copy(to, bytes, from, bytes, {bytes, 1}, kind, stream, Host::goes_on);
  });
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width, size_t height, cudaMemcpyKind kind) {
  return call(HERE, cudaErrorUnknown, [&] {
    copy(to, to_pitch, from, from_pitch, {width, height}, kind, cudaStreamLegacy, Host::waits);
  });
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return call(HERE, cudaErrorUnknown, [&] {
    copy(to, to_pitch, from, from_pitch, {width, height}, kind, stream, Host::goes_on);
  });
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) {
  return call(HERE, cudaErrorUnknown, [&] {
    fill(to, bytes, value, {bytes, 1}, cudaStreamLegacy);
  });
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
  return call(HERE, cudaErrorUnknown, [&] { fill(to, bytes, value, {bytes, 1}, stream); });
}

cudaError_t cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height) {
  return call(HERE, cudaErrorUnknown, [&] {
    fill(to, pitch, value, {width, height}, cudaStreamLegacy);
  });
}

cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  return call(HERE, cudaErrorUnknown, [&] { fill(to, pitch, value, {width, height}, stream); });
}

}  // extern "C"
