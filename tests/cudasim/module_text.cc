#include "module_text.h"

#include <cstring>

namespace cudasim {

namespace {

/* ".file 1 "path.cu"[, time, size]" */
void parse_file(Lexer &lexer, ModuleText &module) {
  int number = static_cast<int>(lexer.integer("a file number"));
  std::string_view path = lexer.next().text;
  size_t slash = path.rfind('/');
  module.files[number] =
      std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
  while (lexer.accept(",")) lexer.next();
}

void parse_entry(Lexer &lexer, ModuleText &module) {
  KernelText kernel;
  kernel.line = lexer.peek().line;
  const char *start = lexer.position();
  std::string_view name = lexer.word("a kernel's name");
  while (!lexer.peek().is("{")) {
    if (lexer.peek().kind == Token::end || lexer.accept(";")) return; /* a mere declaration */
    lexer.next();
  }
  lexer.skip_block();
  kernel.text = std::string_view(start, lexer.position() - start);
  module.kernels[name] = kernel;
}

/* ".func [(.param .b64 result)] name [(.param .b64 p0, ...)] { ... }" */
void parse_function(Lexer &lexer, ModuleText &module) {
  FunctionText function;
  function.line = lexer.peek().line;
  const char *start = lexer.position();
  if (lexer.accept("("))
    while (!lexer.accept(")")) lexer.next();
  std::string_view name = lexer.word("a function's name");
  while (!lexer.peek().is("{")) {
    if (lexer.peek().kind == Token::end || lexer.accept(";")) return; /* a mere declaration */
    lexer.next();
  }
  lexer.skip_block();
  function.text = std::string_view(start, lexer.position() - start);
  module.functions[name] = function;
}

}  // namespace

ModuleText scan_module(std::string_view text) {
  ModuleText module;
  Lexer lexer(text);
  while (lexer.peek().kind != Token::end) {
    if (lexer.peek().is(".version") || lexer.peek().is(".target") ||
        lexer.peek().is(".address_size")) {
      lexer.rest_of_line();
      continue;
    }
    Token token = lexer.next();
    if (token.is(".visible") || token.is(".weak") || token.is(".extern") || token.is(".common")) {
      /* how a linker sees the next thing */
    } else if (token.is(".entry")) {
      parse_entry(lexer, module);
    } else if (token.is(".func")) {
      parse_function(lexer, module);
    } else if (token.is(".global") || token.is(".const") || token.is(".shared")) {
      Variable variable =
          parse_variable(lexer, token.is(".shared") ? Space::shared : Space::global);
      lexer.expect(";");
      module.variables[variable.name] = variable;
    } else if (token.is(".file")) {
      parse_file(lexer, module);
    } else if (token.is(".section")) {
      lexer.next();
      lexer.skip_block();
    } else if (token.is(".pragma") || token.is(".alias")) {
      while (!lexer.accept(";")) lexer.next();
    } else {
      throw Fault(format("PTX line %d: unknown directive '%.*s'", token.line,
                         static_cast<int>(token.text.size()), token.text.data()));
    }
  }
  return module;
}

Variable parse_variable(Lexer &lexer, Space space) {
  Variable variable;
  variable.space = space;
  variable.line = lexer.peek().line;
  bool of_pointer = false; /* what follows .ptr describes what the parameter points to */
  while (lexer.peek().text.substr(0, 1) == ".") {
    std::string_view word = lexer.next().text;
    if (word == ".align") {
      int64_t alignment = lexer.integer("an alignment");
      if (!of_pointer) variable.alignment = alignment;
    } else if (word == ".ptr") {
      of_pointer = true;
    } else if (word == ".v2" || word == ".v4") {
      variable.count = word[2] - '0';
    } else if (type_named(word.substr(1)) != Type::none) {
      variable.type = type_named(word.substr(1));
    } else if (!of_pointer && word != ".managed") {
      lexer.fail("unknown attribute " + std::string(word) + " of a variable");
    }
  }
  if (variable.type == Type::none) lexer.fail("expected a variable's type");
  variable.alignment =
      std::max(variable.alignment, static_cast<size_t>(bytes_of(variable.type)) * variable.count);
  variable.name = lexer.word("a variable's name");
  while (lexer.accept("[")) {
    if (lexer.accept("]")) {
      variable.unsized = true;
      continue;
    }
    variable.count *= lexer.integer("a size");
    lexer.expect("]");
  }
  if (lexer.accept("=")) {
    const char *start = lexer.position();
    while (!lexer.peek().is(";") && lexer.peek().kind != Token::end) lexer.next();
    variable.initial = std::string_view(start, lexer.position() - start);
  }
  return variable;
}

std::vector<uint8_t> initial_bytes(const Variable &variable) {
  std::vector<uint8_t> bytes(variable.bytes()); /* zero, as CUDA has it */
  unsigned size = bytes_of(variable.type);
  size_t at = 0;
  Lexer lexer(variable.initial, variable.line);
  while (lexer.peek().kind != Token::end) {
    if (lexer.accept("{") || lexer.accept("}") || lexer.accept(",")) continue;
    uint64_t value;
    std::string_view text = lexer.peek().text;
    if (text.substr(0, 2) == "0f" || text.substr(0, 2) == "0F" || text.substr(0, 2) == "0d" ||
        text.substr(0, 2) == "0D") {
      if (!parse_integer("0x" + std::string(text.substr(2)), value))
        lexer.fail("expected a number");
      lexer.next();
    } else {
      value = static_cast<uint64_t>(
          lexer.integer("a number (an address as initial value is not modelled)"));
    }
    if (at + size > bytes.size()) lexer.fail("too many initial values");
    memcpy(&bytes[at], &value, size);
    at += size;
  }
  return bytes;
}

}  // namespace cudasim
