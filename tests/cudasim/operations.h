/* Operations on lanes, from functions on values. */
#ifndef CUDASIM_OPERATIONS_H
#define CUDASIM_OPERATIONS_H

#include "execute.h"
#include "opcodes.h"

namespace cudasim {

/* d = F(a), all of type T. */
template <class T, class F>
void unary(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]);
  lanewise(mask, [=](int lane) { d.set(lane, F()(a.get(lane))); });
}

template <class T, class F>
void binary(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]),
       b = warp.lanes<T>(i.operands[2]);
  lanewise(mask, [=](int lane) { d.set(lane, F()(a.get(lane), b.get(lane))); });
}

template <class T, class F>
void ternary(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]),
       b = warp.lanes<T>(i.operands[2]), c = warp.lanes<T>(i.operands[3]);
  lanewise(mask, [=](int lane) { d.set(lane, F()(a.get(lane), b.get(lane), c.get(lane))); });
}

/* For Opcode::choose: F for whichever integer type the instruction has. */
template <class F>
Operation integer_unary(Instruction &i) {
  return for_integer(i.type, [](auto zero) -> Operation { return unary<decltype(zero), F>; });
}
template <class F>
Operation integer_binary(Instruction &i) {
  return for_integer(i.type, [](auto zero) -> Operation { return binary<decltype(zero), F>; });
}
template <class F>
Operation integer_ternary(Instruction &i) {
  return for_integer(i.type, [](auto zero) -> Operation { return ternary<decltype(zero), F>; });
}

/* Integer arithmetic wraps around; in C++ only that of unsigned types does, and only from 32 bits
 * up. */
template <class T>
using Wrapping = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

}  // namespace cudasim

#endif
