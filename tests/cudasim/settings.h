/* The environment variables of the simulator; README.md lists them. */
#ifndef CUDASIM_SETTINGS_H
#define CUDASIM_SETTINGS_H

#include <cstdlib>

namespace cudasim {

inline long long setting(const char *variable, long long otherwise) {
  const char *text = getenv(variable);
  return text && *text ? strtoll(text, nullptr, 0) : otherwise;
}

inline int device_count() {
  return setting("CUDASIM_NO_DEVICE", 0) ? 0 : int(setting("CUDASIM_DEVICES", 1));
}

/* CUDASIM_ORDER=early: where CUDA leaves the order of two streams open, the one that is waited for goes
 * first; otherwise the one that waits does as much as it can before. */
inline bool others_first() {
  const char *order = getenv("CUDASIM_ORDER");
  return order && order[0] == 'e';
}

}  // namespace cudasim

#endif
