/* Handles that a program holds: numbers, not pointers, never given out twice. A destroyed one, or one of
 * another kind, is therefore always recognized. */
#ifndef CUDASIM_HANDLES_H
#define CUDASIM_HANDLES_H

#include <cstdint>
#include <map>
#include <memory>

#include "error.h"

namespace cudasim {

template <class Handle, class Object>
class Handles {
 public:
  explicit Handles(uintptr_t kind) : next_(kind << 40) {
  }
  Handle add(std::shared_ptr<Object> object) {
    const Handle handle = (Handle)(next_ += 16);
    all_[handle] = std::move(object);
    return handle;
  }
  std::shared_ptr<Object> get(Handle handle) const {
    const auto found = all_.find(handle);
    if (found == all_.end())
      throw Error(cudaErrorInvalidResourceHandle, "destroyed, or never such a handle");
    return found->second;
  }
  std::shared_ptr<Object> take(Handle handle) {
    std::shared_ptr<Object> object = get(handle);
    all_.erase(handle);
    return object;
  }
  std::map<Handle, std::shared_ptr<Object>> &all() {
    return all_;
  }

 private:
  uintptr_t next_;
  std::map<Handle, std::shared_ptr<Object>> all_;
};

}  // namespace cudasim

#endif
