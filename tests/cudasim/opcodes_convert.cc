/* Conversion: cvt, PTX ISA 9.7.9. */
#include <limits>
#include <type_traits>

#include "floats.h"
#include "operations.h"

namespace cudasim {

namespace {

template <class T>
constexpr bool kIsInteger = std::is_integral<T>::value;

/* .ftz is about floats, whatever the other type is. */
template <class T>
double as_double(const Instruction &i, T value) {
  if constexpr (std::is_same<T, float>::value)
    return i.flush ? flush(value) : value;
  else if constexpr (std::is_same<T, double>::value)
    return value;
  else
    return widen(value);
}
inline void round_to(double &result, double value, Rounding) {
  result = value;
}

double integral(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::zero:
      return std::trunc(value);
    case Rounding::down:
      return std::floor(value);
    case Rounding::up:
      return std::ceil(value);
    default:
      return std::nearbyint(value);
  }
}

/* Out of range gives the nearest value in range. NaN gives zero, but of double, or in 64 bits, the
 * integer whose highest bit alone is set. */
template <class To>
To to_integer(double value, bool wide) {
  using Limits = std::numeric_limits<To>;
  if (value != value)
    return wide ? static_cast<To>(std::make_unsigned_t<To>(1) << (8 * sizeof(To) - 1)) : To(0);
  if (value >= std::ldexp(1.0, Limits::digits)) return Limits::max();
  if (value <= static_cast<double>(Limits::min())) return Limits::min();
  return static_cast<To>(value);
}

/* An integer as a double: exact up to 53 bits, beyond that rounded to odd. */
template <class From>
double odd_double(From value) {
  auto nearest = static_cast<double>(value);
  if (sizeof(From) < 8) return nearest;
  if (nearest >=
      std::ldexp(1.0,
                 std::numeric_limits<From>::digits)) /* rounded up beyond what the integer can be */
    return to_odd(nearest, -1);
  auto back = static_cast<From>(nearest);
  return to_odd(nearest, value > back ? 1 : value < back ? -1 : 0);
}

template <class To, class From>
To converted(const Instruction &i, From value) {
  if constexpr (kIsInteger<To> && kIsInteger<From>) {
    if (!i.saturate) return static_cast<To>(value);
    using Limits = std::numeric_limits<To>;
    __int128 exact = value;
    return static_cast<To>(exact < Limits::min()   ? Limits::min()
                           : exact > Limits::max() ? Limits::max()
                                                   : exact);
  } else if constexpr (kIsInteger<To>) {
    constexpr bool wide = sizeof(To) == 8 || std::is_same<From, double>::value;
    return to_integer<To>(integral(as_double(i, value), i.rounding), wide);
  } else if constexpr (kIsInteger<From> && std::is_same<To, double>::value) {
    return static_cast<double>(value);
  } else {
    double exact;
    if constexpr (kIsInteger<From>)
      exact = odd_double(value);
    else
      exact = as_double(i, value);
    if (i.choice) exact = integral(exact, i.rounding);
    if (i.saturate) exact = saturated(exact);
    if (i.relu) exact = rectified(exact);
    To result;
    round_to(result, exact, i.rounding);
    if constexpr (std::is_same<To, float>::value) return i.flush ? flush(result) : result;
    return result;
  }
}

/* A register may be wider than the value in it: the value then lies in its low end, and is extended
 * when written. */
template <class To, class From>
void convert(Warp &warp, const Instruction &i, uint32_t mask) {
  uint8_t *d = warp.at(i.operands[0]);
  const uint8_t *a = warp.at(i.operands[1]);
  unsigned d_width = i.operands[0].width, a_width = i.operands[1].width;
  lanewise(mask, [=, &i](int lane) {
    From value;
    memcpy(&value, a + lane * a_width, sizeof value);
    To result = converted<To>(i, value);
    if (d_width == sizeof result) {
      memcpy(d + lane * d_width, &result, sizeof result);
      return;
    }
    uint64_t extended = 0;
    if constexpr (kIsInteger<To>)
      extended = static_cast<uint64_t>(result);
    else
      memcpy(&extended, &result, sizeof result);
    memcpy(d + lane * d_width, &extended, d_width);
  });
}

template <class Pick>
Operation for_convertible(Type type, Pick pick) {
  switch (type) {
    case Type::u8:
      return pick(uint8_t());
    case Type::s8:
      return pick(int8_t());
    case Type::f16:
      return pick(Half());
    case Type::bf16:
      return pick(Bfloat());
    case Type::f32:
      return pick(float());
    case Type::f64:
      return pick(double());
    default:
      return for_integer(type, pick);
  }
}

Operation choose_convert(Instruction &i) {
  note_arithmetic(i);
  /* A rounding to an integral value: .rni and so on, between floating-point types. */
  i.choice = i.has(".rni") || i.has(".rzi") || i.has(".rmi") || i.has(".rpi");
  if (i.type == Type::f64 && i.rounding != Rounding::nearest && !i.choice) return nullptr;
  return for_convertible(i.type, [&](auto to) {
    return for_convertible(i.source_type, [](auto from) -> Operation {
      return convert<decltype(to), decltype(from)>;
    });
  });
}

/* Two floats into one register; the first operand into its upper half. */
template <class Part>
void convert_pair(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<Part>(i.operands[0]);
  auto high = warp.lanes<float>(i.operands[1]), low = warp.lanes<float>(i.operands[2]);
  each_lane(mask, [&](int lane) {
    d.set(2 * lane + 1, converted<Part>(i, high.get(lane)));
    d.set(2 * lane, converted<Part>(i, low.get(lane)));
  });
}

Operation choose_pair(Instruction &i) {
  note_arithmetic(i);
  return i.type == Type::f16x2 ? convert_pair<Half> : convert_pair<Bfloat>;
}

/* tf32 is a float whose fraction has 10 bits. */
void convert_tf32(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<uint32_t>(i.operands[0]);
  auto a = warp.lanes<float>(i.operands[1]);
  each_lane(mask, [&](int lane) {
    double value = a.get(lane);
    if (i.relu) value = rectified(value);
    d.set(lane, narrow<10, 8>(value, i.rounding) << 13);
  });
}

Operation choose_tf32(Instruction &i) {
  note_arithmetic(i);
  return convert_tf32;
}

#define INTEGERS ".u8|.u16|.u32|.u64|.s8|.s16|.s32|.s64"
#define FLOATS ".f16|.bf16|.f32|.f64"

const Opcode kRows[] = {
    {"cvt", "[.sat] " INTEGERS " " INTEGERS, "T~= S~", "9.7.9", choose_convert},
    {"cvt", ".rni|.rzi|.rmi|.rpi [.ftz] [.sat] " INTEGERS " " FLOATS, "T~= S~", "9.7.9",
     choose_convert},
    {"cvt", ".rn|.rz|.rm|.rp [.ftz] [.sat] " FLOATS " " INTEGERS, "T~= S~", "9.7.9",
     choose_convert},
    {"cvt", "[.rn|.rz|.rm|.rp|.rni|.rzi|.rmi|.rpi] [.ftz] [.sat|.relu] " FLOATS " " FLOATS,
     "T~= S~", "9.7.9", choose_convert},
    {"cvt", ".rn|.rz [.relu] .f16x2|.bf16x2 .f32", "T= S S", "9.7.9", choose_pair},
    {"cvt", ".rna|.rn|.rz [.relu] .tf32 .f32", "b32= f32", "9.7.9", choose_tf32},
};

}  // namespace

CUDASIM_TABLE(kConvertOpcodes, kRows);

}  // namespace cudasim
