/* Copies: what a call has done when it returns, for pinned and for pageable host memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test_runtime.h"

enum { n = 4, bytes = n * sizeof(float) };

static void pageable_source(void) { /* read during the call */
  cudaStream_t s = new_stream();
  float *a = device_floats(n, NULL), host[n] = {1, 1, 1, 1}, back[n];
  OK(cudaMemcpyAsync(a, host, bytes, cudaMemcpyHostToDevice, s));
  host[0] = 2;
  OK(cudaStreamSynchronize(s));
  download(back, a, bytes);
  EQUAL(back[0], 1);
}

static void pinned_source(void) { /* read when the stream gets there */
  cudaStream_t s = new_stream();
  float *a = device_floats(n, NULL), *host = pinned_floats(n, 1), back[n];
  OK(cudaMemcpyAsync(a, host, bytes, cudaMemcpyHostToDevice, s));
  host[0] = 2;
  OK(cudaStreamSynchronize(s));
  download(back, a, bytes);
  EQUAL(back[0], 2);
}

static void registered_source(void) { /* pinned, too */
  cudaStream_t s = new_stream();
  float *a = device_floats(n, NULL), host[n] = {1, 1, 1, 1}, back[n];
  OK(cudaHostRegister(host, bytes, cudaHostRegisterDefault));
  EQUAL(cudaHostRegister(host + 1, 4, 0), cudaErrorHostMemoryAlreadyRegistered);
  OK(cudaMemcpyAsync(a, host, bytes, cudaMemcpyHostToDevice, s));
  host[0] = 2;
  OK(cudaStreamSynchronize(s));
  download(back, a, bytes);
  EQUAL(back[0], 2);
  EQUAL(cudaFreeHost(host), cudaErrorInvalidValue);
  OK(cudaHostUnregister(host));
  EQUAL(cudaHostUnregister(host), cudaErrorHostMemoryNotRegistered);
}

static void pageable_target(void) { /* there when the call returns */
  cudaStream_t s = new_stream();
  float *a = device_floats(n, NULL), back[n] = {9, 9, 9, 9};
  OK(cudaMemsetAsync(a, 0, bytes, s));
  OK(cudaMemcpyAsync(back, a, bytes, cudaMemcpyDeviceToHost, s));
  EQUAL(back[0], 0);
}

static void pinned_target(void) { /* there after a synchronisation */
  cudaStream_t s = new_stream();
  float *a = device_floats(n, NULL), *back = NULL;
  OK(cudaHostAlloc((void **)&back, bytes, cudaHostAllocDefault));
  CHECK(isnan(back[0]) && isnan(back[n - 1]));
  OK(cudaMemsetAsync(a, 0, bytes, s));
  OK(cudaMemcpyAsync(back, a, bytes, cudaMemcpyDeviceToHost, s));
  CHECK(isnan(back[0]));
  OK(cudaStreamSynchronize(s));
  EQUAL(back[0], 0);
  EQUAL(sim.live_host_blocks(), 1);
  OK(cudaFreeHost(back));
  EQUAL(sim.live_host_blocks(), 0);
  EQUAL(cudaFreeHost(back), cudaErrorInvalidValue);
  OK(cudaFreeHost(NULL));
}

static void free_host_waits(void) {
  cudaStream_t s = new_stream();
  float *a = device_floats(n, NULL), *host = pinned_floats(n, 1), back[n];
  OK(cudaMemcpyAsync(a, host, bytes, cudaMemcpyHostToDevice, s));
  OK(cudaFreeHost(host));
  download(back, a, bytes);
  EQUAL(back[0], 1);
}

static void blocking_copies(void) { /* cudaMemcpy with pinned memory waits, both ways */
  float *a = device_floats(n, NULL), *host = pinned_floats(n, 1), *back = pinned_floats(n, 0);
  OK(cudaMemcpy(a, host, bytes, cudaMemcpyHostToDevice));
  host[0] = 2;
  OK(cudaMemcpy(back, a, bytes, cudaMemcpyDeviceToHost));
  EQUAL(back[0], 1);
}

/* cudaMemcpy from pageable memory may return before the device has the bytes; a stream that does not
 * wait for the default stream then reads too early. */
static void copy_and_non_blocking_stream(void) {
  float *a = device_floats(n, NULL), host[n] = {1, 1, 1, 1}, back[n];
  OK(cudaMemcpy(a, host, bytes, cudaMemcpyHostToDevice));
  EQUAL(cudaMemcpyAsync(back, a, bytes, cudaMemcpyDeviceToHost, new_stream()),
        cudaErrorLaunchFailure);
  CHECK(fault_says("operations wait on the default stream"));
}

static void copy_and_blocking_stream(void) {
  cudaStream_t s = NULL;
  float *a = device_floats(n, NULL), host[n] = {1, 1, 1, 1}, back[n] = {0};
  OK(cudaStreamCreate(&s));
  OK(cudaMemcpy(a, host, bytes, cudaMemcpyHostToDevice));
  OK(cudaMemcpyAsync(back, a, bytes, cudaMemcpyDeviceToHost, s));
  EQUAL(back[0], 1);
}

static void directions(void) {
  float *a = device_floats(n, (float[n]){1, 2, 3, 4}), host[n], other[n] = {0};
  EQUAL(cudaMemcpy(a, host, bytes, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EQUAL(cudaMemcpy(host, a, bytes, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EQUAL(cudaMemcpy(host, a, bytes, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EQUAL(cudaMemcpy(host, a, bytes, cudaMemcpyHostToHost), cudaErrorInvalidValue);
  EQUAL(cudaMemcpy(host, a, bytes, (enum cudaMemcpyKind)9), cudaErrorInvalidMemcpyDirection);
  EQUAL(cudaMemcpy(NULL, a, bytes, cudaMemcpyDefault), cudaErrorInvalidValue);
  OK(cudaMemcpy(host, a, bytes, cudaMemcpyDefault));
  OK(cudaMemcpy(other, host, bytes, cudaMemcpyDefault));
  EQUAL(other[3], 4);
  OK(cudaMemcpy(NULL, NULL, 0, cudaMemcpyHostToDevice));
}

static void rows(void) {
  unsigned char host[3][8], back[3][8], *a = NULL;
  for (int i = 0; i < 24; i++) host[i / 8][i % 8] = (unsigned char)i;
  memset(back, 0xee, sizeof back);
  OK(cudaMalloc((void **)&a, 3 * 16 - 8)); /* the last row has no padding */
  cudaStream_t s = new_stream();
  OK(cudaMemcpy2DAsync(a, 16, host, 8, 6, 3, cudaMemcpyHostToDevice, s));
  OK(cudaMemset2DAsync(a + 2, 16, 0x55, 1, 3, s));
  OK(cudaMemcpy2DAsync(back, 8, a, 16, 6, 3, cudaMemcpyDeviceToHost, s));
  CHECK(back[2][0] == 16 && back[2][2] == 0x55 && back[2][5] == 21 && back[2][6] == 0xee);
  EQUAL(cudaMemcpy2D(a, 4, host, 8, 6, 3, cudaMemcpyHostToDevice), cudaErrorInvalidPitchValue);
  EQUAL(cudaMemcpy2D(a, 16, host, 8, 6, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EQUAL(cudaMemcpy2D(back, 8, a, 16, 7, 3, cudaMemcpyDeviceToHost), cudaErrorLaunchFailure);
  CHECK(fault_says("byte 6 of block")); /* of the padding, never written */
}

const struct test copy_tests[] = {
    {"pageable_source", pageable_source, NULL, 0, NULL},
    {"pinned_source", pinned_source, NULL, 0, NULL},
    {"registered_source", registered_source, NULL, 0, NULL},
    {"pageable_target", pageable_target, NULL, 0, NULL},
    {"pinned_target", pinned_target, NULL, 0, NULL},
    {"free_host_waits", free_host_waits, NULL, 0, NULL},
    {"blocking_copies", blocking_copies, NULL, 0, NULL},
    {"copy_and_non_blocking_stream", copy_and_non_blocking_stream, NULL, 0, NULL},
    {"copy_and_blocking_stream", copy_and_blocking_stream, NULL, 0, NULL},
    {"directions", directions, NULL, 0, NULL},
    {"rows", rows, NULL, 0, NULL},
    {0},
};
