/* Number formats written down from their definitions (IEEE 754, PTX ISA "Fundamental Types" and
 * "Alternate Floating-Point Data Formats"): exact values in long double, one rounding at the
 * end. Host only. */
#ifndef CUDASIM_TEST_NUMBERS_H
#define CUDASIM_TEST_NUMBERS_H

#include <cfenv>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>

using s8 = signed char;
using u8 = unsigned char;
using s16 = short;
using u16 = unsigned short;
using s32 = int;
using u32 = unsigned;
using s64 = long long;
using u64 = unsigned long long;
using f32 = float;
using f64 = double;
using exact = long double;
using s128 = __int128;
using u128 = unsigned __int128;
enum f16 : u16 {};
enum bf16 : u16 {};
enum f16x2 : u32 {};
enum bf16x2 : u32 {};
enum tf32 : u32 {};

enum Rounding { RN, RZ, RM, RP, RNA }; /* even, zero, minus, plus, nearest with ties away */

template <class To, class From>
To bits_to(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

/* x as an integer. */
inline exact integral(exact x, Rounding mode) {
  const exact below = std::floor(x), above = std::ceil(x);
  if (below == above) return x;
  exact r = 0;
  switch (mode) {
    case RZ:
      r = x < 0 ? above : below;
      break;
    case RM:
      r = below;
      break;
    case RP:
      r = above;
      break;
    case RN:
    case RNA: {
      const bool tie = x - below == above - x;
      const bool below_is_even = std::fmod(below, 2) == 0;
      if (!tie)
        r = x - below < above - x ? below : above;
      else if (mode == RNA)
        r = x < 0 ? below : above;
      else
        r = below_is_even ? below : above;
    }
  }
  return std::copysign(r, x);
}

/* x in a format of `digits` significant bits, least normal exponent `least` and largest `most`. */
inline exact in_format(exact x, int digits, int least, int most, Rounding mode) {
  if (x == 0 || !std::isfinite(x)) return x;
  const int exponent = std::max(std::ilogb(x), least);
  const exact unit = std::ldexp(exact(1), exponent - digits + 1);
  const exact r = integral(x / unit, mode) * unit;
  const exact largest = (2 - std::ldexp(exact(1), 1 - digits)) * std::ldexp(exact(1), most);
  if (std::fabs(r) <= largest) return std::copysign(r, x);
  const bool stays_finite = mode == RZ || (mode == RM && x > 0) || (mode == RP && x < 0);
  return std::copysign(stays_finite ? largest : exact(INFINITY), x);
}

/* The bits of a value that the format holds: a fraction of `fraction` bits, `exponent` bits of
 * exponent. */
inline u32 encode(exact x, int fraction, int exponent) {
  const u32 sign = std::signbit(x) ? 1u << (fraction + exponent) : 0,
            special = (1u << exponent) - 1;
  const int bias = (1 << (exponent - 1)) - 1;
  if (std::isnan(x)) return (1u << (fraction + exponent)) - 1;
  if (std::isinf(x)) return sign | special << fraction;
  if (x == 0) return sign;
  const int e = std::max(std::ilogb(x), 1 - bias);
  const u32 digits = u32(std::ldexp(std::fabs(x), fraction - e)); /* with the leading 1 if normal */
  return sign |
         (digits >> fraction ? u32(e + bias) << fraction | (digits - (1u << fraction)) : digits);
}

inline exact decode(u32 bits, int fraction, int exponent) {
  const u32 special = (1u << exponent) - 1, e = bits >> fraction & special;
  const u32 digits = bits & ((1u << fraction) - 1);
  const int bias = (1 << (exponent - 1)) - 1;
  exact x = e ? std::ldexp(exact(digits + (1u << fraction)), int(e) - bias - fraction)
              : std::ldexp(exact(digits), 1 - bias - fraction);
  if (e == special) x = digits ? exact(NAN) : exact(INFINITY);
  return bits >> (fraction + exponent) & 1 ? -x : x;
}

inline exact value(f64 x) {
  return x;
}
inline exact value(f32 x) {
  return x;
}
inline exact value(f16 x) {
  return decode(x, 10, 5);
}
inline exact value(bf16 x) {
  return decode(x, 7, 8);
}
inline exact value(tf32 x) {
  return decode(x & ~0x1fffu, 23, 8);
} /* the low bits are not read */

template <class T>
T rounded(exact x, Rounding mode = RN);
template <>
inline f64 rounded<f64>(exact x, Rounding mode) {
  return f64(in_format(x, 53, -1022, 1023, mode));
}
template <>
inline f32 rounded<f32>(exact x, Rounding mode) {
  return f32(in_format(x, 24, -126, 127, mode));
}
template <>
inline f16 rounded<f16>(exact x, Rounding mode) {
  return f16(encode(in_format(x, 11, -14, 15, mode), 10, 5));
}
template <>
inline bf16 rounded<bf16>(exact x, Rounding mode) {
  return bf16(encode(in_format(x, 8, -126, 127, mode), 7, 8));
}
template <>
inline tf32 rounded<tf32>(exact x, Rounding mode) {
  return tf32(encode(in_format(x, 11, -126, 127, mode), 23, 8));
}

/* Sums, quotients and roots that long double does not hold: cut towards zero, and the last bit
 * set if anything was cut ("round to odd"), so that one more rounding to 53 bits or fewer is
 * still right. */
template <class Operation>
exact to_odd(Operation operation) {
  std::fesetround(FE_TOWARDZERO);
  std::feclearexcept(FE_ALL_EXCEPT);
  volatile exact r = operation();
  const bool cut = std::fetestexcept(FE_INEXACT);
  std::fesetround(FE_TONEAREST);
  exact result = r;
  if (cut && std::isfinite(result)) {
    unsigned char bytes[sizeof(exact)];
    memcpy(bytes, &result, sizeof bytes);
    bytes[0] |= 1;
    memcpy(&result, bytes, sizeof bytes);
  }
  return result;
}
/* The sign of an exact zero sum depends on the rounding: -0 towards minus infinity, else +0. */
inline exact plus(exact a, exact b, Rounding mode = RN) {
  volatile exact x = a, y = b;
  if (a == -b && a != 0 && std::isfinite(a)) return mode == RM ? -0.0L : 0.0L;
  if (a == 0 && b == 0 && std::signbit(a) != std::signbit(b)) return mode == RM ? -0.0L : 0.0L;
  return to_odd([&] { return x + y; });
}
inline exact over(exact a, exact b) {
  volatile exact x = a, y = b;
  return to_odd([&] { return x / y; });
}
inline exact root(exact a) {
  volatile exact x = a;
  return to_odd([&] { return std::sqrt(exact(x)); });
}
/* Products of formats up to 32 bits are exact. */

/* Denormal numbers of 32 bits become zeros of the same sign. */
inline f32 ftz(f32 x) {
  return std::fabs(x) < FLT_MIN ? std::copysign(0.0f, x) : x;
}
/* .sat: [0, 1], NaN becomes +0. The sign of a zero is left open: compare with near(). */
template <class T>
T saturated(T x) {
  return x >= 1 ? T(1) : x > 0 ? x : T(0);
}

template <class Integer>
Integer clamped(s128 x) {
  const s128 low = std::numeric_limits<Integer>::min(), high = std::numeric_limits<Integer>::max();
  return Integer(x < low ? low : x > high ? high : x);
}
/* cvt to an integer: saturates. NaN: 0 if the source is not f64 and the destination not of 64
 * bits, else only the highest bit. */
template <class Integer, class Float>
Integer to_integer(Float a, Rounding mode) {
  const exact x = value(a);
  const bool wide = sizeof(Float) == 8 || sizeof(Integer) == 8;
  if (std::isnan(x)) return wide ? Integer(u64(1) << (8 * sizeof(Integer) - 1)) : Integer(0);
  const exact bound = std::ldexp(exact(1), 100);
  return clamped<Integer>(s128(std::fmin(std::fmax(integral(x, mode), -bound), bound)));
}

#endif
