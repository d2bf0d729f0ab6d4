#include "address_space.h"

#include "counting.h"

namespace cudasim {

namespace {

using Lane = int;

SharedMemory::Thread thread_of(const Warp &warp, Lane lane) {
  return {warp.number, static_cast<unsigned>(lane)};
}

unsigned long long hex(uint64_t address) {
  return address;
}

/* Calls access(lanes of `accesses` within one window, their addresses relative to it, window).
 * Where the space is generic, each lane's address says which window it means. */
template <class Access>
void by_window(const Accesses &accesses, Access access) {
  switch (accesses.space) {
    case Space::shared:
      return access(accesses, Window::shared);
    case Space::local:
      return access(accesses, Window::local);
    case Space::parameter:
      /* Those of the kernel have small addresses; those of a call are in local memory
       * (parse_call.cc). */
      if (window_number(accesses.address[__builtin_ctz(accesses.mask)]) == 0)
        return access(accesses, Window::parameter);
      break;
    default:
      break;
  }
  uint64_t all = 0;
  each_lane(accesses.mask, [&](Lane lane) { all |= accesses.address[lane]; });
  if (window_number(all) == 0) return access(accesses, Window::global);

  Accesses part = accesses;
  for (uint32_t rest = accesses.mask; rest;) {
    unsigned window = window_number(accesses.address[__builtin_ctz(rest)]);
    part.mask = 0;
    for (uint32_t lanes = rest; lanes; lanes &= lanes - 1) {
      Lane lane = __builtin_ctz(lanes);
      if (window_number(accesses.address[lane]) != window) continue;
      part.mask |= 1u << lane;
      part.address[lane] = window_offset(accesses.address[lane]);
    }
    rest &= ~part.mask;
    /* What is no window, or not one of the global space, is an address that global memory does not
     * have either: it will say so. */
    bool elsewhere =
        accesses.space == Space::global && window != static_cast<unsigned>(Window::module);
    if (window == 0 || elsewhere || window > static_cast<unsigned>(Window::module)) {
      for (uint32_t lanes = part.mask; lanes; lanes &= lanes - 1)
        part.address[__builtin_ctz(lanes)] = accesses.address[__builtin_ctz(lanes)];
      access(part, Window::global);
    } else {
      access(part, static_cast<Window>(window));
    }
  }
}

/* memcpy of a size that is known only now, but always small. */
inline void copy_bytes(uint8_t *to, const uint8_t *from, unsigned size) {
  switch (size) {
    case 2:
      memcpy(to, from, 2);
      break;
    case 4:
      memcpy(to, from, 4);
      break;
    case 8:
      memcpy(to, from, 8);
      break;
    case 16:
      memcpy(to, from, 16);
      break;
    default:
      memcpy(to, from, size);
      break;
  }
}

void check_alignment(Warp &warp, const Accesses &accesses, const char *verb) {
  uint64_t wrong = 0;
  for (uint32_t lanes = accesses.mask; lanes; lanes &= lanes - 1)
    wrong |= accesses.address[__builtin_ctz(lanes)];
  if (!(wrong & (accesses.size - 1))) return;
  for (uint32_t lanes = accesses.mask; lanes; lanes &= lanes - 1) {
    Lane lane = __builtin_ctz(lanes);
    if (!(accesses.address[lane] & (accesses.size - 1))) continue;
    warp.lane = lane;
    throw Fault(format("%s %u bytes at the misaligned address 0x%llx", verb, accesses.size,
                       hex(accesses.address[lane])));
  }
}

/* Global memory is asked for as few times as possible: lanes that follow each other in memory are
 * one run. copy(first lane, number of lanes) moves a run; where it faults, lane by lane finds out
 * whose fault it is. */
template <class Copy>
void in_runs(Warp &warp, const Accesses &accesses, Copy copy) {
  for (uint32_t rest = accesses.mask; rest;) {
    Lane first = __builtin_ctz(rest);
    int n = 1;
    while (first + n < kLanes && (rest >> (first + n) & 1) &&
           accesses.address[first + n] == accesses.address[first] + uint64_t(n) * accesses.size)
      n++;
    rest &= n == kLanes ? 0 : ~(((1u << n) - 1) << first);
    try {
      copy(first, n);
    } catch (const Fault &) {
      for (Lane lane = first; lane < first + n; lane++) {
        warp.lane = lane;
        copy(lane, 1);
      }
      warp.lane = -1;
    }
  }
}

void read_global(Warp &warp, const Accesses &accesses, uint8_t *data) {
  count_global(warp.block->counters, accesses.address, accesses.mask, accesses.size, false);
  check_alignment(warp, accesses, "reads");
  Memory &memory = warp.block->memory;
  uint64_t last_address = 0;
  const uint8_t *last = nullptr; /* many lanes often read the same */
  in_runs(warp, accesses, [&](Lane first, int n) {
    if (n > 1 || !last || accesses.address[first] != last_address) {
      last = nullptr;
      last_address = accesses.address[first];
      last = memory.read(last_address, size_t{accesses.size} * n);
    }
    memcpy(data + first * accesses.size, last, size_t{accesses.size} * n);
  });
}

void write_global(Warp &warp, const Accesses &accesses, const uint8_t *data) {
  count_global(warp.block->counters, accesses.address, accesses.mask, accesses.size, true);
  check_alignment(warp, accesses, "writes");
  Memory &memory = warp.block->memory;
  in_runs(warp, accesses, [&](Lane first, int n) {
    uint8_t *to = memory.write(accesses.address[first], size_t{accesses.size} * n);
    memcpy(to, data + first * accesses.size, size_t{accesses.size} * n);
  });
}

uint8_t *local_bytes(Warp &warp, Lane lane, uint64_t offset, unsigned size) {
  Block &block = *warp.block;
  if (offset > block.kernel.local_bytes || size > block.kernel.local_bytes - offset)
    throw Fault(format("%u bytes at offset %lld of %zu bytes of local memory", size,
                       static_cast<long long>(offset), block.kernel.local_bytes));
  if (offset % size)
    throw Fault(
        format("%u bytes at the misaligned offset %llu of local memory", size, hex(offset)));
  return &block.local[(warp.number * kLanes + lane) * block.kernel.local_bytes + offset];
}

const uint8_t *parameter_bytes(Warp &warp, uint64_t offset, unsigned size) {
  const Block &block = *warp.block;
  if (offset > block.kernel.parameter_bytes || size > block.kernel.parameter_bytes - offset)
    throw Fault(format("reads %u bytes at offset %lld of %zu bytes of parameters", size,
                       static_cast<long long>(offset), block.kernel.parameter_bytes));
  return &block.parameter_bytes[offset];
}

}  // namespace

void read_lanes(Warp &warp, const Accesses &all, uint8_t *data) {
  by_window(all, [&](const Accesses &accesses, Window window) {
    if (window == Window::global) return read_global(warp, accesses, data);
    Block &block = *warp.block;
    if (window == Window::shared) {
      count_shared(block.counters, accesses.address, accesses.mask, accesses.size);
      block.shared.begin_access();
    } else if (window == Window::module) {
      count_global(block.counters, accesses.address, accesses.mask, accesses.size, false);
      check_alignment(warp, accesses, "reads");
    }
    each_lane(accesses.mask, [&](Lane lane) {
      warp.lane = lane;
      uint64_t offset = accesses.address[lane];
      const uint8_t *from =
          window == Window::shared
              ? block.shared.read(thread_of(warp, lane), offset, accesses.size, accesses.strong)
          : window == Window::local ? local_bytes(warp, lane, offset, accesses.size)
          : window == Window::parameter
              ? parameter_bytes(warp, offset, accesses.size)
              : block.kernel.module_memory->find(offset, accesses.size, false);
      copy_bytes(data + lane * accesses.size, from, accesses.size);
    });
  });
}

void write_lanes(Warp &warp, const Accesses &all, const uint8_t *data) {
  by_window(all, [&](const Accesses &accesses, Window window) {
    if (window == Window::global) return write_global(warp, accesses, data);
    Block &block = *warp.block;
    if (window == Window::shared) {
      count_shared(block.counters, accesses.address, accesses.mask, accesses.size);
      block.shared.begin_access();
    } else if (window == Window::module) {
      count_global(block.counters, accesses.address, accesses.mask, accesses.size, true);
      check_alignment(warp, accesses, "writes");
    }
    each_lane(accesses.mask, [&](Lane lane) {
      warp.lane = lane;
      uint64_t offset = accesses.address[lane];
      const uint8_t *from = data + lane * accesses.size;
      if (window == Window::shared)
        return block.shared.write(thread_of(warp, lane), offset, accesses.size, accesses.strong,
                                  from);
      if (window == Window::parameter) throw Fault("writes to a parameter of the kernel");
      uint8_t *to = window == Window::local
                        ? local_bytes(warp, lane, offset, accesses.size)
                        : block.kernel.module_memory->find(offset, accesses.size, true);
      copy_bytes(to, from, accesses.size);
    });
  });
}

void count_update(Warp &warp, const Accesses &all) {
  by_window(all, [&](const Accesses &accesses, Window window) {
    Block &block = *warp.block;
    if (window == Window::shared) {
      count_shared(block.counters, accesses.address, accesses.mask, accesses.size);
      block.shared.begin_access();
    } else {
      count_global(block.counters, accesses.address, accesses.mask, accesses.size, true);
    }
  });
}

uint8_t *update_lane(Warp &warp, const Accesses &all, int lane) {
  uint8_t *result = nullptr;
  Accesses one = all;
  one.mask = 1u << lane;
  warp.lane = lane;
  by_window(one, [&](const Accesses &accesses, Window window) {
    uint64_t address = accesses.address[lane];
    if (window == Window::shared) {
      result = warp.block->shared.update(thread_of(warp, lane), address, accesses.size);
    } else if (window == Window::global || window == Window::module) {
      check_alignment(warp, accesses, "updates");
      if (window == Window::module) {
        result = warp.block->kernel.module_memory->find(address, accesses.size, true);
      } else {
        warp.block->memory.read(address, accesses.size);
        result = warp.block->memory.write(address, accesses.size);
      }
    } else {
      throw Fault("an atomic operation on memory that is neither global nor shared");
    }
  });
  return result;
}

}  // namespace cudasim
