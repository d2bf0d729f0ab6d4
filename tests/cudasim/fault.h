/* What a GPU would punish. Thrown by the memory and by the interpreter; the runtime prints it once and
 * makes it the sticky error of the device, as a real fault would be. */
#ifndef CUDASIM_FAULT_H
#define CUDASIM_FAULT_H

#include <stdexcept>
#include <string>

namespace cudasim {

struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string format(const char *text, ...) __attribute__((format(printf, 1, 2)));

}  // namespace cudasim

#endif
