/* Opcodes on integers: arithmetic, comparison and selection, logic and shifts, moves. Values are
 * computed from the PTX ISA's definitions, never by the simulator's code. */
#include "test_rows.h"

/* clang-format off */
SECTION("Integer Arithmetic Instructions")
BINARY("add.u16", u16, u16, u16, a + b)
BINARY("add.s16", s16, s16, s16, a + b)
BINARY("add.u32", u32, u32, u32, a + b)
BINARY("add.s32", s32, s32, s32, a + b)
BINARY("add.u64", u64, u64, u64, a + b)
BINARY("add.s64", s64, s64, s64, a + b)
BINARY("add.sat.s32", s32, s32, s32, clamped<s32>(s128(a) + b))
BINARY("sub.u16", u16, u16, u16, a - b)
BINARY("sub.s16", s16, s16, s16, a - b)
BINARY("sub.u32", u32, u32, u32, a - b)
BINARY("sub.s32", s32, s32, s32, a - b)
BINARY("sub.u64", u64, u64, u64, a - b)
BINARY("sub.s64", s64, s64, s64, a - b)
BINARY("sub.sat.s32", s32, s32, s32, clamped<s32>(s128(a) - b))
BINARY("mul.lo.u16", u16, u16, u16, u32(a) * b)
BINARY("mul.lo.s16", s16, s16, s16, a * b)
BINARY("mul.lo.u32", u32, u32, u32, a * b)
BINARY("mul.lo.s32", s32, s32, s32, s64(a) * b)
BINARY("mul.lo.u64", u64, u64, u64, u128(a) * b)
BINARY("mul.lo.s64", s64, s64, s64, s128(a) * b)
BINARY("mul.hi.u16", u16, u16, u16, u32(a) * b >> 16)
BINARY("mul.hi.s16", s16, s16, s16, a * b >> 16)
BINARY("mul.hi.u32", u32, u32, u32, u64(a) * b >> 32)
BINARY("mul.hi.s32", s32, s32, s32, s64(a) * b >> 32)
BINARY("mul.hi.u64", u64, u64, u64, u128(a) * b >> 64)
BINARY("mul.hi.s64", s64, s64, s64, s128(a) * b >> 64)
BINARY("mul.wide.u16", u32, u16, u16, u32(a) * b)
BINARY("mul.wide.s16", s32, s16, s16, a * b)
BINARY("mul.wide.u32", u64, u32, u32, u64(a) * b)
BINARY("mul.wide.s32", s64, s32, s32, s64(a) * b)
TERNARY("mad.lo.u16", u16, u16, u16, u16, u32(a) * b + c)
TERNARY("mad.lo.s16", s16, s16, s16, s16, a * b + c)
TERNARY("mad.lo.u32", u32, u32, u32, u32, a * b + c)
TERNARY("mad.lo.s32", s32, s32, s32, s32, s128(a) * b + c)
TERNARY("mad.lo.u64", u64, u64, u64, u64, a * b + c)
TERNARY("mad.lo.s64", s64, s64, s64, s64, s128(a) * b + c)
TERNARY("mad.hi.u32", u32, u32, u32, u32, (u64(a) * b >> 32) + c)
TERNARY("mad.hi.s32", s32, s32, s32, s32, (s64(a) * b >> 32) + c)
TERNARY("mad.wide.u16", u32, u16, u16, u32, u32(a) * b + c)
TERNARY("mad.wide.s16", s32, s16, s16, s32, s64(a) * b + c)
TERNARY("mad.wide.u32", u64, u32, u32, u64, u64(a) * b + c)
TERNARY("mad.wide.s32", s64, s32, s32, s64, s128(s64(a) * b) + c)
BINARY("div.u16", u16, u16, u16, UNLESS(b == 0, a / b))
BINARY("div.s16", s16, s16, s16, UNLESS(b == 0 || (a == -32768 && b == -1), a / b))
BINARY("div.u32", u32, u32, u32, UNLESS(b == 0, a / b))
BINARY("div.s32", s32, s32, s32, UNLESS(b == 0 || (b == -1 && a == -a), a / b))
BINARY("div.u64", u64, u64, u64, UNLESS(b == 0, a / b))
BINARY("div.s64", s64, s64, s64, UNLESS(b == 0 || (b == -1 && a == -a), a / b))
BINARY("rem.u16", u16, u16, u16, UNLESS(b == 0, a % b))
BINARY("rem.s16", s16, s16, s16, UNLESS(b == 0 || (a == -32768 && b == -1), a % b))
BINARY("rem.u32", u32, u32, u32, UNLESS(b == 0, a % b))
BINARY("rem.s32", s32, s32, s32, UNLESS(b == 0 || (b == -1 && a == -a), a % b))
BINARY("rem.u64", u64, u64, u64, UNLESS(b == 0, a % b))
BINARY("rem.s64", s64, s64, s64, UNLESS(b == 0 || (b == -1 && a == -a), a % b))
UNARY("abs.s16", s16, s16, a < 0 ? -a : a)
UNARY("abs.s32", s32, s32, a < 0 ? -a : a)
UNARY("abs.s64", s64, s64, a < 0 ? -a : a)
UNARY("neg.s16", s16, s16, -a)
UNARY("neg.s32", s32, s32, -a)
UNARY("neg.s64", s64, s64, -a)
BINARY("min.u16", u16, u16, u16, a < b ? a : b)
BINARY("min.s16", s16, s16, s16, a < b ? a : b)
BINARY("min.u32", u32, u32, u32, a < b ? a : b)
BINARY("min.s32", s32, s32, s32, a < b ? a : b)
BINARY("min.u64", u64, u64, u64, a < b ? a : b)
BINARY("min.s64", s64, s64, s64, a < b ? a : b)
BINARY("max.u16", u16, u16, u16, a > b ? a : b)
BINARY("max.s16", s16, s16, s16, a > b ? a : b)
BINARY("max.u32", u32, u32, u32, a > b ? a : b)
BINARY("max.s32", s32, s32, s32, a > b ? a : b)
BINARY("max.u64", u64, u64, u64, a > b ? a : b)
BINARY("max.s64", s64, s64, s64, a > b ? a : b)

/* clang-format on */
/* Bit by bit. */
template <class T>
static bool bit(T x, unsigned i) {
  return i < 8 * sizeof(T) && (u64(x) >> i & 1);
}
template <class T>
static u32 ones(T x) {
  u32 n = 0;
  for (unsigned i = 0; i < 64; i++) n += bit(x, i);
  return n;
}
template <class T>
static u32 leading_zeros(T x) {
  u32 n = 0;
  while (n < 8 * sizeof(T) && !bit(x, 8 * sizeof(T) - 1 - n)) n++;
  return n;
}
template <class T>
static T reversed(T x) {
  T r = 0;
  for (unsigned i = 0; i < 8 * sizeof(T); i++) r |= T(bit(x, i)) << (8 * sizeof(T) - 1 - i);
  return r;
}
/* bfind: position of the highest bit that is not the sign's, -1 without; .shiftamt counts from
 * the top. */
template <class T>
static u32 highest(T x, bool shift) {
  const T y = std::is_signed_v<T> && x < 0 ? ~x : x;
  const u32 zeros = leading_zeros(y), width = 8 * sizeof(T);
  return zeros == width ? ~0u : shift ? zeros : width - 1 - zeros;
}
/* bfe: len bits from pos, filled up with zeros or the field's sign, which is at most the word's
 * highest bit. */
template <class T>
static T extracted(T a, u32 pos, u32 len) {
  pos &= 0xff, len &= 0xff;
  const u32 top = 8 * sizeof(T) - 1;
  const bool sign = std::is_signed_v<T> && len != 0 && bit(a, std::min(pos + len - 1, top));
  u64 r = 0;
  for (u32 i = 0; i <= top; i++) r |= u64(i < len && pos + i <= top ? bit(a, pos + i) : sign) << i;
  return T(r);
}
/* bfi: a's low len bits put into b from pos. */
template <class T>
static T inserted(T a, T b, u32 pos, u32 len) {
  pos &= 0xff, len &= 0xff;
  u64 r = b;
  for (u32 i = 0; i < len && pos + i < 8 * sizeof(T); i++)
    r = (r & ~(u64(1) << (pos + i))) | u64(bit(a, i)) << (pos + i);
  return T(r);
}
/* clang-format off */
UNARY("popc.b32", u32, u32, ones(a))
UNARY("popc.b64", u32, u64, ones(a))
UNARY("clz.b32", u32, u32, leading_zeros(a))
UNARY("clz.b64", u32, u64, leading_zeros(a))
UNARY("brev.b32", u32, u32, reversed(a))
UNARY("brev.b64", u64, u64, reversed(a))
UNARY("bfind.u32", u32, u32, highest(a, false))
UNARY("bfind.s32", u32, s32, highest(a, false))
UNARY("bfind.u64", u32, u64, highest(a, false))
UNARY("bfind.s64", u32, s64, highest(a, false))
UNARY("bfind.shiftamt.u32", u32, u32, highest(a, true))
UNARY("bfind.shiftamt.s32", u32, s32, highest(a, true))
TERNARY("bfe.u32", u32, u32, u32, u32, extracted(a, b, c))
TERNARY("bfe.s32", s32, s32, u32, u32, extracted(a, b, c))
TERNARY("bfe.u64", u64, u64, u32, u32, extracted(a, b, c))
TERNARY("bfe.s64", s64, s64, u32, u32, extracted(a, b, c))
TERNARY_ASM("bfi.b32 (field at c & 31, 12 bits)", "{ .reg .b32 pos; and.b32 pos, %3, 31; bfi.b32 %0, %1, %2, pos, 12; }", u32, u32, u32, u32, inserted(a, b, c & 31, 12))
TERNARY_ASM("bfi.b32 (c bits at 5)", "bfi.b32 %0, %1, %2, 5, %3;", u32, u32, u32, u32, inserted(a, b, 5, c))
TERNARY_ASM("bfi.b32 (8 bits at c)", "bfi.b32 %0, %1, %2, %3, 8;", u32, u32, u32, u32, inserted(a, b, c, 8))
TERNARY_ASM("bfi.b64 (40 bits at c)", "bfi.b64 %0, %1, %2, %3, 40;", u64, u64, u64, u32, inserted(a, b, c, 40))

SECTION("Extended-Precision Integer Arithmetic Instructions: may be refused by name")
BINARY_ASM("add.cc.u32, addc.u32", "{ .reg .u32 al, ah, bl, bh; mov.b64 {al, ah}, %1; mov.b64 {bl, bh}, %2; add.cc.u32 al, al, bl; addc.u32 ah, ah, bh; mov.b64 %0, {al, ah}; }", u64, u64, u64, a + b)
BINARY_ASM("sub.cc.u32, subc.u32", "{ .reg .u32 al, ah, bl, bh; mov.b64 {al, ah}, %1; mov.b64 {bl, bh}, %2; sub.cc.u32 al, al, bl; subc.u32 ah, ah, bh; mov.b64 %0, {al, ah}; }", u64, u64, u64, a - b)

SECTION("Comparison and Selection Instructions")
COMPARE("setp.eq.b16", u16, a == b)
COMPARE("setp.ne.b16", u16, a != b)
COMPARE("setp.eq.s16", s16, a == b)
COMPARE("setp.ne.u16", u16, a != b)
COMPARE("setp.lt.u16", u16, a < b)
COMPARE("setp.le.u16", u16, a <= b)
COMPARE("setp.gt.u16", u16, a > b)
COMPARE("setp.ge.u16", u16, a >= b)
COMPARE("setp.lt.s16", s16, a < b)
COMPARE("setp.le.s16", s16, a <= b)
COMPARE("setp.gt.s16", s16, a > b)
COMPARE("setp.ge.s16", s16, a >= b)
COMPARE("setp.eq.b32", u32, a == b)
COMPARE("setp.ne.b32", u32, a != b)
COMPARE("setp.eq.s32", s32, a == b)
COMPARE("setp.ne.s32", s32, a != b)
COMPARE("setp.lt.s32", s32, a < b)
COMPARE("setp.le.s32", s32, a <= b)
COMPARE("setp.gt.s32", s32, a > b)
COMPARE("setp.ge.s32", s32, a >= b)
COMPARE("setp.eq.u32", u32, a == b)
COMPARE("setp.ne.u32", u32, a != b)
COMPARE("setp.lt.u32", u32, a < b)
COMPARE("setp.le.u32", u32, a <= b)
COMPARE("setp.gt.u32", u32, a > b)
COMPARE("setp.ge.u32", u32, a >= b)
COMPARE("setp.lo.u32", u32, a < b)
COMPARE("setp.ls.u32", u32, a <= b)
COMPARE("setp.hi.u32", u32, a > b)
COMPARE("setp.hs.u32", u32, a >= b)
COMPARE("setp.eq.b64", u64, a == b)
COMPARE("setp.ne.b64", u64, a != b)
COMPARE("setp.eq.s64", s64, a == b)
COMPARE("setp.ne.u64", u64, a != b)
COMPARE("setp.lt.s64", s64, a < b)
COMPARE("setp.le.s64", s64, a <= b)
COMPARE("setp.gt.s64", s64, a > b)
COMPARE("setp.ge.s64", s64, a >= b)
COMPARE("setp.lt.u64", u64, a < b)
COMPARE("setp.le.u64", u64, a <= b)
COMPARE("setp.gt.u64", u64, a > b)
COMPARE("setp.ge.u64", u64, a >= b)
/* p = compare op c, q = !compare op c; both bits are returned. */
#define COMPARE_AND_COMBINE(op) "{ .reg .pred p, q, r; .reg .u32 t; setp.ne.u32 r, %3, 0; setp.lt." op ".s32 p|q, %1, %2, r; selp.u32 %0, 1, 0, p; selp.u32 t, 2, 0, q; or.b32 %0, %0, t; }"
TERNARY_ASM("setp.lt.and.s32 p|q", COMPARE_AND_COMBINE("and"), u32, s32, s32, u32, u32(a < b && c) + 2 * u32(!(a < b) && c))
TERNARY_ASM("setp.lt.or.s32 p|q", COMPARE_AND_COMBINE("or"), u32, s32, s32, u32, u32(a < b || c) + 2 * u32(!(a < b) || c))
TERNARY_ASM("setp.lt.xor.s32 p|q", COMPARE_AND_COMBINE("xor"), u32, s32, s32, u32, u32((a < b) != (c != 0)) + 2 * u32(!(a < b) != (c != 0)))
TERNARY_ASM("setp.eq.and.s32 with !c", "{ .reg .pred p, r; setp.ne.u32 r, %3, 0; setp.eq.and.s32 p, %1, %2, !r; selp.u32 %0, 1, 0, p; }", u32, s32, s32, u32, u32(a == b && !c))
BINARY("set.lt.u32.s32", u32, s32, s32, a < b ? ~0u : 0u)
BINARY("set.ge.u32.u64", u32, u64, u64, a >= b ? ~0u : 0u)
#define SELECT(type) "{ .reg .pred p; setp.ne.u32 p, %3, 0; selp." type " %0, %1, %2, p; }"
TERNARY_ASM("selp.b16", SELECT("b16"), u16, u16, u16, u32, c ? a : b)
TERNARY_ASM("selp.b32", SELECT("b32"), u32, u32, u32, u32, c ? a : b)
TERNARY_ASM("selp.u32", SELECT("u32"), u32, u32, u32, u32, c ? a : b)
TERNARY_ASM("selp.s32", SELECT("s32"), s32, s32, s32, u32, c ? a : b)
TERNARY_ASM("selp.b64", SELECT("b64"), u64, u64, u64, u32, c ? a : b)
TERNARY_ASM("selp.f32", SELECT("f32"), f32, f32, f32, u32, c ? a : b)
TERNARY_ASM("selp.f64", SELECT("f64"), f64, f64, f64, u32, c ? a : b)

SECTION("Logic and Shift Instructions")
BINARY("and.b16", u16, u16, u16, a & b)
BINARY("and.b32", u32, u32, u32, a & b)
BINARY("and.b64", u64, u64, u64, a & b)
BINARY("or.b16", u16, u16, u16, a | b)
BINARY("or.b32", u32, u32, u32, a | b)
BINARY("or.b64", u64, u64, u64, a | b)
BINARY("xor.b16", u16, u16, u16, a ^ b)
BINARY("xor.b32", u32, u32, u32, a ^ b)
BINARY("xor.b64", u64, u64, u64, a ^ b)
UNARY("not.b16", u16, u16, ~a)
UNARY("not.b32", u32, u32, ~a)
UNARY("not.b64", u64, u64, ~a)
#define ON_PREDICATES(op) "{ .reg .pred p, q, r; setp.lt.s32 p, %1, 0; setp.lt.s32 q, %2, 0; " op "; selp.u32 %0, 1, 0, r; }"
BINARY_ASM("and.pred", ON_PREDICATES("and.pred r, p, q"), u32, s32, s32, u32(a < 0 && b < 0))
BINARY_ASM("or.pred", ON_PREDICATES("or.pred r, p, q"), u32, s32, s32, u32(a < 0 || b < 0))
BINARY_ASM("xor.pred", ON_PREDICATES("xor.pred r, p, q"), u32, s32, s32, u32((a < 0) != (b < 0)))
BINARY_ASM("not.pred", ON_PREDICATES("not.pred r, q"), u32, s32, s32, u32(!(b < 0)))
BINARY_ASM("mov.pred", ON_PREDICATES("mov.pred r, q"), u32, s32, s32, u32(b < 0))
/* Amounts above the width act as the width. */
BINARY("shl.b16", u16, u16, u32, b > 15 ? 0 : a << b)
BINARY("shl.b32", u32, u32, u32, b > 31 ? 0 : a << b)
BINARY("shl.b64", u64, u64, u32, b > 63 ? 0 : a << b)
BINARY("shr.u16", u16, u16, u32, b > 15 ? 0 : a >> b)
BINARY("shr.b16", u16, u16, u32, b > 15 ? 0 : a >> b)
BINARY("shr.s16", s16, s16, u32, a >> std::min(b, 15u))
BINARY("shr.u32", u32, u32, u32, b > 31 ? 0 : a >> b)
BINARY("shr.b32", u32, u32, u32, b > 31 ? 0 : a >> b)
BINARY("shr.s32", s32, s32, u32, a >> std::min(b, 31u))
BINARY("shr.u64", u64, u64, u32, b > 63 ? 0 : a >> b)
BINARY("shr.b64", u64, u64, u32, b > 63 ? 0 : a >> b)
BINARY("shr.s64", s64, s64, u32, a >> std::min(b, 63u))
/* shf: the pair b:a, b the high word. */
TERNARY("shf.l.wrap.b32", u32, u32, u32, u32, (u64(b) << 32 | a) << (c & 31) >> 32)
TERNARY("shf.r.wrap.b32", u32, u32, u32, u32, (u64(b) << 32 | a) >> (c & 31))
TERNARY("shf.l.clamp.b32", u32, u32, u32, u32, (u128(b) << 32 | a) << std::min(c, 32u) >> 32)
TERNARY("shf.r.clamp.b32", u32, u32, u32, u32, (u64(b) << 32 | a) >> std::min(c, 32u))
/* clang-format on */
/* lop3: bit i of the table is the result for the inputs whose bits are those of i (a the
 * highest). */
static u32 table_logic(u32 a, u32 b, u32 c, u32 table) {
  u32 r = 0;
  for (unsigned i = 0; i < 32; i++)
    r |= (table >> (4 * bit(a, i) + 2 * bit(b, i) + bit(c, i)) & 1) << i;
  return r;
}
/* clang-format off */
#define LOP3(table) TERNARY_ASM("lop3.b32 " #table, "lop3.b32 %0, %1, %2, %3, " #table ";", u32, u32, u32, u32, table_logic(a, b, c, table))
LOP3(0x00)
LOP3(0x01)
LOP3(0x80)
LOP3(0x96)
LOP3(0xca)
LOP3(0xe8)
LOP3(0x6a)
LOP3(0xfe)
LOP3(0xea)
LOP3(0x1b)

SECTION("Data Movement and Conversion Instructions: prmt")
/* clang-format on */
static u32 byte_of(u32 a, u32 b, u32 i) {
  return u32((u64(b) << 32 | a) >> 8 * i) & 0xff;
}
/* Four selectors of four bits; their highest bit copies the byte's sign instead of the byte. */
static u32 permuted(u32 a, u32 b, u32 c) {
  u32 r = 0;
  for (u32 i = 0; i < 4; i++) {
    const u32 s = c >> 4 * i & 15, byte = byte_of(a, b, s & 7);
    r |= (s & 8 ? (byte & 0x80 ? 0xff : 0) : byte) << 8 * i;
  }
  return r;
}
static u32 picked(u32 a, u32 b, u32 i0, u32 i1, u32 i2, u32 i3) {
  return byte_of(a, b, i0 & 7) | byte_of(a, b, i1 & 7) << 8 | byte_of(a, b, i2 & 7) << 16 |
         byte_of(a, b, i3 & 7) << 24;
}
/* clang-format off */
TERNARY("prmt.b32", u32, u32, u32, u32, permuted(a, b, c))
TERNARY_ASM("prmt.b32 0x5410", "prmt.b32 %0, %1, %2, 0x5410;", u32, u32, u32, u32, (a & 0xffff) | b << 16)
TERNARY_ASM("prmt.b32 0x7632", "prmt.b32 %0, %1, %2, 0x7632;", u32, u32, u32, u32, a >> 16 | (b & 0xffff0000))

SECTION("Data Movement and Conversion Instructions: prmt with a mode: may be refused by name")
TERNARY("prmt.b32.f4e", u32, u32, u32, u32, picked(a, b, c & 3, (c & 3) + 1, (c & 3) + 2, (c & 3) + 3))
TERNARY("prmt.b32.b4e", u32, u32, u32, u32, picked(a, b, c & 3, (c & 3) - 1, (c & 3) - 2, (c & 3) - 3))
TERNARY("prmt.b32.rc8", u32, u32, u32, u32, picked(a, b, c & 3, c & 3, c & 3, c & 3))
TERNARY("prmt.b32.ecl", u32, u32, u32, u32, picked(a, b, c & 3, std::max(c & 3, 1u), std::max(c & 3, 2u), 3))
TERNARY("prmt.b32.ecr", u32, u32, u32, u32, picked(a, b, 0, std::min(c & 3, 1u), std::min(c & 3, 2u), c & 3))
TERNARY("prmt.b32.rc16", u32, u32, u32, u32, picked(a, b, 2 * (c & 1), 2 * (c & 1) + 1, 2 * (c & 1), 2 * (c & 1) + 1))

SECTION("Data Movement and Conversion Instructions: mov")
UNARY("mov.u16", u16, u16, a)
UNARY("mov.b32", u32, u32, a)
UNARY("mov.s32", s32, s32, a)
UNARY("mov.u64", u64, u64, a)
UNARY("mov.f32", f32, f32, a)
UNARY("mov.f64", f64, f64, a)
UNARY_ASM("mov.b32 u32 <- f32", "mov.b32 %0, %1;", u32, f32, bits_to<u32>(a))
UNARY_ASM("mov.b32 f32 <- u32", "mov.b32 %0, %1;", f32, u32, bits_to<f32>(a))
UNARY_ASM("mov.b64 u64 <- f64", "mov.b64 %0, %1;", u64, f64, bits_to<u64>(a))
BINARY_ASM("mov.b32 d, {a, b}", "mov.b32 %0, {%1, %2};", u32, u16, u16, a | u32(b) << 16)
BINARY_ASM("mov.b64 d, {a, b}", "mov.b64 %0, {%1, %2};", u64, u32, u32, a | u64(b) << 32)
BINARY_ASM("mov.b64 f64 <- {a, b}", "mov.b64 %0, {%1, %2};", f64, u32, u32, bits_to<f64>(a | u64(b) << 32))
BINARY_ASM("mov.b64 d, {a, b, b, a}", "mov.b64 %0, {%1, %2, %2, %1};", u64, u16, u16, a | u64(b) << 16 | u64(b) << 32 | u64(a) << 48)
UNARY_ASM("mov.b32 {lo, hi}, a", "{ .reg .b16 lo, hi; mov.b32 {lo, hi}, %1; mov.b32 %0, {hi, lo}; }", u32, u32, a >> 16 | a << 16)
UNARY_ASM("mov.b64 {lo, hi}, a", "{ .reg .b32 lo, hi; mov.b64 {lo, hi}, %1; mov.b64 %0, {hi, lo}; }", u64, u64, a >> 32 | a << 32)
UNARY_ASM("mov.b64 {_, hi}, a", "mov.b64 {_, %0}, %1;", u32, u64, a >> 32)
UNARY_ASM("mov.b64 {x, y, z, w}, a", "{ .reg .b16 x, y, z, w; mov.b64 {x, y, z, w}, %1; mov.b64 %0, {w, z, y, x}; }", u64, u64, a >> 48 | (a >> 16 & 0xffff0000) | (a & 0xffff0000) << 16 | a << 48)
UNARY_ASM("immediates", "{ .reg .f32 f; .reg .f64 d; mov.f32 f, 0f3FC00000; mov.f64 d, 0dBFF8000000000000; cvt.rn.f32.f64 %0, d; fma.rn.f32 %0, %1, f, %0; }", f32, f32, rounded<f32>(plus(exact(a) * 1.5L, -1.5L)))
