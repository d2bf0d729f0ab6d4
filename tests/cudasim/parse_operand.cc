#include <cstdlib>
#include <cstring>

#include "parse.h"

namespace cudasim {

/* ---------- by the words of the table of instructions (opcodes.h) */

void KernelParser::operands(Instruction &instruction) {
  if (calls_ > 0 && is_return(instruction)) return return_from_call(instruction);
  std::string_view words = instruction.opcode->operands;
  bool first = true;
  while (!words.empty()) {
    size_t blank = words.find(' ');
    std::string_view word = words.substr(0, blank);
    words.remove_prefix(blank == std::string_view::npos ? words.size() : blank + 1);

    bool optional = word.back() == '?';
    if (optional) word.remove_suffix(1);
    bool written = word.back() == '=';
    if (written) word.remove_suffix(1);
    if (lexer_.peek().is(";")) {
      if (optional) return;
      lexer_.fail("too few operands of " + std::string(instruction.opcode->name));
    }
    if (!first) lexer_.expect(",");
    first = false;
    instruction.operands.push_back(operand(instruction, word));
    note_registers(instruction, instruction.operands.back(), written);
  }
}

void KernelParser::note_registers(Instruction &instruction, const Operand &operand, bool written) {
  for (const Operand &part : operand.parts) note_registers(instruction, part, written);
  if (operand.number == kNoRegister) return;
  if (written && operand.kind != Operand::address)
    instruction.writes.push_back(operand.number);
  else
    instruction.reads.push_back(operand.number);
}

Operand KernelParser::operand(Instruction &instruction, std::string_view word) {
  if (word == "p") return predicate();
  if (word == "p|q") return with_predicate(predicate());
  if (word == "b32|p") return with_predicate(value(Type::b32, 4, false));
  if (word == "addr") return address();
  if (word == "imm") return immediate();
  if (word == "label") return label(instruction);
  if (word == "members") return value(Type::b32, 4, false);
  if (word == "pack") return pack(register_bytes(instruction.type));

  size_t star = word.find('*');
  bool may_be_wider = word.back() == '~' || star == word.size() - 1;
  std::string_view name = word.substr(0, star);
  if (name.back() == '~') name.remove_suffix(1);
  Type type = name == "T"                  ? instruction.type
              : name == "S" || name == "W" ? instruction.source_type
                                           : type_named(name);
  if (type == Type::none)
    lexer_.fail("the table of instructions has a bad operand " + std::string(word) + ", here");
  unsigned width = name == "W" ? 2 * bytes_of(type) : register_bytes(type);
  if (star == std::string_view::npos) return value(type, width, may_be_wider);
  unsigned count = star + 1 < word.size()   ? word[star + 1] - '0'
                   : instruction.has(".v4") ? 4
                   : instruction.has(".v2") ? 2
                                            : 1;
  return list_of(type, width, may_be_wider, count);
}

/* A register, a number or the address of a variable. */
Operand KernelParser::value(Type type, unsigned width, bool may_be_wider) {
  Token token = lexer_.peek();
  if (token.is("-") || (token.kind == Token::word && token.text[0] >= '0' && token.text[0] <= '9'))
    return number(type, width);
  lexer_.word("an operand");
  if (token.text == "_") return sink(width);
  if (token.text == "WARP_SZ") return constant(kLanes, width);

  Operand operand;
  if (const Operand *known = names_.find(token.text)) {
    operand = *known;
  } else if (token.text[0] == '%') {
    operand = special(token.text);
  }
  if (operand.kind == Operand::value) {
    if (operand.width == width || (may_be_wider && operand.width > width)) return operand;
    lexer_.fail(format("operand %.*s has %u bytes, not %u; before",
                       static_cast<int>(token.text.size()), token.text.data(), operand.width,
                       width));
  }
  uint64_t at = static_cast<uint64_t>(operand.immediate);
  if (operand.kind == Operand::address ||
      (operand.kind == Operand::absent && symbol(token.text, at))) {
    if (lexer_.accept("+")) at += lexer_.integer("an offset");
    return constant(at, width);
  }
  lexer_.fail("unknown operand '" + std::string(token.text) + "', before");
}

Operand KernelParser::list_of(Type type, unsigned width, bool may_be_wider, unsigned count) {
  Operand list;
  list.kind = Operand::list;
  if (!lexer_.accept("{")) {
    if (count != 1) lexer_.fail(format("expected a list of %u", count));
    list.parts.push_back(value(type, width, may_be_wider));
    return list;
  }
  do {
    list.parts.push_back(value(type, width, may_be_wider));
  } while (lexer_.accept(","));
  lexer_.expect("}");
  if (list.parts.size() != count) lexer_.fail(format("expected a list of %u, before", count));
  return list;
}

/* "{%rs1, %rs2}" where %r1 could be */
Operand KernelParser::pack(unsigned width) {
  if (!lexer_.peek().is("{"))
    return value(width == 8 ? Type::b64 : width == 4 ? Type::b32 : Type::b16, width, false);
  lexer_.next();
  Operand list;
  list.kind = Operand::list;
  std::vector<std::string_view> words;
  /* How wide the parts are follows from their number. */
  Lexer ahead = lexer_;
  unsigned count = 1;
  for (; !ahead.peek().is("}") && ahead.peek().kind != Token::end; ahead.next())
    count += ahead.peek().is(",");
  if ((count != 2 && count != 4) || width / count < 2) lexer_.fail("cannot pack so many values");
  do {
    list.parts.push_back(value(width / count == 4 ? Type::b32 : Type::b16, width / count, false));
  } while (lexer_.accept(","));
  lexer_.expect("}");
  return list;
}

Operand KernelParser::predicate() {
  bool negated = lexer_.accept("!");
  Token token = lexer_.peek();
  if (token.is("-") || (token.text[0] >= '0' && token.text[0] <= '9'))
    return constant(lexer_.integer("a truth value") ? kAllLanes : 0, 0);
  lexer_.word("a predicate");
  if (token.text == "_") return sink(0);
  Operand operand;
  if (const Operand *known = names_.find(token.text)) operand = *known;
  if (operand.kind != Operand::predicate)
    lexer_.fail("'" + std::string(token.text) + "' is no predicate, before");
  operand.negated = negated;
  return operand;
}

/* "%p1|%p2", "%r1|%p1" */
Operand KernelParser::with_predicate(Operand first) {
  Operand list;
  list.kind = Operand::list;
  list.parts.push_back(std::move(first));
  if (lexer_.accept("|")) list.parts.push_back(predicate());
  return list;
}

/* "[%rd1+16]", "[name+4]", "[name]", "[16]" */
Operand KernelParser::address() {
  lexer_.expect("[");
  Token base = lexer_.peek();
  lexer_.word("an address");
  Operand operand;
  uint64_t at = 0;
  const Operand *known = names_.find(base.text);
  if (known &&
      (known->kind == Operand::address || (known->kind == Operand::value && known->width >= 4))) {
    operand = *known;
  } else if (known || !(parse_integer(base.text, at) || symbol(base.text, at))) {
    lexer_.fail("'" + std::string(base.text) + "' is no address, before");
  }
  if (!known) operand.immediate = static_cast<int64_t>(at);
  operand.kind = Operand::address;
  if (lexer_.accept("+"))
    operand.immediate += lexer_.integer("an offset");
  else if (lexer_.peek().is("-"))
    operand.immediate += lexer_.integer("an offset");
  lexer_.expect("]");
  return operand;
}

Operand KernelParser::immediate() {
  Operand operand;
  operand.kind = Operand::value;
  operand.immediate = lexer_.integer("a number");
  return operand;
}

Operand KernelParser::label(const Instruction &instruction) {
  Token token = lexer_.peek();
  lexer_.word("a label");
  return use_label(token.text, static_cast<int>(instruction.operands.size()), token.line);
}

/* For the instruction that comes next; its target is filled in when the label's scope ends. */
Operand KernelParser::use_label(std::string_view name, int instruction_operand, int line) {
  names_.use_label(name, static_cast<int>(kernel_.code.size()), instruction_operand, line);
  Operand operand;
  operand.kind = Operand::label;
  return operand;
}

/* ---------- what operands are made of */

/* Numbers (PTX ISA 4.5): integers; 0f and 0d are the bits of a float and of a double. */
Operand KernelParser::number(Type type, unsigned width) {
  bool negative = lexer_.accept("-");
  std::string text(lexer_.word("a number"));
  uint64_t bits;
  bool of_float = text.size() > 2 && text[0] == '0' && (text[1] == 'f' || text[1] == 'F');
  bool of_double = text.size() > 2 && text[0] == '0' && (text[1] == 'd' || text[1] == 'D');
  if (of_float || of_double) {
    if (!parse_integer("0x" + text.substr(2), bits)) lexer_.fail("bad number " + text + ", before");
    if (of_float != (width == 4) || negative)
      lexer_.fail("number " + text + " does not fit its type, before");
    return constant(bits, width);
  }
  if (type == Type::f32 || type == Type::f64) {
    char *end;
    double value = strtod(text.c_str(), &end) * (negative ? -1 : 1);
    if (*end || text.find('.') == std::string::npos) lexer_.fail("bad number " + text + ", before");
    auto narrow = static_cast<float>(value);
    bits = 0;
    if (width == 4)
      memcpy(&bits, &narrow, 4);
    else
      memcpy(&bits, &value, 8);
    return constant(bits, width);
  }
  if (!parse_integer(text, bits)) lexer_.fail("bad number " + text + ", before");
  return constant(negative ? 0 - bits : bits, width);
}

/* A variable of the module. It gets its place when a kernel first names it. */
bool KernelParser::symbol(std::string_view name, uint64_t &address) {
  auto found = module_.variables.find(name);
  if (found == module_.variables.end()) return false;
  const Variable &variable = found->second;
  if (variable.space == Space::shared) {
    auto placed = module_shared_.find(name);
    if (placed == module_shared_.end()) {
      uint64_t offset = kDynamicShared;
      if (!variable.unsized) {
        offset = (kernel_.static_shared + variable.alignment - 1) / variable.alignment *
                 variable.alignment;
        kernel_.static_shared = offset + variable.bytes();
      }
      placed = module_shared_.emplace(name, offset).first;
    }
    address = placed->second;
    return true;
  }
  if (variable.unsized) lexer_.fail("an external variable has no place, before");
  if (!variable.address)
    variable.address = memory_.add(std::string(name), initial_bytes(variable), variable.alignment);
  address = variable.address;
  return true;
}

Operand KernelParser::special(std::string_view name) {
  static const struct {
    const char *name;
    Special what;
    uint8_t width;
  } kSpecials[] = {
      /* PTX ISA 10 */
      {"%tid.x", Special::tid_x, 4},
      {"%tid.y", Special::tid_y, 4},
      {"%tid.z", Special::tid_z, 4},
      {"%ntid.x", Special::ntid_x, 4},
      {"%ntid.y", Special::ntid_y, 4},
      {"%ntid.z", Special::ntid_z, 4},
      {"%ctaid.x", Special::ctaid_x, 4},
      {"%ctaid.y", Special::ctaid_y, 4},
      {"%ctaid.z", Special::ctaid_z, 4},
      {"%nctaid.x", Special::nctaid_x, 4},
      {"%nctaid.y", Special::nctaid_y, 4},
      {"%nctaid.z", Special::nctaid_z, 4},
      {"%laneid", Special::laneid, 4},
      {"%warpid", Special::warpid, 4},
      {"%nwarpid", Special::nwarpid, 4},
      {"%smid", Special::smid, 4},
      {"%nsmid", Special::nsmid, 4},
      {"%gridid", Special::gridid, 8},
      {"%clock", Special::clock, 4},
      {"%clock_hi", Special::clock, 4},
      {"%clock64", Special::clock, 8},
      {"%globaltimer", Special::clock, 8},
      {"%globaltimer_lo", Special::clock, 4},
      {"%lanemask_eq", Special::lanemask_eq, 4},
      {"%lanemask_le", Special::lanemask_le, 4},
      {"%lanemask_lt", Special::lanemask_lt, 4},
      {"%lanemask_ge", Special::lanemask_ge, 4},
      {"%lanemask_gt", Special::lanemask_gt, 4},
      {"%dynamic_smem_size", Special::dynamic_smem_size, 4},
      {"%total_smem_size", Special::total_smem_size, 4},
  };
  for (const auto &known : kSpecials) {
    if (name != known.name) continue;
    Operand operand = new_register(known.width, 1, known.name, false);
    kernel_.special_registers.push_back({known.what, operand.offset, known.width});
    operand.number = kNoRegister; /* always initialised */
    names_.add_outermost(known.name, operand);
    return operand;
  }
  return Operand();
}

Operand KernelParser::new_register(unsigned width, uint32_t count, std::string_view name,
                                   bool range) {
  Operand operand;
  operand.kind = width ? Operand::value : Operand::predicate;
  operand.width = static_cast<uint8_t>(width);
  operand.offset = kernel_.register_bytes;
  operand.number = kernel_.register_count;
  kernel_.register_names.push_back({name, range ? count : 0, operand.number});
  uint32_t bytes = count * (width ? width * kLanes : sizeof(uint32_t));
  kernel_.register_bytes += (bytes + 63) / 64 * 64;
  kernel_.register_count += count;
  return operand;
}

Operand KernelParser::constant(uint64_t value, unsigned width) {
  Operand operand;
  operand.kind = width ? Operand::value : Operand::predicate;
  operand.width = static_cast<uint8_t>(width);
  operand.constant = true;
  operand.immediate = static_cast<int64_t>(value);
  auto known = constants_.find({value, width});
  if (known == constants_.end()) {
    known =
        constants_
            .emplace(std::make_pair(value, width), static_cast<uint32_t>(kernel_.constants.size()))
            .first;
    size_t bytes = width ? width * kLanes : 64;
    kernel_.constants.resize(kernel_.constants.size() + bytes);
    uint8_t *at = &kernel_.constants[known->second];
    if (!width) memcpy(at, &value, sizeof(uint32_t));
    for (int lane = 0; lane < kLanes; lane++) memcpy(at + lane * width, &value, width);
  }
  operand.offset = known->second;
  return operand;
}

/* "_": written, never read. */
Operand KernelParser::sink(unsigned width) {
  auto known = sinks_.find(width);
  if (known == sinks_.end())
    known = sinks_.emplace(width, new_register(width, 1, "_", false)).first;
  return known->second;
}

}  // namespace cudasim
