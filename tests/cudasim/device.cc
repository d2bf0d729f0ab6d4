#include "device.h"

#include <cstdio>

#include "call.h"
#include "capture.h"
#include "cudasim.h"
#include "stream.h"

namespace cudasim {

namespace {
thread_local int current_index;

std::vector<std::unique_ptr<Device>> &devices() {
  static auto *all = new std::vector<std::unique_ptr<Device>>(size_t(device_count()));
  return *all;
}

std::string &first_fault() {
  static auto *text = new std::string;
  return *text;
}
}  // namespace

Device::Device(int number) : index(number), memory(number) {
  legacy = std::make_shared<Stream>(*this, Stream::legacy, 0, Origin{"(default)", nullptr});
}

void Device::break_down(const std::string &fault, cudaError_t error) {
  fprintf(stderr, "cudasim: %s\n", fault.c_str());
  if (first_fault().empty()) first_fault() = fault;
  if (!sticky_error_) sticky_error_ = error;
}

void Device::synchronize() {
  legacy->run_all();
  const auto now = streams; /* a host function may make or destroy streams meanwhile */
  for (const auto &stream : now) stream->run_all();
  forget_finished_streams(*this);
}

void Device::reset() {
  for (const auto &stream : streams) stream->drop_all();
  legacy->drop_all();
  destroy_streams_of(*this);
  memory.end_all();
  sticky_error_ = cudaSuccess;
}

Device &device(int index) {
  if (index < 0 || index >= device_count())
    throw Error(cudaErrorInvalidDevice, format("there is no device %d", index));
  auto &own = devices()[size_t(index)];
  if (!own) own = std::make_unique<Device>(index);
  return *own;
}

Device &current_device() {
  return device(current_index);
}

void set_current_device(int index) {
  device(index);
  current_index = index;
}

std::vector<Device *> used_devices() {
  std::vector<Device *> result;
  for (const auto &own : devices())
    if (own) result.push_back(own.get());
  return result;
}

Device *device_of(const void *address) {
  for (Device *each : used_devices())
    if (each->memory.owns((uint64_t)address)) return each;
  return nullptr;
}

cudaError_t sticky_error_if_used() {
  for (Device *each : used_devices())
    if (each->index == current_index) return each->sticky_error();
  return cudaSuccess;
}

void synchronize_everything() {
  for (Device *each : used_devices()) each->synchronize();
}

}  // namespace cudasim

extern "C" const char *cudasim_fault(void) {
  return cudasim::first_fault().c_str();
}
