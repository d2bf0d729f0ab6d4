#include "names.h"

#include "lex.h"

namespace cudasim {

void Names::open() {
  scopes_.emplace_back();
}

void Names::close(Kernel &kernel) {
  Scope scope = std::move(scopes_.back());
  scopes_.pop_back();
  for (const Use &use : scope.uses) {
    auto label = scope.labels.find(use.name);
    if (label == scope.labels.end()) {
      if (scopes_.empty())
        throw Fault(format("PTX line %d: unknown label '%.*s'", use.line,
                           static_cast<int>(use.name.size()), use.name.data()));
      scopes_.back().uses.push_back(use);
    } else if (use.instruction >= 0) {
      kernel.code[use.instruction].operands[use.operand].immediate = label->second;
    } else {
      kernel.branch_tables[use.table][use.entry] = label->second;
    }
  }
}

void Names::add_registers(std::string_view prefix, uint32_t count, const Operand &first) {
  scopes_.back().ranges[prefix] = {count, first};
}

void Names::add(std::string_view name, const Operand &meaning) {
  scopes_.back().names[name] = meaning;
}

void Names::add_outermost(std::string_view name, const Operand &meaning) {
  scopes_.front().names[name] = meaning;
}

const Operand *Names::find(std::string_view name) {
  size_t digits = name.size();
  while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') digits--;
  uint64_t index = 0;
  bool numbered = digits < name.size() && name.size() - digits < 9;
  for (size_t i = digits; numbered && i < name.size(); i++) index = index * 10 + (name[i] - '0');

  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    auto exact = scope->names.find(name);
    if (exact != scope->names.end()) return &exact->second;
    if (!numbered) continue;
    auto range = scope->ranges.find(name.substr(0, digits));
    if (range == scope->ranges.end() || index >= range->second.count) continue;
    const Operand &first = range->second.first;
    found_ = first;
    found_.number += static_cast<uint32_t>(index);
    found_.offset +=
        static_cast<uint32_t>(index) * (first.width ? first.width * kLanes : sizeof(uint32_t));
    return &found_;
  }
  return nullptr;
}

void Names::add_label(std::string_view name, int instruction) {
  scopes_.back().labels[name] = instruction;
}

void Names::add_table(std::string_view name, int table) {
  scopes_.back().labels[name] = table;
}

void Names::use_label(std::string_view name, int instruction, int operand, int line) {
  scopes_.back().uses.push_back({name, line, instruction, operand, -1, -1});
}

void Names::use_label_in_table(std::string_view name, int table, int entry, int line) {
  scopes_.back().uses.push_back({name, line, -1, -1, table, entry});
}

}  // namespace cudasim
