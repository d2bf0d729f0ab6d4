/* The counters against what the memory's layout says: 32-byte sectors of a warp's access to
 * global memory; wavefronts of shared memory (32 banks of 4 bytes; accesses of 8 and 16 bytes go
 * by halves and quarters of a warp, each of which counts as one access); tensor operations,
 * barriers, launches. */
#include <cstring>
#include <string>

#include "counters.h"
#include "test_device.cuh"

using u32 = unsigned;
using u64 = unsigned long long;

/* ---- kernels: each warp does one access, by inline PTX so that it is that one */
static __global__ void load_float(const float *a, u32 stride, u32 offset) {
  [[maybe_unused]] float x;
  asm volatile("ld.global.f32 %0, [%1];"
               : "=f"(x)
               : "l"(a + (blockIdx.x * blockDim.x + threadIdx.x) * stride + offset));
}
static __global__ void load_float4(const float *a, u32 stride, u32 offset) {
  [[maybe_unused]] float x, y, z, w;
  asm volatile("ld.global.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x), "=f"(y), "=f"(z), "=f"(w)
               : "l"(a + (blockIdx.x * blockDim.x + threadIdx.x) * stride + offset));
}
static __global__ void load_half(const float *a, u32 stride, u32 offset) {
  [[maybe_unused]] unsigned short x;
  const unsigned short *halves = reinterpret_cast<const unsigned short *>(a);
  asm volatile("ld.global.u16 %0, [%1];"
               : "=h"(x)
               : "l"(halves + (blockIdx.x * blockDim.x + threadIdx.x) * stride + offset));
}
static __global__ void store_float(float *a, u32 stride, u32 offset) {
  asm volatile("st.global.f32 [%0], %1;" ::"l"(
                   a + (blockIdx.x * blockDim.x + threadIdx.x) * stride + offset),
               "f"(1.0f));
}
template <int bytes>
static __global__ void store_shared(u32 stride) { /* in bytes */
  extern __shared__ int4 memory[];
  const u32 to = u32(__cvta_generic_to_shared(memory)) + stride * threadIdx.x;
  if (bytes == 4) asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(7));
  if (bytes == 8) asm volatile("st.shared.v2.u32 [%0], {%1, %1};" ::"r"(to), "r"(7));
  if (bytes == 16) asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(to), "r"(7));
}
static __global__ void load_matrices(u32 stride) {
  extern __shared__ int4 rows[];
  const u32 row = u32(__cvta_generic_to_shared(rows)) + stride * threadIdx.x;
  [[maybe_unused]] u32 r[4];
  asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(row), "r"(7));
  __syncwarp();
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row));
}
static __global__ void tensor_work(float *d) {
  float c[4] = {};
#pragma unroll 1
  for (u32 i = 0; i < 5; i++)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(0x3c003c00));
  d[blockIdx.x * blockDim.x + threadIdx.x] = c[0];
}
static __global__ void meetings() {
#pragma unroll 1
  for (u32 i = 0; i < 7; i++) __syncthreads();
}
static __global__ void broadcast(const float *a) {
  [[maybe_unused]] float x;
  asm volatile("ld.global.f32 %0, [%1];" : "=f"(x) : "l"(a));
}
static __global__ void few_lanes(const float *a) {
  [[maybe_unused]] float x;
  if (threadIdx.x < 8) asm volatile("ld.global.f32 %0, [%1];" : "=f"(x) : "l"(a + threadIdx.x));
}

/* ---- comparing */
static int comparisons, failures;
static void expect(const std::string &what, u64 got, u64 wanted) {
  comparisons++;
  if (got == wanted) return;
  failures++;
  printf("FAIL %s: got %llu, expected %llu\n", what.c_str(), got, wanted);
}
static cudasim_counters (*counters_of)(const char *);
static void (*counters_reset)();

/* What one launch adds to its kernel's counters. */
template <class Launch>
static cudasim_counters count(const char *kernel, Launch launch) {
  counters_reset();
  launch();
  CUDA_OK(cudaGetLastError());
  CUDA_OK(cudaDeviceSynchronize());
  return counters_of(kernel);
}
static void expect_global(const char *what, const cudasim_counters &c, u64 bytes, u64 sectors,
                          u64 ideal) {
  const std::string name = what;
  expect(name + ": instructions", c.global_loads + c.global_stores, 4);
  expect(name + ": bytes", c.global_bytes, 4 * bytes);
  expect(name + ": sectors", c.global_sectors, 4 * sectors);
  expect(name + ": ideal sectors", c.global_sectors_ideal, 4 * ideal);
}

static void global_memory() {
  Array<float> a(std::vector<float>(128 * 32 + 64, 1.0f));
  /* Four warps: two blocks of two. */
  auto loads = [&](auto kernel, const char *name, u32 stride, u32 offset) {
    return count(name, [&] { kernel<<<2, 64>>>(a.data(), stride, offset); });
  };
  expect_global("float, coalesced", loads(load_float, "load_float", 1, 0), 128, 4, 4);
  expect_global("float, one float off", loads(load_float, "load_float", 1, 1), 128, 5, 4);
  expect_global("float, a sector off", loads(load_float, "load_float", 1, 8), 128, 4, 4);
  expect_global("float, every second", loads(load_float, "load_float", 2, 0), 128, 8, 4);
  expect_global("float, every 32nd", loads(load_float, "load_float", 32, 0), 128, 32, 4);
  expect_global("float4, coalesced", loads(load_float4, "load_float4", 4, 0), 512, 16, 16);
  expect_global("float4, half a sector off", loads(load_float4, "load_float4", 4, 4), 512, 17, 16);
  expect_global("float4, every second", loads(load_float4, "load_float4", 8, 0), 512, 32, 16);
  expect_global("half, coalesced", loads(load_half, "load_half", 1, 0), 64, 2, 2);
  expect_global("half, one half off", loads(load_half, "load_half", 1, 1), 64, 3, 2);
  expect_global("half, every second", loads(load_half, "load_half", 2, 0), 64, 4, 2);
  const cudasim_counters store = loads(store_float, "store_float", 1, 0);
  expect_global("float store, coalesced", store, 128, 4, 4);
  expect("float store: stores", store.global_stores, 4);
  expect("float store: loads", store.global_loads, 0);
  expect_global("float store, every second", loads(store_float, "store_float", 2, 0), 128, 8, 4);
  const cudasim_counters one = count("broadcast", [&] { broadcast<<<1, 128>>>(a.data()); });
  expect("one float for all: sectors", one.global_sectors, 4);
  expect("eight lanes: sectors",
         count("few_lanes", [&] { few_lanes<<<1, 32>>>(a.data()); }).global_sectors, 1);
  expect("eight lanes: bytes", counters_of("few_lanes").global_bytes, 32);
}

static void shared_memory() {
  auto shared = [&](auto kernel, u32 stride, const char *what, u64 accesses, u64 wavefronts) {
    const cudasim_counters c = count("store_shared", [&] { kernel<<<1, 32, 32 * 160>>>(stride); });
    expect(std::string(what) + ": accesses", c.shared_accesses, accesses);
    expect(std::string(what) + ": wavefronts", c.shared_wavefronts, wavefronts);
  };
  shared(store_shared<4>, 4, "4 bytes, stride 1", 1, 1);
  shared(store_shared<4>, 0, "4 bytes, all the same", 1, 1);
  shared(store_shared<4>, 8, "4 bytes, stride 2", 1, 2);
  shared(store_shared<4>, 12, "4 bytes, stride 3", 1, 1);
  shared(store_shared<4>, 32, "4 bytes, stride 8", 1, 8);
  shared(store_shared<4>, 128, "4 bytes, stride 32", 1, 32);
  shared(store_shared<4>, 132, "4 bytes, stride 33", 1, 1);
  shared(store_shared<8>, 8, "8 bytes, contiguous", 2, 2);
  shared(store_shared<8>, 16, "8 bytes, every second", 2, 4);
  shared(store_shared<16>, 16, "16 bytes, contiguous", 4, 4);
  shared(store_shared<16>, 32, "16 bytes, every second", 4, 8);
  shared(store_shared<16>, 128, "16 bytes, a column", 4, 32);
  shared(store_shared<16>, 144, "16 bytes, a padded column", 4, 4);
  auto matrices = [&](u32 stride, u64 wavefronts,
                      const char *what) { /* the store before it goes in quarters too */
                                          const cudasim_counters c = count("load_matrices", [&] {
                                            load_matrices<<<1, 32, 32 * 160>>>(stride);
                                          });
                                          expect(std::string(what) + ": accesses",
                                                 c.shared_accesses, 4 + 4);
                                          expect(std::string(what) + ": wavefronts",
                                                 c.shared_wavefronts, 2 * wavefronts);
  };
  matrices(16, 4, "ldmatrix.x4, contiguous");
  matrices(128, 32, "ldmatrix.x4, rows of 128 bytes");
  matrices(144, 4, "ldmatrix.x4, padded rows");
}

static void work() {
  Array<float> d(192);
  cudasim_counters twice[2];
  for (cudasim_counters &c : twice)
    c = count("tensor_work", [&] { tensor_work<<<3, 64>>>(d.data()); });
  expect("mma", twice[0].tensor_operations, 5 * 2 * 3);
  expect("mma: stores", twice[0].global_stores, 2 * 3);
  expect("the second run counts the same", memcmp(&twice[0], &twice[1], sizeof twice[0]) == 0, 1);
  expect("16 rows of ones by 5 times 16", u64(d.get()[0]), 80);

  const cudasim_counters straight =
      count("store_shared", [&] { store_shared<4><<<3, 64, 1024>>>(4); });
  expect("all lanes work", straight.lane_instructions, 32 * straight.warp_instructions);
  const cudasim_counters half = count("store_shared", [&] { store_shared<4><<<3, 16, 1024>>>(4); });
  expect("half the lanes work", half.lane_instructions, 16 * half.warp_instructions);
  expect("half the warps", half.warp_instructions * 2, straight.warp_instructions);

  const cudasim_counters barriers = count("meetings", [&] {
    meetings<<<3, 96>>>();
    meetings<<<1, 32>>>();
  });
  expect("barriers, for each warp", barriers.barriers, 7 * 3 * 3 + 7);
  expect("launches", barriers.launches, 2);
  expect("of a kernel that did not run", counters_of("tensor_work").launches, 0);
  const u64 before = counters_of(nullptr).warp_instructions;
  tensor_work<<<3, 64>>>(d.data());
  CUDA_OK(cudaDeviceSynchronize());
  expect("launches of all kernels", counters_of(nullptr).launches, 3);
  expect("instructions of all kernels", counters_of(nullptr).warp_instructions,
         before + twice[0].warp_instructions);
  counters_reset();
  expect("nothing after a reset", counters_of(nullptr).launches, 0);
}

int main() {
  counters_of = reinterpret_cast<decltype(counters_of)>(dlsym(RTLD_DEFAULT, "cudasim_counters_of"));
  counters_reset =
      reinterpret_cast<decltype(counters_reset)>(dlsym(RTLD_DEFAULT, "cudasim_counters_reset"));
  if (!counters_of || !counters_reset) {
    printf("counters: only the simulator has them; nothing to test\n");
    return 0;
  }
  global_memory();
  shared_memory();
  work();
  printf("%d comparisons of counters, %d failures\n", comparisons, failures);
  return failures != 0;
}
