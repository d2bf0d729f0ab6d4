/* Copies to shared memory that run beside the thread: cp.async, PTX ISA 9.7.9. The bytes are
 * read from global memory at once and arrive when the thread waits for them; until then nobody may
 * touch the place. */
#include "address_space.h"
#include "counting.h"
#include "opcodes.h"

namespace cudasim {

namespace {

SharedMemory::Thread thread_of(const Warp &warp, unsigned lane) {
  return {warp.number, lane};
}

/* cp.async [shared], [global], size[, how many bytes to read; the others become zero] */
void copy(Warp &warp, const Instruction &i, uint32_t mask) {
  Block &block = *warp.block;
  auto size = static_cast<unsigned>(i.operands[2].immediate);
  uint64_t to[kLanes];
  Accesses from;
  from.space = Space::global;
  from.size = size;
  from.strong = false;
  from.mask = mask;
  warp.addresses(i.operands[0], mask, to);
  warp.addresses(i.operands[1], mask, from.address);

  unsigned wanted[kLanes];
  each_lane(mask, [&](int lane) {
    warp.lane = lane;
    wanted[lane] = i.operands.size() > 3 ? warp.lanes<uint32_t>(i.operands[3]).get(lane) : size;
    if (wanted[lane] > size)
      throw Fault(format("cp.async of %u bytes is to read %u", size, wanted[lane]));
    if (from.address[lane] % size)
      throw Fault(format("cp.async of %u bytes from the misaligned address 0x%llx", size,
                         static_cast<unsigned long long>(from.address[lane])));
    if (wanted[lane] < size) from.mask &= ~(1u << lane);
  });
  warp.lane = -1;

  uint8_t data[kLanes * 16] = {};
  if (from.mask) read_lanes(warp, from, data);
  each_lane(
      mask & ~from.mask,
      [&](int lane) { /* the few that read less than the others */
                      warp.lane = lane;
                      if (!wanted[lane]) return;
                      count_global(block.counters, from.address, 1u << lane, wanted[lane], false);
                      memcpy(data + lane * size,
                             block.memory.read(from.address[lane], wanted[lane]), wanted[lane]);
      });

  count_shared(block.counters, to, mask, size);
  block.shared.begin_access();
  each_lane(mask, [&](int lane) {
    warp.lane = lane;
    block.shared.begin_copy(thread_of(warp, lane), to[lane], size);
    AsyncCopy under_way;
    under_way.lane = static_cast<uint8_t>(lane);
    under_way.bytes = static_cast<uint8_t>(size);
    under_way.group = warp.open_group[lane];
    under_way.offset = to[lane];
    memcpy(under_way.data, data + lane * size, size);
    warp.copies.push_back(under_way);
  });
}

void commit(Warp &warp, const Instruction &, uint32_t mask) {
  each_lane(mask, [&](int lane) { warp.open_group[lane]++; });
}

/* Groups belong to a thread. Ends those of each lane but the last `but`; with all, uncommitted
 * copies too. */
void wait(Warp &warp, uint32_t mask, unsigned but, bool all) {
  SharedMemory &shared = warp.block->shared;
  shared.begin_access();
  size_t left = 0;
  for (const AsyncCopy &copy : warp.copies) {
    bool waits = mask >> copy.lane & 1;
    if (waits && (all || copy.group + but < warp.open_group[copy.lane]))
      shared.end_copy(thread_of(warp, copy.lane), copy.offset, copy.bytes, copy.data);
    else
      warp.copies[left++] = copy;
  }
  warp.copies.resize(left);
}

void wait_group(Warp &warp, const Instruction &i, uint32_t mask) {
  wait(warp, mask, static_cast<unsigned>(i.operands[0].immediate), false);
}

void wait_all(Warp &warp, const Instruction &, uint32_t mask) {
  wait(warp, mask, 0, true);
}

Operation choose_copy(Instruction &i) {
  i.space = Space::shared;
  i.access_bytes = i.has(".cg") ? 16 : 4; /* .ca: 4, 8 or 16 */
  return copy;
}

template <Operation operation>
Operation always(Instruction &) {
  return operation;
}

#define HINTS " .shared|.shared::cta .global [.L2::64B|.L2::128B|.L2::256B]"

const Opcode kRows[] = {
    {"cp", ".async .ca|.cg" HINTS, "addr addr imm b32?", "9.7.9", choose_copy},
    {"cp", ".async .commit_group", "", "9.7.9", always<commit>},
    {"cp", ".async .wait_group", "imm", "9.7.9", always<wait_group>},
    {"cp", ".async .wait_all", "", "9.7.9", always<wait_all>},
};

}  // namespace

CUDASIM_TABLE(kAsyncOpcodes, kRows);

}  // namespace cudasim
