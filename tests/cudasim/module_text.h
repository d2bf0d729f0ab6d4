/* What loading a module finds in its text: where the kernels are, and its variables. */
#ifndef CUDASIM_MODULE_TEXT_H
#define CUDASIM_MODULE_TEXT_H

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel.h"
#include "lex.h"

namespace cudasim {

/* A declaration such as ".shared .align 4 .b8 name[128]" (PTX ISA 5.4). */
struct Variable {
  std::string_view name;
  Space space = Space::global;
  Type type = Type::none;
  size_t alignment = 1, count = 1;
  bool unsized = false;     /* name[]: dynamic shared memory */
  std::string_view initial; /* what follows "=" */
  int line = 0;
  mutable uint64_t address = 0; /* of a global variable, once a kernel has named it */

  size_t bytes() const {
    return count * bytes_of(type);
  }
};

struct KernelText {
  std::string_view text; /* from the kernel's name to the "}" of its body */
  int line = 0;
};

struct FunctionText {
  std::string_view text; /* from behind .func to the "}" of its body */
  int line = 0;
};

struct ModuleText {
  std::map<std::string_view, KernelText> kernels;
  std::map<std::string_view, FunctionText> functions; /* those with a body */
  std::map<std::string_view, Variable> variables;
  std::map<int, std::string> files; /* of .file */
};

ModuleText scan_module(std::string_view text);

/* Behind the state space: "[.align 4] .b8 name[128] [= ...]". Also for parameters and their .ptr
 * attributes. */
Variable parse_variable(Lexer &lexer, Space space);
std::vector<uint8_t> initial_bytes(const Variable &variable);

/* Parses the kernel; globals that it names are placed in `memory`. */
std::unique_ptr<Kernel> parse_kernel(const std::string &name, const ModuleText &module,
                                     ModuleMemory &memory);

}  // namespace cudasim

#endif
