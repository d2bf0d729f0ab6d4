/* A launch: its blocks one after another, their warps in turns between barriers. */
#include <algorithm>

#include "counting.h"
#include "execute.h"
#include "settings.h"

namespace cudasim {

Block::Block(const Kernel &kernel, Dim3 grid, Dim3 size, size_t dynamic_shared,
             const std::vector<uint8_t> &parameter_bytes, Memory &memory)
    : kernel(kernel),
      grid(grid),
      size(size),
      dynamic_shared(dynamic_shared),
      threads(size.x * size.y * size.z),
      parameter_bytes(parameter_bytes),
      memory(memory),
      constants(kernel.constants),
      shared(kernel.static_shared, dynamic_shared, kernel.shared_cell,
             (threads + kLanes - 1) / kLanes),
      local(kernel.local_bytes * threads),
      warps((threads + kLanes - 1) / kLanes),
      instruction_limit(setting("CUDASIM_INSTRUCTION_LIMIT", 4'000'000'000)) {
  for (size_t i = 0; i < warps.size(); i++) {
    warps[i].block = this;
    warps[i].number = static_cast<unsigned>(i);
    warps[i].registers.resize(kernel.register_bytes);
    warps[i].initialised.resize(kernel.register_count);
  }
}

static uint64_t special_value(const Warp &warp, Special what, unsigned lane) {
  const Block &block = *warp.block;
  unsigned thread = warp.number * kLanes + lane;
  uint32_t bit = 1u << lane;
  switch (what) {
    case Special::tid_x:
      return thread % block.size.x;
    case Special::tid_y:
      return thread / block.size.x % block.size.y;
    case Special::tid_z:
      return thread / block.size.x / block.size.y;
    case Special::ntid_x:
      return block.size.x;
    case Special::ntid_y:
      return block.size.y;
    case Special::ntid_z:
      return block.size.z;
    case Special::ctaid_x:
      return block.x;
    case Special::ctaid_y:
      return block.y;
    case Special::ctaid_z:
      return block.z;
    case Special::nctaid_x:
      return block.grid.x;
    case Special::nctaid_y:
      return block.grid.y;
    case Special::nctaid_z:
      return block.grid.z;
    case Special::laneid:
      return lane;
    case Special::warpid:
      return warp.number;
    case Special::nwarpid:
      return 32;
    case Special::nsmid:
      return 1;
    case Special::lanemask_eq:
      return bit;
    case Special::lanemask_lt:
      return bit - 1;
    case Special::lanemask_le:
      return bit | (bit - 1);
    case Special::lanemask_ge:
      return ~(bit - 1);
    case Special::lanemask_gt:
      return ~(bit | (bit - 1));
    case Special::dynamic_smem_size:
      return block.dynamic_shared;
    case Special::total_smem_size:
      return block.dynamic_shared + block.kernel.static_shared;
    case Special::smid:
    case Special::gridid:
    case Special::clock:
      break;
  }
  return 0;
}

void Block::begin(Warp &warp) {
  unsigned lanes = std::min<unsigned>(kLanes, threads - warp.number * kLanes);
  warp.existing = warp.live = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
  warp.paths.assign(1, {0, warp.live, Path::running});
  std::fill(warp.initialised.begin(), warp.initialised.end(), 0);
  for (const Kernel::SpecialRegister &special : kernel.special_registers) {
    for (unsigned lane = 0; lane < kLanes; lane++) {
      uint64_t value = special_value(warp, special.what, lane);
      memcpy(&warp.registers[special.offset + lane * special.width], &value, special.width);
    }
  }
  warp.reduction = nullptr;
  for (const AsyncCopy &copy : warp.copies) shared.forget_copy(copy.offset, copy.bytes);
  warp.copies.clear();
  std::fill(warp.open_group, warp.open_group + kLanes, 0);
}

void Block::run(unsigned block_x, unsigned block_y, unsigned block_z) {
  x = block_x;
  y = block_y;
  z = block_z;
  shared.begin_block();
  std::fill(local.begin(), local.end(), 0xff); /* what nobody wrote reads as NaN */
  for (Warp &warp : warps) begin(warp);

  Warp *current = nullptr;
  try {
    for (bool alive = true; alive;) {
      alive = false;
      bool progress = false;
      for (Warp &warp : warps) {
        if (warp.paths.empty()) continue;
        current = &warp;
        bool waits = warp.paths[0].state == Path::waiting;
        if (!waits && advance(warp)) progress = true; /* its turn was over */
        alive = alive || !warp.paths.empty();
      }
      if (!alive || release_barriers() || progress) continue;
      for (Warp &warp : warps)
        if (!warp.paths.empty()) current = &warp;
      wait_for_ever();
    }
  } catch (const Fault &fault) {
    throw Fault(std::string(fault.what()) + " (" + place(*current) + ")");
  }
}

/* Lets those warps go whose barrier is complete (PTX ISA 9.7.13): it has the number of threads that
 * it was given; without a number, all warps that have not ended. */
bool Block::release_barriers() {
  bool released = false;
  for (unsigned barrier = 0; barrier < 16; barrier++) {
    std::vector<unsigned> arrived;
    unsigned wanted = 0, alive = 0;
    for (const Warp &warp : warps) {
      if (warp.paths.empty()) continue;
      alive++;
      if (warp.paths[0].state != Path::waiting || warp.barrier != barrier) continue;
      arrived.push_back(warp.number);
      wanted = std::max(wanted, warp.barrier_threads);
    }
    if (arrived.empty()) continue;
    if (wanted ? arrived.size() * kLanes < wanted : arrived.size() < alive) continue;
    for (unsigned number : arrived) warps[number].paths[0].state = Path::running;
    shared.synchronise_warps(arrived);
    reduce(arrived);
    released = true;
  }
  return released;
}

void Block::wait_for_ever() const {
  std::string text;
  for (const Warp &warp : warps) {
    text += format("%s warp %u ", text.empty() ? "" : ",", warp.number);
    if (warp.paths.empty())
      text += "has ended";
    else if (warp.barrier_threads)
      text += format("waits at barrier %u for %u threads", warp.barrier, warp.barrier_threads);
    else
      text += format("waits at barrier %u", warp.barrier);
  }
  throw Fault("a barrier waits for ever:" + text);
}

/* bar.red: all threads of the barrier learn how many of them hold a predicate, whether any does,
 * whether all do. */
void Block::reduce(const std::vector<unsigned> &arrived) {
  unsigned holding = 0, all = 0;
  for (unsigned number : arrived) {
    const Warp &warp = warps[number];
    if (!warp.reduction) continue;
    holding += __builtin_popcount(warp.predicate(warp.reduction->operands[2]) & warp.live);
    all += __builtin_popcount(warp.live);
  }
  for (unsigned number : arrived) {
    Warp &warp = warps[number];
    if (!warp.reduction) continue;
    const Instruction &i = *warp.reduction;
    if (i.has(".popc"))
      each_lane(warp.live,
                [&](int lane) { warp.lanes<uint32_t>(i.operands[0]).set(lane, holding); });
    else
      warp.set_predicate(i.operands[0], warp.live,
                         (i.has(".and") ? holding == all : holding > 0) ? kAllLanes : 0);
    warp.reduction = nullptr;
  }
}

std::string Block::place(const Warp &warp) const {
  unsigned lane = warp.lane >= 0 ? warp.lane : warp.mask ? __builtin_ctz(warp.mask) : 0;
  auto coordinate = [&](Special what) {
    return static_cast<unsigned>(special_value(warp, what, lane));
  };
  std::string text =
      format("kernel %s, block %u,%u,%u, thread %u,%u,%u", kernel.name.c_str(), x, y, z,
             coordinate(Special::tid_x), coordinate(Special::tid_y), coordinate(Special::tid_z));
  if (warp.instruction) text += ", " + kernel.place(*warp.instruction);
  return text;
}

void run(const Kernel &kernel, Dim3 grid, Dim3 block, size_t dynamic_shared,
         const std::vector<uint8_t> &parameter_bytes, Memory &memory) {
  uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kernel.max_threads)
    throw Fault(format("a block of %llu threads, but at most %u are allowed (kernel %s)",
                       static_cast<unsigned long long>(threads), kernel.max_threads,
                       kernel.name.c_str()));
  if (parameter_bytes.size() < kernel.parameter_bytes)
    throw Fault(format("%zu bytes of parameters, not %zu (kernel %s)", parameter_bytes.size(),
                       kernel.parameter_bytes, kernel.name.c_str()));
  Block state(kernel, grid, block, dynamic_shared, parameter_bytes, memory);
  state.counters.launches = 1;
  struct Count { /* after a fault, too */
    Block &block;
    ~Count() {
      add_counters(block.kernel.name, block.counters);
    }
  } count{state};
  for (unsigned z = 0; z < grid.z; z++)
    for (unsigned y = 0; y < grid.y; y++)
      for (unsigned x = 0; x < grid.x; x++) state.run(x, y, z);
}

}  // namespace cudasim
