/* The names inside a kernel: registers, variables and labels, in nested scopes. */
#ifndef CUDASIM_NAMES_H
#define CUDASIM_NAMES_H

#include <map>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernel.h"

namespace cudasim {

class Names {
 public:
  void open();
  /* Labels of this scope are known now: fills them in where they were used, leaving what is still
   * unknown to the scope around this one. */
  void close(Kernel &kernel);

  /* ".reg .b32 %r<count>": %r0 to %r(count-1). Operand `first` is %r0. */
  void add_registers(std::string_view prefix, uint32_t count, const Operand &first);
  void add(std::string_view name, const Operand &meaning);
  void add_outermost(std::string_view name, const Operand &meaning);
  /* nullptr where no scope knows the name. The answer holds until the next call. */
  const Operand *find(std::string_view name);

  void add_label(std::string_view name, int instruction);
  void add_table(std::string_view name, int table); /* of brx.idx */
  void use_label(std::string_view name, int instruction, int operand, int line);
  void use_label_in_table(std::string_view name, int table, int entry, int line);

 private:
  struct Range {
    uint32_t count;
    Operand first;
  };
  struct Use {
    std::string_view name;
    int line;
    int instruction, operand; /* or: */
    int table, entry;
  };
  struct Scope {
    std::unordered_map<std::string_view, Operand> names;
    std::unordered_map<std::string_view, Range> ranges;
    std::unordered_map<std::string_view, int> labels;
    std::vector<Use> uses;
  };
  std::vector<Scope> scopes_;
  Operand found_;
};

}  // namespace cudasim

#endif
