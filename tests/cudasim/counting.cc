#include "counting.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "cudasim.h"

namespace cudasim {

namespace {

struct AllCounters {
  std::mutex lock;
  std::map<std::string, cudasim_counters> by_kernel;
};

AllCounters &all() {
  static auto *counters = new AllCounters; /* never destroyed: a program may ask while it exits */
  return *counters;
}

void add(cudasim_counters &sum, const cudasim_counters &more) {
  sum.launches += more.launches;
  sum.warp_instructions += more.warp_instructions;
  sum.lane_instructions += more.lane_instructions;
  sum.global_loads += more.global_loads;
  sum.global_stores += more.global_stores;
  sum.global_bytes += more.global_bytes;
  sum.global_sectors += more.global_sectors;
  sum.global_sectors_ideal += more.global_sectors_ideal;
  sum.shared_accesses += more.shared_accesses;
  sum.shared_wavefronts += more.shared_wavefronts;
  sum.tensor_operations += more.tensor_operations;
  sum.barriers += more.barriers;
}

}  // namespace

void add_counters(const std::string &kernel, const cudasim_counters &of_launch) {
  std::lock_guard<std::mutex> guard(all().lock);
  add(all().by_kernel[kernel], of_launch);
}

void count_global(cudasim_counters &counters, const uint64_t address[32], uint32_t mask,
                  unsigned size, bool store) {
  constexpr unsigned kSector = 32;
  uint64_t sorted[32];
  unsigned n = 0;
  bool ascending = true;
  for (; mask; mask &= mask - 1) {
    sorted[n] = address[__builtin_ctz(mask)];
    ascending = ascending && (n == 0 || sorted[n - 1] <= sorted[n]);
    n++;
  }
  if (!ascending) std::sort(sorted, sorted + n);

  uint64_t distinct_bytes = 0, sectors = 0, covered_to = 0, next_sector = 0;
  for (unsigned i = 0; i < n; i++) {
    uint64_t first = sorted[i], end = first + size;
    distinct_bytes += end - std::min(std::max(first, covered_to), end);
    covered_to = std::max(covered_to, end);
    uint64_t from = std::max(first / kSector, next_sector), to = (end - 1) / kSector + 1;
    if (to > from) sectors += to - from;
    next_sector = std::max(next_sector, to);
  }
  (store ? counters.global_stores : counters.global_loads)++;
  counters.global_bytes += uint64_t{n} * size;
  counters.global_sectors += sectors;
  counters.global_sectors_ideal += (distinct_bytes + kSector - 1) / kSector;
}

namespace {

/* Mostly each bank is asked for one word alone. */
bool without_conflict(const uint64_t offset[32], uint32_t mask, unsigned size) {
  uint64_t word_of[32];
  uint32_t used = 0;
  for (; mask; mask &= mask - 1) {
    uint64_t first = offset[__builtin_ctz(mask)];
    for (uint64_t word = first / 4; word <= (first + size - 1) / 4; word++) {
      unsigned bank = word % 32;
      if ((used >> bank & 1) && word_of[bank] != word) return false;
      used |= 1u << bank;
      word_of[bank] = word;
    }
  }
  return true;
}

/* The most different words that one bank is asked for. */
unsigned wavefronts(const uint64_t offset[32], uint32_t mask, unsigned size) {
  if (without_conflict(offset, mask, size)) return 1;
  uint64_t words[32][32]; /* of each bank */
  unsigned count[32] = {}, most = 0;
  for (; mask; mask &= mask - 1) {
    uint64_t first = offset[__builtin_ctz(mask)];
    for (uint64_t word = first / 4; word <= (first + size - 1) / 4; word++) {
      unsigned bank = word % 32;
      uint64_t *end = words[bank] + count[bank];
      if (std::find(words[bank], end, word) != end) continue;
      *end = word;
      most = std::max(most, ++count[bank]);
    }
  }
  return most;
}

}  // namespace

void count_shared(cudasim_counters &counters, const uint64_t offset[32], uint32_t mask,
                  unsigned size) {
  unsigned lanes_at_once = size >= 16 ? 8 : size >= 8 ? 16 : 32;
  for (unsigned first = 0; first < 32; first += lanes_at_once) {
    uint32_t lanes = mask & (lanes_at_once == 32 ? ~0u : ((1u << lanes_at_once) - 1) << first);
    if (!lanes) continue;
    counters.shared_accesses++;
    counters.shared_wavefronts += wavefronts(offset, lanes, size);
  }
}

}  // namespace cudasim

extern "C" __attribute__((visibility("default"))) cudasim_counters cudasim_counters_of(
    const char *kernel) {
  cudasim::AllCounters &all = cudasim::all();
  std::lock_guard<std::mutex> guard(all.lock);
  cudasim_counters sum = {};
  for (const auto &known : all.by_kernel)
    if (!kernel || known.first.find(kernel) != std::string::npos) cudasim::add(sum, known.second);
  return sum;
}

extern "C" __attribute__((visibility("default"))) void cudasim_counters_reset(void) {
  std::lock_guard<std::mutex> guard(cudasim::all().lock);
  cudasim::all().by_kernel.clear();
}
