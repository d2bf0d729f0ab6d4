/* The parser of one kernel. */
#ifndef CUDASIM_PARSE_H
#define CUDASIM_PARSE_H

#include <map>
#include <utility>

#include "module_text.h"
#include "names.h"
#include "opcodes.h"

namespace cudasim {

/* The label that ret becomes a branch to, inside a function; no name in PTX. */
constexpr const char *kEndOfFunction = "<end of function>";

class KernelParser {
 public:
  KernelParser(Kernel &kernel, const KernelText &text, const ModuleText &module,
               ModuleMemory &memory);
  void parse();

 private:
  /* parse.cc: a kernel is a header, declarations, labels and instructions. */
  void header();
  void body();
  void statement();
  void registers();
  void variable(Space space);
  void source_line();
  void branch_targets();
  void instruction();
  void label_definition(std::string_view name);
  Instruction form(const Token &opcode);
  void note_registers(Instruction &instruction, const Operand &operand, bool written);

  /* parse_call.cc: a call is replaced by the function's body. */
  void call();
  void call_parameter();
  void function(std::string_view name, const std::vector<Operand> &results,
                const std::vector<Operand> &arguments);
  bool is_return(const Instruction &instruction) const;
  void return_from_call(Instruction &instruction);
  std::vector<Operand> actual_parameters();
  void formal_parameters(const std::vector<Operand> &actual);

  /* parse_operand.cc: an operand according to its word in the table of instructions. */
  void operands(Instruction &instruction);
  Operand operand(Instruction &instruction, std::string_view word);
  Operand value(Type type, unsigned width, bool may_be_wider);
  Operand list_of(Type type, unsigned width, bool may_be_wider, unsigned count);
  Operand pack(unsigned width);
  Operand predicate();
  Operand with_predicate(Operand first);
  Operand address();
  Operand immediate();
  Operand label(const Instruction &instruction);
  Operand use_label(std::string_view name, int instruction_operand, int line);

  Operand number(Type type, unsigned width);
  bool symbol(std::string_view name, uint64_t &address);
  Operand special(std::string_view name);
  Operand new_register(unsigned width, uint32_t count, std::string_view name, bool range);
  Operand constant(uint64_t value, unsigned width);
  Operand sink(unsigned width);

  Kernel &kernel_;
  const ModuleText &module_;
  ModuleMemory &memory_;
  Lexer lexer_;
  Names names_;
  int location_ = -1;
  int calls_ = 0;                                               /* that the text is inside of */
  std::map<std::pair<uint64_t, unsigned>, uint32_t> constants_; /* value and width to offset */
  std::map<unsigned, Operand> sinks_;
  std::unordered_map<std::string_view, Instruction> forms_; /* "add.s32" as find_opcode left it */
  std::map<std::string_view, uint64_t>
      module_shared_; /* variables of the module that this kernel has named */
};

}  // namespace cudasim

#endif
