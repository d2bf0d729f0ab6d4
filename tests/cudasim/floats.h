/* Floating-point formats and rounding.
 *
 * All arithmetic but the common case is done the same way: exactly in double (or, where the exact
 * result does not fit, rounded to odd), then rounded once to the format asked for. Rounding to odd
 * keeps a sticky bit: with the more than two extra bits of a double, the second rounding is as if
 * the first had not happened (Boldo & Melquiond, "Emulation of FMA and correctly rounded sums",
 * 2008). */
#ifndef CUDASIM_FLOATS_H
#define CUDASIM_FLOATS_H

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernel.h"

namespace cudasim {

inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
inline double double_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* ---------- rounding to odd */

/* What a rounded result becomes if the exact one differs from it by `error` (of which only the sign
 * counts). */
inline double to_odd(double rounded, double error) {
  uint64_t bits = bits_of(rounded);
  if (error == 0 || (bits & 1) || !std::isfinite(rounded) || std::isnan(error)) return rounded;
  return double_of((error > 0) == (rounded > 0) ? bits + 1 : bits - 1);
}
inline double odd_sum(double a, double b, Rounding rounding = Rounding::nearest) {
  double sum = a + b, b_part = sum - a;
  /* An exact zero out of terms of both signs has the sign that the rounding says. */
  if (sum == 0 && rounding == Rounding::down && (std::signbit(a) || std::signbit(b))) return -0.0;
  return to_odd(sum, (a - (sum - b_part)) + (b - b_part));
}
inline double odd_quotient(double a, double b) {
  double quotient = a / b, rest = std::fma(-quotient, b, a);
  return to_odd(quotient, b < 0 ? -rest : rest);
}
inline double odd_square_root(double a) {
  double root = std::sqrt(a);
  return to_odd(root, std::fma(-root, root, a));
}

/* ---------- narrow formats */

/* The bits of a value in a format with so many bits of fraction and exponent. */
template <int kFraction, int kExponent>
uint32_t narrow(double value, Rounding rounding) {
  constexpr int kBias = (1 << (kExponent - 1)) - 1;
  constexpr uint32_t kInfinity = ((1u << kExponent) - 1) << kFraction;
  bool negative = bits_of(value) >> 63;
  uint32_t sign = uint32_t{negative} << (kFraction + kExponent);
  if (value != value) return kInfinity | ((1u << kFraction) - 1);

  int exponent = static_cast<int>(bits_of(value) >> 52 & 0x7ff) - 1023;
  if (exponent == 1024) return sign | kInfinity;
  if (exponent < 1 - kBias)
    exponent = 1 - kBias; /* subnormal: the last place does not get smaller */

  /* The value in units of the last place, rounded to an integer. */
  double units =
      std::fabs(value) * double_of(static_cast<uint64_t>(1023 + kFraction - exponent) << 52);
  auto whole = static_cast<uint64_t>(units);
  double rest = units - static_cast<double>(whole);
  switch (rounding) {
    case Rounding::nearest:
      whole += rest > 0.5 || (rest == 0.5 && (whole & 1));
      break;
    case Rounding::nearest_away:
      whole += rest >= 0.5;
      break;
    case Rounding::down:
      whole += negative && rest > 0;
      break;
    case Rounding::up:
      whole += !negative && rest > 0;
      break;
    case Rounding::zero:
      break;
  }
  /* The leading one of a normal number adds to the exponent; so does a carry. */
  auto code = (static_cast<uint64_t>(exponent + kBias - 1) << kFraction) + whole;
  if (code < kInfinity) return sign | static_cast<uint32_t>(code);
  bool to_largest =
      rounding == Rounding::zero || rounding == (negative ? Rounding::up : Rounding::down);
  return sign | (to_largest ? kInfinity - 1 : kInfinity);
}

inline uint16_t half_bits(double value, Rounding rounding = Rounding::nearest) {
  return static_cast<uint16_t>(narrow<10, 5>(value, rounding) & 0xffff);
}
inline uint16_t bfloat_bits(double value, Rounding rounding = Rounding::nearest) {
  return static_cast<uint16_t>(narrow<7, 8>(value, rounding) & 0xffff);
}
inline float to_float(double value, Rounding rounding) {
  return rounding == Rounding::nearest ? static_cast<float>(value)
                                       : float_of(narrow<23, 8>(value, rounding));
}

inline float half_value(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, rest = bits & 0x7fffu;
  /* 2^112 moves the exponent's bias, and makes a subnormal half a normal float. */
  float value = float_of(rest << 13) * float_of((127u + 112u) << 23);
  uint32_t magnitude = rest >= 0x7c00 ? 0x7f800000u | rest << 13 : bits_of(value);
  return float_of(sign | magnitude);
}
inline float bfloat_value(uint16_t bits) {
  return float_of(static_cast<uint32_t>(bits) << 16);
}

/* Half and bfloat16 as types of their own, for templates. */
struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};

inline double widen(Half value) {
  return half_value(value.bits);
}
inline double widen(Bfloat value) {
  return bfloat_value(value.bits);
}
inline double widen(float value) {
  return value;
}
inline void round_to(Half &result, double value, Rounding rounding) {
  result.bits = half_bits(value, rounding);
}
inline void round_to(Bfloat &result, double value, Rounding rounding) {
  result.bits = bfloat_bits(value, rounding);
}
inline void round_to(float &result, double value, Rounding rounding) {
  result = to_float(value, rounding);
}

/* ---------- .ftz, .sat, .relu */

/* A subnormal becomes a zero of its sign. */
inline float flush(float value) {
  return (bits_of(value) & 0x7f800000) ? value : float_of(bits_of(value) & 0x80000000);
}
inline Half flush(Half value) {
  return {static_cast<uint16_t>(value.bits & 0x7c00 ? value.bits : value.bits & 0x8000)};
}
inline Bfloat flush(Bfloat value) {
  return value; /* .ftz does not exist for bf16 but in ex2, where it means nothing to a model */
}

/* Into [0, 1]; NaN becomes 0. */
inline double saturated(double value) {
  return value >= 1 ? 1 : value > 0 ? value : 0;
}
/* max(value, 0); NaN stays. */
inline double rectified(double value) {
  return value < 0 || (value == 0 && std::signbit(value)) ? 0 : value;
}

}  // namespace cudasim

#endif
