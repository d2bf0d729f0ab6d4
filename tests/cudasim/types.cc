#include "types.h"

namespace cudasim {

static const struct {
  const char *name;
  unsigned bytes;
} kTypes[] = {
    /* in the order of the enumeration */
    {"", 0},    {"pred", 0}, {"b8", 1},  {"b16", 2}, {"b32", 4},   {"b64", 8},    {"u8", 1},
    {"u16", 2}, {"u32", 4},  {"u64", 8}, {"s8", 1},  {"s16", 2},   {"s32", 4},    {"s64", 8},
    {"f16", 2}, {"bf16", 2}, {"f32", 4}, {"f64", 8}, {"f16x2", 4}, {"bf16x2", 4}, {"tf32", 4},
};

Type type_named(std::string_view name) {
  for (unsigned i = 1; i < sizeof kTypes / sizeof *kTypes; i++)
    if (name == kTypes[i].name) return static_cast<Type>(i);
  return Type::none;
}

const char *name_of(Type type) {
  return kTypes[static_cast<unsigned>(type)].name;
}

unsigned bytes_of(Type type) {
  return kTypes[static_cast<unsigned>(type)].bytes;
}

}  // namespace cudasim
