/* Opcodes on matrices: ldmatrix and mma. The layouts are those of the PTX ISA's figures, as index
 * formulas. */
#include "test_rows.h"

SECTION("Warp Level Matrix Multiply-Accumulate Instructions: ldmatrix")
/* Matrix m's row r is given by thread 8m + r; thread t receives the two elements of row t/4 from
 * column 2(t%4), with .trans those of column t/4 from row 2(t%4). */
#define LDMATRIX(id, qualifiers, matrices, outputs)                                          \
  static __global__ void id(u32 *d, const u16 *a) {                                          \
    __shared__ alignas(16) u16 cells[32 * 24]; /* rows 48 bytes apart */                     \
    for (u32 i = threadIdx.x; i < 32 * 8; i += 32) cells[i / 8 * 24 + i % 8] = a[i];         \
    __syncwarp();                                                                            \
    u32 r[4] = {};                                                                           \
    const u32 row = u32(__cvta_generic_to_shared(cells + 24 * threadIdx.x));                 \
    asm volatile("ldmatrix.sync.aligned.m8n8." qualifiers ".shared.b16 {" outputs "}, [%4];" \
                 : "+r"(r[0]), "+r"(r[1]), "+r"(r[2]), "+r"(r[3])                            \
                 : "r"(row)                                                                  \
                 : "memory");                                                                \
    for (u32 m = 0; m < 4; m++) d[4 * threadIdx.x + m] = r[m];                               \
  }                                                                                          \
  CASE("ldmatrix.sync.aligned.m8n8." qualifiers) {                                           \
    matrices_loaded(id, matrices, std::string(qualifiers).size() > 2);                       \
  }
static void matrices_loaded(void (*kernel)(u32 *, const u16 *), u32 matrices, bool transposed) {
  std::vector<u16> a(256);
  std::vector<u32> want(128);
  for (u32 i = 0; i < 256; i++) a[i] = u16(257 * i + 3);
  for (u32 t = 0; t < 32; t++)
    for (u32 m = 0; m < matrices; m++) {
      const u16 *matrix = &a[64 * m];
      const u32 along = t / 4, across = 2 * (t % 4);
      want[4 * t + m] =
          transposed ? matrix[8 * across + along] | u32(matrix[8 * (across + 1) + along]) << 16
                     : matrix[8 * along + across] | u32(matrix[8 * along + across + 1]) << 16;
    }
  Array<u16> in(a);
  Array<u32> out(128);
  kernel<<<1, 32>>>(out.data(), in.data());
  compare(out.get(), want, "d");
}
LDMATRIX(load_x1, "x1", 1, "%0")
LDMATRIX(load_x2, "x2", 2, "%0, %1")
LDMATRIX(load_x4, "x4", 4, "%0, %1, %2, %3")
LDMATRIX(load_x1_trans, "x1.trans", 1, "%0")
LDMATRIX(load_x2_trans, "x2.trans", 2, "%0, %1")
LDMATRIX(load_x4_trans, "x4.trans", 4, "%0, %1, %2, %3")

SECTION("Warp Level Matrix Multiply-Accumulate Instructions: mma.sync")
/* d = a * b + c, a of 16 x k, b of k x 8. Fragments as the ISA draws them: g = lane / 4, t =
 * lane % 4. The kernel gets them as registers, written lane by lane; the host places every
 * element by the formula. */
#define MMA_K16(name, types)                                                                    \
  static __global__ void name(f32 *d, const u32 *a, const u32 *b, const f32 *c) {               \
    a += 4 * threadIdx.x, b += 2 * threadIdx.x, c += 4 * threadIdx.x, d += 4 * threadIdx.x;     \
    asm volatile("mma.sync.aligned.m16n8k16.row.col." types                                     \
                 " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"                   \
                 : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])                               \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), \
                   "f"(c[1]), "f"(c[2]), "f"(c[3]));                                            \
  }
#define MMA_K8(name, opcode, a_regs, b_regs)                                      \
  static __global__ void name(f32 *d, const u32 *a, const u32 *b, const f32 *c) { \
    a += a_regs * threadIdx.x, b += b_regs * threadIdx.x, c += 4 * threadIdx.x,   \
        d += 4 * threadIdx.x;                                                     \
    MMA_K8_##a_regs(opcode)                                                       \
  }
#define MMA_K8_2(opcode)                                               \
  asm volatile(opcode " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%8,%9,%10};" \
               : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])        \
               : "r"(a[0]), "r"(a[1]), "r"(b[0]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#define MMA_K8_4(opcode)                                                                      \
  asm volatile(opcode " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"            \
               : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])                               \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), \
                 "f"(c[1]), "f"(c[2]), "f"(c[3]));
MMA_K16(mma_f16, "f32.f16.f16.f32")
MMA_K16(mma_bf16, "f32.bf16.bf16.f32")
MMA_K8(mma_f16_k8, "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", 2, 1)
MMA_K8(mma_tf32_k8, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 4, 2)
static __global__ void mma_f16_f16(u32 *d, const u32 *a, const u32 *b, const u32 *c) {
  a += 4 * threadIdx.x, b += 2 * threadIdx.x, c += 2 * threadIdx.x, d += 2 * threadIdx.x;
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%8,%9};"
      : "=r"(d[0]), "=r"(d[1])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(c[0]), "r"(c[1]));
}

/* Where element i of a lane's fragment lies. */
struct Place {
  u32 row, column;
};
static Place place_a(u32 lane, u32 i) {
  return {lane / 4 + (i & 2 ? 8 : 0), lane % 4 * 2 + (i & 1) + (i & 4 ? 8 : 0)};
}
static Place place_b(u32 lane, u32 i) {
  return {lane % 4 * 2 + (i & 1) + (i & 2 ? 8 : 0), lane / 4};
}
static Place place_a_tf32(u32 lane, u32 i) {
  return {lane / 4 + (i & 1 ? 8 : 0), lane % 4 + (i & 2 ? 4 : 0)};
}
static Place place_b_tf32(u32 lane, u32 i) {
  return {lane % 4 + (i & 1 ? 4 : 0), lane / 4};
}
static Place place_c(u32 lane, u32 i) {
  return {lane / 4 + (i & 2 ? 8 : 0), lane % 4 * 2 + (i & 1)};
}

template <class T>
static u32 bits(T x) {
  return u32(x);
}
/* A matrix of values of T, and its fragments in registers of 32 bits. */
template <class T>
static std::vector<u32> fragments(const std::vector<T> &matrix, u32 columns,
                                  Place (*place)(u32, u32)) {
  const u32 per_register = sizeof(T) == 2 ? 2 : 1, elements = u32(matrix.size()) / 32;
  std::vector<u32> r(32 * elements / per_register, 0);
  for (u32 lane = 0; lane < 32; lane++)
    for (u32 i = 0; i < elements; i++) {
      const Place at = place(lane, i);
      r[(lane * elements + i) / per_register] |= bits(matrix[at.row * columns + at.column])
                                                 << (i % per_register * 16);
    }
  return r;
}
template <class T, class Register, class Kernel>
static void multiply(Kernel kernel, u32 k, Place (*a_at)(u32, u32), Place (*b_at)(u32, u32)) {
  constexpr bool f16_result = std::is_same_v<Register, u32>;
  for (int round = 0; round < 4;
       round++) { /* small integers, exact in any order; then numbers that round */
    u64 seed = 99 + u64(round);
    auto random = [&] {
      seed = seed * 6364136223846793005ull + 1442695040888963407ull;
      return round < 2 ? exact(s64(seed >> 33) % 9 - 4) : std::ldexp(exact(s64(seed)), -62);
    };
    std::vector<T> a(16 * k), b(k * 8);
    std::vector<f32> c(128);
    std::vector<Near> want(128);
    for (T &x : a) x = rounded<T>(random());
    for (T &x : b) x = rounded<T>(random());
    for (f32 &x : c) x = f16_result ? f32(value(rounded<f16>(random()))) : f32(random());
    if (round == 1) a[3 * k + 2] = rounded<T>(exact(INFINITY)), b[5] = rounded<T>(exact(NAN));
    std::vector<Register> c_registers(f16_result ? 64 : 128);
    for (u32 lane = 0; lane < 32; lane++)
      for (u32 i = 0; i < 4; i++) {
        const Place at = place_c(lane, i);
        const f32 start = c[at.row * 8 + at.column];
        exact sum = start, size = std::fabs(start);
        for (u32 j = 0; j < k; j++) {
          const exact product = value(a[at.row * k + j]) * value(b[j * 8 + at.column]);
          sum += product, size += std::fabs(product);
        }
        want[4 * lane + i] = near(sum, round < 2 ? 0 : size * (f16_result ? 0x1p-10L : 0x1p-21L));
        if constexpr (f16_result)
          c_registers[2 * lane + i / 2] |= u32(rounded<f16>(start)) << i % 2 * 16;
        else
          c_registers[4 * lane + i] = start;
      }
    Array<u32> a_in(fragments(a, k, a_at)), b_in(fragments(b, 8, b_at));
    Array<Register> c_in(c_registers), out(c_registers.size());
    kernel<<<1, 32>>>(out.data(), a_in.data(), b_in.data(), c_in.data());
    const std::vector<Register> got = out.get();
    if constexpr (f16_result) {
      std::vector<f16> halves;
      for (u32 r : got) halves.push_back(f16(r & 0xffff)), halves.push_back(f16(r >> 16));
      compare(halves, want, "d");
    } else {
      compare(got, want, "d");
    }
  }
}
CASE("mma.sync.m16n8k16.f32.f16.f16.f32") {
  multiply<f16, f32>(mma_f16, 16, place_a, place_b);
}
CASE("mma.sync.m16n8k16.f32.bf16.bf16.f32") {
  multiply<bf16, f32>(mma_bf16, 16, place_a, place_b);
}
CASE("mma.sync.m16n8k16.f16.f16.f16.f16") {
  multiply<f16, u32>(mma_f16_f16, 16, place_a, place_b);
}
CASE("mma.sync.m16n8k8.f32.f16.f16.f32") {
  multiply<f16, f32>(mma_f16_k8, 8, place_a, place_b);
}
CASE("mma.sync.m16n8k8.f32.tf32.tf32.f32") {
  multiply<tf32, f32>(mma_tf32_k8, 8, place_a_tf32, place_b_tf32);
}
