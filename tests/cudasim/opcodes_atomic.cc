/* Atomic operations: atom and red, PTX ISA 9.7.13. Lanes take their turns in the
 * order of their numbers; on hardware the order is anything. */
#include "address_space.h"
#include "floats.h"
#include "opcodes.h"

namespace cudasim {

namespace {

struct Add {
  template <class T>
  T operator()(T old, T b, T) const {
    return static_cast<T>(old + b);
  }
  Half operator()(Half old, Half b, Half) const {
    return {half_bits(odd_sum(widen(old), widen(b)))};
  }
  Bfloat operator()(Bfloat old, Bfloat b, Bfloat) const {
    return {bfloat_bits(odd_sum(widen(old), widen(b)))};
  }
};
struct Exchange {
  template <class T>
  T operator()(T, T b, T) const {
    return b;
  }
};
struct CompareAndSwap {
  template <class T>
  T operator()(T old, T b, T c) const {
    return old == b ? c : old;
  }
};
struct Minimum {
  template <class T>
  T operator()(T old, T b, T) const {
    return b < old ? b : old;
  }
};
struct Maximum {
  template <class T>
  T operator()(T old, T b, T) const {
    return b > old ? b : old;
  }
};
struct And {
  template <class T>
  T operator()(T old, T b, T) const {
    return old & b;
  }
};
struct Or {
  template <class T>
  T operator()(T old, T b, T) const {
    return old | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T old, T b, T) const {
    return old ^ b;
  }
};
struct Increment {
  uint32_t operator()(uint32_t old, uint32_t b, uint32_t) const {
    return old >= b ? 0 : old + 1;
  }
};
struct Decrement {
  uint32_t operator()(uint32_t old, uint32_t b, uint32_t) const {
    return old == 0 || old > b ? b : old - 1;
  }
};

/* red is atom without a result. A packed type is `kParts` values of type T. */
template <class T, class F, int kParts = 1>
void atomic(Warp &warp, const Instruction &i, uint32_t mask) {
  bool has_result = i.operands[0].kind != Operand::address;
  size_t address = has_result ? 1 : 0;
  Accesses accesses;
  accesses.space = i.space;
  accesses.size = i.access_bytes;
  accesses.strong = true;
  accesses.mask = mask;
  warp.addresses(i.operands[address], mask, accesses.address);
  count_update(warp, accesses);

  auto b = warp.lanes<T>(i.operands[address + 1]);
  auto c = warp.lanes<T>(i.operands.size() > address + 2 ? i.operands[address + 2]
                                                         : i.operands[address + 1]);
  each_lane(mask, [&](int lane) {
    uint8_t *memory = update_lane(warp, accesses, lane);
    for (int k = 0; k < kParts; k++) {
      T old;
      memcpy(&old, memory + k * sizeof old, sizeof old);
      T now = F()(old, b.get(kParts * lane + k), c.get(kParts * lane + k));
      memcpy(memory + k * sizeof now, &now, sizeof now);
      if (has_result) warp.lanes<T>(i.operands[0]).set(kParts * lane + k, old);
    }
  });
}

template <class F>
Operation for_bits(Type type) {
  return bytes_of(type) == 8 ? atomic<uint64_t, F> : atomic<uint32_t, F>;
}

template <class F>
Operation for_ordered(Type type) {
  switch (type) {
    case Type::u32:
      return atomic<uint32_t, F>;
    case Type::s32:
      return atomic<int32_t, F>;
    case Type::u64:
      return atomic<uint64_t, F>;
    case Type::s64:
      return atomic<int64_t, F>;
    default:
      return nullptr;
  }
}

Operation choose_add(Type type) {
  switch (type) {
    case Type::u32:
    case Type::s32:
      return atomic<uint32_t, Add>;
    case Type::u64:
      return atomic<uint64_t, Add>;
    case Type::f32:
      return atomic<float, Add>;
    case Type::f64:
      return atomic<double, Add>;
    case Type::f16:
      return atomic<Half, Add>;
    case Type::bf16:
      return atomic<Bfloat, Add>;
    case Type::f16x2:
      return atomic<Half, Add, 2>;
    case Type::bf16x2:
      return atomic<Bfloat, Add, 2>;
    default:
      return nullptr;
  }
}

Operation choose_atomic(Instruction &i) {
  i.space = i.has(".shared") || i.has(".shared::cta") ? Space::shared
            : i.has(".global")                        ? Space::global
                                                      : Space::generic;
  i.access_bytes = static_cast<uint8_t>(bytes_of(i.type));
  i.strong = true;
  if (i.has(".add")) return choose_add(i.type);
  if (i.has(".exch")) return for_bits<Exchange>(i.type);
  if (i.has(".cas"))
    return i.type == Type::b16 ? atomic<uint16_t, CompareAndSwap>
                               : for_bits<CompareAndSwap>(i.type);
  if (i.has(".and")) return for_bits<And>(i.type);
  if (i.has(".or")) return for_bits<Or>(i.type);
  if (i.has(".xor")) return for_bits<Xor>(i.type);
  if (i.has(".inc")) return atomic<uint32_t, Increment>;
  if (i.has(".dec")) return atomic<uint32_t, Decrement>;
  if (i.has(".min")) return for_ordered<Minimum>(i.type);
  return for_ordered<Maximum>(i.type);
}

#define WHERE                                                        \
  "[.relaxed|.acquire|.release|.acq_rel] [.cta|.cluster|.gpu|.sys] " \
  "[.global|.shared|.shared::cta] "

const Opcode kRows[] = {
    {"atom", WHERE ".add .u32|.s32|.u64|.f32|.f64", "T= addr T", "9.7.13", choose_atomic},
    {"atom", WHERE ".add .noftz .f16|.f16x2|.bf16|.bf16x2", "T= addr T", "9.7.13", choose_atomic},
    {"atom", WHERE ".exch .b32|.b64", "T= addr T", "9.7.13", choose_atomic},
    {"atom", WHERE ".cas .b16|.b32|.b64", "T= addr T T", "9.7.13", choose_atomic},
    {"atom", WHERE ".and|.or|.xor .b32|.b64", "T= addr T", "9.7.13", choose_atomic},
    {"atom", WHERE ".inc|.dec .u32", "T= addr T", "9.7.13", choose_atomic},
    {"atom", WHERE ".min|.max .u32|.s32|.u64|.s64", "T= addr T", "9.7.13", choose_atomic},
    {"red", WHERE ".add .u32|.s32|.u64|.f32|.f64", "addr T", "9.7.13", choose_atomic},
    {"red", WHERE ".add .noftz .f16|.f16x2|.bf16|.bf16x2", "addr T", "9.7.13", choose_atomic},
    {"red", WHERE ".and|.or|.xor .b32|.b64", "addr T", "9.7.13", choose_atomic},
    {"red", WHERE ".inc|.dec .u32", "addr T", "9.7.13", choose_atomic},
    {"red", WHERE ".min|.max .u32|.s32|.u64|.s64", "addr T", "9.7.13", choose_atomic},
};

}  // namespace

CUDASIM_TABLE(kAtomicOpcodes, kRows);

}  // namespace cudasim
