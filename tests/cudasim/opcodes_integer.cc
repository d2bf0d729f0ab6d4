/* Integer arithmetic: PTX ISA 9.7.1. */
#include <limits>
#include <type_traits>

#include "operations.h"

namespace cudasim {

namespace {

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) + Wrapping<T>(b));
  }
};

struct Subtract {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) - Wrapping<T>(b));
  }
};

struct MultiplyLow {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b));
  }
};

struct MultiplyHigh {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (sizeof(T) == 8) {
      using Wide = std::conditional_t<std::is_signed<T>::value, __int128, unsigned __int128>;
      return static_cast<T>((Wide(a) * Wide(b)) >> 64);
    } else if constexpr (sizeof(T) == 4) {
      using Wide = std::conditional_t<std::is_signed<T>::value, int64_t, uint64_t>;
      return static_cast<T>((Wide(a) * Wide(b)) >> 32);
    } else {
      /* Not in 64 bits too: g++ 12 makes wrong vector code of that for 16-bit factors. */
      using Wide = std::conditional_t<std::is_signed<T>::value, int32_t, uint32_t>;
      return static_cast<T>((Wide(a) * Wide(b)) >> 16);
    }
  }
};

template <class Multiply>
struct MultiplyAdd {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add()(Multiply()(a, b), c);
  }
};

/* Division by zero has no specified result; this is what hardware gives. */
struct Divide {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(-1);
    if (std::is_signed<T>::value && b == static_cast<T>(-1)) return Subtract()(T(0), a);
    return static_cast<T>(a / b);
  }
};

struct Remainder {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return a;
    if (std::is_signed<T>::value && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};

struct Minimum {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};

struct Maximum {
  template <class T>
  T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

struct Negate {
  template <class T>
  T operator()(T a) const {
    return Subtract()(T(0), a);
  }
};

struct Absolute {
  template <class T>
  T operator()(T a) const {
    return a < 0 ? Negate()(a) : a;
  }
};

/* |a - b| + c */
struct SumOfAbsoluteDifference {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add()(c, a < b ? Subtract()(b, a) : Subtract()(a, b));
  }
};

template <bool subtract>
struct Saturating {
  int32_t operator()(int32_t a, int32_t b) const {
    int64_t exact = subtract ? int64_t{a} - b : int64_t{a} + b;
    using Limits = std::numeric_limits<int32_t>;
    return static_cast<int32_t>(exact < Limits::min()   ? Limits::min()
                                : exact > Limits::max() ? Limits::max()
                                                        : exact);
  }
};

/* mul.wide and mad.wide: the result is twice as wide as the factors. */
template <class T, class Wide, bool add>
void multiply_wide(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<Wide>(i.operands[0]), c = warp.lanes<Wide>(i.operands[add ? 3 : 0]);
  auto a = warp.lanes<T>(i.operands[1]), b = warp.lanes<T>(i.operands[2]);
  lanewise(mask, [=](int lane) {
    auto product =
        static_cast<Wide>(static_cast<Wide>(a.get(lane)) * static_cast<Wide>(b.get(lane)));
    d.set(lane, add ? Add()(product, c.get(lane)) : product);
  });
}

template <bool add>
Operation choose_wide(Instruction &i) {
  switch (i.type) {
    case Type::u16:
      return multiply_wide<uint16_t, uint32_t, add>;
    case Type::s16:
      return multiply_wide<int16_t, int32_t, add>;
    case Type::u32:
      return multiply_wide<uint32_t, uint64_t, add>;
    case Type::s32:
      return multiply_wide<int32_t, int64_t, add>;
    default:
      return nullptr;
  }
}

/* mul24 and mad24: factors of 24 bits in registers of 32 (sign-extended for .s32). */
template <class T>
T low24(T a) {
  return std::is_signed<T>::value ? static_cast<T>(static_cast<T>(uint32_t(a) << 8) >> 8)
                                  : a & T(0xffffff);
}

template <bool high, bool add>
struct Multiply24 {
  template <class T>
  T operator()(T a, T b, T c = 0) const {
    int64_t product = int64_t{low24(a)} * low24(b);
    return Add()(static_cast<T>(high ? product >> 16 : product), add ? c : T(0));
  }
};

/* dp4a: four products of bytes, summed into c. The first type is a's, the second b's. */
template <class A, class B>
void dot_product4(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<uint32_t>(i.operands[0]), c = warp.lanes<uint32_t>(i.operands[3]);
  auto a = warp.lanes<std::array<A, 4>>(i.operands[1]);
  auto b = warp.lanes<std::array<B, 4>>(i.operands[2]);
  lanewise(mask, [=](int lane) {
    uint32_t sum = c.get(lane);
    for (int k = 0; k < 4; k++) sum += static_cast<uint32_t>(a.get(lane)[k] * b.get(lane)[k]);
    d.set(lane, sum);
  });
}

Operation choose_dot_product4(Instruction &i) {
  bool a = i.modifiers[0] == ".s32", b = i.modifiers[1] == ".s32";
  return a ? (b ? dot_product4<int8_t, int8_t> : dot_product4<int8_t, uint8_t>)
           : (b ? dot_product4<uint8_t, int8_t> : dot_product4<uint8_t, uint8_t>);
}

template <bool high, bool add>
Operation choose24(Instruction &i) {
  using F = Multiply24<high, add>;
  if (add) return i.type == Type::s32 ? ternary<int32_t, F> : ternary<uint32_t, F>;
  return i.type == Type::s32 ? binary<int32_t, F> : binary<uint32_t, F>;
}

template <bool subtract>
Operation choose_saturating(Instruction &) {
  return binary<int32_t, Saturating<subtract>>;
}

#define INTEGERS ".u16|.u32|.u64|.s16|.s32|.s64"
#define SIGNED ".s16|.s32|.s64"

const Opcode kRows[] = {
    {"add", INTEGERS, "T= T T", "9.7.1.1", integer_binary<Add>},
    {"add", ".sat .s32", "T= T T", "9.7.1.1", choose_saturating<false>},
    {"sub", INTEGERS, "T= T T", "9.7.1.2", integer_binary<Subtract>},
    {"sub", ".sat .s32", "T= T T", "9.7.1.2", choose_saturating<true>},
    {"mul", ".lo " INTEGERS, "T= T T", "9.7.1.3", integer_binary<MultiplyLow>},
    {"mul", ".hi " INTEGERS, "T= T T", "9.7.1.3", integer_binary<MultiplyHigh>},
    {"mul", ".wide .u16|.u32|.s16|.s32", "W= T T", "9.7.1.3", choose_wide<false>},
    {"mad", ".lo " INTEGERS, "T= T T T", "9.7.1.4", integer_ternary<MultiplyAdd<MultiplyLow>>},
    {"mad", ".hi " INTEGERS, "T= T T T", "9.7.1.4", integer_ternary<MultiplyAdd<MultiplyHigh>>},
    {"mad", ".wide .u16|.u32|.s16|.s32", "W= T T W", "9.7.1.4", choose_wide<true>},
    {"mul24", ".lo .u32|.s32", "T= T T", "9.7.1.5", choose24<false, false>},
    {"mul24", ".hi .u32|.s32", "T= T T", "9.7.1.5", choose24<true, false>},
    {"mad24", ".lo .u32|.s32", "T= T T T", "9.7.1.6", choose24<false, true>},
    {"mad24", ".hi .u32|.s32", "T= T T T", "9.7.1.6", choose24<true, true>},
    {"sad", INTEGERS, "T= T T T", "9.7.1.7", integer_ternary<SumOfAbsoluteDifference>},
    {"div", INTEGERS, "T= T T", "9.7.1.8", integer_binary<Divide>},
    {"rem", INTEGERS, "T= T T", "9.7.1.9", integer_binary<Remainder>},
    {"abs", SIGNED, "T= T", "9.7.1.10", integer_unary<Absolute>},
    {"neg", SIGNED, "T= T", "9.7.1.11", integer_unary<Negate>},
    {"min", INTEGERS, "T= T T", "9.7.1.12", integer_binary<Minimum>},
    {"max", INTEGERS, "T= T T", "9.7.1.13", integer_binary<Maximum>},
    {"dp4a", ".u32|.s32 .u32|.s32", "b32= b32 b32 b32", "9.7.1.23", choose_dot_product4},
};

}  // namespace

CUDASIM_TABLE(kIntegerOpcodes, kRows);

}  // namespace cudasim
