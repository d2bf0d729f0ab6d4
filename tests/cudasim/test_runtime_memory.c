/* Device memory: bounds, bytes never written, lifetimes in stream order, host accesses. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_runtime.h"

static void allocation(void) {
  void *a = NULL, *b = NULL, *nothing = &a;
  OK(cudaMalloc(&a, 1000));
  OK(cudaMalloc(&b, 1000));
  CHECK((uintptr_t)a % 256 == 0 && (uintptr_t)a % 512 != 0);
  CHECK(a != b && sim.live_device_blocks() == 2 && sim.live_device_bytes() == 2000);
  OK(cudaMalloc(&nothing, 0));
  CHECK(nothing == NULL);
  OK(cudaFree(NULL));
  OK(cudaFree(a));
  EQUAL(cudaFree(a), cudaErrorInvalidValue); /* twice */
  EQUAL(cudaFree((char *)b + 256), cudaErrorInvalidValue);
  int local;
  EQUAL(cudaFree(&local), cudaErrorInvalidValue);
  void *c = NULL;
  OK(cudaMalloc(&c, 1000));
  CHECK(c != a); /* addresses do not come back */
  OK(cudaFree(b));
  OK(cudaFree(c));
  EQUAL(sim.live_device_blocks(), 0);
}

static void limit(void) {
  void *a = NULL, *b = NULL;
  size_t available = 0, total = 0;
  OK(cudaMalloc(&a, 700000));
  OK(cudaMemGetInfo(&available, &total));
  EQUAL(total, 1000000);
  EQUAL(available, 300000);
  EQUAL(cudaMalloc(&b, 300001), cudaErrorMemoryAllocation);
  EQUAL(cudaMallocAsync(&b, 300001, new_stream()), cudaErrorMemoryAllocation);
  EQUAL(cudaGetLastError(), cudaErrorMemoryAllocation);
  EQUAL(cudaGetLastError(), cudaSuccess);
  OK(cudaFree(a));
  OK(cudaMalloc(&b, 300001));
}

static void much(void) { /* pages are given back: 64 times 512 MiB */
  for (int i = 0; i < 64; i++) {
    void *a = NULL;
    OK(cudaMalloc(&a, (size_t)512 << 20));
    OK(cudaMemset(a, 1, 1 << 20));
    OK(cudaFree(a));
  }
}

static void host_reads(void) {
  float *a = device_floats(100, NULL);
  OK(cudaMemset(a, 0, 400));
  OK(cudaDeviceSynchronize());
  volatile float x = a[3];
  (void)x;
}

static void host_writes(void) {
  void *a = NULL;
  OK(cudaMallocAsync(&a, 77, new_stream()));
  *(volatile char *)a = 1;
}

static void other_bad_access(void) {
  device_floats(1, NULL);
  *(volatile int *)(uintptr_t)(fflush(stdout), 64) = 1;
}

static void own_handler(int signal) {
  (void)signal;
  static const char text[] = "own handler\n";
  _exit(write(2, text, sizeof text - 1) > 0 ? 7 : 8);
}

static void other_handler(void) {
  signal(SIGSEGV, own_handler);
  other_bad_access();
}

static void unwritten(void) {
  char host[64], *a = NULL;
  OK(cudaMalloc((void **)&a, 64));
  OK(cudaMemset(a, 1, 40));
  OK(cudaMemset(a + 41, 1, 23));
  OK(cudaMemcpy(host, a, 40, cudaMemcpyDeviceToHost));
  OK(cudaMemcpy(host, a + 41, 23, cudaMemcpyDeviceToHost));
  EQUAL(cudaMemcpy(host, a, 64, cudaMemcpyDeviceToHost), cudaErrorLaunchFailure);
  CHECK(fault_says("byte 40 of block 1 (64 bytes"));
  CHECK(fault_says("allocated by cudaMalloc from"));
}

static void unwritten_between_devices(void) {
  float *a = device_floats(8, NULL), *b = device_floats(8, NULL);
  OK(cudaMemcpy(b, a, 32, cudaMemcpyDeviceToDevice));
  EQUAL(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  CHECK(fault_says("was never written"));
}

static void freed_bytes_are_forgotten(void) {
  char *a = NULL, host[16];
  OK(cudaMalloc((void **)&a, 16));
  OK(cudaMemset(a, 7, 16));
  download(host, a, 16);
  CHECK(host[0] == 7 && host[15] == 7);
  OK(cudaFree(a));
  EQUAL(cudaMemcpy(host, a, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EQUAL(cudaMemset(a, 7, 16), cudaErrorInvalidValue);
}

static void bounds_of_copies(void) {
  char host[64] = {0}, *a = NULL;
  OK(cudaMalloc((void **)&a, 64));
  EQUAL(cudaMemcpy(a + 1, host, 64, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EQUAL(cudaMemset(a, 0, 65), cudaErrorInvalidValue);
  EQUAL(cudaMemset(a - 1, 0, 1), cudaErrorInvalidValue);
  EQUAL(cudaMemset(NULL, 0, 1), cudaErrorInvalidValue);
  EQUAL(cudaMemset(host, 0, 1), cudaErrorInvalidValue);
  OK(cudaMemset(NULL, 0, 0));
  OK(cudaMemset(a, 0, 64));
  OK(cudaDeviceSynchronize());
  CHECK(*sim.fault() == 0);
}

static void in_stream_order(void) {
  cudaStream_t s = new_stream();
  void *a = NULL;
  char host[100];
  OK(cudaMallocAsync(&a, 100, s));
  OK(cudaMemsetAsync(a, 5, 100, s));
  OK(cudaMemcpyAsync(host, a, 100, cudaMemcpyDeviceToHost, s));
  OK(cudaFreeAsync(a, s));
  EQUAL(cudaFreeAsync(a, s), cudaErrorInvalidValue);
  EQUAL(sim.live_device_blocks(), 0); /* asked for is as good as done */
  OK(cudaStreamSynchronize(s));
  CHECK(host[0] == 5 && host[99] == 5);
  OK(cudaMallocAsync(&a, 100, s));
  OK(cudaFree(a)); /* the other way of freeing does, too */
  EQUAL(cudaMallocAsync(&a, 0, s), cudaErrorInvalidValue);
  EQUAL(cudaFreeAsync(NULL, s), cudaErrorInvalidValue);
}

static void used_too_early(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  void *a = NULL;
  OK(cudaMallocAsync(&a, 100, s));
  OK(cudaMemsetAsync(a, 5, 100, t));
  EQUAL(cudaStreamSynchronize(t), cudaErrorIllegalAddress);
  CHECK(fault_says("used before its allocation ran"));
}

static void used_after_event(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  cudaEvent_t e = new_event();
  void *a = NULL;
  OK(cudaMallocAsync(&a, 100, s));
  OK(cudaEventRecord(e, s));
  OK(cudaStreamWaitEvent(t, e, 0));
  OK(cudaMemsetAsync(a, 5, 100, t));
  OK(cudaStreamSynchronize(t));
}

static void used_too_late(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  void *a = NULL;
  OK(cudaMallocAsync(&a, 100, s));
  OK(cudaStreamSynchronize(s));
  OK(cudaMemsetAsync(a, 5, 100, t));
  OK(cudaFreeAsync(a, s));
  OK(cudaStreamSynchronize(s));
  EQUAL(cudaStreamSynchronize(t), cudaErrorIllegalAddress);
  CHECK(fault_says("used after it was freed, in stream order"));
}

static void freed_too_early(void) {
  cudaStream_t s = new_stream(), t = new_stream();
  void *a = NULL;
  OK(cudaMallocAsync(&a, 100, s));
  OK(cudaFreeAsync(a, t));
  CHECK(cudaStreamSynchronize(t) != 0);
  CHECK(fault_says("is freed before its allocation ran"));
}

static void pools(void) {
  cudaStream_t s = new_stream();
  cudaMemPool_t standard = NULL, own = NULL;
  uint64_t bytes = 12345;
  OK(cudaDeviceGetDefaultMemPool(&standard, 0));
  OK(cudaMemPoolSetAttribute(standard, cudaMemPoolAttrReleaseThreshold, &bytes));
  bytes = 0;
  OK(cudaMemPoolGetAttribute(standard, cudaMemPoolAttrReleaseThreshold, &bytes));
  EQUAL(bytes, 12345);
  struct cudaMemPoolProps wanted = {.allocType = cudaMemAllocationTypePinned,
                                    .location = {.type = cudaMemLocationTypeDevice, .id = 0}};
  OK(cudaMemPoolCreate(&own, &wanted));
  void *a = NULL;
  OK(cudaMallocFromPoolAsync(&a, 1000, own, s));
  OK(cudaMemPoolGetAttribute(own, cudaMemPoolAttrUsedMemCurrent, &bytes));
  EQUAL(bytes, 1000);
  OK(cudaFreeAsync(a, s));
  OK(cudaMemPoolTrimTo(own, 0));
  OK(cudaMemPoolDestroy(own));
  EQUAL(cudaMemPoolDestroy(own), cudaErrorInvalidResourceHandle);
  EQUAL(cudaMemPoolDestroy(standard), cudaErrorInvalidValue);
  EQUAL(cudaMallocFromPoolAsync(&a, 1000, own, s), cudaErrorInvalidResourceHandle);
  wanted.location.id = 1;
  EQUAL(cudaMemPoolCreate(&own, &wanted), cudaErrorInvalidDevice);
}

static void pointers(void) {
  struct cudaPointerAttributes is;
  float *a = device_floats(10, NULL), *b = pinned_floats(10, 0);
  OK(cudaPointerGetAttributes(&is, a + 3));
  CHECK(is.type == cudaMemoryTypeDevice && is.devicePointer == a + 3 && !is.hostPointer);
  OK(cudaPointerGetAttributes(&is, b + 3));
  EQUAL(is.type, cudaMemoryTypeHost);
  OK(cudaPointerGetAttributes(&is, &is));
  EQUAL(is.type, cudaMemoryTypeUnregistered);
  OK(cudaFree(a));
  OK(cudaPointerGetAttributes(&is, a));
  EQUAL(is.type, cudaMemoryTypeUnregistered);
}

static void two_devices(void) {
  int count = 0, index = -1;
  OK(cudaGetDeviceCount(&count));
  EQUAL(count, 2);
  EQUAL(cudaSetDevice(2), cudaErrorInvalidDevice);
  cudaStream_t first = new_stream();
  float *a = device_floats(4, (float[]){1, 2, 3, 4});
  OK(cudaSetDevice(1));
  OK(cudaGetDevice(&index));
  EQUAL(index, 1);
  float *b = device_floats(4, NULL), host[4] = {0};
  struct cudaPointerAttributes is;
  OK(cudaPointerGetAttributes(&is, a));
  EQUAL(is.device, 0);
  OK(cudaPointerGetAttributes(&is, b));
  EQUAL(is.device, 1);
  OK(cudaMemcpy(b, a, 16, cudaMemcpyDefault));
  download(host, b, 16);
  EQUAL(host[3], 4);
  cudaEvent_t event = new_event();
  EQUAL(cudaEventRecord(event, first), cudaErrorInvalidResourceHandle); /* other device's stream */
  OK(cudaStreamGetDevice(first, &index));
  EQUAL(index, 0);
}

static void reset(void) {
  cudaStream_t s = new_stream();
  float *a = device_floats(4, NULL), host[4];
  EQUAL(cudaMemcpy(host, a, 16, cudaMemcpyDeviceToHost), cudaErrorLaunchFailure);
  cudaDeviceReset();
  OK(cudaDeviceSynchronize());
  EQUAL(sim.live_device_blocks(), 0);
  EQUAL(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
}

const struct test memory_tests[] = {
    {"allocation", allocation, NULL, 0, NULL},
    {"limit", limit, "CUDASIM_MEMORY=1000000", 0, NULL},
    {"much", much, NULL, 0, NULL},
    {"host_reads", host_reads, NULL, -SIGSEGV, "block of 400 bytes allocated by cudaMalloc from"},
    {"host_writes", host_writes, NULL, -SIGSEGV,
     "block of 77 bytes allocated by cudaMallocAsync from"},
    {"other_bad_access", other_bad_access, NULL, -SIGSEGV, NULL},
    {"other_handler", other_handler, NULL, 7, "own handler"},
    {"unwritten", unwritten, NULL, 0, "cudasim: read of 64 bytes"},
    {"unwritten_between_devices", unwritten_between_devices, NULL, 0, NULL},
    {"freed_bytes_are_forgotten", freed_bytes_are_forgotten, NULL, 0, NULL},
    {"bounds_of_copies", bounds_of_copies, "CUDASIM_EXPLAIN=1", 0,
     "cudaMemset refused: 65 bytes at"},
    {"in_stream_order", in_stream_order, NULL, 0, NULL},
    {"used_too_early", used_too_early, NULL, 0, NULL},
    {"used_after_event", used_after_event, NULL, 0, NULL},
    {"used_too_late", used_too_late, NULL, 0, NULL},
    {"freed_too_early", freed_too_early, NULL, 0, NULL},
    {"pools", pools, NULL, 0, NULL},
    {"pointers", pointers, NULL, 0, NULL},
    {"two_devices", two_devices, "CUDASIM_DEVICES=2", 0, NULL},
    {"reset", reset, NULL, 0, NULL},
    {0},
};
