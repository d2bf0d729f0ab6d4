/* The fundamental types of PTX (PTX ISA 5.2). */
#ifndef CUDASIM_TYPES_H
#define CUDASIM_TYPES_H

#include <cstdint>
#include <string_view>

namespace cudasim {

enum class Type : uint8_t {
  none,
  pred,
  b8,
  b16,
  b32,
  b64,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  bf16,
  f32,
  f64,
  f16x2,
  bf16x2,
  tf32,
};

Type type_named(std::string_view name); /* "f32"; none for what is no type */
const char *name_of(Type type);
unsigned bytes_of(Type type);

inline bool is_signed(Type type) {
  return type >= Type::s8 && type <= Type::s64;
}
inline bool is_floating(Type type) {
  return type >= Type::f16;
}
/* A register holds at least 16 bits a lane; an 8-bit value lives in the low half. */
inline unsigned register_bytes(Type type) {
  return bytes_of(type) < 2 ? 2 : bytes_of(type);
}

}  // namespace cudasim

#endif
