/* What an API call returns when it cannot do its work, thrown out of the call's body. A Fault is
 * something else: it happens on the device, later, and stays. */
#ifndef CUDASIM_ERROR_H
#define CUDASIM_ERROR_H

#include <driver_types.h>

#include <stdexcept>
#include <string>

namespace cudasim {

struct Error : std::runtime_error {
  Error(cudaError_t error, const std::string &why) : std::runtime_error(why), code(error) {
  }
  cudaError_t code;
};

}  // namespace cudasim

#endif
