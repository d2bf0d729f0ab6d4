/* How a warp runs: the path with the lowest program counter first, so that lanes that went apart
 * meet again where the code joins (PTX ISA 3.1). Where code does not lie in that order, lanes that
 * need others wait for them (Path::parked); a fault is only what can never be.
 *
 * Lanes that exited do not count any more, be it for a barrier or in a member mask, as on hardware
 * since sm_70. What still has instructions before its exit does: it went past those who wait. */
#include "execute.h"

#include "opcodes.h"

namespace cudasim {

std::string lane_list(uint32_t lanes) {
  std::string text = (lanes & (lanes - 1)) ? "lanes " : "lane ";
  for (int lane = 0; lane < kLanes; lane++) {
    if (!(lanes >> lane & 1)) continue;
    int last = lane;
    while (last + 1 < kLanes && (lanes >> (last + 1) & 1)) last++;
    if (text.back() != ' ') text += ", ";
    text += std::to_string(lane);
    if (last > lane) text += "-" + std::to_string(last);
    lane = last;
  }
  return text;
}

void Warp::addresses(const Operand &operand, uint32_t mask, uint64_t address[kLanes]) const {
  uint64_t displacement = static_cast<uint64_t>(operand.immediate);
  if (operand.number == kNoRegister) {
    lanewise(mask, [=](int lane) { address[lane] = displacement; });
  } else if (operand.width == 8) {
    auto base = lanes<uint64_t>(operand);
    lanewise(mask, [=](int lane) { address[lane] = base.get(lane) + displacement; });
  } else {
    auto base = lanes<uint32_t>(operand);
    lanewise(mask, [=](int lane) {
      address[lane] = static_cast<uint32_t>(base.get(lane) + displacement);
    });
  }
}

namespace {

/* A warp that waits for another one's store in a loop must not wait for ever. */
constexpr uint64_t kTurn = 1u << 20;

unsigned count_lanes(uint32_t mask) {
  return mask == kAllLanes ? kLanes : static_cast<unsigned>(__builtin_popcount(mask));
}

/* Has the path nothing to do but to exit? */
bool exits(const Warp &warp, const Path &path) {
  const Instruction &instruction = warp.block->kernel.code[path.at];
  return instruction.flow == Flow::exit && instruction.guard_offset < 0;
}

/* The path to go on with, joined by all others that are at the same place; -1 if none can run. */
int choose_path(Warp &warp) {
  std::vector<Path> &paths = warp.paths;
  int lowest = -1;
  for (size_t i = 0; i < paths.size(); i++) {
    if (paths[i].state != Path::running) continue;
    if (lowest < 0 || paths[i].at < paths[lowest].at) lowest = static_cast<int>(i);
    if (paths.size() > 1 && exits(warp, paths[i])) {
      lowest = static_cast<int>(i);
      break;
    }
  }
  if (lowest < 0) return -1;
  for (size_t i = 0; i < paths.size();) {
    if (static_cast<int>(i) == lowest || paths[i].at != paths[lowest].at ||
        paths[i].state == Path::waiting) {
      i++;
      continue;
    }
    paths[lowest].lanes |= paths[i].lanes;
    paths.erase(paths.begin() + i);
    if (static_cast<int>(i) < lowest) lowest--;
  }
  return lowest;
}

/* Where the path meets another one when it runs straight on. */
int next_meeting(const Warp &warp, int own) {
  int meeting = INT32_MAX;
  for (size_t i = 0; i < warp.paths.size(); i++)
    if (static_cast<int>(i) != own && warp.paths[i].at > warp.paths[own].at &&
        warp.paths[i].at < meeting)
      meeting = warp.paths[i].at;
  return meeting;
}

[[noreturn]] void uninitialised(Warp &warp, const Instruction &instruction, uint32_t mask) {
  std::vector<uint32_t> numbers = instruction.reads;
  if (instruction.guard_offset >= 0) numbers.push_back(instruction.guard_number);
  for (uint32_t number : numbers) {
    uint32_t missing = mask & ~warp.initialised[number];
    if (!missing) continue;
    warp.lane = __builtin_ctz(missing);
    throw Fault("reads the register " + warp.block->kernel.register_name(number) + ", which " +
                lane_list(missing) + " never wrote");
  }
  throw Fault("reads an uninitialised register");
}

inline void check_initialised(Warp &warp, const Instruction &instruction, uint32_t mask) {
  uint32_t written = kAllLanes;
  for (uint32_t number : instruction.reads) written &= warp.initialised[number];
  if (mask & ~written) uninitialised(warp, instruction, mask);
}

inline void perform(Warp &warp, const Instruction &instruction, uint32_t mask) {
  if (!instruction.checks_itself) {
    check_initialised(warp, instruction, mask);
    for (uint32_t number : instruction.writes) warp.initialised[number] |= mask;
  }
  warp.mask = mask;
  warp.lane = -1;
  instruction.run(warp, instruction, mask);
}

/* What a warp instruction does with the path that runs it. */
enum class Then { go_on, leave };

/* The lanes that the path's lanes name as taking part. */
uint32_t named_members(Warp &warp, const Instruction &instruction, uint32_t mask) {
  auto members = warp.lanes<uint32_t>(instruction.operands.back());
  uint32_t named = 0;
  each_lane(mask, [&](int lane) { named |= members.get(lane); });
  each_lane(mask, [&](int lane) {
    if (members.get(lane) >> lane & 1) return;
    warp.lane = lane;
    throw Fault(format("member mask 0x%08x does not name the lane %d that executes it",
                       members.get(lane), lane));
  });
  return named;
}

/* Are the lanes that an instruction needs all here? Parks the path if not, but they can come. */
bool together(Warp &warp, Path &path, const Instruction &instruction, uint32_t needed,
              uint32_t mask) {
  uint32_t missing = needed & warp.live & ~mask;
  if (!missing) return true;
  if (missing & path.lanes) {
    warp.lane = __builtin_ctz(missing & path.lanes);
    throw Fault(std::string(instruction.opcode->name) + " needs " +
                lane_list(needed & warp.existing) + ", but " + lane_list(missing & path.lanes) +
                " skip it by its predicate");
  }
  path.state = Path::parked;
  return false;
}

Then take_branch(Warp &warp, int own, uint32_t mask, int target) {
  Path &path = warp.paths[own];
  if (mask == path.lanes) {
    path.at = target;
    return warp.paths.size() > 1 ? Then::leave : Then::go_on;
  }
  path.lanes &= ~mask;
  path.at++;
  warp.paths.push_back({target, mask, Path::running});
  return Then::leave;
}

/* brx.idx: as many branches as there are different targets. */
Then take_indexed_branch(Warp &warp, int own, const Instruction &instruction, uint32_t mask) {
  const std::vector<int> &table =
      warp.block->kernel.branch_tables[instruction.operands[1].immediate];
  auto index = warp.lanes<uint32_t>(instruction.operands[0]);
  while (mask) {
    uint32_t wanted = index.get(__builtin_ctz(mask)), same = 0;
    if (wanted >= table.size()) throw Fault(format("branch index %u of %zu", wanted, table.size()));
    each_lane(mask,
              [&](int lane) { same |= static_cast<uint32_t>(index.get(lane) == wanted) << lane; });
    mask &= ~same;
    if (same == warp.paths[own].lanes) {
      warp.paths[own].at = table[wanted];
      return Then::leave;
    }
    warp.paths[own].lanes &= ~same;
    warp.paths.push_back({table[wanted], same, Path::running});
  }
  warp.paths[own].at++; /* lanes without the predicate */
  return Then::leave;
}

Then leave_kernel(Warp &warp, int own, uint32_t mask) {
  Path &path = warp.paths[own];
  warp.live &= ~mask;
  path.lanes &= ~mask;
  path.at++;
  if (path.lanes) return Then::go_on;
  warp.paths.erase(warp.paths.begin() + own);
  return Then::leave;
}

Then reach_barrier(Warp &warp, int own, const Instruction &instruction, uint32_t mask) {
  Path &path = warp.paths[own];
  if (!mask) {
    path.at++;
    return Then::go_on;
  }
  check_initialised(warp, instruction, mask);
  if (!together(warp, path, instruction, kAllLanes, mask)) return Then::leave;
  perform(warp, instruction, mask);
  warp.block->counters.barriers++;
  path.state = Path::waiting;
  path.at++;
  return Then::leave;
}

Then meet_lanes(Warp &warp, int own, const Instruction &instruction, uint32_t mask) {
  Path &path = warp.paths[own];
  if (mask) {
    check_initialised(warp, instruction, mask);
    bool whole = instruction.flow == Flow::all_lanes;
    uint32_t needed = whole ? kAllLanes : named_members(warp, instruction, mask);
    if (!together(warp, path, instruction, needed, mask)) return Then::leave;
    if (whole && mask != kAllLanes)
      throw Fault(std::string(instruction.opcode->name) + " needs the whole warp, but " +
                  lane_list(~mask) + " exited before or never existed");
    perform(warp, instruction, mask);
    warp.block->shared.synchronise_lanes(warp.number, needed & mask, (warp.live & ~needed) == 0);
  }
  path.at++;
  return Then::go_on;
}

/* Everything but Flow::next. */
Then flow(Warp &warp, int own, const Instruction &instruction, uint32_t mask) {
  warp.mask = mask ? mask : warp.paths[own].lanes;
  warp.lane = -1;
  switch (instruction.flow) {
    case Flow::branch:
    case Flow::indexed_branch:
      if (!mask) {
        warp.paths[own].at++;
        return Then::go_on;
      }
      check_initialised(warp, instruction, mask);
      if (instruction.flow == Flow::branch)
        return take_branch(warp, own, mask, static_cast<int>(instruction.operands[0].immediate));
      return take_indexed_branch(warp, own, instruction, mask);
    case Flow::exit:
      return leave_kernel(warp, own, mask);
    case Flow::barrier:
      return reach_barrier(warp, own, instruction, mask);
    default:
      return meet_lanes(warp, own, instruction, mask);
  }
}

/* Runs one path until it meets another, goes apart, waits or ends. */
void run_path(Warp &warp, int own) {
  Block &block = *warp.block;
  const Instruction *code = block.kernel.code.data();
  int meeting = next_meeting(warp, own);
  uint64_t instructions = 0, lanes = 0;
  Path *path = &warp.paths[own];
  Then then = Then::go_on;
  struct Count { /* also when a fault leaves this function */
    cudasim_counters &counters;
    uint64_t &instructions, &lanes;
    ~Count() {
      counters.warp_instructions += instructions;
      counters.lane_instructions += lanes;
    }
  } count{block.counters, instructions, lanes};

  while (then == Then::go_on && path->at != meeting) {
    const Instruction &instruction = code[path->at];
    warp.instruction = &instruction;
    uint32_t mask = path->lanes;
    if (instruction.guard_offset >= 0) {
      uint32_t bits = Lanes<uint32_t>(warp.registers.data() + instruction.guard_offset).get(0);
      uint32_t unknown = mask & ~warp.initialised[instruction.guard_number];
      if (unknown) uninitialised(warp, instruction, unknown);
      mask &= instruction.guard_negated ? ~bits : bits;
    }
    instructions++;
    lanes += count_lanes(mask);
    if (instruction.flow == Flow::next) {
      if (mask) perform(warp, instruction, mask);
      path->at++;
      continue;
    }
    then = flow(warp, own, instruction, mask);
    if (then == Then::go_on) path = &warp.paths[own];
    if (instructions > kTurn) break; /* whatever runs for ever does so through a branch */
  }
}

/* No path can run, yet not all of the warp waits at a barrier: the rest will never come. */
[[noreturn]] void stuck(Warp &warp) {
  const Path *parked = nullptr;
  std::string others;
  for (const Path &path : warp.paths) {
    if (path.state == Path::parked && !parked) {
      parked = &path;
      continue;
    }
    const Instruction &at =
        warp.block->kernel.code[path.state == Path::waiting ? path.at - 1 : path.at];
    others += (others.empty() ? "" : "; ") + lane_list(path.lanes) + " wait at PTX line " +
              std::to_string(at.line);
  }
  uint32_t exited = warp.existing & ~warp.live;
  if (exited) others += (others.empty() ? "" : "; ") + lane_list(exited) + " exited";
  const Instruction &instruction = warp.block->kernel.code[parked->at];
  warp.instruction = &instruction;
  warp.mask = parked->lanes;
  warp.lane = -1;
  std::string what = instruction.flow == Flow::barrier ? "divergent barrier: " : "";
  throw Fault(what + std::string(instruction.opcode->name) + " is reached only by " +
              lane_list(parked->lanes) + " of the warp's lanes that it needs (" + others + ")");
}

}  // namespace

bool advance(Warp &warp) {
  Block &block = *warp.block;
  uint64_t end = block.counters.warp_instructions + kTurn;
  while (true) {
    int own = choose_path(warp);
    if (own < 0) break;
    run_path(warp, own);
    if (block.counters.warp_instructions > block.instruction_limit)
      throw Fault(format(
          "endless loop? more than %llu instructions in one launch (CUDASIM_INSTRUCTION_LIMIT)",
          static_cast<unsigned long long>(block.instruction_limit)));
    if (block.counters.warp_instructions > end) return true;
  }
  bool waits = warp.paths.size() == 1 && warp.paths[0].state == Path::waiting;
  if (!warp.paths.empty() && !waits) stuck(warp);
  return false;
}

}  // namespace cudasim
