/* Floating-point arithmetic: PTX ISA 9.7.3 (f32, f64) and 9.7.4 (f16, bf16). */
#include "float_operations.h"
#include "fused.h"

namespace cudasim {

namespace {

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
  static double exact(double a, double b, Rounding rounding) {
    return odd_sum(a, b, rounding);
  }
};

struct Subtract {
  template <class T>
  T operator()(T a, T b) const {
    return a - b;
  }
  static double exact(double a, double b, Rounding rounding) {
    return odd_sum(a, -b, rounding);
  }
};

struct Multiply {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
  static double exact(double a, double b, Rounding) {
    return a * b; /* a double holds the product of two floats */
  }
};

struct Divide {
  template <class T>
  T operator()(T a, T b) const {
    return a / b;
  }
  static double exact(double a, double b, Rounding) {
    return odd_quotient(a, b);
  }
};

/* div.approx multiplies by the divisor's reciprocal, which for the largest divisors is subnormal
 * and gets lost. */
struct DivideByReciprocal {
  template <class T>
  T operator()(T a, T b) const {
    bool lost = std::fabs(b) > 8.507059173023462e37f && std::isfinite(b); /* 2^126 */
    return lost ? a * std::copysign(T(0), b) : a / b;
  }
  static double exact(double a, double b, Rounding) {
    return DivideByReciprocal()(a, b);
  }
};

struct MultiplyAdd {
  double operator()(double a, double b, double c) const {
    return std::fma(a, b, c);
  }
  static double exact(double a, double b, double c, Rounding rounding) {
    return odd_sum(a * b, c, rounding);
  }
};

/* One NaN gives the other operand, and +0 is larger than -0. With .NaN, any NaN gives NaN. */
template <bool maximum, bool spread_nan>
struct Extreme {
  template <class T>
  T operator()(T a, T b) const {
    if (a != a) return spread_nan ? a : b;
    if (b != b) return spread_nan ? b : a;
    if (a == b) return std::signbit(a) == maximum ? b : a;
    return (a > b) == maximum ? a : b;
  }
  static double exact(double a, double b, Rounding) {
    return Extreme()(a, b);
  }
};

template <bool maximum>
Operation choose_extreme(Instruction &i) {
  return i.has(".NaN") ? float_binary<Extreme<maximum, true>>(i)
                       : float_binary<Extreme<maximum, false>>(i);
}

void multiply_add_float(Warp &warp, const Instruction &i, uint32_t mask) {
  float result[kLanes];
  (i.flush ? fused_multiply_add_flushed : fused_multiply_add)(
      warp.at(i.operands[1]), warp.at(i.operands[2]), warp.at(i.operands[3]), result);
  auto d = warp.lanes<float>(i.operands[0]);
  lanewise(mask, [&](int lane) { d.set(lane, result[lane]); });
}

Operation choose_multiply_add(Instruction &i) {
  note_arithmetic(i);
  switch (i.type) {
    case Type::f64:
      return is_plain(i) ? ternary<double, MultiplyAdd> : nullptr;
    case Type::f32:
      return is_plain(i) ? multiply_add_float : rounded_ternary<float, MultiplyAdd>;
    case Type::f16:
    case Type::f16x2:
      return rounded_ternary<Half, MultiplyAdd>;
    case Type::bf16:
    case Type::bf16x2:
      return rounded_ternary<Bfloat, MultiplyAdd>;
    default:
      return nullptr;
  }
}

/* neg and abs change the sign bit alone, of each part of a packed value. */
template <class T, bool negate>
void change_sign(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]);
  bool packed = i.type == Type::f16x2 || i.type == Type::bf16x2;
  T sign = static_cast<T>(packed ? T(0x80008000u) : T(1) << (8 * sizeof(T) - 1));
  lanewise(mask, [=](int lane) {
    d.set(lane, static_cast<T>(negate ? a.get(lane) ^ sign : a.get(lane) & ~sign));
  });
}

struct Negate {
  static double exact(double a, Rounding) {
    return -a;
  }
};
struct Absolute {
  static double exact(double a, Rounding) {
    return std::fabs(a);
  }
};

template <bool negate>
Operation choose_sign(Instruction &i) {
  note_arithmetic(i);
  using F = std::conditional_t<negate, Negate, Absolute>;
  if (i.flush) return i.type == Type::f32 ? rounded_unary<float, F> : rounded_unary<Half, F>;
  switch (bytes_of(i.type)) {
    case 2:
      return change_sign<uint16_t, negate>;
    case 4:
      return change_sign<uint32_t, negate>;
    default:
      return change_sign<uint64_t, negate>;
  }
}

/* copysign d, a, b: the magnitude of b with the sign of a. */
template <class T>
struct CopySign {
  T operator()(T a, T b) const {
    return std::copysign(b, a);
  }
};

Operation choose_copy_sign(Instruction &i) {
  return i.type == Type::f64 ? binary<double, CopySign<double>> : binary<float, CopySign<float>>;
}

#define ROUNDING ".rn|.rz|.rm|.rp"

const Opcode kRows[] = {
    {"add", "[" ROUNDING "] [.ftz] [.sat] .f32", "T= T T", "9.7.3.3", float_binary<Add>},
    {"add", "[.rn] .f64", "T= T T", "9.7.3.3", float_binary<Add>},
    {"add", "[.rn] [.ftz] [.sat] .f16|.f16x2", "T= T T", "9.7.4.1", float_binary<Add>},
    {"add", "[.rn] .bf16|.bf16x2", "T= T T", "9.7.4.1", float_binary<Add>},
    {"sub", "[" ROUNDING "] [.ftz] [.sat] .f32", "T= T T", "9.7.3.4", float_binary<Subtract>},
    {"sub", "[.rn] .f64", "T= T T", "9.7.3.4", float_binary<Subtract>},
    {"sub", "[.rn] [.ftz] [.sat] .f16|.f16x2", "T= T T", "9.7.4.2", float_binary<Subtract>},
    {"sub", "[.rn] .bf16|.bf16x2", "T= T T", "9.7.4.2", float_binary<Subtract>},
    {"mul", "[" ROUNDING "] [.ftz] [.sat] .f32", "T= T T", "9.7.3.5", float_binary<Multiply>},
    {"mul", "[.rn] .f64", "T= T T", "9.7.3.5", float_binary<Multiply>},
    {"mul", "[.rn] [.ftz] [.sat] .f16|.f16x2", "T= T T", "9.7.4.3", float_binary<Multiply>},
    {"mul", "[.rn] .bf16|.bf16x2", "T= T T", "9.7.4.3", float_binary<Multiply>},
    {"fma", ROUNDING " [.ftz] [.sat] .f32", "T= T T T", "9.7.3.6", choose_multiply_add},
    {"fma", ".rn .f64", "T= T T T", "9.7.3.6", choose_multiply_add},
    {"fma", ".rn [.ftz] [.sat|.relu] .f16|.f16x2", "T= T T T", "9.7.4.4", choose_multiply_add},
    {"fma", ".rn [.relu] .bf16|.bf16x2", "T= T T T", "9.7.4.4", choose_multiply_add},
    {"mad", ROUNDING " [.ftz] [.sat] .f32", "T= T T T", "9.7.3.7", choose_multiply_add},
    {"mad", ".rn .f64", "T= T T T", "9.7.3.7", choose_multiply_add},
    {"div", ".approx [.ftz] .f32", "T= T T", "9.7.3.8", float_binary<DivideByReciprocal>},
    {"div", ".full|" ROUNDING " [.ftz] .f32", "T= T T", "9.7.3.8", float_binary<Divide>},
    {"div", ".rn .f64", "T= T T", "9.7.3.8", float_binary<Divide>},
    {"abs", "[.ftz] .f32|.f16|.f16x2", "T= T", "9.7.3.9 / 9.7.4.6", choose_sign<false>},
    {"abs", ".f64|.bf16|.bf16x2", "T= T", "9.7.3.9 / 9.7.4.6", choose_sign<false>},
    {"neg", "[.ftz] .f32|.f16|.f16x2", "T= T", "9.7.3.10 / 9.7.4.5", choose_sign<true>},
    {"neg", ".f64|.bf16|.bf16x2", "T= T", "9.7.3.10 / 9.7.4.5", choose_sign<true>},
    {"min", "[.ftz] [.NaN] .f32|.f16|.f16x2", "T= T T", "9.7.3.11 / 9.7.4.7",
     choose_extreme<false>},
    {"min", "[.NaN] .bf16|.bf16x2", "T= T T", "9.7.4.7", choose_extreme<false>},
    {"min", ".f64", "T= T T", "9.7.3.11", choose_extreme<false>},
    {"max", "[.ftz] [.NaN] .f32|.f16|.f16x2", "T= T T", "9.7.3.12 / 9.7.4.8", choose_extreme<true>},
    {"max", "[.NaN] .bf16|.bf16x2", "T= T T", "9.7.4.8", choose_extreme<true>},
    {"max", ".f64", "T= T T", "9.7.3.12", choose_extreme<true>},
    {"copysign", ".f32|.f64", "T= T T", "9.7.3.2", choose_copy_sign},
};

}  // namespace

CUDASIM_TABLE(kFloatOpcodes, kRows);

}  // namespace cudasim
