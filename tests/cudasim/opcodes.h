/* The table of instructions. One row is an opcode with the modifiers that the simulator knows, its
 * operands and the section of the PTX ISA manual (version 9.0) that defines it, or the chapter: its
 * sections have the opcodes for titles. Whatever matches no row is refused when its kernel is
 * parsed. */
#ifndef CUDASIM_OPCODES_H
#define CUDASIM_OPCODES_H

#include <string>
#include <string_view>
#include <vector>

#include "kernel.h"

namespace cudasim {

struct Opcode {
  const char *name; /* "add" */

  /* The modifiers in their order: "[.ftz] .f32|.f64": groups apart by blanks, a choice by |, what
   * may be missing in brackets. */
  const char *modifiers;

  /* The operands, apart by blanks. "=" behind a word: it is written; "?": may be missing.
   *   T S W       a value of the first type in the modifiers, of the last type, of twice its width
   *   b32 u64 ... a value of that type
   *   T~ S~       the register may be wider than the type
   *   T*          one value, or a list of as many as .v2 or .v4 says; registers may be wider
   *   f32*4       a list of four values (one value may stand without its braces)
   *   pack        a value of type T, or a list that together is as wide
   *   p           a predicate
   *   p|q b32|p   a predicate or value, and one more predicate, which may be missing
   *   addr imm label
   *   members     the lanes that take part, b32 */
  const char *operands;

  const char *section;

  /* Picks the function for this instruction's types and notes its modifiers. nullptr: a combination
   * of modifiers that does not exist. */
  Operation (*choose)(Instruction &instruction);

  Flow flow = Flow::next;
  bool checks_itself = false; /* see Instruction */
};

struct OpcodeTable {
  const Opcode *rows;
  size_t count;
};
extern const OpcodeTable kIntegerOpcodes, kFloatOpcodes, kFloatFunctionOpcodes, kBitOpcodes,
    kCompareOpcodes, kConvertOpcodes, kMoveOpcodes, kMemoryOpcodes, kAtomicOpcodes, kAsyncOpcodes,
    kWarpOpcodes, kTensorOpcodes, kControlOpcodes;

#define CUDASIM_TABLE(name, rows) const OpcodeTable name = {rows, sizeof(rows) / sizeof *(rows)}

/* The row for an instruction such as "add.s32"; sets its modifiers and types. Throws std::string,
 * saying what is wrong. */
const Opcode &find_opcode(std::string_view full_name, Instruction &instruction);

/* Notes the modifiers that many instructions share: rounding, .ftz, .sat, .relu. */
void note_arithmetic(Instruction &instruction);

/* Calls pick(T()) with the C++ type of an integer type or of bits; nullptr for others. */
template <class Pick>
Operation for_integer(Type type, Pick pick) {
  switch (type) {
    case Type::b16:
    case Type::u16:
      return pick(uint16_t());
    case Type::b32:
    case Type::u32:
      return pick(uint32_t());
    case Type::b64:
    case Type::u64:
      return pick(uint64_t());
    case Type::s16:
      return pick(int16_t());
    case Type::s32:
      return pick(int32_t());
    case Type::s64:
      return pick(int64_t());
    default:
      return nullptr;
  }
}

}  // namespace cudasim

#endif
