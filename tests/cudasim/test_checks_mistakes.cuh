/* Kernels with one mistake each. The lines that a fault may name are marked. */
#ifndef CUDASIM_TEST_CHECKS_MISTAKES_CUH
#define CUDASIM_TEST_CHECKS_MISTAKES_CUH

#include "test_checks.cuh"

static const char kMistakesFile[] = __FILE__;

KERNEL(no_barrier) {
  __shared__ int cells[64];
  const int i = threadIdx.x;
  cells[i] = 0;
  __syncthreads();
  cells[i] = a[i]; /* FAULT no_barrier */
  if (mended) __syncthreads();
  d[i] = cells[63 - i]; /* FAULT no_barrier */
}
KERNEL(no_barrier_before_reuse) {
  __shared__ int cells[64];
  const int i = threadIdx.x;
  cells[i] = a[i];
  __syncthreads();
  const int x = cells[63 - i]; /* FAULT no_barrier_before_reuse */
  if (mended) __syncthreads();
  cells[i] = x; /* FAULT no_barrier_before_reuse */
  __syncthreads();
  d[i] = cells[i];
}
KERNEL(no_syncwarp) {
  __shared__ int cells[32];
  const int i = threadIdx.x;
  cells[i] = a[i]; /* FAULT no_syncwarp */
  if (mended) __syncwarp();
  d[i] = cells[i ^ 1]; /* FAULT no_syncwarp */
}
KERNEL(two_lanes_one_cell) {
  __shared__ int cells[32];
  const int i = threadIdx.x;
  if (!mended || i % 2 == 0) cells[i / 2] = a[i]; /* FAULT two_lanes_one_cell */
  __syncwarp();
  asm volatile("" ::"r"(cells[i / 2]));
  d[i] = a[i];
}
KERNEL(two_warps_one_cell) {
  __shared__ int cells[64];
  const int i = threadIdx.x;
  cells[mended ? i : i % 32] = a[i]; /* FAULT two_warps_one_cell */
  __syncthreads();
  d[i] = cells[mended ? i : i % 32];
}
KERNEL(barrier_in_branches) {
  __shared__ int cells[64];
  const int i = threadIdx.x;
  cells[i] = a[i];
  if (mended)
    __syncthreads();
  else if (i % 2) {
    __syncthreads(); /* FAULT barrier_in_branches */
    atomicAdd(&cells[i], 1);
  } else {
    atomicSub(&cells[i], 1);
    __syncthreads(); /* FAULT barrier_in_branches */
  }
  d[i] = cells[63 - i];
}
KERNEL(barrier_for_some) {
  const int i = threadIdx.x;
  if (i < 40 || mended) __syncthreads(); /* FAULT barrier_for_some */
  d[i] = a[i];
}
KERNEL(barrier_of_too_few) {
  const int i = threadIdx.x;
  if (i < 32 || mended) asm volatile("bar.sync 1, 64;" ::: "memory"); /* FAULT barrier_of_too_few */
  d[i] = a[i];
}
KERNEL(shuffle_with_absent_lanes) {
  const int i = threadIdx.x;
  int x = a[i];
  if (i < 16 || mended) x = __shfl_xor_sync(~0u, x, 1); /* FAULT shuffle_with_absent_lanes */
  d[i] = x;
}
KERNEL(shuffle_without_self) {
  const int i = threadIdx.x;
  const unsigned mask = mended ? ~0u : 0xffff0000;
  d[i] = __shfl_xor_sync(mask, a[i], 1); /* FAULT shuffle_without_self */
}
KERNEL(shuffle_from_absent_lane) {
  const int i = threadIdx.x;
  int x = a[i];
  if (i < 9) x = __shfl_down_sync(0x1ff, x, mended ? 0 : 8); /* FAULT shuffle_from_absent_lane */
  d[i] = x;
}
KERNEL(vote_with_absent_lanes) {
  const int i = threadIdx.x;
  unsigned votes = 0;
  if (i >= 8 || mended) votes = __ballot_sync(~0u, a[i] > 0); /* FAULT vote_with_absent_lanes */
  d[i] = votes == ~0u ? a[i] : 0;
}
KERNEL(syncwarp_with_absent_lanes) {
  const int i = threadIdx.x;
  if (i % 3 || mended) __syncwarp(~0u); /* FAULT syncwarp_with_absent_lanes */
  d[i] = a[i];
}
KERNEL(shared_past_end) {
  __shared__ int cells[32];
  const int i = threadIdx.x;
  cells[i] = a[i];
  __syncwarp();
  d[i] = cells[(i + 1) % (mended ? 32 : 33)]; /* FAULT shared_past_end */
}
KERNEL(dynamic_shared_past_end) { /* launched with 128 bytes */
  extern __shared__ int dynamic_cells[];
  const int i = threadIdx.x;
  dynamic_cells[i + (mended ? 0 : 1)] = a[i]; /* FAULT dynamic_shared_past_end */
  d[i] = dynamic_cells[i + (mended ? 0 : 1)];
}
KERNEL(shared_before_start) {
  __shared__ int cells[32];
  const int i = threadIdx.x;
  cells[i - (mended ? 0 : 1)] = a[i]; /* FAULT shared_before_start */
  d[i] = cells[i - (mended ? 0 : 1)];
}
KERNEL(shared_misaligned) {
  __shared__ alignas(16) char bytes[160];
  const int i = threadIdx.x;
  for (int k = 0; k < 5; k++) bytes[5 * i + k] = 0;
  __syncwarp();
  *reinterpret_cast<int *>(bytes + 4 * i + (mended ? 0 : 2)) = a[i]; /* FAULT shared_misaligned */
  d[i] = *reinterpret_cast<int *>(bytes + 4 * i + (mended ? 0 : 2));
}
KERNEL(shared_never_written) {
  __shared__ volatile int cells[32];
  const int i = threadIdx.x;
  if (i != 5 || mended) cells[i] = a[i];
  d[i] = cells[i]; /* FAULT shared_never_written */
}
KERNEL(global_past_end) {
  const int i = threadIdx.x;
  d[i] = a[i + (mended ? 0 : 1)]; /* FAULT global_past_end */
}
KERNEL(global_write_past_end) {
  const int i = threadIdx.x;
  d[i + (mended ? 0 : 1)] = a[i]; /* FAULT global_write_past_end */
}
KERNEL(global_before_start) {
  const int i = threadIdx.x;
  d[i] = a[i - (mended ? 0 : 1)]; /* FAULT global_before_start */
}
KERNEL(global_misaligned) {
  const int i = threadIdx.x;
  const int4 x = *reinterpret_cast<const int4 *>(a + i / 8 * 4 +
                                                 (mended ? 0 : 1)); /* FAULT global_misaligned */
  d[i] = a[i] + 0 * (x.x + x.w);
  if (x.y + x.z == 0) d[i] = x.x + x.w;
}
KERNEL(global_never_written) {
  const int i = threadIdx.x;
  volatile int *cells = scratch;
  if (i != 31 || mended) cells[i] = a[i];
  d[i] = cells[i]; /* FAULT global_never_written */
}
KERNEL(null_pointer) {
  const int i = threadIdx.x;
  const int *p = mended || a[0] != 1 ? a : nullptr;
  asm volatile("" : "+l"(p));
  d[i] = p[i]; /* FAULT null_pointer */
}
KERNEL(no_barrier_after_async) {
  __shared__ int cells[64];
  const int i = threadIdx.x;
  cells[i] = 0;
  __syncthreads();
  ASYNC_COPY(cells + i, a + i); /* FAULT no_barrier_after_async */
  ASYNC_COMMIT();
  ASYNC_WAIT(0);
  if (mended) __syncthreads();
  d[i] = cells[63 - i]; /* FAULT no_barrier_after_async */
}
KERNEL(no_async_wait) {
  __shared__ int cells[64];
  const int i = threadIdx.x;
  cells[i] = 0;
  __syncthreads();
  ASYNC_COPY(cells + i, a + i);
  ASYNC_COMMIT();
  if (mended) ASYNC_WAIT(0);
  __syncthreads();
  d[i] = cells[63 - i]; /* FAULT no_async_wait */
}
KERNEL(async_wait_for_older) {
  __shared__ int cells[64];
  const int i = threadIdx.x;
  ASYNC_COPY(cells + i, a + i);
  ASYNC_COMMIT();
  ASYNC_COPY(cells + 32 + i, a + i);
  ASYNC_COMMIT();
  if (mended)
    ASYNC_WAIT(0);
  else
    ASYNC_WAIT(1);
  __syncwarp();
  d[i] = cells[i] - cells[32 + (i ^ 1)] + a[i ^ 1]; /* FAULT async_wait_for_older */
}
KERNEL(async_without_commit) {
  __shared__ int cells[32];
  const int i = threadIdx.x;
  ASYNC_COPY(cells + i, a + i);
  if (mended) ASYNC_COMMIT();
  ASYNC_WAIT(0);
  __syncwarp();
  d[i] = cells[i]; /* FAULT async_without_commit */
}
KERNEL(endless_loop) { /* the limit of instructions is set low */
  const int i = threadIdx.x;
  volatile int *cells = scratch;
  cells[i] = mended ? 1 : 0;
  while (cells[i] == 0) d[i] = 3; /* FAULT endless_loop */
  d[i] = a[i];
}
KERNEL(reads_input) {
  const int i = threadIdx.x;
  d[i] = a[i]; /* FAULT reads_input */
}
KERNEL(writes_scratch) {
  const int i = threadIdx.x;
  scratch[i] = a[i]; /* FAULT writes_scratch */
  d[i] = a[i];
}

#endif
