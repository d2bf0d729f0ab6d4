/* A parsed kernel: what the parser leaves and the interpreter runs. */
#ifndef CUDASIM_KERNEL_H
#define CUDASIM_KERNEL_H

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "module_memory.h"
#include "ptx.h"
#include "types.h"

namespace cudasim {

struct Instruction;
struct Opcode;
struct Warp;

constexpr int kLanes = 32;
constexpr uint32_t kAllLanes = ~0u;
constexpr uint32_t kNoRegister = ~0u;

/* Executes one instruction for the lanes of `mask`. */
using Operation = void (*)(Warp &warp, const Instruction &instruction, uint32_t mask);

/* A register is 32 values in a row, one a lane; a predicate is one 32-bit mask. Immediate values
 * are constants: registers that nobody writes, in a second file that all warps share. So an operand
 * is found the same way whatever it is: one of two bases, and an offset. */
struct Operand {
  enum Kind : uint8_t { absent, value, predicate, address, label, list };
  Kind kind = absent;
  uint8_t width = 0;             /* bytes of a lane's value; 0 for a predicate */
  bool constant = false;         /* offset counts in the kernel's constants */
  bool negated = false;          /* !%p */
  uint32_t offset = 0;           /* in bytes */
  uint32_t number = kNoRegister; /* of the register, for the check of uninitialised ones */
  int64_t immediate =
      0; /* the value of a constant, displacement of an address, target of a label */
  std::vector<Operand> parts; /* of a list: {%f1, %f2}, or %p1|%p2 */
};

/* What execution has to do beyond calling the operation and going on to the next instruction. */
enum class Flow : uint8_t {
  next,
  branch,         /* operand 0 */
  indexed_branch, /* operand 0 is the index, operand 1 names the table */
  exit,
  barrier,
  members,   /* waits for the lanes named in the last operand */
  all_lanes, /* needs the whole warp */
};

/* Which part of the memory an address means. */
enum class Space : uint8_t { generic, global, shared, local, parameter, constant };

enum class Rounding : uint8_t { nearest, zero, down, up, nearest_away };

struct Instruction {
  Operation run = nullptr;
  Flow flow = Flow::next;
  bool checks_itself = false; /* does the bookkeeping of initialised registers in its operation */

  bool guard_negated = false;
  int32_t guard_offset = -1; /* of the predicate @%p; -1 without one */
  uint32_t guard_number = kNoRegister;

  Type type = Type::none;        /* the first type among the modifiers: of the result */
  Type source_type = Type::none; /* the last */
  Space space = Space::generic;
  Rounding rounding = Rounding::nearest;
  bool flush = false;    /* .ftz */
  bool saturate = false; /* .sat */
  bool relu = false;
  bool strong = false;       /* a memory access that may meet others of its kind without a race */
  uint8_t element_bytes = 0; /* of a memory access: of one element, */
  uint8_t access_bytes = 0;  /* and of all that one lane asks for */
  int choice = 0;            /* the operation's own: a comparison, a count, ... */
  int choice2 = 0;

  std::vector<Operand> operands;
  std::vector<uint32_t> reads, writes; /* registers, for the check of uninitialised ones */

  const Opcode *opcode = nullptr;
  std::vector<std::string_view> modifiers; /* with their dots: ".rn" */
  std::string_view text;
  int line = 0;
  int location = -1; /* in Kernel::locations */

  bool has(std::string_view modifier) const;
};

/* A source line, of .loc; for code of an inlined function the line of its call as well. */
struct Location {
  int file = 0, line = 0, outer_file = 0, outer_line = 0;
};

enum class Special : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  smid,
  nsmid,
  gridid,
  clock,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  dynamic_smem_size,
  total_smem_size,
};

class Kernel {
 public:
  std::string name;
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0;
  unsigned max_threads = 1024;

  std::vector<Instruction> code;
  std::vector<std::vector<int>> branch_tables;
  std::vector<Location> locations;

  uint32_t register_bytes = 0, register_count = 0;
  std::vector<uint8_t> constants;
  struct SpecialRegister {
    Special what;
    uint32_t offset;
    uint8_t width;
  };
  std::vector<SpecialRegister> special_registers;
  struct RegisterRange {
    std::string_view prefix; /* "%r", or the whole name where count is 0 */
    uint32_t count, first_number;
  };
  std::vector<RegisterRange> register_names;

  size_t static_shared = 0;
  size_t local_bytes = 0; /* of one thread */
  unsigned shared_cell =
      16; /* the smallest access that may reach shared memory, at most 16 bytes */

  ModuleMemory *module_memory = nullptr;
  const std::map<int, std::string> *files = nullptr;

  std::string register_name(uint32_t number) const;
  std::string place(const Instruction &instruction) const; /* "PTX line 7: add..., source x.cu:3" */
};

}  // namespace cudasim

#endif
