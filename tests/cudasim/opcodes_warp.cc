/* Exchange between the lanes of a warp: shfl (PTX ISA 9.7.9), vote, match, redux, activemask,
 * bar.warp (9.7.13). Execution has made sure that the member lanes are there (Flow::members). */
#include "execute.h"
#include "opcodes.h"

namespace cudasim {

namespace {

enum Shuffle { up, down, butterfly, indexed };

/* Which lane a lane reads from, by the manual's own definition; `valid` says whether that one is in
 * its segment. */
template <Shuffle mode>
int source_lane(int lane, uint32_t b, uint32_t c, bool &valid) {
  int amount = static_cast<int>(b & 31), segment = static_cast<int>(c >> 8 & 31),
      clamp = static_cast<int>(c & 31);
  int highest = (lane & segment) | (clamp & ~segment), lowest = lane & segment, source;
  switch (mode) {
    case up:
      source = lane - amount;
      valid = source >= highest;
      break;
    case down:
      source = lane + amount;
      valid = source <= highest;
      break;
    case butterfly:
      source = lane ^ amount;
      valid = source <= highest;
      break;
    default:
      source = lowest | (amount & ~segment);
      valid = source <= highest;
      break;
  }
  return valid ? source : lane;
}

template <Shuffle mode>
void shuffle(Warp &warp, const Instruction &i, uint32_t mask) {
  const Operand &to = i.operands[0];
  auto a = warp.lanes<uint32_t>(i.operands[1]), b = warp.lanes<uint32_t>(i.operands[2]),
       c = warp.lanes<uint32_t>(i.operands[3]), members = warp.lanes<uint32_t>(i.operands[4]);
  uint32_t result[kLanes], in_range = 0;
  each_lane(mask, [&](int lane) {
    bool valid;
    int source = source_lane<mode>(lane, b.get(lane), c.get(lane), valid);
    if (!(mask & members.get(lane)) || !((mask & members.get(lane)) >> source & 1)) {
      warp.lane = lane;
      throw Fault(format("shfl: lane %d reads from lane %d, which is not active", lane, source));
    }
    result[lane] = a.get(source);
    in_range |= uint32_t{valid} << lane;
  });
  auto d = warp.lanes<uint32_t>(to.parts[0]);
  each_lane(mask, [&](int lane) { d.set(lane, result[lane]); });
  if (to.parts.size() > 1) warp.set_predicate(to.parts[1], mask, in_range);
}

Operation choose_shuffle(Instruction &i) {
  return i.has(".up")     ? shuffle<up>
         : i.has(".down") ? shuffle<down>
         : i.has(".bfly") ? shuffle<butterfly>
                          : shuffle<indexed>;
}

/* Calls combine(members) for each set of lanes that act together: usually one, but lanes may name
 * different ones. */
template <class Combine>
void by_members(Warp &warp, const Instruction &i, uint32_t mask, Combine combine) {
  auto members = warp.lanes<uint32_t>(i.operands.back());
  while (mask) {
    uint32_t together = members.get(__builtin_ctz(mask)) & mask;
    combine(together);
    mask &= ~together;
  }
}

enum Vote { all, any, uniform, ballot };

template <Vote vote>
void take_vote(Warp &warp, const Instruction &i, uint32_t mask) {
  uint32_t bits = warp.predicate(i.operands[1]);
  by_members(warp, i, mask, [&](uint32_t lanes) {
    uint32_t yes = bits & lanes;
    if (vote == ballot) {
      auto d = warp.lanes<uint32_t>(i.operands[0]);
      each_lane(lanes, [&](int lane) { d.set(lane, yes); });
      return;
    }
    bool result = vote == all ? yes == lanes : vote == any ? yes != 0 : yes == 0 || yes == lanes;
    warp.set_predicate(i.operands[0], lanes, result ? kAllLanes : 0);
  });
}

Operation choose_vote(Instruction &i) {
  return i.has(".ballot") ? take_vote<ballot>
         : i.has(".all")  ? take_vote<all>
         : i.has(".any")  ? take_vote<any>
                          : take_vote<uniform>;
}

/* match.any: which lanes have the same value; match.all: all lanes, if they all have. */
template <class T>
void match(Warp &warp, const Instruction &i, uint32_t mask) {
  const Operand &to = i.operands[0];
  auto d = warp.lanes<uint32_t>(to.parts[0]);
  auto a = warp.lanes<T>(i.operands[1]);
  bool want_all = i.has(".all");
  by_members(warp, i, mask, [&](uint32_t lanes) {
    each_lane(lanes, [&](int lane) {
      uint32_t same = 0;
      each_lane(lanes, [&](int other) { same |= uint32_t{a.get(other) == a.get(lane)} << other; });
      d.set(lane, want_all && same != lanes ? 0 : same);
      if (to.parts.size() > 1)
        warp.set_predicate(to.parts[1], 1u << lane, same == lanes ? kAllLanes : 0);
    });
  });
}

Operation choose_match(Instruction &i) {
  return i.type == Type::b64 ? match<uint64_t> : match<uint32_t>;
}

template <class T>
T reduce(const Instruction &i, T a, T b) {
  switch (i.choice) {
    case 0:
      return static_cast<T>(uint32_t(a) + uint32_t(b));
    case 1:
      return a < b ? a : b;
    case 2:
      return a > b ? a : b;
    case 3:
      return a & b;
    case 4:
      return a | b;
    default:
      return a ^ b;
  }
}

template <class T>
void reduce_lanes(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<T>(i.operands[0]), a = warp.lanes<T>(i.operands[1]);
  by_members(warp, i, mask, [&](uint32_t lanes) {
    T sum = a.get(__builtin_ctz(lanes));
    each_lane(lanes & (lanes - 1), [&](int lane) { sum = reduce(i, sum, a.get(lane)); });
    each_lane(lanes, [&](int lane) { d.set(lane, sum); });
  });
}

Operation choose_reduction(Instruction &i) {
  const char *names[] = {".add", ".min", ".max", ".and", ".or", ".xor"};
  for (int k = 0; k < 6; k++)
    if (i.has(names[k])) i.choice = k;
  return i.type == Type::s32 ? reduce_lanes<int32_t> : reduce_lanes<uint32_t>;
}

void active_mask(Warp &warp, const Instruction &i, uint32_t mask) {
  auto d = warp.lanes<uint32_t>(i.operands[0]);
  each_lane(mask, [&](int lane) { d.set(lane, mask); });
}

void nothing(Warp &, const Instruction &, uint32_t) {
}

template <Operation operation>
Operation always(Instruction &) {
  return operation;
}

const Opcode kRows[] = {
    {"shfl", ".sync .up|.down|.bfly|.idx .b32", "b32|p= b32 b32 b32 members", "9.7.9",
     choose_shuffle, Flow::members},
    {"vote", ".sync .all|.any|.uni .pred", "p= p members", "9.7.13", choose_vote, Flow::members},
    {"vote", ".sync .ballot .b32", "T= p members", "9.7.13", choose_vote, Flow::members},
    {"match", ".any .sync .b32|.b64", "b32|p= T members", "9.7.13", choose_match, Flow::members},
    {"match", ".all .sync .b32|.b64", "b32|p= T members", "9.7.13", choose_match, Flow::members},
    {"activemask", ".b32", "T=", "9.7.13", always<active_mask>},
    {"redux", ".sync .add|.min|.max .u32|.s32", "T= T members", "9.7.13", choose_reduction,
     Flow::members},
    {"redux", ".sync .and|.or|.xor .b32", "T= T members", "9.7.13", choose_reduction,
     Flow::members},
    {"bar", ".warp .sync", "members", "9.7.13", always<nothing>, Flow::members},
};

}  // namespace

CUDASIM_TABLE(kWarpOpcodes, kRows);

}  // namespace cudasim
