/* What the card can do: the rate of a large copy and of large square products by cuBLAS. All else is measured
 * against these. Numbers are random: products of zeros run faster than real ones. */
#include "bench.h"

const mode modes[MODES] = {
    {"F32", XATTN_F32, XATTN_MATH_DEFAULT, CUDA_R_32F, CUBLAS_COMPUTE_32F},
    {"TF32", XATTN_F32, XATTN_MATH_TF32, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32},
    {"F16", XATTN_F16, XATTN_MATH_DEFAULT, CUDA_R_16F, CUBLAS_COMPUTE_32F},
    {"BF16", XATTN_BF16, XATTN_MATH_DEFAULT, CUDA_R_16BF, CUBLAS_COMPUTE_32F},
};

typedef struct copy_work {
  xattn_tensor from, to;
  size_t bytes;
  cudaStream_t stream;
} copy_work;

static bool enqueue_copy(bench *b, void *what) {
  const copy_work *c = what;
  return cuda_fine(
      b, cudaMemcpyAsync(c->to.data, c->from.data, c->bytes, cudaMemcpyDeviceToDevice, c->stream),
      "copying");
}

static void measure_copy(bench *b) {
  xattn_handle *handle = open_handle(b, XATTN_MATH_DEFAULT);
  if (!handle) return;
  const int64_t rows = b->set.copy_bytes / (int64_t)sizeof(float);
  copy_work c = {.bytes = (size_t)rows * sizeof(float), .stream = stream_of(handle)};
  c.from = device_filled(b, handle, XATTN_F32, rows, 1);
  c.to = device_filled(b, handle, XATTN_F32, rows, 1);
  timing t;
  if (c.from.data && c.to.data && time_work(b, &(work){enqueue_copy, &c, c.stream}, WARM, &t)) {
    json_begin(&b->out, "copy", '{');
    json_integer(&b->out, "bytes", 2 * (int64_t)c.bytes); /* read and written */
    print_timing(&b->out, "warm", &t);
    json_end(&b->out, '}');
  }
  xattn_destroy(handle);
}

typedef struct gemm_work {
  cublasHandle_t blas;
  const mode *m;
  int n;
  xattn_tensor a, b, c;
} gemm_work;

static bool enqueue_gemm(bench *b, void *what) {
  const gemm_work *g = what;
  const float one = 1, zero = 0;
  return blas_fine(b,
                   cublasGemmEx(g->blas, CUBLAS_OP_N, CUBLAS_OP_N, g->n, g->n, g->n, &one,
                                g->a.data, g->m->type, g->n, g->b.data, g->m->type, g->n, &zero,
                                g->c.data, g->m->type, g->n, g->m->compute, CUBLAS_GEMM_DEFAULT),
                   "multiplying");
}

static void measure_gemm(bench *b, const mode *m, cublasHandle_t blas) {
  xattn_handle *handle = open_handle(b, m->math);
  if (!handle) return;
  const int64_t n = b->set.gemm;
  gemm_work g = {.blas = blas, .m = m, .n = (int)n};
  g.a = device_filled(b, handle, m->dtype, n, n);
  g.b = device_filled(b, handle, m->dtype, n, n);
  g.c = device_filled(b, handle, m->dtype, n, n);
  cudaStream_t stream = stream_of(handle);
  timing t;
  if (g.a.data && g.b.data && g.c.data &&
      blas_fine(b, cublasSetStream(blas, stream), "setting cuBLAS's stream") &&
      time_work(b, &(work){enqueue_gemm, &g, stream}, WARM, &t)) {
    json_begin(&b->out, NULL, '{');
    json_text(&b->out, "mode", m->name);
    json_integer(&b->out, "n", n);
    json_real(&b->out, "flops", 2.0 * (double)n * (double)n * (double)n);
    print_timing(&b->out, "warm", &t);
    json_end(&b->out, '}');
  }
  xattn_destroy(handle);
}

void measure_ceilings(bench *b) {
  cublasHandle_t blas;
  measure_copy(b);
  json_begin(&b->out, "gemm", '[');
  if (blas_fine(b, cublasCreate(&blas), "opening cuBLAS")) {
    for (int i = 0; i < MODES; i++) measure_gemm(b, &modes[i], blas);
    (void)cublasDestroy(blas);
  }
  json_end(&b->out, ']');
}
