/* A block while it runs: its warps, and what they share. */
#ifndef CUDASIM_EXECUTE_H
#define CUDASIM_EXECUTE_H

#include <cstring>
#include <vector>

#include "counters.h"
#include "kernel.h"
#include "shared_memory.h"

namespace cudasim {

/* The 32 values of an operand, as T. */
template <class T>
class Lanes {
 public:
  explicit Lanes(uint8_t *at) : at_(at) {
  }
  T get(int lane) const {
    T value;
    memcpy(&value, at_ + lane * sizeof(T), sizeof value);
    return value;
  }
  void set(int lane, T value) const {
    memcpy(at_ + lane * sizeof(T), &value, sizeof value);
  }

 private:
  uint8_t *at_;
};

/* body(lane) for every lane of the mask, in their order. */
template <class Body>
inline void each_lane(uint32_t mask, Body body) {
  for (; mask; mask &= mask - 1) body(__builtin_ctz(mask));
}

/* The same where what body does for one lane does not depend on others: where all take part the
 * compiler may make vector instructions of it. */
template <class Body>
inline void lanewise(uint32_t mask, Body body) {
  if (mask == kAllLanes) {
#pragma GCC ivdep
    for (int lane = 0; lane < kLanes; lane++) body(lane);
  } else {
    each_lane(mask, body);
  }
}

/* Lanes of a warp that are at the same instruction. */
struct Path {
  enum State : uint8_t {
    running,
    parked,  /* waits for other lanes of the warp to come here */
    waiting, /* at a barrier of the block, with all of the warp */
  };
  int at; /* in Kernel::code */
  uint32_t lanes;
  State state;
};

/* A cp.async under way (PTX ISA 9.7.9). */
struct AsyncCopy {
  uint8_t lane, bytes;
  uint32_t group;  /* of this lane */
  uint64_t offset; /* in shared memory */
  uint8_t data[16];
};

struct Block;

struct Warp {
  Block *block = nullptr;
  unsigned number = 0;
  std::vector<uint8_t> registers;
  std::vector<uint32_t> initialised; /* of each register: the lanes that wrote it */
  std::vector<Path> paths;
  uint32_t existing = 0, live = 0; /* lanes that the block has; that have not exited */

  unsigned barrier = 0;         /* which one a waiting warp waits at, */
  unsigned barrier_threads = 0; /* and for how many threads; 0: all of the block */
  const Instruction *reduction =
      nullptr; /* bar.red: what gets a result when the barrier is complete */

  std::vector<AsyncCopy> copies;
  uint32_t open_group[kLanes] = {}; /* of cp.async: number of groups committed */

  /* What is running, for the message of a fault. */
  const Instruction *instruction = nullptr;
  uint32_t mask = 0;
  int lane = -1; /* the lane at fault; -1: any */

  uint8_t *at(const Operand &operand) const;
  template <class T>
  Lanes<T> lanes(const Operand &operand) const {
    return Lanes<T>(at(operand));
  }
  uint32_t predicate(const Operand &operand) const {
    uint32_t bits = Lanes<uint32_t>(at(operand)).get(0);
    return operand.negated ? ~bits : bits;
  }
  void set_predicate(const Operand &operand, uint32_t mask, uint32_t bits) const {
    Lanes<uint32_t> all(at(operand));
    all.set(0, (all.get(0) & ~mask) | (bits & mask));
  }
  void addresses(const Operand &operand, uint32_t mask, uint64_t address[kLanes]) const;
  /* Lanes of `mask` where the operand has a value; all for a constant. */
  uint32_t initialised_lanes(const Operand &operand) const {
    return operand.number == kNoRegister ? kAllLanes : initialised[operand.number];
  }
};

/* One launch: what its blocks have in common. Blocks run one after another in the same Block. */
struct Block {
  Block(const Kernel &kernel, Dim3 grid, Dim3 size, size_t dynamic_shared,
        const std::vector<uint8_t> &parameter_bytes, Memory &memory);
  void run(unsigned x, unsigned y, unsigned z); /* throws Fault that says where */

  const Kernel &kernel;
  Dim3 grid, size;
  size_t dynamic_shared;
  unsigned threads;
  const std::vector<uint8_t> &parameter_bytes;
  Memory &memory;
  std::vector<uint8_t> constants; /* the kernel's */
  SharedMemory shared;
  std::vector<uint8_t> local; /* of all threads, one after another */
  std::vector<Warp> warps;
  cudasim_counters counters = {};
  uint64_t instruction_limit;

  unsigned x = 0, y = 0, z = 0; /* the block that runs */

 private:
  void begin(Warp &warp);
  bool release_barriers();
  [[noreturn]] void wait_for_ever() const;
  void reduce(const std::vector<unsigned> &arrived);
  std::string place(const Warp &warp) const;
};

inline uint8_t *Warp::at(const Operand &operand) const {
  return const_cast<uint8_t *>(operand.constant ? block->constants.data() : registers.data()) +
         operand.offset;
}

/* Runs the warp until every lane waits or has exited, or its turn is over. True while it could go
 * on. */
bool advance(Warp &warp);

std::string lane_list(uint32_t lanes); /* "lanes 0-15, 31" */

}  // namespace cudasim

#endif
