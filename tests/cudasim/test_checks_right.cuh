/* Right kernels that look suspicious. */
#ifndef CUDASIM_TEST_CHECKS_RIGHT_CUH
#define CUDASIM_TEST_CHECKS_RIGHT_CUH

#include "test_checks.cuh"

#define CLEAN(name) KERNEL(name)
CLEAN(sum_by_syncwarp) {
  __shared__ int cells[32];
  const int i = threadIdx.x;
  cells[i] = a[i];
  for (int step = 16; step; step /= 2) {
    __syncwarp();
    const int x = i < step ? cells[i + step] : 0;
    __syncwarp();
    if (i < step) cells[i] += x;
  }
  __syncwarp();
  d[i] = cells[0];
}
CLEAN(loops_of_different_length) {
  const int i = threadIdx.x;
  int x = 0;
  for (int k = 0; k <= i; k++) x += a[k];
  __syncwarp();
  d[i] = __shfl_sync(~0u, x, 31 - i);
}
CLEAN(warps_that_leave) { /* of 96 threads the second warp */
  const int i = threadIdx.x;
  if (i / 32 == 1) {
    d[i] = 5;
    return;
  }
  d[i] = __shfl_xor_sync(~0u, a[i], 3);
}
CLEAN(threads_that_leave) {
  const int i = threadIdx.x;
  d[i] = 0;
  if (i % 5 == 0) return;
  const unsigned mask = __activemask();
  d[i] = __popc(__ballot_sync(mask, 1));
}
CLEAN(one_barrier_per_turn) { /* two buffers in turn */
  __shared__ int cells[2][64];
  const int i = threadIdx.x;
  int x = a[i];
  for (int turn = 0; turn < 9; turn++) {
    cells[turn % 2][i] = x;
    __syncthreads();
    x = cells[turn % 2][(i + 33) % 64];
  }
  d[i] = x;
}
CLEAN(async_pipeline) { /* three stages, each filled while an older one is read */
  __shared__ int cells[3][64];
  const int i = threadIdx.x;
  int sum = 0;
  for (int stage = 0; stage < 2; stage++) {
    ASYNC_COPY(&cells[stage][i], a + (i + stage) % 64);
    ASYNC_COMMIT();
  }
  for (int turn = 0; turn < 8; turn++) {
    ASYNC_WAIT(1);
    __syncthreads();
    if (turn + 2 < 8) ASYNC_COPY(&cells[(turn + 2) % 3][i], a + (i + turn + 2) % 64);
    ASYNC_COMMIT();
    sum += cells[turn % 3][63 - i];
  }
  d[i] = sum;
}
CLEAN(sum_of_part_of_a_warp) { /* nine lanes */
  const int i = threadIdx.x;
  d[i] = 0;
  if (i < 9) {
    int x = a[i];
    for (int step = 8; step; step /= 2) {
      const int other = __shfl_sync(0x1ff, x, min(i + step, 8));
      if (i + step < 9) x += other;
    }
    d[i] = __shfl_sync(0x1ff, x, 0);
  }
}
CLEAN(halves_with_masks_of_their_own) {
  const int i = threadIdx.x;
  if (i < 16)
    d[i] = __shfl_xor_sync(0x0000ffff, a[i], 1);
  else
    d[i] = __shfl_xor_sync(0xffff0000, a[i], 2);
}
CLEAN(block_sum) { /* of any number of threads */
  __shared__ int sums[32];
  const int i = threadIdx.x, n = blockDim.x;
  const unsigned mask = i / 32 == (n - 1) / 32 && n % 32 ? (1u << n % 32) - 1 : ~0u;
  int x = a[i];
  for (int step = 16; step; step /= 2) {
    const int other = __shfl_sync(mask, x, min(i % 32 + step, 31 - __clz(mask)));
    if (i % 32 + step < 32 && i + step < n) x += other;
  }
  if (i % 32 == 0) sums[i / 32] = x;
  __syncthreads();
  int total = 0;
  for (int warp = 0; warp <= (n - 1) / 32; warp++) total += sums[warp];
  d[i] = total;
}
CLEAN(shared_atomics) { /* from all warps, nothing between */
  __shared__ int cells[4];
  const int i = threadIdx.x;
  if (i < 4) cells[i] = 0;
  __syncthreads();
  atomicAdd(&cells[i % 4], a[i]);
  __syncthreads();
  d[i] = cells[i % 4];
}
CLEAN(same_value_from_all_lanes) {
  __shared__ int cell;
  cell = a[7];
  __syncwarp();
  d[threadIdx.x] = cell;
}
CLEAN(unequal_work_between_barriers) {
  __shared__ int cells[96];
  const int i = threadIdx.x;
  int x = a[i];
  for (int turn = 0; turn < 3; turn++) {
    if (i / 32 == turn)
      for (int k = 0; k < 50 + i; k++) x ^= k;
    cells[i] = x;
    __syncthreads();
    x = cells[95 - i];
    __syncthreads();
  }
  d[i] = x;
}
CLEAN(early_continue_and_break) {
  const int i = threadIdx.x;
  int x = 0;
  for (int k = 0; k < 40; k++) {
    if ((k + i) % 3 == 0) continue;
    if (k > i) break;
    x += k;
    for (int m = 0; m < k % 4; m++)
      if (m == i % 3)
        break;
      else
        x++;
  }
  d[i] = x + int(__ballot_sync(~0u, 1) == ~0u);
}

#endif
