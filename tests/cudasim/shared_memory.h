/* Shared memory of one block, with the memory of who touched what, to find
 *
 *   - accesses out of bounds, misaligned, or reading what nobody wrote since the block began;
 *   - use of what cp.async is still copying;
 *   - races: two threads touch the same byte, one of them writes, and nothing orders the two.
 *
 * What orders is a barrier of the block; within a warp also every instruction that synchronises
 * lanes. Two lanes of one instruction race if they write different values. Two strong accesses
 * (atomics, volatile, relaxed, acquire, release) do not race with each other.
 *
 * Time is a stamp that rises with every warp-wide access and every synchronisation. Each warp
 * keeps, for every warp, up to which stamp it knows that one's accesses to be over (a vector
 * clock). A cell remembers its last writer and two readers of different warps. Cells are as large
 * as the kernel's smallest access to shared memory, so that nothing is lost by that. */
#ifndef CUDASIM_SHARED_MEMORY_H
#define CUDASIM_SHARED_MEMORY_H

#include <array>
#include <cstdint>
#include <vector>

#include "module_memory.h"

namespace cudasim {

class SharedMemory {
 public:
  /* A lane of a warp. */
  struct Thread {
    unsigned warp, lane;
    unsigned number() const {
      return warp * 32 + lane;
    }
  };

  SharedMemory(size_t static_bytes, size_t dynamic_bytes, unsigned cell_bytes, unsigned warps);

  void begin_block();
  /* Every warp-wide instruction that accesses shared memory, before its lanes' accesses. */
  void begin_access() {
    stamp_++;
  }

  const uint8_t *read(Thread thread, uint64_t offset, unsigned n, bool strong);
  void write(Thread thread, uint64_t offset, unsigned n, bool strong, const uint8_t *data);
  /* For reading and writing at once, as an atomic does. */
  uint8_t *update(Thread thread, uint64_t offset, unsigned n);

  /* From the first to the second, nobody may touch the bytes. */
  void begin_copy(Thread thread, uint64_t offset, unsigned n);
  void end_copy(Thread thread, uint64_t offset, unsigned n, const uint8_t *data);
  void forget_copy(uint64_t offset, unsigned n); /* the block ended first */

  /* Lanes of a warp met. `whole`: all that are left of it. */
  void synchronise_lanes(unsigned warp, uint32_t lanes, bool whole);
  /* All threads of these warps met. */
  void synchronise_warps(const std::vector<unsigned> &warps);

 private:
  struct Reader {
    uint32_t stamp = 0, lanes = 0;
    uint16_t warp = 0;
    bool strong = false;
  };
  struct Cell {
    uint32_t write_stamp = 0; /* 0: never written */
    uint16_t writer = 0;
    bool write_strong = false, copying = false;
    std::array<Reader, 2> readers;
  };
  struct Meeting {
    uint32_t stamp, lanes;
  };
  struct Clock {
    std::vector<uint32_t>
        known; /* of each warp: accesses before this stamp are over; of its own: when all met */
    std::vector<Meeting> some_lanes; /* met since all did */
  };

  size_t place(uint64_t offset, unsigned n, const char *verb) const;
  template <class Visit>
  void each_cell(size_t at, unsigned n, Visit visit);
  bool ordered(unsigned earlier_warp, uint32_t earlier_lanes, uint32_t stamp, Thread now) const;
  bool news_reached(unsigned earlier_lane, uint32_t stamp, Thread now) const;
  void check_copying(const Cell &cell, Thread thread, uint64_t offset, const char *verb) const;
  void check_writer(const Cell &cell, Thread thread, uint64_t offset, bool strong,
                    const char *verb) const;
  void check_readers(const Cell &cell, Thread thread, uint64_t offset, bool strong) const;
  void note_reader(Cell &cell, Thread thread, bool strong);
  void note_writer(Cell &cell, Thread thread, bool strong);
  [[noreturn]] void race(Thread thread, const char *verb, uint64_t offset, unsigned other_thread,
                         const char *other_verb) const;

  size_t static_bytes_, dynamic_bytes_, dynamic_start_;
  unsigned cell_bytes_;
  std::vector<uint8_t> bytes_;
  std::vector<Cell> cells_;
  std::vector<Clock> clocks_;
  uint32_t stamp_ = 1, block_stamp_ = 1;
};

}  // namespace cudasim

#endif
