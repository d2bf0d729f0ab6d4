/* Launches: what CUDA checks before a kernel runs, when its arguments are read, and what it says of it.
 * Needs nvcc; what kernels compute is the interpreter's tests' to show. */
#include <cuda_runtime.h>

#include <cstdio>

static int checks, failed;

static void expect(int line, const char *text, long long got, long long wanted) {
  checks++;
  if (got == wanted) return;
  failed++;
  printf("%s:%d: %s: %lld, not %lld\n", __FILE__, line, text, got, wanted);
}
#define EQUAL(a, b) expect(__LINE__, #a, (long long)(a), (long long)(b))
#define OK(call) EQUAL(call, cudaSuccess)

__global__ void __launch_bounds__(64) store(int *to, int value) {
  if (threadIdx.x == 0 && blockIdx.x == 0) *to = value;
}

__global__ void with_shared(int *to) {
  extern __shared__ int dynamic[];
  __shared__ int fixed[256];
  fixed[threadIdx.x % 256] = dynamic[threadIdx.x] = int(threadIdx.x);
  __syncthreads();
  if (threadIdx.x == 0) *to = fixed[0] + dynamic[1];
}

static int *to;

static int launch(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  store<<<grid, block, shared, stream>>>(to, 1);
  return cudaGetLastError();
}

static void shapes() {
  OK(launch(1, 1, 0, 0));
  OK(launch(1, 64, 0, 0));
  EQUAL(launch(1, 65, 0, 0), cudaErrorLaunchOutOfResources); /* __launch_bounds__ */
  EQUAL(launch(1, 1025, 0, 0), cudaErrorInvalidConfiguration);
  EQUAL(launch(1, dim3(1, 1, 65), 0, 0), cudaErrorInvalidConfiguration);
  EQUAL(launch(1, 0, 0, 0), cudaErrorInvalidConfiguration);
  EQUAL(launch(0, 1, 0, 0), cudaErrorInvalidConfiguration);
  EQUAL(launch(0x80000000u, 1, 0, 0), cudaErrorInvalidConfiguration);
  EQUAL(launch(dim3(1, 65536), 1, 0, 0), cudaErrorInvalidConfiguration);
  EQUAL(launch(dim3(1, 1, 65536), 1, 0, 0), cudaErrorInvalidConfiguration);
  OK(launch(dim3(1, 2, 3), dim3(2, 2, 2), 0, 0));
  EQUAL(cudaLaunchKernel((const void *)&checks, 1, 1, nullptr, 0, 0),
        cudaErrorInvalidDeviceFunction);
  EQUAL(launch(1, 1, 0, (cudaStream_t)12345), cudaErrorInvalidResourceHandle);
}

static int launch_shared(size_t bytes) {
  with_shared<<<1, 32, bytes>>>(to);
  return cudaGetLastError();
}

static void shared_memory() {
  const void *kernel = (const void *)with_shared;
  const int fixed = 1024, most = 227 * 1024;
  const auto size = cudaFuncAttributeMaxDynamicSharedMemorySize;
  cudaFuncAttributes is;
  OK(cudaFuncGetAttributes(&is, kernel));
  EQUAL(is.sharedSizeBytes, fixed);
  EQUAL(is.maxDynamicSharedSizeBytes, 48 * 1024 - fixed);
  OK(launch_shared(48 * 1024 - fixed));
  EQUAL(launch_shared(48 * 1024 - fixed + 1), cudaErrorInvalidValue);
  EQUAL(cudaFuncSetAttribute(kernel, size, most - fixed + 1), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  OK(cudaFuncSetAttribute(kernel, size, most - fixed));
  OK(launch_shared(most - fixed));
  OK(cudaFuncSetAttribute(kernel, size, 100000));
  EQUAL(launch_shared(100001), cudaErrorInvalidValue);
  EQUAL(cudaFuncSetAttribute(&checks, size, 1), cudaErrorInvalidDeviceFunction);
  OK(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100));
  EQUAL(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 101),
        cudaErrorInvalidValue);
  (void)cudaGetLastError();
  OK(cudaDeviceSynchronize());
}

static void occupancy() {
  int blocks = 0;
  const auto ask = cudaOccupancyMaxActiveBlocksPerMultiprocessor<void (*)(int *)>;
  OK(ask(&blocks, with_shared, 32, 1024));
  EQUAL(blocks, 32);
  OK(ask(&blocks, with_shared, 1024, 1024));
  EQUAL(blocks, 2); /* by threads */
  OK(ask(&blocks, with_shared, 32, 50 * 1024));
  EQUAL(blocks, 4); /* by shared memory, with 1 KiB of its own and 1 KiB of the system's */
  OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, store, 65, 0));
  EQUAL(blocks, 0);
  cudaFuncAttributes is;
  OK(cudaFuncGetAttributes(&is, (const void *)store));
  EQUAL(is.maxThreadsPerBlock, 64);
}

static int value() {
  int host = -1;
  OK(cudaMemcpy(&host, to, sizeof host, cudaMemcpyDeviceToHost));
  return host;
}

/* Arguments are copied during the call; the kernel runs later. */
static void arguments() {
  cudaStream_t stream;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OK(cudaMemset(to, 0, sizeof *to));
  OK(cudaDeviceSynchronize());
  int number = 5;
  void *list[] = {&to, &number};
  OK(cudaLaunchKernel((const void *)store, 1, 1, list, 0, stream));
  number = 6;
  EQUAL(value(), 0);
  OK(cudaStreamSynchronize(stream));
  EQUAL(value(), 5);

  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributePriority;
  cudaLaunchConfig_t config = {};
  config.gridDim = config.blockDim = 1;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  OK(cudaLaunchKernelExC(&config, (const void *)store, list));
  OK(cudaStreamSynchronize(stream));
  EQUAL(value(), 6);
  attribute.id = cudaLaunchAttributeClusterDimension;
  EQUAL(cudaLaunchKernelExC(&config, (const void *)store, list), cudaErrorNotSupported);
  (void)cudaGetLastError();
  OK(cudaStreamDestroy(stream));
}

static void in_a_graph() {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  store<<<1, 1, 0, stream>>>(to, 9);
  OK(cudaGetLastError());
  OK(cudaStreamEndCapture(stream, &graph));
  OK(cudaGraphInstantiate(&executable, graph, 0));
  EQUAL(value(), 6);
  OK(cudaGraphLaunch(executable, stream));
  OK(cudaStreamSynchronize(stream));
  EQUAL(value(), 9);
  OK(cudaGraphDestroy(graph));
  OK(cudaGraphExecDestroy(executable));
  OK(cudaStreamDestroy(stream));
}

/* Last: it breaks the device. */
static void out_of_bounds() {
  store<<<1, 1>>>(to + 1, 1);
  OK(cudaGetLastError());
  EQUAL(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EQUAL(launch(1, 1, 0, 0), cudaErrorIllegalAddress);
}

int main() {
  OK(cudaMalloc(&to, sizeof *to));
  shapes();
  shared_memory();
  occupancy();
  arguments();
  in_a_graph();
  out_of_bounds();
  printf("cudasim launches: %d checks, %d failed\n", checks, failed);
  return failed != 0;
}
