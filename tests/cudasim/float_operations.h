/* Operations on lanes of floating-point values, from functions F that have
 *
 *   F()(a, b)                  for double, and for float where rounding is to nearest without .sat;
 *   F::exact(a, b, rounding)   of doubles: exact, or rounded to odd (floats.h), else.
 *                              It knows which rounding comes after it, for where that matters. */
#ifndef CUDASIM_FLOAT_OPERATIONS_H
#define CUDASIM_FLOAT_OPERATIONS_H

#include "floats.h"
#include "operations.h"

namespace cudasim {

/* element(k) for each value of the lanes: a lane of a packed type is two values, one behind the
 * other. */
template <class Element>
inline void each_element(const Instruction &i, uint32_t mask, Element element) {
  bool packed = i.type == Type::f16x2 || i.type == Type::bf16x2;
  each_lane(mask, [&](int lane) {
    if (!packed) return element(lane);
    element(2 * lane);
    element(2 * lane + 1);
  });
}

template <class T>
double widen(const Instruction &i, T value) {
  return widen(i.flush ? flush(value) : value);
}

template <class T>
T rounded(const Instruction &i, double exact) {
  T result;
  if (i.saturate) exact = saturated(exact);
  if (i.relu) exact = rectified(exact);
  round_to(result, exact, i.rounding);
  return i.flush ? flush(result) : result;
}

template <class T, class F>
void rounded_unary(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]);
  each_element(i, mask,
               [&](int k) { d.set(k, rounded<T>(i, F::exact(widen(i, a.get(k)), i.rounding))); });
}

template <class T, class F>
void rounded_binary(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]),
       b = warp.lanes<T>(i.operands[2]);
  each_element(i, mask, [&](int k) {
    d.set(k, rounded<T>(i, F::exact(widen(i, a.get(k)), widen(i, b.get(k)), i.rounding)));
  });
}

template <class T, class F>
void rounded_ternary(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]),
       b = warp.lanes<T>(i.operands[2]), c = warp.lanes<T>(i.operands[3]);
  each_element(i, mask, [&](int k) {
    d.set(k, rounded<T>(i, F::exact(widen(i, a.get(k)), widen(i, b.get(k)), widen(i, c.get(k)),
                                    i.rounding)));
  });
}

/* Floats, to nearest, with .ftz: frequent in code built with --use_fast_math. */
template <class F>
struct Flushed {
  float operator()(float a) const {
    return flush(F()(flush(a)));
  }
  float operator()(float a, float b) const {
    return flush(F()(flush(a), flush(b)));
  }
};

/* Is it what a float instruction of the processor does? */
inline bool is_plain(const Instruction &i) {
  return i.rounding == Rounding::nearest && !i.saturate && !i.relu;
}

template <class F>
Operation float_unary(Instruction &i) {
  note_arithmetic(i);
  switch (i.type) {
    case Type::f64:
      return is_plain(i) ? unary<double, F> : nullptr;
    case Type::f32:
      if (is_plain(i)) return i.flush ? unary<float, Flushed<F>> : unary<float, F>;
      return rounded_unary<float, F>;
    case Type::f16:
    case Type::f16x2:
      return rounded_unary<Half, F>;
    case Type::bf16:
    case Type::bf16x2:
      return rounded_unary<Bfloat, F>;
    default:
      return nullptr;
  }
}

template <class F>
Operation float_binary(Instruction &i) {
  note_arithmetic(i);
  switch (i.type) {
    case Type::f64:
      return is_plain(i) ? binary<double, F> : nullptr;
    case Type::f32:
      if (is_plain(i)) return i.flush ? binary<float, Flushed<F>> : binary<float, F>;
      return rounded_binary<float, F>;
    case Type::f16:
    case Type::f16x2:
      return rounded_binary<Half, F>;
    case Type::bf16:
    case Type::bf16x2:
      return rounded_binary<Bfloat, F>;
    default:
      return nullptr;
  }
}

}  // namespace cudasim

#endif
