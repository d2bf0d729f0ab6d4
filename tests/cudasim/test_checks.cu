/* Every check of the interpreter is seen to fire: kernels with one mistake each, beside the same
 * kernel mended, which must run clean and give the right values; and correct kernels that look
 * suspicious but must not be blamed.
 *
 * A fault must name the kernel, block, thread and source line. The lines that may be named carry
 * the kernel's name in a comment, FAULT name; this program reads them from the source. */
#include <sys/mman.h>
#include <sys/wait.h>

#include <cstring>
#include <fstream>
#include <regex>
#include <string>

#include "test_checks_mistakes.cuh"
#include "test_checks_right.cuh"
#include "test_device.cuh"

static int input(int i) {
  return 10 * i + 1;
}

/* ---- running */
struct Child {
  int error, wrong_index; /* -1: all right, else the first wrong index */
  int got, wanted;
  char fault[4000];
};
static Child *child;
using Kernel = void (*)(int *, const int *, int *);
using Wanted = int (*)(int i, int n);

static int same(int i, int) {
  return input(i);
}
static int mirrored(int i, int n) {
  return input(n - 1 - i);
}
static int neighbour(int i, int) {
  return input(i ^ 1);
}
static int total(int, int n) {
  return n * (n - 1) * 5 + n;
}

static std::vector<int> inputs(int n) {
  std::vector<int> a(n);
  for (int i = 0; i < n; i++) a[i] = input(i);
  return a;
}
static void finish(const std::vector<int> &got, Wanted wanted) {
  child->wrong_index = -1;
  for (int i = int(got.size()) - 1; i >= 0; i--) {
    const int want = wanted(i, int(got.size()));
    if (got[i] != want) child->wrong_index = i, child->got = got[i], child->wanted = want;
  }
}
/* In the child. Stops at the first error. */
static bool fails(cudaError_t error) {
  child->error = error;
  return error != cudaSuccess;
}
static void launch(Kernel kernel, int n, int shared, Wanted wanted) {
  Array<int> a(inputs(n)), d(n), scratch(n);
  kernel<<<1, n, shared>>>(d.data(), a.data(), scratch.data());
  if (fails(cudaGetLastError()) || fails(cudaDeviceSynchronize())) return;
  finish(d.get(), wanted);
}
/* Freed before the kernel, or after it. */
static void free_in_stream_order(bool mended) {
  cudaStream_t stream;
  int *a = nullptr;
  const std::vector<int> values = inputs(32);
  Array<int> d(32);
  CUDA_OK(cudaStreamCreate(&stream));
  CUDA_OK(cudaMallocAsync(reinterpret_cast<void **>(&a), 128, stream));
  CUDA_OK(cudaMemcpyAsync(a, values.data(), 128, cudaMemcpyHostToDevice, stream));
  if (!mended) CUDA_OK(cudaFreeAsync(a, stream));
  reads_input<true><<<1, 32, 0, stream>>>(d.data(), a, nullptr);
  if (mended) CUDA_OK(cudaFreeAsync(a, stream));
  if (fails(cudaGetLastError()) || fails(cudaStreamSynchronize(stream))) return;
  finish(d.get(), same);
}
static void write_to_freed(bool mended) {
  int *scratch = nullptr;
  Array<int> a(inputs(32)), d(32);
  CUDA_OK(cudaMalloc(reinterpret_cast<void **>(&scratch), 128));
  if (!mended) CUDA_OK(cudaFree(scratch));
  writes_scratch<true><<<1, 32>>>(d.data(), a.data(), scratch);
  if (fails(cudaGetLastError()) || fails(cudaDeviceSynchronize())) return;
  finish(d.get(), same);
}
static __global__ void strided(int *d, const int *a, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    d[i] = a[i];
}
static void grid_stride_loop(bool) {
  Array<int> a(inputs(1000)), d(1000);
  strided<<<3, 37>>>(d.data(), a.data(), 1000);
  if (fails(cudaGetLastError()) || fails(cudaDeviceSynchronize())) return;
  finish(d.get(), same);
}
/* Shared memory of every block anew; the last block to finish, found by an atomic, adds all up. */
static __global__ void cuboid(int *d, const int *a, int *parts, unsigned *arrived) {
  __shared__ int cells[3][4][5];
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * 4 + threadIdx.y) * 5 + threadIdx.x;
  cells[threadIdx.z][threadIdx.y][threadIdx.x] = a[thread] + int(block);
  __syncthreads();
  d[block * 60 + thread] = cells[2 - threadIdx.z][3 - threadIdx.y][4 - threadIdx.x];
  if (thread == 0) {
    parts[block] = int(block);
    __threadfence();
    if (atomicAdd(arrived, 1) == 7)
      for (int k = 0; k < 8; k++) d[480] += parts[k];
  }
}
static void boxes(bool) {
  Array<int> a(inputs(60)), d(std::vector<int>(481)), parts(8);
  Array<unsigned> arrived(std::vector<unsigned>(1));
  cuboid<<<dim3(2, 2, 2), dim3(5, 4, 3)>>>(d.data(), a.data(), parts.data(), arrived.data());
  if (fails(cudaGetLastError()) || fails(cudaDeviceSynchronize())) return;
  finish(d.get(), [](int i, int) { return i == 480 ? 28 : input(59 - i % 60) + i / 60; });
}

struct Check {
  const char *name, *word; /* a pattern that the fault must contain; null: there must be none */
  Kernel faulty, right;
  int threads, shared;
  Wanted wanted;
  void (*special)(bool mended); /* instead of the five above */
};
#define FAULTY(name, word, threads, wanted) \
  { #name, word, name < false>, name < true>, threads, 0, wanted, nullptr }
#define RIGHT(name, threads, wanted) \
  { #name, nullptr, nullptr, name < true>, threads, 0, wanted, nullptr }
static const Check checks[] = {
    FAULTY(no_barrier, "race", 64, mirrored),
    FAULTY(no_barrier_before_reuse, "race", 64, mirrored),
    FAULTY(no_syncwarp, "race", 32, neighbour),
    FAULTY(two_lanes_one_cell, "race", 32, same),
    FAULTY(two_warps_one_cell, "race", 64, same),
    FAULTY(barrier_in_branches, "bar", 64, mirrored),
    FAULTY(barrier_for_some, "bar", 64, same),
    FAULTY(barrier_of_too_few, "bar", 64, same),
    FAULTY(shuffle_with_absent_lanes, "shfl.*lane", 32, neighbour),
    FAULTY(shuffle_without_self, "mask", 32, neighbour),
    FAULTY(shuffle_from_absent_lane, "lane", 32, same),
    FAULTY(vote_with_absent_lanes, "vote.*lane", 32, same),
    FAULTY(syncwarp_with_absent_lanes, "lane", 32, same),
    FAULTY(shared_past_end, "reads.*128.*shared", 32,
           [](int i, int) { return input((i + 1) % 32); }),
    {"dynamic_shared_past_end", "writes.*128.*shared", dynamic_shared_past_end<false>,
     dynamic_shared_past_end<true>, 32, 128, same, nullptr},
    FAULTY(shared_before_start, "writes.*shared", 32, same),
    FAULTY(shared_misaligned, "misaligned", 32, same),
    FAULTY(shared_never_written, "shared.*(uninitialised|written)", 32, same),
    FAULTY(global_past_end, "after the end", 32, same),
    FAULTY(global_write_past_end, "after the end", 32, same),
    FAULTY(global_before_start, "before", 32, same),
    FAULTY(global_misaligned, "misaligned", 32, same),
    FAULTY(global_never_written, "never written|uninitialised", 32, same),
    FAULTY(null_pointer, "0x0\\b|null", 32, same),
    FAULTY(no_barrier_after_async, "race", 64, mirrored),
    FAULTY(no_async_wait, "cp.async|copy", 64, mirrored),
    FAULTY(async_wait_for_older, "cp.async|copy", 32, same),
    FAULTY(async_without_commit, "cp.async|copy", 32, same),
    FAULTY(endless_loop, "endless", 32, same),
    {"reads_input", "freed", nullptr, nullptr, 0, 0, nullptr, free_in_stream_order},
    {"writes_scratch", "freed", nullptr, nullptr, 0, 0, nullptr, write_to_freed},
    RIGHT(sum_by_syncwarp, 32, total),
    RIGHT(loops_of_different_length, 32,
          [](int i, int) { return (32 - i) * (31 - i) * 5 + 32 - i; }),
    RIGHT(warps_that_leave, 96, [](int i, int) { return i / 32 == 1 ? 5 : input(i ^ 3); }),
    RIGHT(threads_that_leave, 32, [](int i, int) { return i % 5 ? 25 : 0; }),
    RIGHT(one_barrier_per_turn, 64, [](int i, int) { return input((i + 9 * 33) % 64); }),
    RIGHT(async_pipeline, 64,
          [](int i, int) {
            int sum = 0;
            for (int turn = 0; turn < 8; turn++) sum += input((63 - i + turn) % 64);
            return sum;
          }),
    RIGHT(sum_of_part_of_a_warp, 32, [](int i, int) { return i < 9 ? total(0, 9) : 0; }),
    RIGHT(halves_with_masks_of_their_own, 32,
          [](int i, int) { return input(i < 16 ? i ^ 1 : i ^ 2); }),
    RIGHT(block_sum, 33, total),
    RIGHT(block_sum, 37, total),
    RIGHT(block_sum, 1, total),
    RIGHT(block_sum, 256, total),
    RIGHT(shared_atomics, 96,
          [](int i, int) {
            int sum = 0;
            for (int k = i % 4; k < 96; k += 4) sum += input(k);
            return sum;
          }),
    RIGHT(same_value_from_all_lanes, 32, [](int, int) { return input(7); }),
    RIGHT(unequal_work_between_barriers, 96,
          [](int i, int) {
            std::vector<int> x = inputs(96);
            for (int turn = 0; turn < 3; turn++) {
              std::vector<int> cells = x;
              for (int t = 32 * turn; t < 32 * turn + 32; t++)
                for (int k = 0; k < 50 + t; k++) cells[t] ^= k;
              for (int t = 0; t < 96; t++) x[t] = cells[95 - t];
            }
            return x[i];
          }),
    RIGHT(early_continue_and_break, 32,
          [](int i, int) {
            int x = 0;
            for (int k = 0; k < 40; k++) {
              if ((k + i) % 3 == 0) continue;
              if (k > i) break;
              x += k + std::min(k % 4, i % 3);
            }
            return x + 1;
          }),
    {"grid_stride_loop", nullptr, nullptr, nullptr, 0, 0, nullptr, grid_stride_loop},
    {"boxes", nullptr, nullptr, nullptr, 0, 0, nullptr, boxes},
};

/* A process of its own for each kernel: a fault stays. */
static void run_in_child(const Check &check, bool mended) {
  memset(child, 0, sizeof *child);
  const pid_t pid = fork();
  if (pid == 0) {
    if (!freopen("/dev/null", "w", stderr)) _exit(4); /* the simulator tells its faults there too */
    setenv("CUDASIM_INSTRUCTION_LIMIT", "200000", 1);
    if (check.special)
      check.special(mended);
    else
      launch(mended ? check.right : check.faulty, check.threads, check.shared, check.wanted);
    snprintf(child->fault, sizeof child->fault, "%s", fault_text());
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (status)
    snprintf(child->fault, sizeof child->fault, "the process ended with status 0x%x", status),
        child->error = -1;
}
/* Why the fault's text is not as it has to be; empty if it is. */
static std::string fault_is_wrong(const Check &check) {
  const std::string text = child->fault;
  if (child->error == 0) return "no error was returned";
  if (text.empty()) return "no fault was reported";
  if (text.find(check.name) == std::string::npos) return "the kernel is not named";
  if (text.find("block") == std::string::npos) return "no block is named";
  if (text.find("thread") == std::string::npos) return "no thread is named";
  if (!std::regex_search(text, std::regex(check.word)))
    return std::string("it does not say ") + check.word;
  std::ifstream source(kMistakesFile);
  std::string line, lines;
  for (int number = 1; std::getline(source, line); number++)
    if (line.find(std::string("FAULT ") + check.name + " ") != std::string::npos)
      lines += (lines.empty() ? "" : "|") + std::to_string(number);
  if (!std::regex_search(text, std::regex("test_checks_mistakes\\.cuh[^0-9]*(" + lines + ")\\b")))
    return "the source line is not " + lines;
  return "";
}
/* An argument runs only the kernels whose name contains it, and prints their faults. */
int main(int arguments, char **argument) {
  child = static_cast<Child *>(
      mmap(nullptr, sizeof(Child), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  int faults = 0, clean = 0, failures = 0;
  for (const Check &check : checks) {
    if (arguments > 1 && !strstr(check.name, argument[1])) continue;
    std::string wrong;
    if (check.word) {
      run_in_child(check, false);
      wrong = fault_is_wrong(check);
      faults++;
      if (!wrong.empty() || arguments > 1)
        printf("%s %s: %s\n  %s\n", wrong.empty() ? "ok" : "FAIL", check.name, wrong.c_str(),
               child->fault);
      failures += !wrong.empty();
    }
    run_in_child(check, true);
    clean++;
    if (child->error || child->fault[0]) {
      printf("FAIL %s, which is right: error %d\n  %s\n", check.name, child->error, child->fault),
          failures++;
    } else if (child->wrong_index >= 0) {
      printf("FAIL %s, which is right: d[%d] is %d, not %d\n", check.name, child->wrong_index,
             child->got, child->wanted);
      failures++;
    }
    fflush(stdout);
  }
  printf("%d mistakes, %d right kernels, %d failures\n", faults, clean, failures);
  return failures != 0;
}
