/* The state spaces of PTX as parts of the 64-bit address space, and the memory of a module's
 * variables. */
#ifndef CUDASIM_MODULE_MEMORY_H
#define CUDASIM_MODULE_MEMORY_H

#include <cstdint>
#include <string>
#include <vector>

namespace cudasim {

/* A generic address names its space in the highest byte: 0 is global memory, where addresses are
 * those of the device heap; the others are windows onto memories of the simulator (PTX
 * ISA 6.4.1.1). */
enum class Window : uint8_t { global = 0, shared = 1, local = 2, parameter = 3, module = 4 };

constexpr uint64_t window_base(Window window) {
  return static_cast<uint64_t>(window) << 56;
}
inline unsigned window_number(uint64_t address) {
  return static_cast<unsigned>(address >> 56);
}
inline uint64_t window_offset(uint64_t address) {
  return address & ((uint64_t{1} << 56) - 1);
}

/* Dynamic shared memory has addresses of its own, far from the static one's: an overrun of one
 * never lands in the other unnoticed. */
constexpr uint64_t kDynamicShared = 1u << 20;

/* Variables at module scope, .global and .const. They live as long as the module. */
class ModuleMemory {
 public:
  /* Address in the module's window. */
  uint64_t add(const std::string &name, const std::vector<uint8_t> &initial, size_t alignment);
  /* The n bytes at a window's offset. Throws Fault unless they lie in one variable. */
  uint8_t *find(uint64_t offset, size_t n, bool write);

 private:
  struct Variable {
    std::string name;
    uint64_t offset;
    size_t size;
  };
  std::vector<Variable> variables_; /* in the order of their offsets */
  std::vector<uint8_t> bytes_;
};

}  // namespace cudasim

#endif
