/* Opcodes that work across threads: shfl, vote, redux, match, barriers; control flow; special
 * registers. */
#include "test_rows.h"

SECTION("Data Movement and Conversion Instructions: shfl.sync")
/* Every distance b with every width: value and predicate. */
#define SHUFFLE(mode)                                                           \
  static __global__ void JOIN(shuffle_, mode)(u32 * d, const u32 *c) {          \
    for (u32 i = 0; i < 6 * 32; i++) {                                          \
      u32 r, p;                                                                 \
      asm volatile("{ .reg .pred p; shfl.sync." #mode                           \
                   ".b32 %0|p, %2, %3, %4, 0xffffffff; selp.u32 %1, 1, 0, p; }" \
                   : "=r"(r), "=r"(p)                                           \
                   : "r"(1000 + threadIdx.x), "r"(i % 32), "r"(c[i / 32]));     \
      d[64 * i + 2 * threadIdx.x] = r;                                          \
      d[64 * i + 2 * threadIdx.x + 1] = p;                                      \
    }                                                                           \
  }                                                                             \
  CASE("shfl.sync." #mode ".b32") {                                             \
    shuffles(JOIN(shuffle_, mode), #mode);                                      \
  }
static void shuffles(void (*kernel)(u32 *, const u32 *), const std::string &mode) {
  std::vector<u32> c, want;
  for (u32 width : {1, 2, 4, 8, 16, 32}) c.push_back((32 - width) << 8 | (mode == "up" ? 0 : 31));
  for (u32 i = 0; i < 6 * 32; i++) {
    const u32 b = i % 32, clamp = c[i / 32] & 31, segment = c[i / 32] >> 8 & 31;
    for (u32 lane = 0; lane < 32; lane++) {
      const s32 most = s32((lane & segment) | (clamp & ~segment)), least = s32(lane & segment);
      s32 from = mode == "up"     ? s32(lane - b)
                 : mode == "down" ? s32(lane + b)
                 : mode == "bfly" ? s32(lane ^ b)
                                  : s32(u32(least) | (b & ~segment));
      const bool inside = mode == "up" ? from >= most : from <= most;
      want.push_back(1000 + (inside ? u32(from) : lane));
      want.push_back(inside);
    }
  }
  Array<u32> in(c), out(want.size());
  kernel<<<1, 32>>>(out.data(), in.data());
  compare(out.get(), want, "d");
}
SHUFFLE(up)
SHUFFLE(down)
SHUFFLE(bfly)
SHUFFLE(idx)
/* Each lane asks another; half the warp has left; floats and immediates. */
static __global__ void shuffle_some(u32 *d) {
  const u32 i = threadIdx.x;
  d[i] = __shfl_sync(~0u, 10 * i, (i * 7 + 3) % 32);
  d[32 + i] = u32(__shfl_xor_sync(~0u, float(i), 16) * 2);
  d[64 + i] = 0;
  if (i >= 20) return;
  d[64 + i] = __shfl_down_sync(0xfffff, i, 1, 4);
  if (i % 2) d[96 + i / 2] = __shfl_sync(0xaaaaa, i, 5);
}
CASE("shfl.sync with a lane for each, of floats, in part of a warp") {
  std::vector<u32> want(106);
  for (u32 i = 0; i < 32; i++) {
    want[i] = 10 * ((i * 7 + 3) % 32), want[32 + i] = 2 * (i ^ 16);
    want[64 + i] = i >= 20 ? 0 : i % 4 == 3 ? i : i + 1;
  }
  for (u32 i = 0; i < 10; i++) want[96 + i] = 5;
  Array<u32> out(106);
  shuffle_some<<<1, 32>>>(out.data());
  compare(out.get(), want, "d");
}

SECTION("Parallel Synchronization and Communication Instructions: vote, redux, match, activemask")
static __global__ void votes(u32 *d, u32 pattern) {
  const u32 i = threadIdx.x;
  const bool mine = pattern >> i & 1;
  u32 *out = d + 16 * i;
  out[0] = __ballot_sync(~0u, mine);
  out[1] = u32(__any_sync(~0u, mine));
  out[2] = u32(__all_sync(~0u, mine));
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %1, 0; vote.sync.uni.pred p, p, 0xffffffff; selp.u32 %0, 1, "
      "0, p; }"
      : "=r"(out[3])
      : "r"(u32(mine)));
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %1, 0; vote.sync.ballot.b32 %0, !p, 0xffffffff; }"
               : "=r"(out[4])
               : "r"(u32(mine)));
  out[5] = __match_any_sync(~0u, i / 5);
  out[6] = __reduce_add_sync(~0u, pattern + i);
  out[7] = __reduce_min_sync(~0u, pattern + i);
  out[8] = u32(__reduce_max_sync(~0u, int(pattern + i)));
  out[9] = u32(__reduce_min_sync(~0u, int(pattern + i)));
  out[10] = __reduce_and_sync(~0u, pattern + i);
  out[11] = __reduce_or_sync(~0u, pattern << i);
  out[12] = __reduce_xor_sync(~0u, pattern * i);
  out[13] = out[14] = out[15] = 0;
  if (i % 3 == 0) {
    u32 active;
    asm volatile("activemask.b32 %0;" : "=r"(active));
    out[13] = active;
    out[14] = __ballot_sync(0x49249249, mine);
    out[15] = __reduce_max_sync(0x49249249, i * 2);
  }
}
CASE(
    "vote.sync any, all, uni, ballot; redux.sync add, min, max, and, or, xor; match.any; "
    "activemask") {
  for (u32 pattern : {0u, ~0u, 1u, 0x80000000u, 0xfff0f0f3u, 0x12345678u}) {
    std::vector<u32> want(512);
    u32 add = 0, least = ~0u, all = ~0u, any = 0, odd = 0;
    s32 most = INT32_MIN, least_signed = INT32_MAX;
    for (u32 i = 0; i < 32; i++) {
      const u32 x = pattern + i;
      add += x, least = std::min(least, x), most = std::max(most, s32(x)),
                least_signed = std::min(least_signed, s32(x));
      all &= x, any |= pattern << i, odd ^= pattern * i;
    }
    for (u32 i = 0; i < 32; i++) {
      const u32 same = i / 5 == 6 ? 3u << 30 : 31u << 5 * (i / 5);
      const bool third = i % 3 == 0;
      const u32 values[] = {pattern,
                            pattern != 0,
                            pattern == ~0u,
                            pattern == 0 || pattern == ~0u,
                            ~pattern,
                            same,
                            add,
                            least,
                            u32(most),
                            u32(least_signed),
                            all,
                            any,
                            odd,
                            third ? 0x49249249u : 0u,
                            third ? pattern & 0x49249249 : 0u,
                            third ? 60u : 0};
      std::copy(values, values + 16, &want[16 * i]);
    }
    Array<u32> out(512);
    votes<<<1, 32>>>(out.data(), pattern);
    compare(out.get(), want, "d");
  }
}

SECTION("Parallel Synchronization and Communication Instructions: bar, barrier")
static __global__ void barriers(u32 *d) {
  __shared__ u32 cells[96], sums[64];
  const u32 i = threadIdx.x;
  u32 x = i;
  if (i % 4 == 1)
    for (u32 k = 0; k < i; k++) x = x * 3 + 1; /* threads come to the barrier at different times */
  cells[i] = x;
  __syncthreads();
  d[i] = cells[95 - i];
  if (i < 64) { /* two of the three warps */
    sums[i] = cells[i] + cells[i + 32];
    asm volatile("bar.sync 1, 64;" ::: "memory");
    d[96 + i] = sums[63 - i];
  }
  asm volatile("barrier.sync 2;" ::: "memory");
  d[160 + i] = sums[(i + 33) % 64];
}
CASE("bar.sync, bar.sync of some warps, barrier.sync") {
  std::vector<u32> cells(96), want(256);
  for (u32 i = 0; i < 96; i++) {
    cells[i] = i;
    if (i % 4 == 1)
      for (u32 k = 0; k < i; k++) cells[i] = cells[i] * 3 + 1;
  }
  for (u32 i = 0; i < 96; i++) want[i] = cells[95 - i];
  for (u32 i = 0; i < 64; i++) want[96 + i] = cells[63 - i] + cells[95 - i];
  for (u32 i = 0; i < 96; i++) want[160 + i] = cells[(i + 33) % 64] + cells[(i + 33) % 64 + 32];
  Array<u32> out(want.size());
  barriers<<<1, 96>>>(out.data());
  compare(out.get(), want, "d");
}

SECTION("Special Registers")
static __global__ void registers(u32 *d) {
  const u32 block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const u32 thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  u32 lane, warp, eq, lt, le, gt, ge;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  asm volatile("mov.u32 %0, %%warpid;" : "=r"(warp));
  asm volatile("mov.u32 %0, %%lanemask_eq;" : "=r"(eq));
  asm volatile("mov.u32 %0, %%lanemask_lt;" : "=r"(lt));
  asm volatile("mov.u32 %0, %%lanemask_le;" : "=r"(le));
  asm volatile("mov.u32 %0, %%lanemask_gt;" : "=r"(gt));
  asm volatile("mov.u32 %0, %%lanemask_ge;" : "=r"(ge));
  const u32 values[] = {threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x, blockIdx.y,
                        blockIdx.z,  lane,        warp,        eq,         lt,
                        le,          gt,          ge};
  for (u32 i = 0; i < 13; i++) d[(block * 105 + thread) * 13 + i] = values[i];
}
CASE("%tid, %ntid, %ctaid, %nctaid, %laneid, %warpid, %lanemask_*") {
  std::vector<u32> want;
  for (u32 block = 0; block < 24; block++)
    for (u32 thread = 0; thread < 105; thread++) {
      const u32 lane = thread % 32, eq = 1u << lane;
      for (u32 x : {thread % 7, thread / 7 % 5, thread / 35, block % 2, block / 2 % 3, block / 6,
                    lane, thread / 32, eq, eq - 1, eq | (eq - 1), ~(eq | (eq - 1)), ~(eq - 1)})
        want.push_back(x);
    }
  Array<u32> out(want.size());
  registers<<<dim3(2, 3, 4), dim3(7, 5, 3)>>>(out.data());
  compare(out.get(), want, "d");
}

SECTION("Control Flow Instructions; what has no result of its own")
static __global__ void control(s64 *d) {
  const u32 i = threadIdx.x;
  s64 r = i * 17 + 1;
  switch (i % 9) { /* a jump table, brx.idx */
    case 0:
      r += 7;
      break;
    case 1:
      r *= 3;
      break;
    case 2:
      r -= 11;
      break;
    case 3:
      r ^= 0x55;
      break;
    case 4:
      r = -r;
      break;
    case 5:
      r <<= 4;
      break;
    case 6:
      r /= 7;
      break;
    case 7:
      r %= 100;
      break;
  }
  for (u32 k = 0; k < i; k++) {
    if ((k ^ i) % 5 == 0) continue;
    if (k > 20) break;
    r += k;
  }
  __threadfence();
  __threadfence_block();
  __threadfence_system();
  asm volatile("prefetch.global.L2 [%0];" ::"l"(d));
  asm volatile(
      "{ .reg .pred p; setp.lt.u32 p, %1, 16; @p add.s64 %0, %0, 1; @!p add.s64 %0, %0, 2; }"
      : "+l"(r)
      : "r"(i));
  d[i] = r;
}
CASE("bra, brx.idx, @p, @!p; membar, fence, prefetch") {
  std::vector<s64> want(64);
  for (u32 i = 0; i < 64; i++) {
    s64 r = i * 17 + 1;
    const s64 after[] = {r + 7, r * 3, r - 11, r ^ 0x55, -r, r << 4, r / 7, r % 100, r};
    r = after[i % 9];
    for (u32 k = 0; k < i && (k <= 20 || (k ^ i) % 5 == 0); k++) r += (k ^ i) % 5 ? k : 0;
    want[i] = r + (i < 16 ? 1 : 2);
  }
  Array<s64> out(64);
  control<<<1, 64>>>(out.data());
  compare(out.get(), want, "d");
}

SECTION("Barriers with a result, calls: may be refused by name")
static __global__ void counted_barriers(u32 *d) {
  const u32 i = threadIdx.x;
  d[i] = u32(__syncthreads_count(i % 7 == 0)) + 100 * u32(__syncthreads_and(i < 96) != 0) +
         1000 * u32(__syncthreads_or(i == 200) != 0);
}
CASE("bar.red popc, and, or") {
  Array<u32> out(96);
  counted_barriers<<<1, 96>>>(out.data());
  compare(out.get(), std::vector<u32>(96, 14 + 100), "d");
}
static __device__ __noinline__ s64 collatz(s64 x, int *steps) {
  for (*steps = 0; x != 1; ++*steps) x = x % 2 ? 3 * x + 1 : x / 2;
  return x;
}
static __global__ void uses_function(s64 *d) {
  int steps = 0;
  d[threadIdx.x] = collatz(threadIdx.x + 1, &steps) * 1000 + steps;
}
CASE(".param: the call of a function that is not inlined") {
  std::vector<s64> want(32);
  for (u32 i = 0; i < 32; i++) {
    s64 steps = 0;
    for (s64 x = i + 1; x != 1; steps++) x = x % 2 ? 3 * x + 1 : x / 2;
    want[i] = 1000 + steps;
  }
  Array<s64> out(32);
  uses_function<<<1, 32>>>(out.data());
  compare(out.get(), want, "d");
}
