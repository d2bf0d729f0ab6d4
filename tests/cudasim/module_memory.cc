#include "module_memory.h"

#include <algorithm>

#include "fault.h"

namespace cudasim {

uint64_t ModuleMemory::add(const std::string &name, const std::vector<uint8_t> &initial,
                           size_t alignment) {
  constexpr size_t kGap = 256; /* never valid, so that an overrun shows */
  if (alignment < 16) alignment = 16;
  uint64_t offset = (bytes_.size() + kGap + alignment - 1) / alignment * alignment;
  bytes_.resize(offset);
  bytes_.insert(bytes_.end(), initial.begin(), initial.end());
  variables_.push_back({name, offset, initial.size()});
  return window_base(Window::module) + offset;
}

uint8_t *ModuleMemory::find(uint64_t offset, size_t n, bool write) {
  auto after =
      std::upper_bound(variables_.begin(), variables_.end(), offset,
                       [](uint64_t at, const Variable &variable) { return at < variable.offset; });
  const char *verb = write ? "writes" : "reads";
  if (after == variables_.begin())
    throw Fault(format("%s %zu bytes before the first of the module's variables", verb, n));
  const Variable &variable = after[-1];
  uint64_t into = offset - variable.offset;
  if (into > variable.size || n > variable.size - into)
    throw Fault(format("%s %zu bytes at offset %llu of the module's variable %s of %zu bytes", verb,
                       n, static_cast<unsigned long long>(into), variable.name.c_str(),
                       variable.size));
  return bytes_.data() + offset;
}

}  // namespace cudasim
