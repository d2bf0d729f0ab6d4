/* Comparison and selection: PTX ISA 9.7.6 and 9.7.7 (half precision). */
#include "floats.h"
#include "operations.h"

namespace cudasim {

namespace {

/* The ordered comparisons are false for a NaN, the unordered ones (...u) true. */
enum Comparison { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan, kComparisons };
const char *const kNames[kComparisons] = {".eq",  ".ne",  ".lt",  ".le",  ".gt",  ".ge",  ".equ",
                                          ".neu", ".ltu", ".leu", ".gtu", ".geu", ".num", ".nan"};

template <Comparison comparison, class T>
bool compare(T a, T b) {
  bool unordered = a != a || b != b;
  switch (comparison) {
    case eq:
      return a == b;
    case ne:
      return !unordered && a != b;
    case lt:
      return a < b;
    case le:
      return a <= b;
    case gt:
      return a > b;
    case ge:
      return a >= b;
    case equ:
      return unordered || a == b;
    case neu:
      return a != b;
    case ltu:
      return unordered || a < b;
    case leu:
      return unordered || a <= b;
    case gtu:
      return unordered || a > b;
    case geu:
      return unordered || a >= b;
    case num:
      return !unordered;
    default:
      return unordered;
  }
}

/* The value that is compared. */
template <class T>
T comparable(T value, bool) {
  return value;
}
float comparable(float value, bool flushed) {
  return flushed ? flush(value) : value;
}
float comparable(Half value, bool flushed) {
  return static_cast<float>(widen(flushed ? flush(value) : value));
}
float comparable(Bfloat value, bool) {
  return static_cast<float>(widen(value));
}

/* What the comparison gives, combined with a predicate where .and, .or or .xor asks for it. */
enum Combination { alone, with_and, with_or, with_xor };

uint32_t combined(Warp &warp, const Instruction &i, uint32_t result) {
  if (i.choice2 == alone) return result;
  uint32_t other = warp.predicate(i.operands[3]);
  return i.choice2 == with_and  ? result & other
         : i.choice2 == with_or ? result | other
                                : result ^ other;
}

template <class T, Comparison comparison>
uint32_t compare_lanes(Warp &warp, const Instruction &i, uint32_t mask) {
  auto a = warp.lanes<T>(i.operands[1]), b = warp.lanes<T>(i.operands[2]);
  bool flushed = i.flush;
  uint32_t result = 0;
  if (mask == kAllLanes) { /* fixed bounds, for the compiler */
    for (int lane = 0; lane < kLanes; lane++)
      result |= uint32_t{compare<comparison>(comparable(a.get(lane), flushed),
                                             comparable(b.get(lane), flushed))}
                << lane;
  } else {
    each_lane(mask, [&](int lane) {
      result |= uint32_t{compare<comparison>(comparable(a.get(lane), flushed),
                                             comparable(b.get(lane), flushed))}
                << lane;
    });
  }
  return result;
}

template <class T, Comparison comparison>
void set_predicate(Warp &warp, const Instruction &i, uint32_t mask) {
  uint32_t result = compare_lanes<T, comparison>(warp, i, mask);
  const Operand &to = i.operands[0];
  warp.set_predicate(to.parts[0], mask, combined(warp, i, result));
  if (to.parts.size() > 1) warp.set_predicate(to.parts[1], mask, combined(warp, i, ~result));
}

/* Of a packed type, p is about the lower and q about the upper halves. */
template <class T, Comparison comparison>
void set_predicate_packed(Warp &warp, const Instruction &i, uint32_t mask) {
  auto a = warp.lanes<T>(i.operands[1]), b = warp.lanes<T>(i.operands[2]);
  const Operand &to = i.operands[0];
  for (size_t half = 0; half < to.parts.size(); half++) {
    uint32_t result = 0;
    each_lane(mask, [&](int lane) {
      int k = 2 * lane + static_cast<int>(half);
      result |= uint32_t{compare<comparison>(comparable(a.get(k), i.flush),
                                             comparable(b.get(k), i.flush))}
                << lane;
    });
    warp.set_predicate(to.parts[half], mask, combined(warp, i, result));
  }
}

/* set: the answer as a value, all ones or 1.0. */
template <class T, Comparison comparison>
void set_value(Warp &warp, const Instruction &i, uint32_t mask) {
  uint32_t result = combined(warp, i, compare_lanes<T, comparison>(warp, i, mask));
  uint32_t yes = i.type == Type::f32 ? bits_of(1.0f) : ~0u;
  auto d = warp.lanes<uint32_t>(i.operands[0]);
  each_lane(mask, [&](int lane) { d.set(lane, result >> lane & 1 ? yes : 0); });
}

template <class T, Comparison comparison>
void set_value_packed(Warp &warp, const Instruction &i, uint32_t mask) {
  auto a = warp.lanes<T>(i.operands[1]), b = warp.lanes<T>(i.operands[2]);
  auto d = warp.lanes<uint16_t>(i.operands[0]);
  uint16_t yes = i.type == Type::f16x2 ? 0x3c00 : i.type == Type::bf16x2 ? 0x3f80 : 0xffff;
  each_lane(mask, [&](int lane) {
    for (int k = 2 * lane; k <= 2 * lane + 1; k++)
      d.set(k, compare<comparison>(comparable(a.get(k), i.flush), comparable(b.get(k), i.flush))
                   ? yes
                   : 0);
  });
}

enum Form { predicate_form, value_form };

template <class T, Form form, bool packed, Comparison comparison = eq>
Operation for_comparison(int wanted) {
  if (wanted == comparison) {
    if (form == predicate_form)
      return packed ? set_predicate_packed<T, comparison> : set_predicate<T, comparison>;
    return packed ? set_value_packed<T, comparison> : set_value<T, comparison>;
  }
  constexpr Comparison last = std::is_integral<T>::value ? ge : nan;
  if constexpr (comparison < last)
    return for_comparison<T, form, packed, static_cast<Comparison>(comparison + 1)>(wanted);
  else
    return nullptr;
}

template <Form form>
Operation choose_comparison(Instruction &i) {
  note_arithmetic(i);
  for (int comparison = eq; comparison < kComparisons; comparison++)
    if (i.modifiers[0] == kNames[comparison]) i.choice = comparison;
  /* lower, lower or same, higher, higher or same: of unsigned integers, as lt, le, gt, ge are then
   * too */
  const char *unsigned_names[] = {".lo", ".ls", ".hi", ".hs"};
  for (int k = 0; k < 4; k++)
    if (i.modifiers[0] == unsigned_names[k]) i.choice = lt + k;
  i.choice2 = i.has(".and") ? with_and : i.has(".or") ? with_or : i.has(".xor") ? with_xor : alone;
  switch (i.source_type) {
    case Type::f16:
      return for_comparison<Half, form, false>(i.choice);
    case Type::f16x2:
      return for_comparison<Half, form, true>(i.choice);
    case Type::bf16:
      return for_comparison<Bfloat, form, false>(i.choice);
    case Type::bf16x2:
      return for_comparison<Bfloat, form, true>(i.choice);
    case Type::f32:
      return for_comparison<float, form, false>(i.choice);
    case Type::f64:
      return for_comparison<double, form, false>(i.choice);
    default:
      return for_integer(i.source_type, [&](auto zero) {
        return for_comparison<decltype(zero), form, false>(i.choice);
      });
  }
}

/* selp: a where the predicate holds, else b. What is not selected may be uninitialised: compilers
 * make use of that, so this operation does the bookkeeping itself. */
template <class T>
void select(Warp &warp, const Instruction &i, uint32_t mask) {
  const Operand &to = i.operands[0], &predicate = i.operands[3];
  uint32_t first = warp.predicate(predicate);
  if (mask & ~warp.initialised_lanes(predicate))
    throw Fault("selects by a predicate that was never written");
  uint32_t known = (first & warp.initialised_lanes(i.operands[1])) |
                   (~first & warp.initialised_lanes(i.operands[2]));
  uint32_t &initialised = warp.initialised[to.number];
  initialised = (initialised & ~mask) | (known & mask);
  auto d = warp.lanes<T>(to), a = warp.lanes<T>(i.operands[1]), b = warp.lanes<T>(i.operands[2]);
  lanewise(mask, [=](int lane) { d.set(lane, first >> lane & 1 ? a.get(lane) : b.get(lane)); });
}

Operation choose_select(Instruction &i) {
  unsigned width = register_bytes(i.type);
  return width == 8 ? select<uint64_t> : width == 4 ? select<uint32_t> : select<uint16_t>;
}

/* slct: a where c >= 0, else b. */
template <class T, class C>
void select_by_sign(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]),
       b = warp.lanes<T>(i.operands[2]);
  auto c = warp.lanes<C>(i.operands[3]);
  each_lane(mask, [&](int lane) { d.set(lane, c.get(lane) >= 0 ? a.get(lane) : b.get(lane)); });
}

Operation choose_select_by_sign(Instruction &i) {
  bool by_float = i.source_type == Type::f32;
  switch (register_bytes(i.type)) {
    case 2:
      return by_float ? select_by_sign<uint16_t, float> : select_by_sign<uint16_t, int32_t>;
    case 4:
      return by_float ? select_by_sign<uint32_t, float> : select_by_sign<uint32_t, int32_t>;
    default:
      return by_float ? select_by_sign<uint64_t, float> : select_by_sign<uint64_t, int32_t>;
  }
}

#define INTEGER_COMPARISONS ".eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs"
#define FLOAT_COMPARISONS ".eq|.ne|.lt|.le|.gt|.ge|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan"
#define INTEGERS ".b16|.b32|.b64|.u16|.u32|.u64|.s16|.s32|.s64"
#define FLOATS ".f32|.f64|.f16|.f16x2|.bf16|.bf16x2"
#define COMBINED ".and|.or|.xor"
#define ANY ".b16|.b32|.b64|.u16|.u32|.u64|.s16|.s32|.s64|.f32|.f64"

const Opcode kRows[] = {
    {"setp", INTEGER_COMPARISONS " " INTEGERS, "p|q= T T", "9.7.6.2",
     choose_comparison<predicate_form>},
    {"setp", INTEGER_COMPARISONS " " COMBINED " " INTEGERS, "p|q= T T p", "9.7.6.2",
     choose_comparison<predicate_form>},
    {"setp", FLOAT_COMPARISONS " [.ftz] " FLOATS, "p|q= T T", "9.7.6.2 / 9.7.7.2",
     choose_comparison<predicate_form>},
    {"setp", FLOAT_COMPARISONS " " COMBINED " [.ftz] " FLOATS, "p|q= T T p", "9.7.6.2 / 9.7.7.2",
     choose_comparison<predicate_form>},
    {"set", INTEGER_COMPARISONS " .u32|.s32|.f32 " INTEGERS, "T= S S", "9.7.6.1",
     choose_comparison<value_form>},
    {"set", INTEGER_COMPARISONS " " COMBINED " .u32|.s32|.f32 " INTEGERS, "T= S S p", "9.7.6.1",
     choose_comparison<value_form>},
    {"set", FLOAT_COMPARISONS " [.ftz] .u32|.s32|.f32 " FLOATS, "T= S S", "9.7.6.1 / 9.7.7.1",
     choose_comparison<value_form>},
    {"set", FLOAT_COMPARISONS " [.ftz] .f16x2 .f16x2", "T= S S", "9.7.7.1",
     choose_comparison<value_form>},
    {"set", FLOAT_COMPARISONS " .bf16x2 .bf16x2", "T= S S", "9.7.7.1",
     choose_comparison<value_form>},
    {"selp", ANY, "T= T T p", "9.7.6.3", choose_select, Flow::next, true},
    {"slct", "[.ftz] " ANY " .s32|.f32", "T= T T S", "9.7.6.4", choose_select_by_sign},
};

}  // namespace

CUDASIM_TABLE(kCompareOpcodes, kRows);

}  // namespace cudasim
