/* Roots, reciprocals and transcendental functions: PTX ISA 9.7.3 and 9.7.4. What the manual calls
 * approximate is computed here as well as the C library can: a model. Hardware differs in the last
 * bits, tanh.approx in more (a relative error of 2^-11). */
#include "float_operations.h"

namespace cudasim {

namespace {

struct Reciprocal {
  template <class T>
  T operator()(T a) const {
    return 1 / a;
  }
  static double exact(double a, Rounding) {
    return odd_quotient(1, a);
  }
};

struct SquareRoot {
  template <class T>
  T operator()(T a) const {
    return std::sqrt(a);
  }
  static double exact(double a, Rounding) {
    return odd_square_root(a);
  }
};

struct ReciprocalSquareRoot {
  double operator()(double a) const {
    return 1 / std::sqrt(a);
  }
  float operator()(float a) const {
    return static_cast<float>(1 / std::sqrt(static_cast<double>(a)));
  }
  static double exact(double a, Rounding) {
    return 1 / std::sqrt(a);
  }
};

/* A function of the C library, in double but for exp2: it is the one that matters for speed, and
 * exp2f is itself computed in double, right but for one rounding in some hundreds. */
#define FUNCTION(Name, of_double, of_float)   \
  struct Name {                               \
    float operator()(float a) const {         \
      return static_cast<float>(of_float);    \
    }                                         \
    double operator()(double a) const {       \
      return of_double;                       \
    }                                         \
    static double exact(double a, Rounding) { \
      return of_double;                       \
    }                                         \
  };
FUNCTION(Exponential2, std::exp2(a), ::exp2f(a))
FUNCTION(Logarithm2, std::log2(a), std::log2(static_cast<double>(a)))
FUNCTION(Sine, std::sin(a), std::sin(static_cast<double>(a)))
FUNCTION(Cosine, std::cos(a), std::cos(static_cast<double>(a)))
FUNCTION(HyperbolicTangent, std::tanh(a), std::tanh(static_cast<double>(a)))

/* testp: a question about a value. */
enum Question { finite, infinite, number, not_a_number, normal, subnormal };

template <class T>
bool answer(Question question, T a) {
  switch (question) {
    case finite:
      return std::isfinite(a);
    case infinite:
      return std::isinf(a);
    case number:
      return !std::isnan(a);
    case not_a_number:
      return std::isnan(a);
    case normal:
      return std::isnormal(a);
    default:
      return a != 0 && !std::isnormal(a) && std::isfinite(a);
  }
}

template <class T>
void test_property(Warp &warp, const Instruction &i, uint32_t mask) {
  auto a = warp.lanes<T>(i.operands[1]);
  uint32_t result = 0;
  each_lane(mask, [&](int lane) {
    result |= static_cast<uint32_t>(answer(static_cast<Question>(i.choice), a.get(lane))) << lane;
  });
  warp.set_predicate(i.operands[0], mask, result);
}

Operation choose_test(Instruction &i) {
  const char *names[] = {".finite", ".infinite", ".number", ".notanumber", ".normal", ".subnormal"};
  for (int question = finite; question <= subnormal; question++)
    if (i.has(names[question])) i.choice = question;
  return i.type == Type::f64 ? test_property<double> : test_property<float>;
}

#define ROUNDING ".rn|.rz|.rm|.rp"

const Opcode kRows[] = {
    {"rcp", ".approx|" ROUNDING " [.ftz] .f32", "T= T", "9.7.3.13", float_unary<Reciprocal>},
    {"rcp", ".rn .f64", "T= T", "9.7.3.13", float_unary<Reciprocal>},
    {"rcp", ".approx .ftz .f64", "T= T", "9.7.3.14", float_unary<Reciprocal>},
    {"sqrt", ".approx|" ROUNDING " [.ftz] .f32", "T= T", "9.7.3.15", float_unary<SquareRoot>},
    {"sqrt", ".rn .f64", "T= T", "9.7.3.15", float_unary<SquareRoot>},
    {"rsqrt", ".approx [.ftz] .f32|.f64", "T= T", "9.7.3.16", float_unary<ReciprocalSquareRoot>},
    {"sin", ".approx [.ftz] .f32", "T= T", "9.7.3.18", float_unary<Sine>},
    {"cos", ".approx [.ftz] .f32", "T= T", "9.7.3.19", float_unary<Cosine>},
    {"lg2", ".approx [.ftz] .f32", "T= T", "9.7.3.20", float_unary<Logarithm2>},
    {"ex2", ".approx [.ftz] .f32", "T= T", "9.7.3.21", float_unary<Exponential2>},
    {"ex2", ".approx .f16|.f16x2", "T= T", "9.7.4.10", float_unary<Exponential2>},
    {"ex2", ".approx .ftz .bf16|.bf16x2", "T= T", "9.7.4.10", float_unary<Exponential2>},
    {"tanh", ".approx .f32", "T= T", "9.7.3.22", float_unary<HyperbolicTangent>},
    {"tanh", ".approx .f16|.f16x2|.bf16|.bf16x2", "T= T", "9.7.4.9",
     float_unary<HyperbolicTangent>},
    {"testp", ".finite|.infinite|.number|.notanumber|.normal|.subnormal .f32|.f64", "p= T",
     "9.7.3.1", choose_test},
};

}  // namespace

CUDASIM_TABLE(kFloatFunctionOpcodes, kRows);

}  // namespace cudasim
