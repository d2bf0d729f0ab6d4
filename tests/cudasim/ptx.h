/* The interpreter: PTX text in, a kernel run over a grid. Knows nothing of the CUDA runtime. */
#ifndef CUDASIM_PTX_H
#define CUDASIM_PTX_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "memory.h"

namespace cudasim {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

/* One parsed kernel. Opaque here. */
class Kernel;

/* A PTX module. Loading only finds the kernels and the module's variables; a kernel is parsed when it is
 * first asked for, so that a library of many kernels loads at once. */
class Module {
 public:
  explicit Module(std::string text);
  ~Module();
  bool has(const std::string &kernel) const;
  /* Throws Fault, naming line and text, at anything the simulator does not know. */
  const Kernel &kernel(const std::string &name);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct Parameter {
  size_t offset, size;
};
const std::vector<Parameter> &parameters(const Kernel &kernel);
size_t static_shared_bytes(const Kernel &kernel);
unsigned max_threads(const Kernel &kernel); /* of __launch_bounds__; 1024 without */

/* Runs every block of the grid, one after another. Throws Fault with kernel, block, thread, PTX line and
 * source line. The counters of counters.h go up. */
void run(const Kernel &kernel, Dim3 grid, Dim3 block, size_t dynamic_shared,
         const std::vector<uint8_t> &parameter_bytes, Memory &memory);

}  // namespace cudasim

#endif
