/* Calls of device functions (PTX ISA 9.7.12.5). The function's body takes the place of the call,
 * with registers, variables and labels of its own, and the names of its parameters meaning the
 * caller's: PTX passes them through variables of the space .param, here local memory. "ret" becomes
 * a branch to the end. So there is no recursion, and a function must be known by its name. */
#include "parse.h"

namespace cudasim {

/* ".param .align 4 .b8 param0[12];" inside a body */
void KernelParser::call_parameter() {
  lexer_.expect(".param");
  Variable variable = parse_variable(lexer_, Space::parameter);
  lexer_.expect(";");
  size_t offset =
      (kernel_.local_bytes + variable.alignment - 1) / variable.alignment * variable.alignment;
  kernel_.local_bytes = offset + variable.bytes();
  Operand meaning;
  meaning.kind = Operand::address;
  meaning.immediate = static_cast<int64_t>(window_base(Window::local) + offset);
  names_.add(variable.name, meaning);
}

/* "(param0, param1)" */
std::vector<Operand> KernelParser::actual_parameters() {
  std::vector<Operand> actual;
  lexer_.expect("(");
  while (!lexer_.accept(")")) {
    std::string name(lexer_.word("a parameter"));
    const Operand *known = names_.find(name);
    if (!known || known->kind != Operand::address)
      lexer_.fail("parameter " + name + " is no .param variable, before");
    actual.push_back(*known);
    lexer_.accept(",");
  }
  return actual;
}

/* "(.param .b64 p0, .param .b64 p1)" */
void KernelParser::formal_parameters(const std::vector<Operand> &actual) {
  size_t n = 0;
  lexer_.expect("(");
  while (!lexer_.accept(")")) {
    lexer_.expect(".param");
    Variable formal = parse_variable(lexer_, Space::parameter);
    if (n == actual.size()) lexer_.fail("too few parameters in a call of the function");
    names_.add(formal.name, actual[n++]);
    lexer_.accept(",");
  }
}

/* "call[.uni] [(results),] name[, (arguments)];" */
void KernelParser::call() {
  Token first = lexer_.next();
  std::vector<Operand> results, arguments;
  if (lexer_.peek().is("(")) {
    results = actual_parameters();
    lexer_.expect(",");
  }
  std::string_view name = lexer_.word("a function's name");
  if (lexer_.accept(",")) arguments = actual_parameters();
  std::string_view text(first.text.data(), lexer_.position() - first.text.data());
  lexer_.expect(";");

  if (name != "__assertfail") return function(name, results, arguments);
  Instruction failed; /* what assert() calls */
  find_opcode("trap", failed);
  failed.text = text;
  failed.line = first.line;
  failed.location = location_;
  kernel_.code.push_back(std::move(failed));
}

bool KernelParser::is_return(const Instruction &instruction) const {
  return instruction.flow == Flow::exit && std::string_view(instruction.opcode->name) == "ret";
}

/* Inside a function: a branch to its end. */
void KernelParser::return_from_call(Instruction &instruction) {
  instruction.flow = Flow::branch;
  instruction.operands.push_back(use_label(kEndOfFunction, 0, instruction.line));
}

void KernelParser::function(std::string_view name, const std::vector<Operand> &results,
                            const std::vector<Operand> &arguments) {
  auto known = module_.functions.find(name);
  if (known == module_.functions.end())
    lexer_.fail("call of " + std::string(name) + ", which has no body here, before");
  if (calls_ == 20) lexer_.fail("calls are nested too deeply (recursion is not modelled), before");
  calls_++;
  Lexer caller = lexer_;
  int caller_location = location_;
  lexer_ = Lexer(known->second.text, known->second.line);
  names_.open();
  if (lexer_.peek().is("(")) formal_parameters(results);
  lexer_.word("the function's name");
  if (lexer_.peek().is("(")) formal_parameters(arguments);
  while (!lexer_.peek().is("{")) lexer_.next();
  body();
  names_.add_label(kEndOfFunction, static_cast<int>(kernel_.code.size()));
  names_.close(kernel_);
  lexer_ = caller;
  location_ = caller_location;
  calls_--;
}

}  // namespace cudasim
