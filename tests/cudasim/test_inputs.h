/* Inputs of the rows: for each type the edges at which definitions differ, and random values
 * from a fixed seed. */
#ifndef CUDASIM_TEST_INPUTS_H
#define CUDASIM_TEST_INPUTS_H

#include <random>
#include <vector>

#include "test_numbers.h"

inline std::mt19937_64 &generator() {
  static std::mt19937_64 g(20240611);
  return g;
}

template <class T>
std::vector<T> edges() {
  static_assert(std::is_integral_v<T>, "");
  constexpr T low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
  std::vector<T> x = {T(0), T(1), T(-1), low, high, T(2), T(low + 1), T(high - 1)};
  for (s64 edge : {31,     32,         33,  7,    8,    15,     16,     17,         63,
                   64,     65,         127, 128,  255,  256,    0x7fff, 0x8000,     0xffff,
                   0x5555, 0x12345678, -2,  -128, -129, -32768, -32769, -0x5a5a5a5b})
    x.push_back(T(edge));
  for (u64 edge :
       {0x80000000ull, 0xffffffffull, 0x100000000ull, 0x7fffffffull, 0x8000000080000001ull})
    x.push_back(T(edge));
  return x;
}
/* Halfway cases of the roundings to integers, f16, bf16 and tf32; limits of every integer type. */
template <>
inline std::vector<f32> edges<f32>() {
  const std::vector<f32> positive = {1,
                                     INFINITY,
                                     NAN,
                                     0x1p-149f,
                                     FLT_MAX,
                                     0,
                                     1.5f,
                                     0.5f,
                                     2.5f,
                                     0x1.fffffcp-127f,
                                     FLT_MIN,
                                     3,
                                     1.0f / 3,
                                     0x1.000002p0f,
                                     0x1.fffffep-1f,
                                     0x1.002p0f,
                                     0x1.006p0f,
                                     0x1.00201p0f,
                                     0x1.01p0f,
                                     0x1.03p0f,
                                     0x1.001p0f,
                                     0x1.003p0f,
                                     65504,
                                     65519.996f,
                                     65520,
                                     65535.5f,
                                     0x1p-24f,
                                     0x1p-25f,
                                     0x1.8p-25f,
                                     0x1.ffcp-15f,
                                     0x1.ffep-15f,
                                     127.5f,
                                     128.5f,
                                     255.5f,
                                     32767.5f,
                                     8388607.5f,
                                     0x1p23f,
                                     0x1p24f,
                                     0x1p31f,
                                     0x1.fffffep30f,
                                     0x1p32f,
                                     0x1.fffffep31f,
                                     0x1p62f,
                                     0x1p63f,
                                     0x1p64f,
                                     0x1.fffffep63f,
                                     0x1p126f,
                                     0x1p-126f,
                                     0x1.fep127f,
                                     0x1.ffp127f,
                                     0x1.8p127f,
                                     0.49999997f,
                                     100,
                                     149.5f};
  std::vector<f32> x;
  for (f32 edge : positive) x.push_back(edge), x.push_back(-edge);
  return x;
}
template <>
inline std::vector<f64> edges<f64>() {
  std::vector<f64> x;
  for (f32 edge : edges<f32>()) x.push_back(edge);
  for (f64 edge :
       {DBL_MIN, DBL_MAX, 0x1p-1074, 0x1.fffffffffffffp-1, 0x1.0000000000001p0, 0x1.000001p0,
        0x1.000003p0, 0x1.0000010000001p0, 0x1.ffffffp127, 0x1.fffffefffffffp127, 0x1p128, 0x1p-150,
        0x1.0000000000001p-150, 0x1.8p-149, 4294967295.5, 2147483647.5, 0x1.fffffffffffffp62,
        0x1.fffffffffffffp63, 9007199254740991.0})
    x.push_back(edge), x.push_back(-edge);
  return x;
}
template <>
inline std::vector<tf32> edges<tf32>() {
  std::vector<tf32> x;
  for (f32 edge : edges<f32>()) x.push_back(tf32(bits_to<u32>(edge)));
  return x;
}
/* 16-bit numbers: each kind by its bits. `one` and `infinity` differ with the exponent's width. */
template <class T>
std::vector<T> edges_of_16_bits(u32 one, u32 infinity) {
  std::vector<T> x;
  for (u32 bits : {one,     infinity, infinity + 1, 0u,      1u,      infinity - 1, one + 1,
                   one - 1, 2u,       one | 0x40u,  0x03ffu, 0x0400u, 0x007fu,      0x0080u,
                   0x3800u, 0x3e00u,  0x4240u,      0x7bffu, 0x6400u, one + 3})
    x.push_back(T(bits)), x.push_back(T(bits | 0x8000));
  return x;
}
template <>
inline std::vector<f16> edges<f16>() {
  return edges_of_16_bits<f16>(0x3c00, 0x7c00);
}
template <>
inline std::vector<bf16> edges<bf16>() {
  return edges_of_16_bits<bf16>(0x3f80, 0x7f80);
}
template <class Pair, class Lane>
std::vector<Pair> edge_pairs() {
  const std::vector<Lane> lane = edges<Lane>();
  std::vector<Pair> x;
  for (size_t i = 0; i < lane.size(); i++)
    x.push_back(Pair(lane[i] | u32(lane[(7 * i + 3) % lane.size()]) << 16));
  return x;
}
template <>
inline std::vector<f16x2> edges<f16x2>() {
  return edge_pairs<f16x2, f16>();
}
template <>
inline std::vector<bf16x2> edges<bf16x2>() {
  return edge_pairs<bf16x2, bf16>();
}

/* Every other random number is of moderate size, where sums and products round; the rest are
 * random bits. */
template <class T>
T random_value() {
  std::mt19937_64 &g = generator();
  const u64 bits = g();
  if constexpr (std::is_same_v<T, f16x2> || std::is_same_v<T, bf16x2>) {
    using Lane = std::conditional_t<std::is_same_v<T, f16x2>, f16, bf16>;
    const u32 low = random_value<Lane>(), high = random_value<Lane>();
    return T(low | high << 16);
  } else if constexpr (std::is_same_v<T, tf32>) {
    return tf32(bits_to<u32>(random_value<f32>()));
  } else if constexpr (std::is_integral_v<T>) {
    return T(bits >> (g() % (8 * sizeof(T)))); /* small numbers too */
  } else {
    if (g() % 2) return rounded<T>(std::ldexp(exact(s64(bits)), -60 - int(g() % 4)));
    if constexpr (sizeof(T) == 2)
      return T(bits & 0xffff);
    else if constexpr (sizeof(T) == 4)
      return bits_to<f32>(u32(bits));
    else
      return bits_to<f64>(bits);
  }
}

#endif
