/* A fat binary: a header, then entries of machine code (skipped) and of PTX, one an architecture. Not
 * documented by NVIDIA; found by looking, checked by every kernel that runs. */
#include <cstring>

#include "card.h"
#include "functions.h"

namespace cudasim {

namespace {

template <class T>
T field(const uint8_t *bytes, size_t offset) {
  T value;
  memcpy(&value, bytes + offset, sizeof value);
  return value;
}

struct Entry {
  const uint8_t *start;
  bool is_ptx() const {
    return field<uint16_t>(start, 0) == 1;
  }
  size_t header() const {
    return field<uint32_t>(start, 4);
  }
  size_t size() const {
    return field<uint64_t>(start, 8);
  }
  int capability() const {
    return int(field<uint32_t>(start, 28));
  }
  bool compressed() const {
    return field<uint64_t>(start, 40) & 0xa000;
  }
  std::string text() const {
    const char *first = (const char *)start + header();
    return std::string(first, strnlen(first, size()));
  }
};

}  // namespace

std::shared_ptr<Image> read_fat_binary(const void *wrapper) {
  const uint8_t *data = field<const uint8_t *>((const uint8_t *)wrapper, 8);
  const uint8_t *at = data + field<uint16_t>(data, 6);
  const uint8_t *end = at + field<uint64_t>(data, 8);
  auto image = std::make_shared<Image>();
  int best = 0;
  bool compressed = false;
  for (; at < end; at += Entry{at}.header() + Entry{at}.size()) {
    const Entry entry{at};
    if (!entry.is_ptx()) continue;
    compressed = compressed || entry.compressed();
    const int capability = entry.capability();
    if (entry.compressed() || capability > compute_capability() || capability < best) continue;
    best = capability;
    image->ptx = entry.text();
  }
  if (!best)
    image->problem = compressed ? "its PTX is compressed: build with nvcc --no-compress"
                                : format(
                                      "no PTX for compute capability %d or less: build with "
                                      "code=[sm_XX,compute_XX]",
                                      compute_capability());
  return image;
}

}  // namespace cudasim
