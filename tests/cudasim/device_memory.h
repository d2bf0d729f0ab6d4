/* The memory of one simulated device: memory.h says what it watches over.
 *
 * Three mappings of the same length: the addresses that a program sees (no access), the bytes, and for
 * every byte whether it was written. A block begins 256 bytes into a page: aligned to 256 and no better,
 * which is what cudaMalloc promises. It has its pages for itself, so a table finds it in one step. */
#ifndef CUDASIM_DEVICE_MEMORY_H
#define CUDASIM_DEVICE_MEMORY_H

#include <deque>
#include <string>

#include "memory.h"
#include "origin.h"

namespace cudasim {

struct MemoryBlock {
  enum State { planned, live, dead }; /* before its allocation ran; until its release ran; after */
  uint64_t address;
  size_t size;
  State state;
  bool released; /* the program has asked for the release; it may not have run yet */
  bool written;  /* every byte, known */
  bool of_graph; /* a node of a graph allocates it, perhaps many times; in use between its runs */
  size_t number;
  Origin origin;
};

class DeviceMemory : public Memory {
 public:
  explicit DeviceMemory(int device);

  const uint8_t *read(uint64_t address, size_t n) override;
  uint8_t *write(uint64_t address, size_t n) override;

  /* A new block; throws Error when the device is full. */
  MemoryBlock &allocate(size_t size, MemoryBlock::State state, Origin origin);
  /* Its allocation runs: its bytes are there, unwritten. */
  void begin(MemoryBlock &block);
  /* The program asks for the release: it no longer counts as in use. */
  void release(MemoryBlock &block);
  /* The release runs. */
  void end(MemoryBlock &block);
  /* The device is reset: all that and more. */
  void end_all();

  bool owns(uint64_t address) const;
  /* The block that the address lies in or shortly after, in whatever state; null without. */
  MemoryBlock *near(uint64_t address);
  /* The block that holds all n bytes and was not released, as far as the program has asked; null without. */
  MemoryBlock *holding(uint64_t address, size_t n);

  static size_t limit(); /* CUDASIM_MEMORY */
  size_t bytes_in_use() const {
    return bytes_in_use_;
  }
  size_t bytes_at_most() const {
    return bytes_at_most_;
  }
  const std::deque<MemoryBlock> &blocks() const {
    return blocks_;
  }
  /* Whether a fault was one of addresses, which CUDA tells from others. */
  bool address_fault() const {
    return address_fault_;
  }

 private:
  MemoryBlock &live_block(uint64_t address, size_t n, const char *what);
  [[noreturn]] void complain(uint64_t address, size_t n, const char *what);
  void count(size_t bytes);
  void forget_bytes(const MemoryBlock &block);

  int device_;
  uint64_t base_;    /* of the addresses that the program sees */
  uint8_t *bytes_;   /* the memory behind base_ */
  uint8_t *written_; /* 1 for each byte that was written */
  MemoryBlock **blocks_by_page_;
  size_t next_page_ = 1; /* pages are never used again */
  std::deque<MemoryBlock> blocks_;
  size_t bytes_in_use_ = 0, bytes_at_most_ = 0;
  int file_;
  bool address_fault_ = false;
};

/* "block 3 (4096 bytes at 0x7f..., allocated by cudaMalloc from ...)" */
std::string to_text(const MemoryBlock &block);

}  // namespace cudasim

#endif
