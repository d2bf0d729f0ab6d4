/* cvt, between every pair of types. A row names the types D and S of cvt.D.S; in its expression
 * x is the source. */
#include "test_rows.h"

/* Numbers of 8 bits live in registers of 16: the source's low byte counts, a result is extended. */
#define REGISTER_u8 u16
#define REGISTER_s8 s16
#define REGISTER_u16 u16
#define REGISTER_s16 s16
#define REGISTER_u32 u32
#define REGISTER_s32 s32
#define REGISTER_u64 u64
#define REGISTER_s64 s64
#define REGISTER_f16 f16
#define REGISTER_bf16 bf16
#define REGISTER_f32 f32
#define REGISTER_f64 f64
#define MODE_rn RN
#define MODE_rz RZ
#define MODE_rm RM
#define MODE_rp RP
#define MODE_rni RN
#define MODE_rzi RZ
#define MODE_rmi RM
#define MODE_rpi RP

#define CVT(opcode, D, S, ...) CVT_ID(__LINE__, opcode, D, S, __VA_ARGS__)
#define CVT_ID(id, opcode, D, S, ...) \
  CVT_ROW(id, opcode, REGISTER_##D, REGISTER_##S, S, __VA_ARGS__)
#define CVT_ROW(id, opcode, D, S, Source, ...) \
  UNARY_ID(id, opcode, opcode " %0, %1;", D, S, [](Source x) { return __VA_ARGS__; }(Source(a)))
#define TO_EACH(row, S) \
  row(u8, S) row(s8, S) row(u16, S) row(s16, S) row(u32, S) row(s32, S) row(u64, S) row(s64, S)
#define EACH_TO(row, D) \
  row(D, u8) row(D, s8) row(D, u16) row(D, s16) row(D, u32) row(D, s32) row(D, u64) row(D, s64)

/* The integers of a type's range that x is nearest to. */
template <class T>
static T to_integral(T x, Rounding mode) {
  return rounded<T>(integral(value(x), mode));
}
template <class T>
static T relu(T x) {
  return value(x) < 0 ? T(0) : x;
}

SECTION("Data Movement and Conversion Instructions: cvt, integer to integer: cut or extended")
#define CUT(D, S) CVT_ID(D##_##S, "cvt." #D "." #S, D, S, D(x))
TO_EACH(CUT, u8)
TO_EACH(CUT, s8)
TO_EACH(CUT, u16)
TO_EACH(CUT, s16)
TO_EACH(CUT, u32)
TO_EACH(CUT, s32)
TO_EACH(CUT, u64)
TO_EACH(CUT, s64)
#define CLAMPED(D, S) CVT_ID(sat_##D##_##S, "cvt.sat." #D "." #S, D, S, clamped<D>(x))
CLAMPED(u8, s16)
CLAMPED(s8, s16)
CLAMPED(u8, u32)
CLAMPED(u8, s32)
CLAMPED(s8, s32)
CLAMPED(u16, s32)
CLAMPED(s16, s32)
CLAMPED(s16, u32)
CLAMPED(u32, s32)
CLAMPED(s32, u32)
CLAMPED(s32, s64)
CLAMPED(u32, s64)
CLAMPED(s32, u64)

SECTION("Data Movement and Conversion Instructions: cvt, integer to floating point: rounded")
#define ROUNDED(mode, D, S) \
  CVT_ID(mode##_##D##_##S, "cvt." #mode "." #D "." #S, D, S, rounded<D>(x, MODE_##mode))
#define ROUNDED_rn(D, S) ROUNDED(rn, D, S)
EACH_TO(ROUNDED_rn, f32)
EACH_TO(ROUNDED_rn, f64)
EACH_TO(ROUNDED_rn, f16)
ROUNDED(rn, bf16, u16)
ROUNDED(rn, bf16, s16)
ROUNDED(rn, bf16, u32)
ROUNDED(rn, bf16, s32)
ROUNDED(rn, bf16, u64)
ROUNDED(rn, bf16, s64)
ROUNDED(rz, f32, u32)
ROUNDED(rm, f32, u32)
ROUNDED(rp, f32, u32)
ROUNDED(rz, f32, s32)
ROUNDED(rm, f32, s32)
ROUNDED(rp, f32, s32)
ROUNDED(rz, f32, u64)
ROUNDED(rm, f32, u64)
ROUNDED(rp, f32, u64)
ROUNDED(rz, f32, s64)
ROUNDED(rm, f32, s64)
ROUNDED(rp, f32, s64)
ROUNDED(rz, f16, s32)

SECTION(
    "Data Movement and Conversion Instructions: cvt, integer to f64 rounded otherwise: may be "
    "refused by name")
ROUNDED(rz, f64, u64)
ROUNDED(rm, f64, u64)
ROUNDED(rp, f64, u64)
ROUNDED(rz, f64, s64)
ROUNDED(rm, f64, s64)
ROUNDED(rp, f64, s64)

SECTION("Data Movement and Conversion Instructions: cvt, floating point to integer: saturates")
#define TO_INTEGER(mode, D, S) \
  CVT_ID(mode##_##D##_##S, "cvt." #mode "." #D "." #S, D, S, to_integer<D>(x, MODE_##mode))
#define TO_INTEGER_rzi(D, S) TO_INTEGER(rzi, D, S)
#define EACH_MODE(D, S) TO_INTEGER(rni, D, S) TO_INTEGER(rmi, D, S) TO_INTEGER(rpi, D, S)
TO_EACH(TO_INTEGER_rzi, f32)
TO_EACH(TO_INTEGER_rzi, f64)
TO_EACH(TO_INTEGER_rzi, f16)
TO_INTEGER(rzi, u16, bf16)
TO_INTEGER(rzi, s16, bf16)
TO_INTEGER(rzi, u32, bf16)
TO_INTEGER(rzi, s32, bf16)
TO_INTEGER(rzi, u64, bf16)
TO_INTEGER(rzi, s64, bf16)
EACH_MODE(s32, f32)
EACH_MODE(u32, f32)
EACH_MODE(s64, f32)
EACH_MODE(u64, f32)
EACH_MODE(s32, f64)
EACH_MODE(u32, f64)
EACH_MODE(s64, f64)
EACH_MODE(u64, f64)
EACH_MODE(s16, f16)
EACH_MODE(s32, f16)
CVT("cvt.rni.ftz.s32.f32", s32, f32, to_integer<s32>(ftz(x), RN))
CVT("cvt.rpi.ftz.s32.f32", s32, f32, to_integer<s32>(ftz(x), RP))
CVT("cvt.rni.sat.u8.f32", u8, f32, to_integer<u8>(x, RN))

SECTION("Data Movement and Conversion Instructions: cvt, floating point to floating point")
CVT("cvt.f64.f32", f64, f32, f64(x))
CVT("cvt.rn.f32.f64", f32, f64, rounded<f32>(x))
CVT("cvt.rz.f32.f64", f32, f64, rounded<f32>(x, RZ))
CVT("cvt.rm.f32.f64", f32, f64, rounded<f32>(x, RM))
CVT("cvt.rp.f32.f64", f32, f64, rounded<f32>(x, RP))
CVT("cvt.rn.ftz.f32.f64", f32, f64, ftz(rounded<f32>(x)))
CVT("cvt.f32.f16", f32, f16, f32(value(x)))
CVT("cvt.f64.f16", f64, f16, f64(value(x)))
CVT("cvt.rn.f16.f32", f16, f32, rounded<f16>(x))
CVT("cvt.rz.f16.f32", f16, f32, rounded<f16>(x, RZ))
CVT("cvt.rm.f16.f32", f16, f32, rounded<f16>(x, RM))
CVT("cvt.rp.f16.f32", f16, f32, rounded<f16>(x, RP))
CVT("cvt.rn.relu.f16.f32", f16, f32, near(value(relu(rounded<f16>(x)))))
CVT("cvt.rn.f16.f64", f16, f64, rounded<f16>(x))
CVT("cvt.f32.bf16", f32, bf16, f32(value(x)))
CVT("cvt.rn.bf16.f32", bf16, f32, rounded<bf16>(x))
CVT("cvt.rz.bf16.f32", bf16, f32, rounded<bf16>(x, RZ))
CVT("cvt.rn.relu.bf16.f32", bf16, f32, near(value(relu(rounded<bf16>(x)))))
CVT("cvt.rn.bf16.f64", bf16, f64, rounded<bf16>(x))
CVT("cvt.rn.bf16.f16", bf16, f16, rounded<bf16>(value(x)))
CVT("cvt.rni.f32.f32", f32, f32, to_integral(x, RN))
CVT("cvt.rzi.f32.f32", f32, f32, to_integral(x, RZ))
CVT("cvt.rmi.f32.f32", f32, f32, to_integral(x, RM))
CVT("cvt.rpi.f32.f32", f32, f32, to_integral(x, RP))
CVT("cvt.rmi.ftz.f32.f32", f32, f32, to_integral(ftz(x), RM))
CVT("cvt.rni.f64.f64", f64, f64, to_integral(x, RN))
CVT("cvt.rzi.f64.f64", f64, f64, to_integral(x, RZ))
CVT("cvt.rmi.f64.f64", f64, f64, to_integral(x, RM))
CVT("cvt.rpi.f64.f64", f64, f64, to_integral(x, RP))
CVT("cvt.rni.f16.f16", f16, f16, to_integral(x, RN))
CVT("cvt.rmi.f16.f16", f16, f16, to_integral(x, RM))
CVT("cvt.sat.f32.f32", f32, f32, near(saturated(x)))
CVT("cvt.ftz.f32.f32", f32, f32, ftz(x))
CVT("cvt.ftz.f64.f32", f64, f32, f64(ftz(x)))
UNARY("cvt.rna.tf32.f32", tf32, f32, rounded<tf32>(a, RNA))
UNARY("cvt.rn.tf32.f32", tf32, f32, rounded<tf32>(a, RN))
UNARY("cvt.rz.tf32.f32", tf32, f32, rounded<tf32>(a, RZ))

SECTION(
    "Data Movement and Conversion Instructions: cvt, two numbers into one register, the first "
    "above")
template <class T>
static u32 packed(T a, T b) {
  return u32(a) << 16 | b;
}
BINARY("cvt.rn.f16x2.f32", f16x2, f32, f32, packed(rounded<f16>(a), rounded<f16>(b)))
BINARY("cvt.rz.f16x2.f32", f16x2, f32, f32, packed(rounded<f16>(a, RZ), rounded<f16>(b, RZ)))
BINARY("cvt.rn.bf16x2.f32", bf16x2, f32, f32, packed(rounded<bf16>(a), rounded<bf16>(b)))
BINARY("cvt.rz.bf16x2.f32", bf16x2, f32, f32, packed(rounded<bf16>(a, RZ), rounded<bf16>(b, RZ)))

SECTION("Data Movement and Conversion Instructions: cvta")
/* Addresses of shared and global memory, there and back: the load finds what was stored. */
static __global__ void cvta_kernel(u32 *d, const u32 *a) {
  __shared__ u32 words[32];
  words[threadIdx.x] = a[threadIdx.x];
  __syncwarp();
  u64 generic;
  u32 through_shared, through_global;
  const u32 window = u32(__cvta_generic_to_shared(&words[threadIdx.x ^ 1]));
  asm volatile("{ .reg .u64 s; cvt.u64.u32 s, %1; cvta.shared.u64 %0, s; }"
               : "=l"(generic)
               : "r"(window));
  asm volatile("ld.u32 %0, [%1];" : "=r"(through_shared) : "l"(generic) : "memory");
  asm volatile("cvta.to.shared.u64 %0, %0;" : "+l"(generic));
  asm volatile("{ .reg .u64 g; cvta.to.global.u64 g, %1; cvta.global.u64 g, g; ld.u32 %0, [g]; }"
               : "=r"(through_global)
               : "l"(a + threadIdx.x)
               : "memory");
  d[threadIdx.x] = through_shared;
  d[32 + threadIdx.x] = through_global;
  d[64 + threadIdx.x] = u32(generic) == window;
}
CASE("cvta.shared, cvta.to.shared, cvta.global, cvta.to.global, generic ld") {
  std::vector<u32> a(32), want(96);
  for (u32 i = 0; i < 32; i++) a[i] = 1000 + i;
  for (u32 i = 0; i < 32; i++) want[i] = a[i ^ 1], want[32 + i] = a[i], want[64 + i] = 1;
  Array<u32> in(a), out(96);
  cvta_kernel<<<1, 32>>>(out.data(), in.data());
  compare(out.get(), want, "d");
}
