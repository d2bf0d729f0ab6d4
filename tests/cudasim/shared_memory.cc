#include "shared_memory.h"

#include <algorithm>
#include <cstring>

#include "fault.h"

namespace cudasim {

SharedMemory::SharedMemory(size_t static_bytes, size_t dynamic_bytes, unsigned cell_bytes,
                           unsigned warps)
    : static_bytes_(static_bytes),
      dynamic_bytes_(dynamic_bytes),
      dynamic_start_((static_bytes + 127) / 128 * 128),
      cell_bytes_(cell_bytes),
      bytes_(dynamic_start_ + dynamic_bytes + 16),
      cells_(bytes_.size() / cell_bytes + 1),
      clocks_(warps) {
  for (Clock &clock : clocks_) clock.known.resize(warps);
}

/* Nothing has to be cleared: what happened before this stamp is over for everyone. */
void SharedMemory::begin_block() {
  block_stamp_ = ++stamp_;
  for (Clock &clock : clocks_) {
    clock.some_lanes.clear();
    std::fill(clock.known.begin(), clock.known.end(), stamp_);
  }
}

/* ---------- checks and bookkeeping of one cell */

static bool is_dynamic(uint64_t offset) {
  return offset >= kDynamicShared;
}
static const char *kind(uint64_t offset) {
  return is_dynamic(offset) ? "dynamic" : "static";
}
static unsigned long long within_kind(uint64_t offset) {
  return is_dynamic(offset) ? offset - kDynamicShared : offset;
}

/* Where the bytes at a shared address are. */
inline size_t SharedMemory::place(uint64_t offset, unsigned n, const char *verb) const {
  uint64_t into = within_kind(offset);
  size_t size = is_dynamic(offset) ? dynamic_bytes_ : static_bytes_;
  if (into > size || n > size - into)
    throw Fault(format("%s %u bytes at offset %lld of %zu bytes of %s shared memory", verb, n,
                       static_cast<long long>(into), size, kind(offset)));
  if (into & (n - 1))
    throw Fault(format("%s %u bytes at the misaligned offset %llu of %s shared memory", verb, n,
                       within_kind(offset), kind(offset)));
  return is_dynamic(offset) ? dynamic_start_ + into : into;
}

/* Is what these lanes of a warp did at that stamp over for the thread? */
inline bool SharedMemory::ordered(unsigned earlier_warp, uint32_t earlier_lanes, uint32_t stamp,
                                  Thread now) const {
  if (stamp < clocks_[now.warp].known[earlier_warp]) return true;
  if (earlier_warp != now.warp) return false;
  for (uint32_t lanes = earlier_lanes & ~(1u << now.lane); lanes; lanes &= lanes - 1)
    if (!news_reached(__builtin_ctz(lanes), stamp, now)) return false;
  return true;
}

/* The same for a lane of the own warp, through meetings of some lanes each. */
bool SharedMemory::news_reached(unsigned earlier_lane, uint32_t stamp, Thread now) const {
  uint32_t reached = 1u << earlier_lane;
  for (const Meeting &meeting : clocks_[now.warp].some_lanes)
    if (meeting.stamp > stamp && (meeting.lanes & reached)) reached |= meeting.lanes;
  return reached >> now.lane & 1;
}

inline void SharedMemory::check_copying(const Cell &cell, Thread thread, uint64_t offset,
                                        const char *verb) const {
  if (!cell.copying) return;
  throw Fault(
      format("shared-memory race: thread %u %s offset %llu of %s shared memory, to which a "
             "cp.async of thread %u "
             "is still copying",
             thread.number(), verb, within_kind(offset), kind(offset), cell.writer));
}

inline void SharedMemory::check_writer(const Cell &cell, Thread thread, uint64_t offset,
                                       bool strong, const char *verb) const {
  if (cell.writer == thread.number() || cell.write_stamp < block_stamp_ ||
      (strong && cell.write_strong))
    return;
  if (ordered(cell.writer / 32, 1u << cell.writer % 32, cell.write_stamp, thread)) return;
  race(thread, verb, offset, cell.writer, "wrote it");
}

inline void SharedMemory::check_readers(const Cell &cell, Thread thread, uint64_t offset,
                                        bool strong) const {
  for (const Reader &reader : cell.readers) {
    if (reader.stamp < block_stamp_ || (strong && reader.strong)) continue;
    uint32_t others =
        reader.warp == thread.warp ? reader.lanes & ~(1u << thread.lane) : reader.lanes;
    if (others && !ordered(reader.warp, others, reader.stamp, thread))
      race(thread, "writes", offset, reader.warp * 32 + __builtin_ctz(others), "reads it");
  }
}

inline void SharedMemory::note_reader(Cell &cell, Thread thread, bool strong) {
  uint32_t lane = 1u << thread.lane;
  Reader *oldest = &cell.readers[0];
  for (Reader &reader : cell.readers) {
    if (reader.warp == thread.warp && reader.lanes && reader.stamp >= block_stamp_) {
      /* Lanes share an entry while nothing orders them; the earliest stamp speaks for all. */
      if (ordered(reader.warp, reader.lanes, reader.stamp, thread)) {
        bool alone =
            reader.lanes == lane && reader.stamp >= clocks_[thread.warp].known[thread.warp];
        reader = {stamp_, lane, static_cast<uint16_t>(thread.warp),
                  strong && (!alone || reader.strong)};
      } else {
        reader.lanes |= lane;
        reader.strong = reader.strong && strong;
      }
      return;
    }
    if (reader.stamp < oldest->stamp) oldest = &reader;
  }
  *oldest = {stamp_, lane, static_cast<uint16_t>(thread.warp), strong};
}

inline void SharedMemory::note_writer(Cell &cell, Thread thread, bool strong) {
  cell.write_stamp = stamp_;
  cell.writer = static_cast<uint16_t>(thread.number());
  cell.write_strong = strong;
}

void SharedMemory::race(Thread thread, const char *verb, uint64_t offset, unsigned other_thread,
                        const char *other_verb) const {
  throw Fault(format(
      "shared-memory race: thread %u %s offset %llu of %s shared memory, thread %u %s, and nothing "
      "orders the two",
      thread.number(), verb, within_kind(offset), kind(offset), other_thread, other_verb));
}

/* ---------- accesses */

/* visit(cell, its first byte's place within the access) */
template <class Visit>
inline void SharedMemory::each_cell(size_t at, unsigned n, Visit visit) {
  Cell *cell = &cells_[at / cell_bytes_];
  for (unsigned start = 0; start < n; start += cell_bytes_) visit(*cell++, start);
}

const uint8_t *SharedMemory::read(Thread thread, uint64_t offset, unsigned n, bool strong) {
  size_t at = place(offset, n, "reads");
  each_cell(at, n, [&](Cell &cell, unsigned) {
    check_copying(cell, thread, offset, "reads");
    if (cell.write_stamp < block_stamp_)
      throw Fault(
          format("reads %u bytes of shared memory at offset %llu that nobody has written since the "
                 "block began",
                 n, within_kind(offset)));
    check_writer(cell, thread, offset, strong, "reads");
    note_reader(cell, thread, strong);
  });
  return &bytes_[at];
}

void SharedMemory::write(Thread thread, uint64_t offset, unsigned n, bool strong,
                         const uint8_t *data) {
  size_t at = place(offset, n, "writes");
  each_cell(at, n, [&](Cell &cell, unsigned start) {
    check_copying(cell, thread, offset, "writes");
    bool same_instruction = cell.write_stamp == stamp_ && cell.writer != thread.number() && !strong;
    if (!same_instruction)
      check_writer(cell, thread, offset, strong, "writes");
    else if (memcmp(&bytes_[at + start], data + start, cell_bytes_) != 0)
      race(thread, "writes another value to", offset, cell.writer,
           "writes it in the same instruction");
    check_readers(cell, thread, offset, strong);
    note_writer(cell, thread, strong);
  });
  memcpy(&bytes_[at], data, n);
}

uint8_t *SharedMemory::update(Thread thread, uint64_t offset, unsigned n) {
  read(thread, offset, n, true);
  size_t at = place(offset, n, "writes");
  each_cell(at, n, [&](Cell &cell, unsigned) {
    check_readers(cell, thread, offset, true);
    note_writer(cell, thread, true);
  });
  return &bytes_[at];
}

void SharedMemory::begin_copy(Thread thread, uint64_t offset, unsigned n) {
  each_cell(place(offset, n, "copies to"), n, [&](Cell &cell, unsigned) {
    check_copying(cell, thread, offset, "copies to");
    check_writer(cell, thread, offset, false, "copies to");
    check_readers(cell, thread, offset, false);
    cell.copying = true;
    cell.writer = static_cast<uint16_t>(thread.number());
  });
}

void SharedMemory::end_copy(Thread thread, uint64_t offset, unsigned n, const uint8_t *data) {
  size_t at = place(offset, n, "copies to");
  each_cell(at, n, [&](Cell &cell, unsigned) {
    cell.copying = false;
    note_writer(cell, thread, false);
  });
  memcpy(&bytes_[at], data, n);
}

void SharedMemory::forget_copy(uint64_t offset, unsigned n) {
  each_cell(place(offset, n, "copies to"), n, [&](Cell &cell, unsigned) { cell.copying = false; });
}

/* ---------- what orders accesses */

void SharedMemory::synchronise_lanes(unsigned warp, uint32_t lanes, bool whole) {
  Clock &clock = clocks_[warp];
  stamp_++;
  if (whole) {
    clock.known[warp] = stamp_;
    clock.some_lanes.clear();
  } else {
    clock.some_lanes.push_back({stamp_, lanes});
    /* A bound for kernels that never meet as a whole; only old orderings are lost, in favour of the
     * kernel. */
    if (clock.some_lanes.size() > 10000) synchronise_lanes(warp, lanes, true);
  }
}

void SharedMemory::synchronise_warps(const std::vector<unsigned> &warps) {
  stamp_++;
  std::vector<uint32_t> known(clocks_.size());
  for (unsigned warp : warps)
    for (size_t other = 0; other < known.size(); other++)
      known[other] = std::max(known[other], clocks_[warp].known[other]);
  for (unsigned warp : warps) known[warp] = stamp_;
  for (unsigned warp : warps) {
    clocks_[warp].known = known;
    clocks_[warp].some_lanes.clear();
  }
}

}  // namespace cudasim
