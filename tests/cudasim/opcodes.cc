#include "opcodes.h"

#include <unordered_map>

namespace cudasim {

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/* ".L1::no_allocate.v4.f32" as ".L1::no_allocate", ".v4", ".f32". */
std::vector<std::string_view> split_modifiers(std::string_view text) {
  std::vector<std::string_view> modifiers;
  while (!text.empty()) {
    size_t end = text.find('.', 1);
    modifiers.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end);
  }
  return modifiers;
}

bool matches(const char *pattern, const std::vector<std::string_view> &modifiers) {
  size_t at = 0;
  if (*pattern) {
    for (std::string_view group : split(pattern, ' ')) {
      bool optional = group.front() == '[';
      if (optional) group = group.substr(1, group.size() - 2);
      bool found = false;
      if (at < modifiers.size())
        for (std::string_view choice : split(group, '|')) found = found || choice == modifiers[at];
      if (found)
        at++;
      else if (!optional)
        return false;
    }
  }
  return at == modifiers.size();
}

/* Opcode name to its rows. */
const std::unordered_map<std::string_view, std::vector<const Opcode *>> &table() {
  static const auto *all = [] {
    auto *map = new std::unordered_map<std::string_view, std::vector<const Opcode *>>;
    for (const OpcodeTable *part :
         {&kIntegerOpcodes, &kFloatOpcodes, &kFloatFunctionOpcodes, &kBitOpcodes, &kCompareOpcodes,
          &kConvertOpcodes, &kMoveOpcodes, &kMemoryOpcodes, &kAtomicOpcodes, &kAsyncOpcodes,
          &kWarpOpcodes, &kTensorOpcodes, &kControlOpcodes})
      for (size_t i = 0; i < part->count; i++) (*map)[part->rows[i].name].push_back(&part->rows[i]);
    return map;
  }();
  return *all;
}

}  // namespace

const Opcode &find_opcode(std::string_view full_name, Instruction &instruction) {
  size_t dot = full_name.find('.');
  std::string_view name = full_name.substr(0, dot);
  auto rows = table().find(name);
  if (rows == table().end()) throw std::string("unknown instruction ") + std::string(full_name);

  if (dot != std::string_view::npos) instruction.modifiers = split_modifiers(full_name.substr(dot));
  for (std::string_view modifier : instruction.modifiers) {
    Type type = type_named(modifier.substr(1));
    if (type == Type::none) continue;
    if (instruction.type == Type::none) instruction.type = type;
    instruction.source_type = type;
  }
  std::string known;
  for (const Opcode *row : rows->second) {
    if (matches(row->modifiers, instruction.modifiers)) {
      instruction.opcode = row;
      instruction.flow = row->flow;
      instruction.checks_itself = row->checks_itself;
      instruction.run = row->choose(instruction);
      if (instruction.run) return *row;
    }
    known += std::string(known.empty() ? "" : "; ") + row->name + " " + row->modifiers;
  }
  throw std::string("unknown form of an instruction, ") + std::string(full_name) +
      " (known: " + known + ")";
}

bool Instruction::has(std::string_view modifier) const {
  for (std::string_view own : modifiers)
    if (own == modifier) return true;
  return false;
}

void note_arithmetic(Instruction &i) {
  if (i.has(".rz") || i.has(".rzi")) i.rounding = Rounding::zero;
  if (i.has(".rm") || i.has(".rmi")) i.rounding = Rounding::down;
  if (i.has(".rp") || i.has(".rpi")) i.rounding = Rounding::up;
  if (i.has(".rna")) i.rounding = Rounding::nearest_away;
  i.flush = i.has(".ftz");
  i.saturate = i.has(".sat");
  i.relu = i.has(".relu");
}

}  // namespace cudasim
