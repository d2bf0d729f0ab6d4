/* Logic, shifts and bit fields: PTX ISA 9.7.1 (bit fields) and 9.7.8 (logic and shift). */
#include <type_traits>

#include "operations.h"

namespace cudasim {

namespace {

struct And {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};

struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};

struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
  }
};

struct Not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};

struct LogicalNot {
  template <class T>
  T operator()(T a) const {
    return a == 0;
  }
};

/* The same on predicates, whose 32 lanes are one mask. */
template <class F>
void predicate_binary(Warp &warp, const Instruction &i, uint32_t mask) {
  warp.set_predicate(i.operands[0], mask,
                     F()(warp.predicate(i.operands[1]), warp.predicate(i.operands[2])));
}

void predicate_not(Warp &warp, const Instruction &i, uint32_t mask) {
  warp.set_predicate(i.operands[0], mask, ~warp.predicate(i.operands[1]));
}

template <Operation operation>
Operation always(Instruction &) {
  return operation;
}

/* Shift amounts are not taken modulo the width: more than the width shifts everything out. */
struct ShiftLeft {
  template <class T>
  T operator()(T a, uint32_t n) const {
    return n >= 8 * sizeof(T) ? T(0) : static_cast<T>(Wrapping<T>(a) << n);
  }
};

struct ShiftRight {
  template <class T>
  T operator()(T a, uint32_t n) const {
    constexpr uint32_t kBits = 8 * sizeof(T);
    if (n < kBits) return static_cast<T>(a >> n);
    return std::is_signed<T>::value ? static_cast<T>(a >> (kBits - 1)) : T(0);
  }
};

template <class T, class F>
void shift(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]);
  auto n = warp.lanes<uint32_t>(i.operands[2]);
  lanewise(mask, [=](int lane) { d.set(lane, F()(a.get(lane), n.get(lane))); });
}

template <class F>
Operation choose_shift(Instruction &i) {
  return for_integer(i.type, [](auto zero) -> Operation { return shift<decltype(zero), F>; });
}

/* shf: 32 bits out of the 64 of b:a. */
template <bool left, bool wrap>
struct FunnelShift {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    uint32_t n = wrap ? c & 31 : c > 32 ? 32 : c;
    uint64_t both = uint64_t{b} << 32 | a;
    return static_cast<uint32_t>(left ? both << n >> 32 : both >> n);
  }
};

Operation choose_funnel_shift(Instruction &i) {
  bool left = i.has(".l"), wrap = i.has(".wrap");
  if (left)
    return wrap ? ternary<uint32_t, FunnelShift<true, true>>
                : ternary<uint32_t, FunnelShift<true, false>>;
  return wrap ? ternary<uint32_t, FunnelShift<false, true>>
              : ternary<uint32_t, FunnelShift<false, false>>;
}

/* bfe: `length` bits from `start` on, extended to the type's width; what lies beyond its end is the
 * sign. */
template <class T>
void extract_field(Warp &warp, const Instruction &i, uint32_t mask) {
  constexpr unsigned kBits = 8 * sizeof(T);
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]);
  auto start = warp.lanes<uint32_t>(i.operands[2]), length = warp.lanes<uint32_t>(i.operands[3]);
  lanewise(mask, [=](int lane) {
    unsigned first = start.get(lane) & 0xff, n = length.get(lane) & 0xff;
    T value = a.get(lane);
    bool sign =
        std::is_signed<T>::value && n > 0 && (value >> std::min(first + n - 1, kBits - 1) & 1);
    std::make_unsigned_t<T> field = 0;
    for (unsigned k = 0; k < kBits; k++) {
      bool bit = k < n && first + k < kBits ? value >> (first + k) & 1 : sign;
      field |= static_cast<std::make_unsigned_t<T>>(bit) << k;
    }
    d.set(lane, static_cast<T>(field));
  });
}

Operation choose_extract_field(Instruction &i) {
  return for_integer(i.type, [](auto zero) -> Operation { return extract_field<decltype(zero)>; });
}

/* bfi: b with `length` bits from `start` on replaced by the lowest bits of a. */
template <class T>
void insert_field(Warp &warp, const Instruction &i, uint32_t mask) {
  constexpr unsigned kBits = 8 * sizeof(T);
  auto f = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]),
       b = warp.lanes<T>(i.operands[2]);
  auto start = warp.lanes<uint32_t>(i.operands[3]), length = warp.lanes<uint32_t>(i.operands[4]);
  lanewise(mask, [=](int lane) {
    unsigned first = start.get(lane) & 0xff, n = length.get(lane) & 0xff;
    T ones = n >= kBits ? static_cast<T>(~T(0)) : static_cast<T>((T(1) << n) - 1);
    T field = first >= kBits ? T(0) : static_cast<T>(ones << first);
    T value = first >= kBits ? T(0) : static_cast<T>(a.get(lane) << first);
    f.set(lane, static_cast<T>((b.get(lane) & ~field) | (value & field)));
  });
}

Operation choose_insert_field(Instruction &i) {
  return i.type == Type::b64 ? insert_field<uint64_t> : insert_field<uint32_t>;
}

/* bmsk: so many ones from a position on. */
template <bool wrap>
struct BitMask {
  uint32_t operator()(uint32_t position, uint32_t count) const {
    uint32_t from = wrap ? position & 31 : position, n = wrap ? count & 31 : count;
    uint64_t ones = n >= 32 ? 0xffffffff : (uint64_t{1} << n) - 1;
    return from >= 32 ? 0 : static_cast<uint32_t>(ones << from);
  }
};

struct ReverseBits {
  template <class T>
  T operator()(T a) const {
    T result = 0;
    for (unsigned k = 0; k < 8 * sizeof(T); k++)
      result = static_cast<T>(result << 1 | (a >> k & 1));
    return result;
  }
};

/* Functions of 32 or 64 bits whose result is a number of bits or a position. */
struct CountLeadingZeros {
  template <class T>
  uint32_t operator()(T a) const {
    uint32_t n = 0;
    for (T bit = T(1) << (8 * sizeof(T) - 1); bit && !(a & bit); bit >>= 1) n++;
    return n;
  }
};

struct CountOnes {
  template <class T>
  uint32_t operator()(T a) const {
    return static_cast<uint32_t>(__builtin_popcountll(a));
  }
};

/* bfind: the highest one; of a signed type the highest bit that differs from the sign. */
template <bool is_signed, bool shift_amount>
struct FindHighest {
  template <class T>
  uint32_t operator()(T a) const {
    if (is_signed && (a >> (8 * sizeof(T) - 1))) a = static_cast<T>(~a);
    if (a == 0) return ~0u;
    uint32_t zeros = CountLeadingZeros()(a);
    return shift_amount ? zeros : 8 * sizeof(T) - 1 - zeros;
  }
};

template <class T, class F>
void count_bits(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<uint32_t>(i.operands[0]);
  auto a = warp.lanes<T>(i.operands[1]);
  lanewise(mask, [=](int lane) { d.set(lane, F()(a.get(lane))); });
}

template <class F>
Operation choose_count(Instruction &i) {
  return bytes_of(i.type) == 8 ? count_bits<uint64_t, F> : count_bits<uint32_t, F>;
}

Operation choose_find(Instruction &i) {
  bool amount = i.has(".shiftamt");
  if (is_signed(i.type))
    return amount ? choose_count<FindHighest<true, true>>(i)
                  : choose_count<FindHighest<true, false>>(i);
  return amount ? choose_count<FindHighest<false, true>>(i)
                : choose_count<FindHighest<false, false>>(i);
}

/* prmt: each of four selectors picks one of eight bytes; its highest bit asks for the byte's sign
 * instead. */
struct Permute {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t selectors) const {
    uint64_t bytes = uint64_t{b} << 32 | a;
    uint32_t result = 0;
    for (int k = 0; k < 4; k++) {
      unsigned selector = selectors >> (4 * k) & 0xf;
      auto byte = static_cast<uint8_t>(bytes >> (8 * (selector & 7)));
      if (selector & 8) byte = byte & 0x80 ? 0xff : 0;
      result |= uint32_t{byte} << (8 * k);
    }
    return result;
  }
};

/* Its modes pick bytes by the lowest two bits of c, here as
 * selectors. */
uint32_t mode_selectors(const Instruction &i, uint32_t c) {
  static const struct {
    const char *mode;
    uint16_t selectors[4];
  } kModes[] = {
      {".f4e", {0x3210, 0x4321, 0x5432, 0x6543}}, {".b4e", {0x5670, 0x6701, 0x7012, 0x0123}},
      {".rc8", {0x0000, 0x1111, 0x2222, 0x3333}}, {".ecl", {0x3210, 0x3211, 0x3222, 0x3333}},
      {".ecr", {0x0000, 0x1110, 0x2210, 0x3210}}, {".rc16", {0x1010, 0x3232, 0x1010, 0x3232}},
  };
  for (const auto &known : kModes)
    if (i.has(known.mode)) return known.selectors[c & 3];
  return c;
}

void permute_by_mode(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<uint32_t>(i.operands[0]), a = warp.lanes<uint32_t>(i.operands[1]),
       b = warp.lanes<uint32_t>(i.operands[2]), c = warp.lanes<uint32_t>(i.operands[3]);
  each_lane(mask, [&](int lane) {
    d.set(lane, Permute()(a.get(lane), b.get(lane), mode_selectors(i, c.get(lane))));
  });
}

/* lop3: the immediate is the truth table. */
void logic3(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<uint32_t>(i.operands[0]), a = warp.lanes<uint32_t>(i.operands[1]),
       b = warp.lanes<uint32_t>(i.operands[2]), c = warp.lanes<uint32_t>(i.operands[3]);
  auto truth = static_cast<uint32_t>(i.operands[4].immediate);
  lanewise(mask, [=](int lane) {
    uint32_t result = 0;
    for (unsigned row = 0; row < 8; row++) {
      if (!(truth >> row & 1)) continue;
      result |= (row & 4 ? a.get(lane) : ~a.get(lane)) & (row & 2 ? b.get(lane) : ~b.get(lane)) &
                (row & 1 ? c.get(lane) : ~c.get(lane));
    }
    d.set(lane, result);
  });
}

#define BITS ".b16|.b32|.b64"

const Opcode kRows[] = {
    {"and", BITS, "T= T T", "9.7.8.1", integer_binary<And>},
    {"and", ".pred", "p= p p", "9.7.8.1", always<predicate_binary<And>>},
    {"or", BITS, "T= T T", "9.7.8.2", integer_binary<Or>},
    {"or", ".pred", "p= p p", "9.7.8.2", always<predicate_binary<Or>>},
    {"xor", BITS, "T= T T", "9.7.8.3", integer_binary<Xor>},
    {"xor", ".pred", "p= p p", "9.7.8.3", always<predicate_binary<Xor>>},
    {"not", BITS, "T= T", "9.7.8.4", integer_unary<Not>},
    {"not", ".pred", "p= p", "9.7.8.4", always<predicate_not>},
    {"cnot", BITS, "T= T", "9.7.8.5", integer_unary<LogicalNot>},
    {"lop3", ".b32", "T= T T T imm", "9.7.8.6", always<logic3>},
    {"shf", ".l|.r .wrap|.clamp .b32", "T= T T b32", "9.7.8.7", choose_funnel_shift},
    {"shl", BITS, "T= T b32", "9.7.8.8", choose_shift<ShiftLeft>},
    {"shr", BITS "|.u16|.u32|.u64|.s16|.s32|.s64", "T= T b32", "9.7.8.9", choose_shift<ShiftRight>},

    {"popc", ".b32|.b64", "b32= T", "9.7.1.14", choose_count<CountOnes>},
    {"clz", ".b32|.b64", "b32= T", "9.7.1.15", choose_count<CountLeadingZeros>},
    {"bfind", "[.shiftamt] .u32|.u64|.s32|.s64", "b32= T", "9.7.1.16", choose_find},
    {"brev", ".b32|.b64", "T= T", "9.7.1.18", integer_unary<ReverseBits>},
    {"bfe", ".u32|.u64|.s32|.s64", "T= T b32 b32", "9.7.1.19", choose_extract_field},
    {"bfi", ".b32|.b64", "T= T T b32 b32", "9.7.1.20", choose_insert_field},
    {"bmsk", ".clamp .b32", "T= b32 b32", "9.7.1.22", always<binary<uint32_t, BitMask<false>>>},
    {"bmsk", ".wrap .b32", "T= b32 b32", "9.7.1.22", always<binary<uint32_t, BitMask<true>>>},
    {"prmt", ".b32", "T= T T b32", "9.7.9", always<ternary<uint32_t, Permute>>},
    {"prmt", ".b32 .f4e|.b4e|.rc8|.ecl|.ecr|.rc16", "T= T T b32", "9.7.9", always<permute_by_mode>},
};

}  // namespace

CUDASIM_TABLE(kBitOpcodes, kRows);

}  // namespace cudasim
