#include <algorithm>
#include <cstring>

#include "parse.h"

namespace cudasim {

std::unique_ptr<Kernel> parse_kernel(const std::string &name, const ModuleText &module,
                                     ModuleMemory &memory) {
  auto kernel = std::make_unique<Kernel>();
  kernel->name = name;
  kernel->module_memory = &memory;
  kernel->files = &module.files;
  try {
    KernelParser(*kernel, module.kernels.at(name), module, memory).parse();
  } catch (const Fault &fault) {
    throw Fault(std::string(fault.what()) + " (kernel " + name + ")");
  }
  return kernel;
}

KernelParser::KernelParser(Kernel &kernel, const KernelText &text, const ModuleText &module,
                           ModuleMemory &memory)
    : kernel_(kernel), module_(module), memory_(memory), lexer_(text.text, text.line) {
}

void KernelParser::parse() {
  names_.open();
  header();
  body();
  Instruction end; /* falling off the end returns */
  find_opcode("ret", end);
  end.text = "}";
  end.line = lexer_.peek().line;
  kernel_.code.push_back(std::move(end));
  names_.close(kernel_);
}

static size_t round_up(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/* "name(.param .u64 p0, ...) .maxntid 128, 1, 1" (PTX ISA 11.4) */
void KernelParser::header() {
  lexer_.word("the kernel's name");
  if (lexer_.accept("(") && !lexer_.accept(")")) {
    do {
      lexer_.expect(".param");
      Variable parameter = parse_variable(lexer_, Space::parameter);
      size_t offset = round_up(kernel_.parameter_bytes, parameter.alignment);
      kernel_.parameters.push_back({offset, parameter.bytes()});
      kernel_.parameter_bytes = offset + parameter.bytes();
      Operand meaning;
      meaning.kind = Operand::address;
      meaning.immediate = static_cast<int64_t>(offset);
      names_.add(parameter.name, meaning);
    } while (lexer_.accept(","));
    lexer_.expect(")");
  }
  while (!lexer_.peek().is("{")) {
    Token directive = lexer_.peek();
    lexer_.word("a directive");
    if (directive.is(".maxntid") || directive.is(".reqntid")) {
      int64_t threads = lexer_.integer("a number");
      while (lexer_.accept(",")) threads *= lexer_.integer("a number");
      kernel_.max_threads = static_cast<unsigned>(threads);
    } else if (directive.is(".minnctapersm") || directive.is(".maxnctapersm") ||
               directive.is(".maxnreg")) {
      lexer_.integer("a number"); /* about scheduling, which nothing here depends on */
    } else if (directive.is(".pragma")) {
      while (!lexer_.accept(";")) lexer_.next();
    } else if (!directive.is(".noreturn")) {
      lexer_.fail("unknown directive " + std::string(directive.text) + " of a kernel, before");
    }
  }
}

void KernelParser::body() {
  int depth = 0;
  do {
    if (lexer_.accept("{")) {
      if (depth++ > 0) names_.open();
    } else if (lexer_.accept("}")) {
      if (--depth > 0) names_.close(kernel_);
    } else {
      statement();
    }
  } while (depth > 0);
}

void KernelParser::statement() {
  const Token &token = lexer_.peek();
  if (token.is(".reg")) {
    registers();
  } else if (token.is(".shared")) {
    variable(Space::shared);
  } else if (token.is(".local")) {
    variable(Space::local);
  } else if (token.is(".param")) {
    call_parameter();
  } else if (token.is(".loc")) {
    source_line();
  } else if (token.is(".pragma")) {
    while (!lexer_.accept(";")) lexer_.next();
  } else if (token.is(";")) {
    lexer_.next();
  } else if (token.kind == Token::end) {
    lexer_.fail("expected '}'");
  } else if (token.text[0] == '.') {
    lexer_.fail("unknown directive");
  } else {
    instruction();
  }
}

/* ".reg .b32 %r<10>, %x;" */
void KernelParser::registers() {
  lexer_.expect(".reg");
  std::string_view word = lexer_.word("a type");
  Type type = type_named(word.substr(1));
  if (type == Type::none) lexer_.fail("unknown type " + std::string(word));
  unsigned width = type == Type::pred ? 0 : register_bytes(type);
  do {
    std::string_view name = lexer_.word("a register's name");
    if (lexer_.accept("<")) {
      auto count = static_cast<uint32_t>(lexer_.integer("a number of registers"));
      lexer_.expect(">");
      names_.add_registers(name, count, new_register(width, count, name, true));
    } else {
      names_.add(name, new_register(width, 1, name, false));
    }
  } while (lexer_.accept(","));
  lexer_.expect(";");
}

/* ".shared .align 4 .b8 name[128];", or .local */
void KernelParser::variable(Space space) {
  lexer_.next();
  Variable variable = parse_variable(lexer_, space);
  lexer_.expect(";");
  size_t &used = space == Space::shared ? kernel_.static_shared : kernel_.local_bytes;
  size_t offset = round_up(used, variable.alignment);
  used = offset + variable.bytes();
  Operand meaning;
  meaning.kind = Operand::address;
  meaning.immediate = static_cast<int64_t>(offset);
  names_.add(variable.name, meaning);
}

/* ".loc 1 48 3[, function_name $L__info_string1, inlined_at 1 20 5]": file, line, column */
void KernelParser::source_line() {
  std::string_view text = lexer_.rest_of_line();
  Location location;
  Lexer line(text);
  location.file = static_cast<int>(line.integer("a file number"));
  location.line = static_cast<int>(line.integer("a line"));
  size_t inlined = text.find("inlined_at");
  if (inlined != std::string_view::npos) {
    Lexer outer(text.substr(inlined + sizeof "inlined_at" - 1));
    location.outer_file = static_cast<int>(outer.integer("a file number"));
    location.outer_line = static_cast<int>(outer.integer("a line"));
  }
  location_ = static_cast<int>(kernel_.locations.size());
  kernel_.locations.push_back(location);
}

/* "table: .branchtargets L1, L2;", behind the colon */
void KernelParser::branch_targets() {
  int table = static_cast<int>(kernel_.branch_tables.size());
  kernel_.branch_tables.emplace_back();
  do {
    Token target = lexer_.peek();
    lexer_.word("a label");
    names_.use_label_in_table(target.text, table,
                              static_cast<int>(kernel_.branch_tables[table].size()), target.line);
    kernel_.branch_tables[table].push_back(-1);
  } while (lexer_.accept(","));
  lexer_.expect(";");
}

/* "[@[!]%p] opcode operands;", or "label:" */
void KernelParser::instruction() {
  Token first = lexer_.peek();
  Operand guard;
  if (lexer_.accept("@")) {
    guard = predicate();
    if (guard.constant) lexer_.fail("a guard has to be a register, before");
  }
  bool guarded = guard.kind != Operand::absent;
  if (lexer_.peek().is("call") || lexer_.peek().is("call.uni")) {
    if (guarded) lexer_.fail("a call under a predicate is not modelled");
    return call();
  }
  Token opcode = lexer_.peek();
  lexer_.word("an instruction");
  if (!guarded && lexer_.accept(":")) return label_definition(opcode.text);

  const char *end = static_cast<const char *>(memchr(first.text.data(), ';', lexer_.left(first)));
  std::string_view text(first.text.data(), end ? end - first.text.data() : opcode.text.size());
  try {
    Instruction instruction = form(opcode);
    instruction.text = text;
    instruction.line = first.line;
    instruction.location = location_;
    if (guarded) {
      instruction.guard_offset = static_cast<int32_t>(guard.offset);
      instruction.guard_number = guard.number;
      instruction.guard_negated = guard.negated;
    }
    operands(instruction);
    if (!lexer_.peek().is(";")) lexer_.fail("an operand too many");
    kernel_.code.push_back(std::move(instruction));
  } catch (const Fault &fault) {
    throw Fault(std::string(fault.what()) + ", in: " + std::string(text));
  }
  lexer_.next();
}

void KernelParser::label_definition(std::string_view name) {
  if (!lexer_.accept(".branchtargets")) {
    names_.add_label(name, static_cast<int>(kernel_.code.size()));
    return;
  }
  names_.add_table(name, static_cast<int>(kernel_.branch_tables.size()));
  branch_targets();
}

/* The instruction but for its operands. */
Instruction KernelParser::form(const Token &opcode) {
  auto known = forms_.find(opcode.text);
  if (known != forms_.end()) return known->second;
  Instruction form;
  try {
    find_opcode(opcode.text, form);
  } catch (const std::string &what) {
    throw Fault(format("PTX line %d: %s", opcode.line, what.c_str()));
  }
  bool may_be_shared = form.space == Space::shared || form.space == Space::generic;
  if (form.access_bytes && may_be_shared)
    kernel_.shared_cell = std::min<unsigned>(kernel_.shared_cell, form.access_bytes);
  forms_.emplace(opcode.text, form);
  return form;
}

}  // namespace cudasim
