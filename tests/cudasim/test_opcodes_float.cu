/* Opcodes on floating-point numbers: f32, f64, f16, bf16 and the packed types; comparisons. */
#include "test_rows.h"

/* ---- what the rows below are defined by */
static exact times(exact a, exact b) {
  volatile exact x = a, y = b;
  return to_odd([&] { return x * y; }); /* a product of two f64 has more bits than exact */
}
/* a * b + c of f64, which no wider type holds. */
static f64 fused(f64 a, f64 b, f64 c, int mode = FE_TONEAREST) {
  volatile f64 x = a, y = b, z = c;
  std::fesetround(mode);
  volatile f64 r = std::fma(x, y, z);
  std::fesetround(FE_TONEAREST);
  return r;
}
template <class T>
static T sum(T a, T b, Rounding mode = RN) {
  return rounded<T>(plus(value(a), value(b), mode), mode);
}
template <class T>
static T difference(T a, T b, Rounding mode = RN) {
  return rounded<T>(plus(value(a), -value(b), mode), mode);
}
template <class T>
static T product(T a, T b, Rounding mode = RN) {
  return rounded<T>(times(value(a), value(b)), mode);
}
template <class T>
static T fused(T a, T b, T c, Rounding mode = RN) {
  return rounded<T>(plus(value(a) * value(b), value(c), mode), mode);
}
template <class T>
static T quotient(T a, T b, Rounding mode = RN) {
  return rounded<T>(over(value(a), value(b)), mode);
}
template <class T>
static T square_root(T a, Rounding mode = RN) {
  return rounded<T>(root(value(a)), mode);
}
static exact relu(exact x) {
  return x < 0 ? 0 : x;
}
/* min and max: a NaN loses against a number, two give NaN; -0 is below +0. */
template <class T>
static T smaller(T a, T b) {
  const exact x = value(a), y = value(b);
  if (std::isnan(x)) return b;
  if (std::isnan(y) || x < y) return a;
  return x == y && std::signbit(x) ? a : b;
}
template <class T>
static T larger(T a, T b) {
  const exact x = value(a), y = value(b);
  if (std::isnan(x)) return b;
  if (std::isnan(y) || x > y) return a;
  return x == y && std::signbit(y) ? a : b;
}
/* .NaN: a NaN wins. */
template <class T>
static T smaller_nan(T a, T b) {
  return std::isnan(value(a)) ? a : std::isnan(value(b)) ? b : smaller(a, b);
}
template <class T>
static T larger_nan(T a, T b) {
  return std::isnan(value(a)) ? a : std::isnan(value(b)) ? b : larger(a, b);
}
template <class T>
static bool unordered(T a, T b) {
  return std::isnan(value(a)) || std::isnan(value(b));
}

/* Packed types: an operation on each half. */
template <class Pair>
struct Half;
template <>
struct Half<f16x2> {
  using type = f16;
};
template <>
struct Half<bf16x2> {
  using type = bf16;
};
template <class Pair, class Operation, class... Pairs>
static Pair on_halves(Operation operation, Pair first, Pairs... rest) {
  using T = typename Half<Pair>::type;
  const u32 low = operation(T(first & 0xffff), T(rest & 0xffff)...),
            high = operation(T(first >> 16), T(rest >> 16)...);
  return Pair(low | high << 16);
}
#define EACH(function) [](auto... x) { return function(x...); }

/* clang-format off */
SECTION("Floating-Point Instructions: add, sub, mul, fma")
BINARY("add.f32", f32, f32, f32, sum(a, b))
BINARY("add.rn.f32", f32, f32, f32, sum(a, b))
BINARY("add.rz.f32", f32, f32, f32, sum(a, b, RZ))
BINARY("add.rm.f32", f32, f32, f32, sum(a, b, RM))
BINARY("add.rp.f32", f32, f32, f32, sum(a, b, RP))
BINARY("add.ftz.f32", f32, f32, f32, ftz(sum(ftz(a), ftz(b))))
BINARY("add.sat.f32", f32, f32, f32, near(saturated(sum(a, b))))
BINARY("sub.f32", f32, f32, f32, difference(a, b))
BINARY("sub.rn.f32", f32, f32, f32, difference(a, b))
BINARY("sub.rz.f32", f32, f32, f32, difference(a, b, RZ))
BINARY("sub.ftz.f32", f32, f32, f32, ftz(difference(ftz(a), ftz(b))))
BINARY("mul.f32", f32, f32, f32, product(a, b))
BINARY("mul.rn.f32", f32, f32, f32, product(a, b))
BINARY("mul.rz.f32", f32, f32, f32, product(a, b, RZ))
BINARY("mul.rm.f32", f32, f32, f32, product(a, b, RM))
BINARY("mul.rp.f32", f32, f32, f32, product(a, b, RP))
BINARY("mul.ftz.f32", f32, f32, f32, ftz(product(ftz(a), ftz(b))))
BINARY("mul.sat.f32", f32, f32, f32, near(saturated(product(a, b))))
TERNARY("fma.rn.f32", f32, f32, f32, f32, fused(a, b, c))
TERNARY("fma.rz.f32", f32, f32, f32, f32, fused(a, b, c, RZ))
TERNARY("fma.rm.f32", f32, f32, f32, f32, fused(a, b, c, RM))
TERNARY("fma.rp.f32", f32, f32, f32, f32, fused(a, b, c, RP))
TERNARY("fma.rn.ftz.f32", f32, f32, f32, f32, ftz(fused(ftz(a), ftz(b), ftz(c))))
TERNARY("fma.rn.sat.f32", f32, f32, f32, f32, near(saturated(fused(a, b, c))))
TERNARY("mad.rn.f32", f32, f32, f32, f32, fused(a, b, c))
BINARY("add.f64", f64, f64, f64, sum(a, b))
BINARY("sub.f64", f64, f64, f64, difference(a, b))
BINARY("mul.f64", f64, f64, f64, product(a, b))
TERNARY("fma.rn.f64", f64, f64, f64, f64, fused(a, b, c))

SECTION("Floating-Point Instructions: f64 rounded otherwise: may be refused by name")
BINARY("add.rz.f64", f64, f64, f64, sum(a, b, RZ))
BINARY("mul.rp.f64", f64, f64, f64, product(a, b, RP))
TERNARY("fma.rz.f64", f64, f64, f64, f64, fused(a, b, c, FE_TOWARDZERO))

SECTION("Floating-Point Instructions: div, rcp, sqrt, rsqrt")
BINARY("div.rn.f32", f32, f32, f32, quotient(a, b))
BINARY("div.rz.f32", f32, f32, f32, quotient(a, b, RZ))
BINARY("div.rn.ftz.f32", f32, f32, f32, ftz(quotient(ftz(a), ftz(b))))
BINARY("div.full.f32", f32, f32, f32, ulps(value(a) / value(b), 2))
/* Above 2^126 the divisor's reciprocal is 0. */
BINARY("div.approx.f32", f32, f32, f32, UNLESS(std::fabs(b) < 0x1p-126f && b != 0, std::fabs(b) <= 0x1p126f || !std::isfinite(b) ? ulps(value(a) / value(b), 2) : std::isinf(a) ? near(NAN) : near(std::isnan(a) ? NAN : 0)))
BINARY("div.rn.f64", f64, f64, f64, quotient(a, b))
UNARY("rcp.rn.f32", f32, f32, quotient(1.0f, a))
UNARY("rcp.rz.f32", f32, f32, quotient(1.0f, a, RZ))
UNARY("rcp.approx.f32", f32, f32, ulps(1 / value(a), 1))
UNARY("rcp.approx.ftz.f32", f32, f32, ulps(ftz(f32(1 / value(ftz(a)))), 1))
UNARY("rcp.rn.f64", f64, f64, quotient(1.0, a))
UNARY("sqrt.rn.f32", f32, f32, square_root(a))
UNARY("sqrt.rz.f32", f32, f32, square_root(a, RZ))
UNARY("sqrt.rn.ftz.f32", f32, f32, square_root(ftz(a)))
UNARY("sqrt.approx.f32", f32, f32, relative(std::sqrt(value(a)), 0x1p-22))
UNARY("sqrt.approx.ftz.f32", f32, f32, relative(std::sqrt(value(ftz(a))), 0x1p-22))
UNARY("sqrt.rn.f64", f64, f64, square_root(a))
UNARY("rsqrt.approx.f32", f32, f32, relative(1 / std::sqrt(value(a)), 0x1.12p-23))
UNARY("rsqrt.approx.ftz.f32", f32, f32, relative(1 / std::sqrt(value(ftz(a))), 0x1.12p-23))
UNARY("rsqrt.approx.f64", f64, f64, relative(1 / std::sqrt(value(a)), 0x1p-50))

SECTION("Floating-Point Instructions: ex2, lg2, sin, cos, tanh")
UNARY("ex2.approx.f32", f32, f32, ulps(std::exp2(value(a)), 2))
UNARY("ex2.approx.ftz.f32", f32, f32, ulps(ftz(f32(std::exp2(value(ftz(a))))), 2))
UNARY("lg2.approx.f32", f32, f32, a > 0.5f && a < 2 ? near(std::log2(value(a)), 0x1p-22) : relative(std::log2(value(a)), 0x1p-22))
UNARY("lg2.approx.ftz.f32", f32, f32, a > 0.5f && a < 2 ? near(std::log2(value(a)), 0x1p-22) : relative(std::log2(value(ftz(a))), 0x1p-22))
UNARY("sin.approx.f32", f32, f32, UNLESS(std::fabs(a) > 3.14f && std::isfinite(a), near(std::sin(value(a)), 0x1p-20)))
UNARY("cos.approx.f32", f32, f32, UNLESS(std::fabs(a) > 3.14f && std::isfinite(a), near(std::cos(value(a)), 0x1p-20)))
UNARY("tanh.approx.f32", f32, f32, relative(std::tanh(value(a)), 0x1p-11))

SECTION("Floating-Point Instructions: neg, abs, min, max, copysign, testp")
UNARY("neg.f32", f32, f32, -a)
UNARY("neg.ftz.f32", f32, f32, -ftz(a))
UNARY("abs.f32", f32, f32, std::fabs(a))
UNARY("abs.ftz.f32", f32, f32, std::fabs(ftz(a)))
UNARY("neg.f64", f64, f64, -a)
UNARY("abs.f64", f64, f64, std::fabs(a))
BINARY("min.f32", f32, f32, f32, smaller(a, b))
BINARY("max.f32", f32, f32, f32, larger(a, b))
BINARY("min.ftz.f32", f32, f32, f32, smaller(ftz(a), ftz(b)))
BINARY("max.ftz.f32", f32, f32, f32, larger(ftz(a), ftz(b)))
BINARY("min.NaN.f32", f32, f32, f32, smaller_nan(a, b))
BINARY("max.NaN.f32", f32, f32, f32, larger_nan(a, b))
BINARY("min.f64", f64, f64, f64, smaller(a, b))
BINARY("max.f64", f64, f64, f64, larger(a, b))
/* copysign d, a, b: b with the sign of a. */
BINARY("copysign.f32", f32, f32, f32, std::copysign(b, a))
BINARY("copysign.f64", f64, f64, f64, std::copysign(b, a))
#define TEST_PROPERTY(opcode) "{ .reg .pred p; " opcode " p, %1; selp.u32 %0, 1, 0, p; }"
UNARY_ASM("testp.finite.f32", TEST_PROPERTY("testp.finite.f32"), u32, f32, u32(std::isfinite(a)))
UNARY_ASM("testp.infinite.f32", TEST_PROPERTY("testp.infinite.f32"), u32, f32, u32(std::isinf(a)))
UNARY_ASM("testp.notanumber.f32", TEST_PROPERTY("testp.notanumber.f32"), u32, f32, u32(std::isnan(a)))

SECTION("Half Precision Floating-Point Instructions: f16")
BINARY("add.f16", f16, f16, f16, sum(a, b))
BINARY("add.rn.f16", f16, f16, f16, sum(a, b))
BINARY("sub.f16", f16, f16, f16, difference(a, b))
BINARY("mul.f16", f16, f16, f16, product(a, b))
TERNARY("fma.rn.f16", f16, f16, f16, f16, fused(a, b, c))
TERNARY("fma.rn.relu.f16", f16, f16, f16, f16, near(relu(value(fused(a, b, c)))))
UNARY("neg.f16", f16, f16, f16(a ^ 0x8000))
UNARY("abs.f16", f16, f16, f16(a & 0x7fff))
BINARY("min.f16", f16, f16, f16, smaller(a, b))
BINARY("max.f16", f16, f16, f16, larger(a, b))
BINARY("min.NaN.f16", f16, f16, f16, smaller_nan(a, b))
BINARY("max.NaN.f16", f16, f16, f16, larger_nan(a, b))
UNARY("ex2.approx.f16", f16, f16, near(std::exp2(value(a)), std::max(std::exp2(value(a)) * 0x1.13p-10L, 0x1p-24L)))
UNARY("tanh.approx.f16", f16, f16, near(std::tanh(value(a)), 0x1.03p-11))

SECTION("Half Precision Floating-Point Instructions: f16x2")
BINARY("add.f16x2", f16x2, f16x2, f16x2, on_halves(EACH(sum), a, b))
BINARY("sub.f16x2", f16x2, f16x2, f16x2, on_halves(EACH(difference), a, b))
BINARY("mul.f16x2", f16x2, f16x2, f16x2, on_halves(EACH(product), a, b))
TERNARY("fma.rn.f16x2", f16x2, f16x2, f16x2, f16x2, on_halves(EACH(fused), a, b, c))
UNARY("neg.f16x2", f16x2, f16x2, f16x2(a ^ 0x80008000))
UNARY("abs.f16x2", f16x2, f16x2, f16x2(a & 0x7fff7fff))
BINARY("min.f16x2", f16x2, f16x2, f16x2, on_halves(EACH(smaller), a, b))
BINARY("max.f16x2", f16x2, f16x2, f16x2, on_halves(EACH(larger), a, b))
BINARY("max.NaN.f16x2", f16x2, f16x2, f16x2, on_halves(EACH(larger_nan), a, b))

SECTION("Half Precision Floating-Point Instructions: bf16, bf16x2")
BINARY("add.rn.bf16", bf16, bf16, bf16, sum(a, b))
BINARY("sub.rn.bf16", bf16, bf16, bf16, difference(a, b))
BINARY("mul.rn.bf16", bf16, bf16, bf16, product(a, b))
TERNARY("fma.rn.bf16", bf16, bf16, bf16, bf16, fused(a, b, c))
TERNARY("fma.rn.relu.bf16", bf16, bf16, bf16, bf16, near(relu(value(fused(a, b, c)))))
UNARY("neg.bf16", bf16, bf16, bf16(a ^ 0x8000))
UNARY("abs.bf16", bf16, bf16, bf16(a & 0x7fff))
BINARY("min.bf16", bf16, bf16, bf16, smaller(a, b))
BINARY("max.bf16", bf16, bf16, bf16, larger(a, b))
BINARY("min.NaN.bf16", bf16, bf16, bf16, smaller_nan(a, b))
BINARY("max.NaN.bf16", bf16, bf16, bf16, larger_nan(a, b))
BINARY("add.rn.bf16x2", bf16x2, bf16x2, bf16x2, on_halves(EACH(sum), a, b))
BINARY("sub.rn.bf16x2", bf16x2, bf16x2, bf16x2, on_halves(EACH(difference), a, b))
BINARY("mul.rn.bf16x2", bf16x2, bf16x2, bf16x2, on_halves(EACH(product), a, b))
TERNARY("fma.rn.bf16x2", bf16x2, bf16x2, bf16x2, bf16x2, on_halves(EACH(fused), a, b, c))
UNARY("neg.bf16x2", bf16x2, bf16x2, bf16x2(a ^ 0x80008000))
BINARY("min.bf16x2", bf16x2, bf16x2, bf16x2, on_halves(EACH(smaller), a, b))
BINARY("max.bf16x2", bf16x2, bf16x2, bf16x2, on_halves(EACH(larger), a, b))
UNARY("ex2.approx.ftz.bf16", bf16, bf16, near(std::exp2(value(a)), std::max(std::exp2(value(a)) * 0x1p-7L, 0x1p-126L)))
UNARY("tanh.approx.bf16", bf16, bf16, near(std::tanh(value(a)), 0x1p-8))

/* The ordered comparisons are false with a NaN, those with u are true. */
#define ALL_COMPARISONS(T)                                                                   \
  COMPARE_ID(eq_##T, "setp.eq." #T, T, value(a) == value(b))                                 \
  COMPARE_ID(ne_##T, "setp.ne." #T, T, !unordered(a, b) && value(a) != value(b))             \
  COMPARE_ID(lt_##T, "setp.lt." #T, T, value(a) < value(b))                                  \
  COMPARE_ID(le_##T, "setp.le." #T, T, value(a) <= value(b))                                 \
  COMPARE_ID(gt_##T, "setp.gt." #T, T, value(a) > value(b))                                  \
  COMPARE_ID(ge_##T, "setp.ge." #T, T, value(a) >= value(b))                                 \
  COMPARE_ID(equ_##T, "setp.equ." #T, T, unordered(a, b) || value(a) == value(b))            \
  COMPARE_ID(neu_##T, "setp.neu." #T, T, unordered(a, b) || value(a) != value(b))            \
  COMPARE_ID(ltu_##T, "setp.ltu." #T, T, unordered(a, b) || value(a) < value(b))             \
  COMPARE_ID(leu_##T, "setp.leu." #T, T, unordered(a, b) || value(a) <= value(b))            \
  COMPARE_ID(gtu_##T, "setp.gtu." #T, T, unordered(a, b) || value(a) > value(b))             \
  COMPARE_ID(geu_##T, "setp.geu." #T, T, unordered(a, b) || value(a) >= value(b))            \
  COMPARE_ID(num_##T, "setp.num." #T, T, !unordered(a, b))                                   \
  COMPARE_ID(nan_##T, "setp.nan." #T, T, unordered(a, b))
SECTION("Comparison and Selection Instructions, floating point")
ALL_COMPARISONS(f32)
ALL_COMPARISONS(f64)
ALL_COMPARISONS(f16)
ALL_COMPARISONS(bf16)
COMPARE("setp.lt.ftz.f32", f32, ftz(a) < ftz(b))
COMPARE("setp.neu.ftz.f32", f32, !(ftz(a) == ftz(b)))
BINARY("set.gtu.u32.f32", u32, f32, f32, unordered(a, b) || a > b ? ~0u : 0u)
BINARY("set.lt.f32.f32", f32, f32, f32, a < b ? 1.0f : 0.0f)
/* A predicate for each half. */
BINARY_ASM("setp.lt.f16x2 p|q", "{ .reg .pred p, q; .reg .u32 t; setp.lt.f16x2 p|q, %1, %2; selp.u32 %0, 1, 0, p; selp.u32 t, 2, 0, q; or.b32 %0, %0, t; }", u32, f16x2, f16x2, u32(value(f16(a & 0xffff)) < value(f16(b & 0xffff))) + 2 * u32(value(f16(a >> 16)) < value(f16(b >> 16))))
BINARY("set.ge.f16x2.f16x2", f16x2, f16x2, f16x2, on_halves([](f16 x, f16 y) { return f16(value(x) >= value(y) ? 0x3c00 : 0); }, a, b))
