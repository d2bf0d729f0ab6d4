/* The backend that is always built. Its memory is the host's, its stream is the calling thread. */
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu.h"
#include "pack.h"
#include "tensor.h"

static atomic_bool forked;

static void note_fork(void) {
  atomic_store(&forked, true);
}

static void watch_forks(void) {
  (void)pthread_atfork(NULL, NULL, note_fork);
}

bool xattn_cpu_forked(void) {
  return atomic_load(&forked);
}

int xattn_cpu_threads(const xattn_device *device) {
  return xattn_cpu_forked() ? 1 : device->threads;
}

/* What is as large as a huge page lies in such, where the system has them: with pages of 4 KiB, streaming a context or a
 * weight waits for their addresses. */
static void *allocate(size_t bytes) {
  const size_t huge = (size_t)2 << 20;
  void *data;
  if (posix_memalign(&data, bytes < huge ? XATTN_ALIGNMENT : huge, bytes)) return NULL;
#ifdef MADV_HUGEPAGE
  if (bytes >= huge) (void)madvise(data, bytes / huge * huge, MADV_HUGEPAGE);
#endif
  return data;
}

/* A quarter of the second-level cache: of 512 KiB, 256 keys and values of heads of 64, or 128 of 128. */
static int64_t tile_floats(void) {
  const long usual = 512 << 10;
  long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
  bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return (bytes > 0 ? bytes : usual) / 4 / (int64_t)sizeof(float);
}

static xattn_status cpu_open(xattn_error *error, int32_t index, const xattn_device_options *options,
                             xattn_device **device) {
  (void)index;
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, watch_forks);
  const xattn_isa *isa;
  xattn_status status = xattn_isa_choose(error, &isa);
  if (status) return status;
  int32_t threads = options->threads ? options->threads : omp_get_max_threads();
  size_t bytes = (size_t)threads * (size_t)xattn_cpu_scratch() * sizeof(float);
  *device = malloc(sizeof **device);
  float *scratch = allocate(bytes);
  if (*device && scratch) {
    **device = (xattn_device){
        .threads = threads, .isa = isa, .scratch = scratch, .tile_floats = tile_floats()};
    return XATTN_OK;
  }
  free(*device);
  free(scratch);
  return xattn_fail(error, XATTN_ERROR_MEMORY, "handle: out of memory at %d threads", threads);
}

static void cpu_close(xattn_device *device) {
  free(device->scratch);
  free(device);
}

static void cpu_describe(const xattn_device *device, xattn_handle_info *info) {
  (void)snprintf(info->detail, sizeof info->detail, "%s kernels", device->isa->name);
  info->threads = xattn_cpu_threads(device);
}

enum { TILE_ROWS = 4096, TILE_KEYS = 256 };

/* Q and O of so many rows stay in the second-level cache, or near it. On an EPYC 128 to 512 take about the same. */
enum { PIPE_ROWS = 256 };

static xattn_limits cpu_limits(const xattn_device *device) {
  return (xattn_limits){
      .max_extent = INT32_MAX,
      /* K and V are packed anew for every chunk of rows, so chunks must not be small. */
      .score_bytes = (int64_t)device->threads * (4 << 20),
      .parallel = device->threads,
      .row_alignment = 1,
      .tile_rows = TILE_ROWS,
      .tile_keys = TILE_KEYS,
      .tile_floats = device->tile_floats,
      .few_rows = XATTN_FEW_ROWS,
      .unpacked_rows = XATTN_FEWEST_ROWS,
      .packing = device->isa->panel,
      .packing_bf16 = device->isa->tile_pack_bf16 ? device->isa->panel : 0,
      .pipe_rows = PIPE_ROWS,
      .wide = 1};
}

/* Between what an EPYC and a Xeon do, each thread; what has narrower registers is guessed. */
static xattn_rates cpu_rates(const xattn_device *device) {
  double threads = device->threads, lanes = device->isa->lanes < 8 ? device->isa->lanes : 8;
  double bf16 = device->isa->tile_multiply_bf16 ? 2.0 : 1.0; /* a dot product is two at once */
  return (xattn_rates){.size = sizeof(xattn_rates),
                       .flops = threads * 12e9 * lanes,
                       .flops_half = threads * 12e9 * lanes * bf16,
                       .operands = threads * 6e9,
                       .stream = threads * 12e9,
                       .softmax = threads * 0.2e9 * lanes,
                       .launch = threads > 1 ? 4e-6 : 2e-6,
                       .source = "built in"};
}

static xattn_status cpu_begin(xattn_error *error, xattn_device *device, bool *capturing) {
  (void)error;
  (void)device;
  *capturing = false;
  return XATTN_OK;
}

static xattn_status cpu_allocate(xattn_error *error, xattn_device *device, size_t bytes,
                                 xattn_memory *memory) {
  (void)device;
  size_t rounded = (bytes + XATTN_ALIGNMENT - 1) / XATTN_ALIGNMENT * XATTN_ALIGNMENT;
  void *data = rounded < bytes ? NULL : allocate(rounded);
  *memory = (xattn_memory){.data = data};
  if (data || bytes == 0) return XATTN_OK;
  return xattn_fail(error, XATTN_ERROR_MEMORY, "cpu: out of memory at %zu bytes", bytes);
}

static void cpu_release(xattn_memory *memory) {
  free(memory->data);
}

/* What a call writes is there when it returns. */
static xattn_status cpu_publish(xattn_error *error, xattn_device *device, xattn_memory *memory) {
  (void)error;
  (void)device;
  (void)memory;
  return XATTN_OK;
}

static xattn_status cpu_acquire(xattn_error *error, xattn_device *device,
                                const xattn_memory *memory) {
  (void)error;
  (void)device;
  (void)memory;
  return XATTN_OK;
}

static xattn_status cpu_upload(xattn_error *error, xattn_device *device, void *to,
                               xattn_dtype dtype, const xattn_tensor *from) {
  (void)error;
  (void)device;
  xattn_pack(from, 0, xattn_tensor_elements(from), dtype, to);
  return XATTN_OK;
}

static xattn_status cpu_download(xattn_error *error, xattn_device *device, const void *from,
                                 const xattn_tensor *to) {
  (void)error;
  (void)device;
  xattn_unpack(from, to, 0, xattn_tensor_elements(to));
  return XATTN_OK;
}

static xattn_status cpu_synchronize(xattn_error *error, xattn_device *device) {
  (void)error;
  (void)device;
  return XATTN_OK;
}

static xattn_status cpu_share(xattn_error *error, xattn_device *device, int64_t tasks,
                              xattn_task_function *function, void *argument) {
  xattn_status failed = XATTN_OK;
  int threads = xattn_cpu_threads(device);
  if (threads > tasks) threads = (int)tasks;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
  for (int64_t task = 0; task < tasks; task++) {
    const int thread = omp_get_thread_num();
    xattn_device one = {.threads = 1,
                        .isa = device->isa,
                        .scratch = device->scratch + thread * xattn_cpu_scratch()};
    xattn_error own;
    xattn_status status = function(&own, &one, thread, task, argument);
    if (!status) continue;
#pragma omp critical
    {
      failed = status;
      *error = own;
    }
  }
  return failed;
}

const xattn_backend xattn_backend_cpu = {
    .name = "cpu",
    .memory = XATTN_CPU,
    .open = cpu_open,
    .close = cpu_close,
    .describe = cpu_describe,
    .limits = cpu_limits,
    .rates = cpu_rates,
    .begin = cpu_begin,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .publish = cpu_publish,
    .acquire = cpu_acquire,
    .upload = cpu_upload,
    .download = cpu_download,
    .packed_elements = xattn_cpu_packed_elements,
    .pack = xattn_cpu_pack,
    .gemm = xattn_cpu_gemm,
    .softmax = xattn_cpu_softmax,
    .attend = xattn_cpu_attend,
    .copy = xattn_cpu_copy,
    .share = cpu_share,
    .synchronize = cpu_synchronize,
};
