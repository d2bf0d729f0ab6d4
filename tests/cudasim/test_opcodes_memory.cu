/* Opcodes on memory: ld and st of every width and state space, atom and red, cp.async,
 * parameters, constants. */
#include "test_rows.h"

SECTION("Data Movement and Conversion Instructions: ld; a narrow load is extended to the register")
#define LOAD(opcode, R, A)                                                                    \
  ROW_(__LINE__, opcode, R, (R * d, const A *as), LIST("l"(as + INDEX)), opcode " %0, [%1];", \
       LIST({type_of<R>(), type_of<A>()}), LIST(const A a = INPUT(A, 0);), a)
/* clang-format off */
LOAD("ld.global.u8", u32, u8)
LOAD("ld.global.s8", s32, s8)
LOAD("ld.global.u16", u32, u16)
LOAD("ld.global.s16", s32, s16)
LOAD("ld.global.b16", u16, u16)
LOAD("ld.global.u32", u32, u32)
LOAD("ld.global.s32", s64, s32)
LOAD("ld.global.b32", u32, u32)
LOAD("ld.global.f32", f32, f32)
LOAD("ld.global.u64", u64, u64)
LOAD("ld.global.s64", s64, s64)
LOAD("ld.global.f64", f64, f64)
LOAD("ld.u32", u32, u32)
LOAD("ld.global.nc.u8", u16, u8)
LOAD("ld.global.nc.f32", f32, f32)
LOAD("ld.global.nc.b64", u64, u64)
LOAD("ld.global.nc.L1::no_allocate.u32", u32, u32)
LOAD("ld.global.ca.u32", u32, u32)
LOAD("ld.global.cg.u32", u32, u32)
LOAD("ld.global.cs.f32", f32, f32)
LOAD("ld.volatile.global.u32", u32, u32)
LOAD("ld.relaxed.gpu.global.u32", u32, u32)
LOAD("ld.acquire.gpu.global.u32", u32, u32)
LOAD("ld.weak.global.u32", u32, u32)
/* clang-format on */

/* Each thread stores to shared memory, reads its neighbour's cell, and stores that to global
 * memory. */
#define THROUGH_SHARED(type, T)                                                                 \
  static __global__ void JOIN(kernel_, T)(T * d, const T *as) {                                 \
    __shared__ T cells[128];                                                                    \
    T r = as[INDEX];                                                                            \
    asm volatile("st.shared." type                                                              \
                 " [%0], %1;" ::"r"(u32(__cvta_generic_to_shared(cells + threadIdx.x))),        \
                 REG_##T(r)                                                                     \
                 : "memory");                                                                   \
    __syncthreads();                                                                            \
    asm volatile("ld.shared." type " %0, [%1];"                                                 \
                 : "=" REG_##T(r)                                                               \
                 : "r"(u32(__cvta_generic_to_shared(cells + (threadIdx.x ^ 1))))                \
                 : "memory");                                                                   \
    asm volatile("st.global." type " [%0], %1;" ::"l"(d + (INDEX ^ 1)), REG_##T(r) : "memory"); \
  }                                                                                             \
  static bool JOIN(agrees_, T)(const void *got, const void *const *inputs, std::string *text) { \
    return agree(*static_cast<const T *>(got), INPUT(T, 0), text);                              \
  }                                                                                             \
  static AddRow JOIN(row_, T)({"st.shared, ld.shared, st.global ." type,                        \
                               __FILE__,                                                        \
                               __LINE__,                                                        \
                               reinterpret_cast<const void *>(JOIN(kernel_, T)),                \
                               {type_of<T>(), type_of<T>()},                                    \
                               JOIN(agrees_, T),                                                \
                               nullptr});
THROUGH_SHARED("u16", u16)
THROUGH_SHARED("s16", s16)
THROUGH_SHARED("b32", u32)
THROUGH_SHARED("s32", s32)
THROUGH_SHARED("u64", u64)
THROUGH_SHARED("b64", s64)
THROUGH_SHARED("f32", f32)
THROUGH_SHARED("f64", f64)

/* Vectors: global to shared to global, each thread's reversed, and taken over from the
 * neighbour. */
#define VECTOR2(T, width, reg)                                                                    \
  static __global__ void JOIN(vector2_, T)(T * d, const T *a) {                                   \
    __shared__ alignas(16) T cells[64];                                                           \
    T x, y;                                                                                       \
    const u32 own = u32(__cvta_generic_to_shared(cells + 2 * threadIdx.x));                       \
    const u32 next = u32(__cvta_generic_to_shared(cells + 2 * (threadIdx.x ^ 1)));                \
    asm volatile("ld.global.v2." width " {%0, %1}, [%2];"                                         \
                 : "=" reg(x), "=" reg(y)                                                         \
                 : "l"(a + 2 * threadIdx.x)                                                       \
                 : "memory");                                                                     \
    asm volatile("st.shared.v2." width " [%0], {%1, %2};" ::"r"(own), reg(x), reg(y) : "memory"); \
    __syncwarp();                                                                                 \
    asm volatile("ld.shared.v2." width " {%0, %1}, [%2];"                                         \
                 : "=" reg(x), "=" reg(y)                                                         \
                 : "r"(next)                                                                      \
                 : "memory");                                                                     \
    asm volatile("st.global.v2." width " [%0], {%2, %1};" ::"l"(d + 2 * threadIdx.x), reg(x),     \
                 reg(y)                                                                           \
                 : "memory");                                                                     \
  }
#define VECTOR4(T, width, reg)                                                                \
  static __global__ void JOIN(vector4_, T)(T * d, const T *a) {                               \
    __shared__ alignas(16) T cells[128];                                                      \
    T x, y, z, w;                                                                             \
    const u32 own = u32(__cvta_generic_to_shared(cells + 4 * threadIdx.x));                   \
    const u32 next = u32(__cvta_generic_to_shared(cells + 4 * (threadIdx.x ^ 1)));            \
    asm volatile("ld.global.v4." width " {%0, %1, %2, %3}, [%4];"                             \
                 : "=" reg(x), "=" reg(y), "=" reg(z), "=" reg(w)                             \
                 : "l"(a + 4 * threadIdx.x)                                                   \
                 : "memory");                                                                 \
    asm volatile("st.shared.v4." width " [%0], {%1, %2, %3, %4};" ::"r"(own), reg(x), reg(y), \
                 reg(z), reg(w)                                                               \
                 : "memory");                                                                 \
    __syncwarp();                                                                             \
    asm volatile("ld.shared.v4." width " {%0, %1, %2, %3}, [%4];"                             \
                 : "=" reg(x), "=" reg(y), "=" reg(z), "=" reg(w)                             \
                 : "r"(next)                                                                  \
                 : "memory");                                                                 \
    asm volatile("st.global.v4." width " [%0], {%4, %3, %2, %1};" ::"l"(d + 4 * threadIdx.x), \
                 reg(x), reg(y), reg(z), reg(w)                                               \
                 : "memory");                                                                 \
  }
VECTOR2(u16, "u16", "h")
VECTOR2(u32, "b32", "r")
VECTOR2(f32, "f32", "f")
VECTOR2(u64, "u64", "l")
VECTOR2(f64, "f64", "d")
VECTOR4(u16, "b16", "h")
VECTOR4(u32, "u32", "r")
VECTOR4(f32, "f32", "f")
template <class T>
static void vectors(void (*kernel)(T *, const T *), u32 width) {
  std::vector<T> a(32 * width), want(32 * width);
  for (u32 i = 0; i < a.size(); i++) a[i] = T(1000003u * i + 17);
  for (u32 i = 0; i < a.size(); i++) want[i] = a[(i / width ^ 1) * width + width - 1 - i % width];
  Array<T> in(a), out(a.size());
  kernel<<<1, 32>>>(out.data(), in.data());
  compare(out.get(), want, "d");
}
CASE("ld.v2.u16, st.v2.u16") {
  vectors(vector2_u16, 2);
}
CASE("ld.v2.b32, st.v2.b32") {
  vectors(vector2_u32, 2);
}
CASE("ld.v2.f32, st.v2.f32") {
  vectors(vector2_f32, 2);
}
CASE("ld.v2.u64, st.v2.u64") {
  vectors(vector2_u64, 2);
}
CASE("ld.v2.f64, st.v2.f64") {
  vectors(vector2_f64, 2);
}
CASE("ld.v4.b16, st.v4.b16") {
  vectors(vector4_u16, 4);
}
CASE("ld.v4.u32, st.v4.u32") {
  vectors(vector4_u32, 4);
}
CASE("ld.v4.f32, st.v4.f32") {
  vectors(vector4_f32, 4);
}

SECTION("State Spaces: param, const, local, variables of a module")
struct Parameters {
  u8 bytes[7];
  short shorts[5];
  float table[12];
  double wide[3];
  struct {
    int x, y;
  } inner[4];
};
static __constant__ float constant_table[16] = {500, 499, 498, 497, 496, 495, 494, 493,
                                                492, 491, 490, 489, 488, 487, 486, 485};
static __constant__ int constant_numbers[5] = {3, -1, 4, -1, 5};
static __device__ short initialized[4] = {-7, 8, -9, 10};
static __device__ int counter = 40;
static __global__ void spaces(int *d, Parameters p, char last) {
  const u32 i = threadIdx.x;
  int local[16];
  for (u32 k = 0; k < 16; k++) local[(k * 5 + i) % 16] = int(k) * 100;
  int *out = d + 12 * i;
  out[0] = p.bytes[i % 7];
  out[1] = p.shorts[i % 5];
  out[2] = int(p.table[i % 12]);
  out[3] = int(p.wide[i % 3]);
  out[4] = p.inner[i % 4].y - p.inner[i % 4].x;
  out[5] = int(constant_table[i % 16]);
  out[6] = constant_numbers[i % 5];
  out[7] = initialized[i % 4];
  out[8] = local[i % 16];
  out[9] = local[(i + 7) % 16];
  out[10] = last;
  if (i == 0) counter += 2;
  __syncwarp();
  out[11] = counter;
}
CASE("ld.param of arrays by a computed index, ld.const, local arrays, initialised variables") {
  Parameters p;
  for (int i = 0; i < 7; i++) p.bytes[i] = u8(250 + i);
  for (int i = 0; i < 5; i++) p.shorts[i] = short(-300 * i);
  for (int i = 0; i < 12; i++) p.table[i] = float(i * i);
  for (int i = 0; i < 3; i++) p.wide[i] = -1000.5 * i;
  for (int i = 0; i < 4; i++) p.inner[i] = {i, 3 * i + 1};
  std::vector<int> want;
  for (int i = 0; i < 32; i++) {
    const int numbers[] = {3, -1, 4, -1, 5}, start[] = {-7, 8, -9, 10};
    int local[16];
    for (int k = 0; k < 16; k++) local[(k * 5 + i) % 16] = k * 100;
    for (int x : {int(p.bytes[i % 7]), int(p.shorts[i % 5]), int(p.table[i % 12]),
                  int(p.wide[i % 3]), p.inner[i % 4].y - p.inner[i % 4].x, 500 - i % 16,
                  numbers[i % 5], start[i % 4], local[i % 16], local[(i + 7) % 16], -5, 42})
      want.push_back(x);
  }
  Array<int> out(want.size());
  spaces<<<1, 32>>>(out.data(), p, -5);
  compare(out.get(), want, "d");
}

SECTION("Parallel Synchronization and Communication Instructions: atom, red")
/* Each thread has a cell of its own (the old value comes back), then all meet in the last cell. */
#define ATOM(opcode, type, T, ...)                                                  \
  static __global__ void JOIN(atom_, __LINE__)(T * cells, T * old, const T *x) {    \
    __shared__ T shared_cell[32];                                                   \
    const u32 i = threadIdx.x, at = u32(__cvta_generic_to_shared(shared_cell + i)); \
    T r;                                                                            \
    shared_cell[i] = cells[i];                                                      \
    __syncwarp();                                                                   \
    asm volatile("atom.shared." opcode "." type " %0, [%1], %2;"                    \
                 : "=" REG_##T(r)                                                   \
                 : "r"(at), REG_##T(x[i])                                           \
                 : "memory");                                                       \
    old[32 + i] = r;                                                                \
    cells[33 + i] = shared_cell[i];                                                 \
    asm volatile("atom.global." opcode "." type " %0, [%1], %2;"                    \
                 : "=" REG_##T(r)                                                   \
                 : "l"(cells + i), REG_##T(x[i])                                    \
                 : "memory");                                                       \
    old[i] = r;                                                                     \
    asm volatile("atom." opcode "." type " %0, [%1], %2;"                           \
                 : "=" REG_##T(r)                                                   \
                 : "l"(cells + 32), REG_##T(x[i])                                   \
                 : "memory");                                                       \
  }                                                                                 \
  CASE("atom." opcode "." type ", shared and global") {                             \
    atomics<T>(JOIN(atom_, __LINE__), [](T a, T b) -> T { return __VA_ARGS__; });   \
  }
#define RED(opcode, type, T, ...)                                                           \
  static __global__ void JOIN(red_, __LINE__)(T * cells, T * old, const T *x) {             \
    const u32 i = threadIdx.x;                                                              \
    old[i] = cells[i], old[32 + i] = cells[i];                                              \
    __syncwarp();                                                                           \
    asm volatile("red.global." opcode "." type " [%0], %1;" ::"l"(cells + i), REG_##T(x[i]) \
                 : "memory");                                                               \
    asm volatile("red.relaxed.gpu.global." opcode "." type " [%0], %1;" ::"l"(cells + 32),  \
                 REG_##T(x[i])                                                              \
                 : "memory");                                                               \
    __syncwarp();                                                                           \
    cells[33 + i] = cells[i];                                                               \
  }                                                                                         \
  CASE("red." opcode "." type) {                                                            \
    atomics<T>(JOIN(red_, __LINE__), [](T a, T b) -> T { return __VA_ARGS__; });            \
  }
template <class T, class Operation>
static void atomics(void (*kernel)(T *, T *, const T *), Operation operation) {
  std::vector<T> cells(65), x(32), want, old;
  for (u32 i = 0; i < 32; i++) {
    /* Floats are small integers, so that sums are exact in any order. */
    const u64 noise = (i + 1) * 0x9e3779b97f4a7c15ull, other = (i + 7) * 0xd1342543de82ef95ull;
    cells[i] = std::is_floating_point_v<T> ? T(int(i) - 9) : T(noise);
    x[i] = std::is_floating_point_v<T> ? T(3 * int(i) - 40) : T(other);
  }
  cells[32] = T(12345);
  want = cells;
  for (u32 i = 0; i < 32; i++)
    want[i] = operation(cells[i], x[i]), want[32] = operation(want[32], x[i]);
  for (u32 i = 0; i < 32; i++) want[33 + i] = want[i];
  old.assign(cells.begin(), cells.begin() + 32);
  old.insert(old.end(), cells.begin(), cells.begin() + 32);
  Array<T> on_device(cells), operands(x), before(64);
  kernel<<<1, 32>>>(on_device.data(), before.data(), operands.data());
  compare(on_device.get(), want, "cell");
  compare(before.get(), old, "old");
}
/* clang-format off */
ATOM("add", "u32", u32, a + b)
ATOM("add", "s32", s32, a + b)
ATOM("add", "u64", u64, a + b)
ATOM("add", "f32", f32, a + b)
ATOM("add", "f64", f64, a + b)
ATOM("min", "u32", u32, a < b ? a : b)
ATOM("min", "s32", s32, a < b ? a : b)
ATOM("min", "s64", s64, a < b ? a : b)
ATOM("max", "u32", u32, a > b ? a : b)
ATOM("max", "s32", s32, a > b ? a : b)
ATOM("max", "u64", u64, a > b ? a : b)
ATOM("and", "b32", u32, a & b)
ATOM("or", "b32", u32, a | b)
ATOM("xor", "b32", u32, a ^ b)
ATOM("xor", "b64", u64, a ^ b)
ATOM("inc", "u32", u32, a >= b ? 0 : a + 1)
RED("add", "u32", u32, a + b)
RED("add", "f32", f32, a + b)
RED("add", "u64", u64, a + b)
RED("max", "s32", s32, a > b ? a : b)
RED("or", "b32", u32, a | b)
/* clang-format on */

/* exch: every value given comes back once but the last, which stays. cas: a lock passed on from
 * thread to thread of one warp would hang on a real GPU without care, so each thread takes the
 * cell that holds its number. */
static __global__ void exchange(u32 *d, u64 *wide) {
  u32 r;
  u64 w;
  asm volatile("atom.global.exch.b32 %0, [%1], %2;"
               : "=r"(r)
               : "l"(d), "r"(100 + threadIdx.x)
               : "memory");
  d[1 + threadIdx.x] = r;
  asm volatile("atom.global.cas.b32 %0, [%1], %2, %3;"
               : "=r"(r)
               : "l"(d + 40 + threadIdx.x / 2), "r"(threadIdx.x), "r"(7 + threadIdx.x)
               : "memory");
  d[80 + threadIdx.x] = r;
  asm volatile("atom.global.cas.b64 %0, [%1], %2, %3;"
               : "=l"(w)
               : "l"(wide + threadIdx.x), "l"(u64(threadIdx.x) << 33), "l"(~0ull)
               : "memory");
  wide[32 + threadIdx.x] = w;
  asm volatile("atom.global.exch.b64 %0, [%1], %2;"
               : "=l"(w)
               : "l"(wide + threadIdx.x), "l"(5ull << 60 | threadIdx.x)
               : "memory");
  wide[64 + threadIdx.x] = w;
}
CASE("atom.exch.b32, atom.exch.b64, atom.cas.b32, atom.cas.b64") {
  std::vector<u32> start(112, 9);
  std::vector<u64> wide_start(96, 3ull << 33), want_wide(96, 3ull << 33);
  for (u32 i = 0; i < 16; i++) start[40 + i] = 2 * i; /* the even thread of each two takes it */
  Array<u32> cells(start);
  Array<u64> wide(wide_start);
  exchange<<<1, 32>>>(cells.data(), wide.data());
  const std::vector<u32> got = cells.get();
  std::vector<u32> seen(got.begin(), got.begin() + 33), all(1, 9);
  for (u32 i = 0; i < 32; i++) all.push_back(100 + i);
  std::sort(seen.begin(), seen.end());
  compare(seen, all, "exchanged, sorted");
  for (u32 i = 0; i < 16; i++)
    compare(std::vector<u32>{got[40 + i]}, std::vector<u32>{2 * i + 7}, "cas cell");
  for (u32 i = 0; i < 32; i++) {
    want_wide[i] = 5ull << 60 | i;
    want_wide[32 + i] = 3ull << 33;
    want_wide[64 + i] = i == 3 ? ~0ull : 3ull << 33;
  }
  compare(wide.get(), want_wide, "b64");
}

SECTION("Data Movement and Conversion Instructions: cp.async")
/* Of every 16 bytes `size` are copied and the rest is zero. Groups are committed one by one and
 * waited for. */
#define COPY_ASYNC(name, bytes, opcode)                                                         \
  static __global__ void name(u8 *d, const u8 *a) {                                             \
    __shared__ alignas(16) u8 cells[32 * bytes];                                                \
    const u32 i = threadIdx.x, to = u32(__cvta_generic_to_shared(cells + bytes * i));           \
    for (int k = 0; k < bytes; k++) cells[bytes * i + k] = 0xee;                                \
    __syncwarp();                                                                               \
    asm volatile(opcode " [%0], [%1], " #bytes ", %2;" ::"r"(to), "l"(a + bytes * i),           \
                 "r"(i % (bytes + 1))                                                           \
                 : "memory");                                                                   \
    asm volatile("cp.async.commit_group; cp.async.wait_group 0;" ::: "memory");                 \
    __syncwarp();                                                                               \
    for (int k = 0; k < bytes; k++) d[bytes * i + k] = cells[bytes * (i ^ 1) + k];              \
    __syncwarp();                                                                               \
    asm volatile(opcode " [%0], [%1], " #bytes ";" ::"r"(to), "l"(a + bytes * i) : "memory");   \
    asm volatile("cp.async.wait_all;" ::: "memory");                                            \
    __syncwarp();                                                                               \
    for (int k = 0; k < bytes; k++) d[32 * bytes + bytes * i + k] = cells[bytes * (i ^ 1) + k]; \
  }
COPY_ASYNC(copy_ca_4, 4, "cp.async.ca.shared.global")
COPY_ASYNC(copy_ca_8, 8, "cp.async.ca.shared.global")
COPY_ASYNC(copy_ca_16, 16, "cp.async.ca.shared.global")
COPY_ASYNC(copy_cg_16, 16, "cp.async.cg.shared.global")
COPY_ASYNC(copy_l2_16, 16, "cp.async.cg.shared.global.L2::128B")
static void copies(void (*kernel)(u8 *, const u8 *), u32 bytes) {
  std::vector<u8> a(32 * bytes), want(64 * bytes);
  for (u32 i = 0; i < a.size(); i++) a[i] = u8(1 + i % 250);
  for (u32 i = 0; i < a.size(); i++) {
    const u32 from = i / bytes ^ 1, k = i % bytes;
    want[i] = k < from % (bytes + 1) ? a[from * bytes + k] : 0;
    want[a.size() + i] = a[from * bytes + k];
  }
  Array<u8> in(a), out(want.size());
  kernel<<<1, 32>>>(out.data(), in.data());
  compare(out.get(), want, "d");
}
CASE("cp.async.ca 4") {
  copies(copy_ca_4, 4);
}
CASE("cp.async.ca 8") {
  copies(copy_ca_8, 8);
}
CASE("cp.async.ca 16") {
  copies(copy_ca_16, 16);
}
CASE("cp.async.cg 16") {
  copies(copy_cg_16, 16);
}
CASE("cp.async.cg.L2::128B 16") {
  copies(copy_l2_16, 16);
}
/* Three groups in flight; each is read as soon as only the younger ones are open. */
static __global__ void groups(u32 *d, const u32 *a) {
  __shared__ u32 cells[3][32];
  const u32 i = threadIdx.x;
  for (u32 stage = 0; stage < 3; stage++)
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.commit_group;" ::"r"(
                     u32(__cvta_generic_to_shared(&cells[stage][i]))),
                 "l"(a + 32 * stage + i)
                 : "memory");
  asm volatile("cp.async.wait_group 2;" ::: "memory");
  d[i] = cells[0][i];
  asm volatile("cp.async.wait_group 1;" ::: "memory");
  d[32 + i] = cells[1][i];
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  d[64 + i] = cells[2][i];
}
CASE("cp.async.commit_group, cp.async.wait_group 2, 1, 0") {
  std::vector<u32> a(96);
  for (u32 i = 0; i < 96; i++) a[i] = 7 * i;
  Array<u32> in(a), out(96);
  groups<<<1, 32>>>(out.data(), in.data());
  compare(out.get(), a, "d");
}
