/* Moving values and addresses between registers: PTX ISA 9.7.9. */
#include "operations.h"

namespace cudasim {

namespace {

/* mov keeps the bookkeeping of initialised registers itself: compilers do copy registers that
 * nobody wrote (where the value does not matter), and only a use of the copy is a mistake. */
void note_copied(Warp &warp, const Operand &to, uint32_t mask, uint32_t known) {
  uint32_t &initialised = warp.initialised[to.number];
  initialised = (initialised & ~mask) | (known & mask);
}

template <class T>
void move(Warp &warp, const Instruction &i, uint32_t mask) {
  note_copied(warp, i.operands[0], mask, warp.initialised_lanes(i.operands[1]));
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]);
  lanewise(mask, [=](int lane) { d.set(lane, a.get(lane)); });
}

void move_predicate(Warp &warp, const Instruction &i, uint32_t mask) {
  note_copied(warp, i.operands[0], mask, warp.initialised_lanes(i.operands[1]));
  warp.set_predicate(i.operands[0], mask, warp.predicate(i.operands[1]));
}

/* mov.b32 %r1, {%rs1, %rs2}: the first part is the lowest. */
void pack(Warp &warp, const Instruction &i, uint32_t mask) {
  const Operand &to = i.operands[0];
  const std::vector<Operand> &parts = i.operands[1].parts;
  uint32_t known = kAllLanes;
  for (const Operand &part : parts) known &= warp.initialised_lanes(part);
  note_copied(warp, to, mask, known);
  each_lane(mask, [&](int lane) {
    uint8_t whole[8], *end = whole;
    for (const Operand &part : parts) {
      memcpy(end, warp.at(part) + lane * part.width, part.width);
      end += part.width;
    }
    memcpy(warp.at(to) + lane * to.width, whole, to.width);
  });
}

/* mov.b32 {%rs1, %rs2}, %r1 */
void unpack(Warp &warp, const Instruction &i, uint32_t mask) {
  const Operand &from = i.operands[1];
  const std::vector<Operand> &parts = i.operands[0].parts;
  for (const Operand &part : parts) note_copied(warp, part, mask, warp.initialised_lanes(from));
  each_lane(mask, [&](int lane) {
    uint8_t whole[8];
    memcpy(whole, warp.at(from) + lane * from.width, from.width);
    const uint8_t *next = whole;
    for (const Operand &part : parts) {
      memcpy(warp.at(part) + lane * part.width, next, part.width);
      next += part.width;
    }
  });
}

/* Which of the three it is shows in the operands, which are parsed later. */
void move_or_pack(Warp &warp, const Instruction &i, uint32_t mask) {
  if (i.operands[0].kind == Operand::list) return unpack(warp, i, mask);
  if (i.operands[1].kind == Operand::list) return pack(warp, i, mask);
  switch (i.operands[0].width) {
    case 2:
      return move<uint16_t>(warp, i, mask);
    case 4:
      return move<uint32_t>(warp, i, mask);
    default:
      return move<uint64_t>(warp, i, mask);
  }
}

Operation choose_move(Instruction &i) {
  return i.type == Type::pred ? move_predicate : move_or_pack;
}

Window named_window(const Instruction &i) {
  if (i.has(".shared") || i.has(".shared::cta")) return Window::shared;
  if (i.has(".local")) return Window::local;
  if (i.has(".param") || i.has(".param::entry")) return Window::parameter;
  return Window::global; /* global and constant addresses are generic ones */
}

/* cvta: to a generic address, or with .to from one. */
template <bool from_generic>
void convert_address(Warp &warp, const Instruction &i, uint32_t mask) {
  uint64_t base = window_base(static_cast<Window>(i.choice));
  auto d = warp.lanes<uint64_t>(i.operands[0]), a = warp.lanes<uint64_t>(i.operands[1]);
  lanewise(mask,
           [=](int lane) { d.set(lane, from_generic ? a.get(lane) - base : a.get(lane) + base); });
}

Operation choose_convert_address(Instruction &i) {
  i.choice = static_cast<int>(named_window(i));
  return i.has(".to") ? convert_address<true> : convert_address<false>;
}

void is_space(Warp &warp, const Instruction &i, uint32_t mask) {
  auto a = warp.lanes<uint64_t>(i.operands[1]);
  auto wanted = static_cast<Window>(i.choice);
  uint32_t result = 0;
  each_lane(mask, [&](int lane) {
    auto window = static_cast<Window>(window_number(a.get(lane)));
    if (window == Window::module) window = Window::global;
    result |= static_cast<uint32_t>(window == wanted) << lane;
  });
  warp.set_predicate(i.operands[0], mask, result);
}

Operation choose_is_space(Instruction &i) {
  i.choice = static_cast<int>(named_window(i));
  return is_space;
}

#define ANY ".b16|.b32|.b64|.u16|.u32|.u64|.s16|.s32|.s64|.f16|.bf16|.f16x2|.bf16x2|.f32|.f64"
#define SPACES ".const|.global|.local|.shared|.shared::cta|.param|.param::entry"

const Opcode kRows[] = {
    {"mov", ".pred", "p= p", "9.7.9", choose_move, Flow::next, true},
    {"mov", ANY, "pack= pack", "9.7.9", choose_move, Flow::next, true},
    {"cvta", SPACES " .u64", "T= T", "9.7.9", choose_convert_address},
    {"cvta", ".to " SPACES " .u64", "T= T", "9.7.9", choose_convert_address},
    {"isspacep", ".global|.local|.shared|.shared::cta|.param|.param::entry", "p= b64", "9.7.9",
     choose_is_space},
};

}  // namespace

CUDASIM_TABLE(kMoveOpcodes, kRows);

}  // namespace cudasim
