/* The device: handles, tensors on it, what it says of itself; and the list of what went wrong. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../apps/random.h"
#include "bench.h"

/* ---- what went wrong */

void complain_about(bench *b, const char *format, ...) {
  char text[sizeof b->problem[0]];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  (void)fprintf(stderr, "gpu-bench: %s\n", text);
  if (b->problems < MOST_PROBLEMS) memcpy(b->problem[b->problems++], text, sizeof text);
}

bool cuda_fine(bench *b, cudaError_t code, const char *what) {
  if (!code) return true;
  (void)cudaGetLastError();
  complain_about(b, "%s: %s: %s", what, cudaGetErrorName(code), cudaGetErrorString(code));
  return false;
}

bool blas_fine(bench *b, cublasStatus_t status, const char *what) {
  if (!status) return true;
  complain_about(b, "%s: %s", what, cublasGetStatusString(status));
  return false;
}

bool xattn_fine(bench *b, const xattn_handle *handle, xattn_status status, const char *what) {
  if (!status) return true;
  complain_about(b, "%s: %s: %s", what, xattn_status_name(status), xattn_last_error(handle));
  return false;
}

bool time_is_up(bench *b, const char *what) {
  if (now_ms() < b->end_ms) return false;
  complain_about(b, "%s: left out, the %.0f s are up", what, b->set.limit);
  return true;
}

/* ---- the device */

static int64_t attribute(bench *b, enum cudaDeviceAttr which) {
  int value = 0;
  (void)cuda_fine(b, cudaDeviceGetAttribute(&value, which, 0), "asking for a device attribute");
  return value;
}

bool bench_open(bench *b) {
  b->end_ms = now_ms() + b->set.limit * 1e3;
  if (!cuda_fine(b, cudaSetDevice(0), "opening device 0")) return false;
  const int64_t cache = attribute(b, cudaDevAttrL2CacheSize);
  b->flush_bytes = (size_t)(cache ? 2 * cache : 128 << 20);
  if (!cuda_fine(b, cudaMalloc(&b->flush, b->flush_bytes), "memory to flush the cache with"))
    return false;
  for (int i = 0; i < MOST_RUNS; i++)
    if (!cuda_fine(b, cudaEventCreate(&b->begin[i]), "making an event") ||
        !cuda_fine(b, cudaEventCreate(&b->end[i]), "making an event"))
      return false;
  return true;
}

void bench_close(bench *b) {
  for (int i = 0; i < MOST_RUNS; i++) {
    if (b->begin[i]) (void)cudaEventDestroy(b->begin[i]);
    if (b->end[i]) (void)cudaEventDestroy(b->end[i]);
  }
  (void)cudaFree(b->flush);
}

void print_device(bench *b) {
  struct cudaDeviceProp properties = {.name = ""};
  int driver = 0, runtime = 0, major = 0, minor = 0, patch = 0;
  size_t available = 0, all = 0;
  (void)cuda_fine(b, cudaGetDeviceProperties(&properties, 0), "asking for the device's name");
  (void)cuda_fine(b, cudaDriverGetVersion(&driver), "asking for the driver's version");
  (void)cuda_fine(b, cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
  (void)cuda_fine(b, cudaMemGetInfo(&available, &all), "asking for the memory");
  (void)blas_fine(b, cublasGetProperty(MAJOR_VERSION, &major), "asking for cuBLAS's version");
  (void)blas_fine(b, cublasGetProperty(MINOR_VERSION, &minor), "asking for cuBLAS's version");
  (void)blas_fine(b, cublasGetProperty(PATCH_LEVEL, &patch), "asking for cuBLAS's version");
  char blas[48];
  (void)snprintf(blas, sizeof blas, "%d.%d.%d", major, minor, patch);
  json_begin(&b->out, "device", '{');
  json_text(&b->out, "name", properties.name);
  json_integer(&b->out, "compute_capability",
               10 * attribute(b, cudaDevAttrComputeCapabilityMajor) +
                   attribute(b, cudaDevAttrComputeCapabilityMinor));
  json_integer(&b->out, "multiprocessors", attribute(b, cudaDevAttrMultiProcessorCount));
  json_integer(&b->out, "l2_bytes", attribute(b, cudaDevAttrL2CacheSize));
  json_integer(&b->out, "memory_bytes", (int64_t)all);
  json_integer(&b->out, "free_bytes", (int64_t)available);
  json_integer(&b->out, "driver_api", driver);
  json_integer(&b->out, "runtime", runtime);
  json_text(&b->out, "cublas", blas);
  json_text(&b->out, "xattn", xattn_version());
  json_end(&b->out, '}');
}

xattn_handle *open_handle(bench *b, xattn_math math) {
  xattn_handle *handle = NULL;
  const xattn_handle_options options = {.size = sizeof options, .device = "cuda:0", .math = math};
  (void)xattn_fine(b, NULL, xattn_create(&options, &handle), "opening a handle");
  return handle;
}

cudaStream_t stream_of(xattn_handle *handle) {
  void *stream = NULL;
  (void)xattn_cuda_get_stream(handle, &stream); /* fails for handles of the CPU alone */
  return stream;
}

/* ---- tensors */

static int64_t count_of(const xattn_tensor *t) {
  int64_t count = 1;
  for (int32_t i = 0; i < t->rank; i++) count *= t->shape[i];
  return count;
}

static size_t bytes_of(const xattn_tensor *t) {
  return (size_t)count_of(t) * xattn_dtype_size(t->dtype);
}

static xattn_tensor allocate(bench *b, xattn_handle *handle, xattn_dtype dtype, int32_t rank,
                             const int64_t *shape) {
  xattn_tensor t = xattn_tensor_dense(NULL, dtype, rank, shape);
  t.device_type = XATTN_CUDA;
  (void)xattn_fine(b, handle, xattn_device_alloc(handle, bytes_of(&t), &t.data),
                   "memory for a tensor");
  return t;
}

static void drop(xattn_handle *handle, xattn_tensor *t) {
  (void)xattn_device_free(handle, t->data);
  t->data = NULL;
}

static bool upload_random(bench *b, xattn_handle *handle, uint64_t seed, const xattn_tensor *to) {
  const xattn_tensor from = random_tensor(seed, to->rank, to->shape);
  if (!from.data) complain_about(b, "no host memory for a tensor");
  const bool fine =
      from.data && xattn_fine(b, handle, xattn_tensor_copy(handle, &from, to), "filling a tensor");
  free(from.data);
  return fine;
}

xattn_tensor device_tensor(bench *b, xattn_handle *handle, xattn_dtype dtype, uint64_t seed,
                           int32_t rank, const int64_t *shape) {
  xattn_tensor t = allocate(b, handle, dtype, rank, shape);
  if (!t.data) return t;
  /* Bytes 0xFF are NaN in every dtype. */
  const bool fine =
      seed ? upload_random(b, handle, seed, &t)
           : cuda_fine(b, cudaMemsetAsync(t.data, 0xFF, bytes_of(&t), stream_of(handle)),
                       "filling a tensor");
  if (!fine) drop(handle, &t);
  return t;
}

xattn_tensor device_filled(bench *b, xattn_handle *handle, xattn_dtype dtype, int64_t rows,
                           int64_t columns) {
  enum { BLOCK = 1 << 20 };
  xattn_tensor t = allocate(b, handle, dtype, 2, (const int64_t[]){rows, columns});
  if (!t.data) return t;
  const int64_t count = count_of(&t), first = count < BLOCK ? count : BLOCK;
  xattn_tensor block = xattn_tensor_dense(t.data, dtype, 2, (const int64_t[]){first, 1});
  block.device_type = XATTN_CUDA;
  bool fine = upload_random(b, handle, 1, &block);
  /* What is there is copied behind itself until the tensor is full. */
  const size_t all = bytes_of(&t);
  for (size_t done = bytes_of(&block); fine && done < all;) {
    const size_t more = all - done < done ? all - done : done;
    fine = cuda_fine(b,
                     cudaMemcpyAsync((char *)t.data + done, t.data, more, cudaMemcpyDeviceToDevice,
                                     stream_of(handle)),
                     "filling a tensor");
    done += more;
  }
  if (!fine) drop(handle, &t);
  return t;
}

int64_t count_not_finite(bench *b, xattn_handle *handle, const xattn_tensor *t) {
  const int64_t count = count_of(t);
  void *same = malloc(bytes_of(t));
  float *floats = calloc((size_t)count, sizeof *floats);
  int64_t bad = -1;
  const xattn_tensor host = xattn_tensor_dense(same, t->dtype, t->rank, t->shape),
                     wide = xattn_tensor_dense(floats, XATTN_F32, t->rank, t->shape);
  if (!same || !floats) {
    complain_about(b, "no host memory for a result");
  } else if (xattn_fine(b, handle, xattn_tensor_copy(handle, t, &host), "reading a result") &&
             xattn_fine(b, NULL, xattn_tensor_convert(&host, &wide), "reading a result")) {
    bad = 0;
    for (int64_t i = 0; i < count; i++) bad += !isfinite(floats[i]);
  }
  free(floats);
  free(same);
  return bad;
}
