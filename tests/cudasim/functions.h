/* The kernels that nvcc's host code has registered, by the address of their host function. */
#ifndef CUDASIM_FUNCTIONS_H
#define CUDASIM_FUNCTIONS_H

#include <memory>
#include <string>

#include "ptx.h"

namespace cudasim {

/* One fat binary: the PTX in it that fits the device best, parsed when a kernel of it is first needed. */
struct Image {
  std::string ptx, problem; /* one of them is empty */
  std::shared_ptr<Module> module;
};

struct Function {
  std::shared_ptr<Image> image;
  std::string name;
  int most_dynamic_shared = -1; /* as cudaFuncSetAttribute set it */
};

/* A kernel, with what keeps it alive while it waits in a stream. */
struct LoadedKernel {
  std::shared_ptr<Module> module;
  const Kernel *kernel;
};

/* Reads {magic, version, data, ...} as nvcc lays it out. */
std::shared_ptr<Image> read_fat_binary(const void *wrapper);

void register_function(const void *host_function, Function function);
void forget_functions_of(const Image *image);
/* Throws Error for an address that is no kernel's. */
Function &function_at(const void *host_function);
LoadedKernel load(Function &function);

}  // namespace cudasim

#endif
