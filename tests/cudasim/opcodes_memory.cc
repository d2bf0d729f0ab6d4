/* Loads and stores: PTX ISA 9.7.9. Cache hints change nothing here. */
#include "address_space.h"
#include "opcodes.h"

namespace cudasim {

namespace {

Accesses accesses_of(Warp &warp, const Instruction &i, uint32_t mask, const Operand &address) {
  Accesses accesses;
  accesses.space = i.space;
  accesses.size = i.access_bytes;
  accesses.strong = i.strong;
  accesses.mask = mask;
  warp.addresses(address, mask, accesses.address);
  return accesses;
}

/* Lanes' elements in a row, as they are in memory, to a register of each: Value says how the
 * element is extended to the register's width. */
template <class Element, class Value>
void spread(Warp &warp, const Instruction &i, uint32_t mask, const uint8_t *data, size_t part) {
  auto d = warp.lanes<Value>(i.operands[0].parts[part]);
  unsigned stride = i.access_bytes;
  data += part * sizeof(Element);
  lanewise(mask, [=](int lane) {
    Element element;
    memcpy(&element, data + lane * stride, sizeof element);
    d.set(lane, static_cast<Value>(element));
  });
}

template <class Element,
          class Wide = std::conditional_t<std::is_signed<Element>::value, int64_t, uint64_t>>
void load(Warp &warp, const Instruction &i, uint32_t mask) {
  alignas(64) uint8_t data[kLanes * kMostBytes];
  read_lanes(warp, accesses_of(warp, i, mask, i.operands[1]), data);
  const std::vector<Operand> &parts = i.operands[0].parts;
  for (size_t part = 0; part < parts.size(); part++) {
    switch (parts[part].width) {
      case 2:
        spread<Element, std::conditional_t<std::is_signed<Element>::value, int16_t, uint16_t>>(
            warp, i, mask, data, part);
        break;
      case 4:
        spread<Element, std::conditional_t<std::is_signed<Element>::value, int32_t, uint32_t>>(
            warp, i, mask, data, part);
        break;
      default:
        spread<Element, Wide>(warp, i, mask, data, part);
        break;
    }
  }
}

/* The low bytes of each register, in a row. */
template <class Element>
void store(Warp &warp, const Instruction &i, uint32_t mask) {
  alignas(64) uint8_t data[kLanes * kMostBytes];
  const std::vector<Operand> &parts = i.operands[1].parts;
  unsigned stride = i.access_bytes;
  for (size_t part = 0; part < parts.size(); part++) {
    const uint8_t *from = warp.at(parts[part]);
    unsigned width = parts[part].width;
    uint8_t *to = data + part * sizeof(Element);
    lanewise(mask,
             [=](int lane) { memcpy(to + lane * stride, from + lane * width, sizeof(Element)); });
  }
  write_lanes(warp, accesses_of(warp, i, mask, i.operands[0]), data);
}

void note_access(Instruction &i) {
  i.space = i.has(".shared") || i.has(".shared::cta")                            ? Space::shared
            : i.has(".local")                                                    ? Space::local
            : i.has(".param") || i.has(".param::entry") || i.has(".param::func") ? Space::parameter
            : i.has(".const")                                                    ? Space::constant
            : i.has(".global")                                                   ? Space::global
                                                                                 : Space::generic;
  i.element_bytes = static_cast<uint8_t>(bytes_of(i.type));
  i.access_bytes = static_cast<uint8_t>(i.element_bytes * (i.has(".v4")   ? 4
                                                           : i.has(".v2") ? 2
                                                                          : 1));
  i.strong = i.has(".volatile") || i.has(".relaxed") || i.has(".acquire") || i.has(".release") ||
             i.has(".mmio");
}

Operation choose_load(Instruction &i) {
  note_access(i);
  if (i.access_bytes > 16) return nullptr;
  switch (i.type) {
    case Type::s8:
      return load<int8_t>;
    case Type::s16:
      return load<int16_t>;
    case Type::s32:
      return load<int32_t>;
    default:
      break;
  }
  switch (i.element_bytes) {
    case 1:
      return load<uint8_t>;
    case 2:
      return load<uint16_t>;
    case 4:
      return load<uint32_t>;
    default:
      return load<uint64_t>;
  }
}

Operation choose_store(Instruction &i) {
  note_access(i);
  if (i.access_bytes > 16) return nullptr;
  switch (i.element_bytes) {
    case 1:
      return store<uint8_t>;
    case 2:
      return store<uint16_t>;
    case 4:
      return store<uint32_t>;
    default:
      return store<uint64_t>;
  }
}

void nothing(Warp &, const Instruction &, uint32_t) {
}

Operation choose_nothing(Instruction &) {
  return nothing;
}

#define TYPES ".b8|.b16|.b32|.b64|.u8|.u16|.u32|.u64|.s8|.s16|.s32|.s64|.f32|.f64"
#define SCOPES ".cta|.cluster|.gpu|.sys"
#define SPACES ".const|.global|.local|.param|.param::entry|.param::func|.shared|.shared::cta"
#define EVICTION                                                                                \
  "[.L1::evict_normal|.L1::evict_unchanged|.L1::evict_first|.L1::evict_last|.L1::no_allocate] " \
  "[.L2::evict_normal|.L2::evict_first|.L2::evict_last]"
#define PREFETCH "[.L2::64B|.L2::128B|.L2::256B]"

const Opcode kRows[] = {
    {"ld",
     "[.weak] [" SPACES "] [.ca|.cg|.cs|.lu|.cv] [.nc] " EVICTION " " PREFETCH " [.v2|.v4] " TYPES,
     "T*= addr", "9.7.9", choose_load},
    {"ld", ".volatile [" SPACES "] " PREFETCH " [.v2|.v4] " TYPES, "T*= addr", "9.7.9",
     choose_load},
    {"ld", ".relaxed|.acquire " SCOPES " [" SPACES "] " EVICTION " " PREFETCH " [.v2|.v4] " TYPES,
     "T*= addr", "9.7.9", choose_load},
    {"ldu", "[.global] [.v2|.v4] " TYPES, "T*= addr", "9.7.9", choose_load},
    {"st",
     "[.weak] [.global|.local|.shared|.shared::cta] [.wb|.cg|.cs|.wt] " EVICTION
     " [.v2|.v4] " TYPES,
     "addr T*", "9.7.9", choose_store},
    {"st",
     ".param|.param::func "
     "[.v2|.v4] " TYPES,
     "addr T*", "9.7.9", choose_store},
    {"st", ".volatile [.global|.local|.shared|.shared::cta] [.v2|.v4] " TYPES, "addr T*", "9.7.9",
     choose_store},
    {"st",
     ".relaxed|.release " SCOPES " [.global|.shared|.shared::cta] " EVICTION " [.v2|.v4] " TYPES,
     "addr T*", "9.7.9", choose_store},
    {"prefetch", "[.global|.local] .L1|.L2|.L2::evict_last|.L2::evict_normal", "addr", "9.7.9",
     choose_nothing},
    {"prefetchu", ".L1", "addr", "9.7.9", choose_nothing},
};

}  // namespace

CUDASIM_TABLE(kMemoryOpcodes, kRows);

}  // namespace cudasim
