#include "device_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "error.h"
#include "host_touch.h"
#include "settings.h"

namespace cudasim {

namespace {

const size_t page = 4096, first_byte = 256, gap = 512;
const size_t capacity =
    size_t(1) << 38; /* of addresses; memory is only taken where it is written */

/* MAP_NORESERVE: the mapping is large and stays mostly empty. */
void *map(size_t size, int access, int file) {
  const int sharing = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void *address = mmap(nullptr, size, access, sharing | MAP_NORESERVE, file, 0);
  if (address == MAP_FAILED) {
    perror("cudasim: mmap");
    abort();
  }
  return address;
}

/* Small sizes are what kernels ask for, by the million. */
inline const uint8_t *first_zero(const uint8_t *bytes, size_t n) {
  if (n == 4) {
    uint32_t four;
    memcpy(&four, bytes, 4);
    if (four == 0x01010101u) return nullptr;
  }
  return (const uint8_t *)memchr(bytes, 0, n);
}

}  // namespace

std::string to_text(const MemoryBlock &block) {
  return format("block %zu (%zu bytes at 0x%llx, allocated by %s)", block.number, block.size,
                (unsigned long long)block.address, to_text(block.origin).c_str());
}

DeviceMemory::DeviceMemory(int device) : device_(device) {
  file_ = memfd_create("cudasim", MFD_CLOEXEC);
  if (file_ < 0 || ftruncate(file_, off_t(capacity))) {
    perror("cudasim: memfd");
    abort();
  }
  base_ = (uint64_t)map(capacity, PROT_NONE, file_);
  bytes_ = (uint8_t *)map(capacity, PROT_READ | PROT_WRITE, file_);
  written_ = (uint8_t *)map(capacity, PROT_READ | PROT_WRITE, -1);
  blocks_by_page_ =
      (MemoryBlock **)map(capacity / page * sizeof(MemoryBlock *), PROT_READ | PROT_WRITE, -1);
  watch_host_accesses(this);
}

bool DeviceMemory::owns(uint64_t address) const {
  return address - base_ < capacity;
}

MemoryBlock *DeviceMemory::near(uint64_t address) {
  return owns(address) ? blocks_by_page_[(address - base_) / page] : nullptr;
}

MemoryBlock *DeviceMemory::holding(uint64_t address, size_t n) {
  MemoryBlock *block = near(address);
  if (!block || address < block->address) return nullptr;
  if (block->released && !block->of_graph) return nullptr;
  const uint64_t offset = address - block->address;
  return offset <= block->size && n <= block->size - offset ? block : nullptr;
}

inline MemoryBlock &DeviceMemory::live_block(uint64_t address, size_t n, const char *what) {
  MemoryBlock *block = near(address);
  if (block && block->state == MemoryBlock::live) {
    const uint64_t offset =
        address - block->address; /* huge when the address is before the block */
    if (offset <= block->size && n <= block->size - offset) return *block;
  }
  complain(address, n, what);
}

const uint8_t *DeviceMemory::read(uint64_t address, size_t n) {
  MemoryBlock &block = live_block(address, n, "read");
  const uint64_t offset = address - base_;
  if (!block.written) {
    if (const uint8_t *hole = first_zero(written_ + offset, n))
      throw Fault(format("read of %zu bytes at 0x%llx: byte %llu of %s was never written", n,
                         (unsigned long long)address,
                         (unsigned long long)(hole - written_ + base_ - block.address),
                         to_text(block).c_str()));
    if (n == block.size) block.written = true;
  }
  return bytes_ + offset;
}

uint8_t *DeviceMemory::write(uint64_t address, size_t n) {
  MemoryBlock &block = live_block(address, n, "write");
  const uint64_t offset = address - base_;
  if (!block.written) {
    memset(written_ + offset, 1, n);
    if (n == block.size) block.written = true;
  }
  return bytes_ + offset;
}

void DeviceMemory::complain(uint64_t address, size_t n, const char *what) {
  address_fault_ = true;
  const std::string access =
      format("%s of %zu bytes at 0x%llx: ", what, n, (unsigned long long)address);
  const MemoryBlock *block = near(address);
  if (!owns(address)) throw Fault(access + format("no memory of device %d", device_));
  if (!block) throw Fault(access + "no block was ever here");
  const std::string name = to_text(*block);
  if (block->state == MemoryBlock::planned)
    throw Fault(access + name + " was used before its allocation ran, in stream order");
  if (block->state == MemoryBlock::dead)
    throw Fault(access + name + " was used after it was freed, in stream order");
  if (address < block->address)
    throw Fault(access +
                format("%llu bytes before ", (unsigned long long)(block->address - address)) +
                name);
  const uint64_t offset = address - block->address;
  if (offset >= block->size)
    throw Fault(access +
                format("%llu bytes after the end of ", (unsigned long long)(offset - block->size)) +
                name);
  throw Fault(access + format("from byte %llu over the end of ", (unsigned long long)offset) +
              name);
}

size_t DeviceMemory::limit() {
  static const size_t bytes = size_t(setting("CUDASIM_MEMORY", (long long)4 << 30));
  return bytes;
}

MemoryBlock &DeviceMemory::allocate(size_t size, MemoryBlock::State state, Origin origin) {
  if (size > limit() || bytes_in_use_ > limit() - size)
    throw Error(cudaErrorMemoryAllocation,
                format("%zu bytes in use, %zu more wanted, CUDASIM_MEMORY is %zu", bytes_in_use_,
                       size, limit()));
  const size_t pages = (first_byte + size + gap + page - 1) / page;
  if (next_page_ + pages > capacity / page)
    throw Error(cudaErrorMemoryAllocation, "the simulator has no addresses left");
  const uint64_t address = base_ + next_page_ * page + first_byte;
  blocks_.push_back({address, size, state, false, false, false, blocks_.size() + 1, origin});
  MemoryBlock &block = blocks_.back();
  for (size_t i = 0; i < pages; i++) blocks_by_page_[next_page_ + i] = &block;
  next_page_ += pages;
  count(size);
  return block;
}

void DeviceMemory::begin(MemoryBlock &block) {
  block.state = MemoryBlock::live;
  if (!block.of_graph) return;
  block.released = false;
  count(block.size);
}

void DeviceMemory::release(MemoryBlock &block) {
  if (block.released) return;
  block.released = true;
  bytes_in_use_ -= block.size;
}

void DeviceMemory::end(MemoryBlock &block) {
  release(block);
  block.state = MemoryBlock::dead;
  block.written = false;
  forget_bytes(block);
}

void DeviceMemory::count(size_t bytes) {
  bytes_in_use_ += bytes;
  if (bytes_at_most_ < bytes_in_use_) bytes_at_most_ = bytes_in_use_;
}

void DeviceMemory::end_all() {
  for (MemoryBlock &block : blocks_)
    if (block.state != MemoryBlock::dead) end(block);
  address_fault_ = false;
}

/* Gives the pages back; their bytes are unwritten again. */
void DeviceMemory::forget_bytes(const MemoryBlock &block) {
  const size_t start = block.address - first_byte - base_;
  const size_t size = (first_byte + block.size + page - 1) / page * page;
  if (fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(start), off_t(size)))
    madvise(bytes_ + start, size, MADV_REMOVE);
  madvise(written_ + start, size, MADV_DONTNEED);
}

}  // namespace cudasim
