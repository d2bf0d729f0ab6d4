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

void count_global(cudasim_counters &counters, const uint64_t address[32], uint32_t mask, unsigned size, bool store) {
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

void count_shared(cudasim_counters &counters, const uint64_t offset[32], uint32_t mask, unsigned size) {
  unsigned lanes_at_once = size >= 16 ? 8 : size >= 8 ? 16 : 32;
  for (unsigned first = 0; first < 32; first += lanes_at_once) {
    uint64_t words[32][32]; /* of each bank: the different words asked for */
    unsigned count[32] = {}, most = 0;
    for (unsigned lane = first; lane < first + lanes_at_once; lane++) {
      if (!(mask >> lane & 1)) continue;
      for (uint64_t word = offset[lane] / 4; word <= (offset[lane] + size - 1) / 4; word++) {
        unsigned bank = word % 32;
        uint64_t *end = words[bank] + count[bank];
        if (std::find(words[bank], end, word) != end) continue;
        *end = word;
        most = std::max(most, ++count[bank]);
      }
    }
    if (!most) continue;
    counters.shared_accesses++;
    counters.shared_wavefronts += most;
  }
}

}  // namespace cudasim

extern "C" __attribute__((visibility("default"))) cudasim_counters cudasim_counters_of(const char *kernel) {
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
