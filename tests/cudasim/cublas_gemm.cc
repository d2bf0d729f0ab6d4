/* The GEMM calls: arguments checked now, computed when the stream gets there. */
#include <cstring>

#include "cublas.h"
#include "gemm.h"
#include "internal.h"

namespace cudasim {
namespace {

Rounding rounding_of(cublasComputeType_t compute, cublasMath_t math, cudaDataType type) {
  if (type != CUDA_R_32F) return Rounding::none;
  if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) return Rounding::tf32;
  if (compute == CUBLAS_COMPUTE_32F_FAST_16F) return Rounding::half;
  if (compute == CUBLAS_COMPUTE_32F_FAST_16BF) return Rounding::bfloat16;
  const int base = math & ~CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
  const bool allowed = compute == CUBLAS_COMPUTE_32F && base == CUBLAS_TF32_TENSOR_OP_MATH;
  return allowed ? Rounding::tf32 : Rounding::none;
}

bool same_place(const Handle &x, const Handle &y) {
  const char *a = (const char *)x.workspace, *b = (const char *)y.workspace;
  return a && b && a < b + y.workspace_bytes && b < a + x.workspace_bytes;
}

/* Two streams with one workspace: wrong unless something orders them, and a GPU rarely shows it. */
bool workspace_is_busy(const Handle &own) {
  for (const auto &[handle, other] : cublas_handles())
    if (other.get() != &own && other->stream != own.stream && same_place(own, *other) &&
        !cudasim_internal_stream_is_idle(other->stream))
      return true;
  return false;
}

void note_workspace(const Handle &own) {
  if (!own.default_workspace) return;
  cudasim_internal_count("default_workspace_gemm");
  cudasim_internal_ruin_capture(own.stream, "a GEMM in a capture, without a workspace of its own");
}

/* A program that keeps something in there loses it. Large ones in part only, for speed. */
void scribble(void *workspace, size_t bytes, Memory &memory) {
  const size_t whole = size_t(4) << 20, step = 1024, piece = 64;
  uint8_t *start = memory.write((uint64_t)workspace, bytes);
  if (bytes <= whole) {
    memset(start, 0xa5, bytes);
    return;
  }
  for (size_t at = 0; at < bytes; at += step) memset(start + at, 0xa5, std::min(piece, bytes - at));
}

float scalar(const void *address, bool on_device, Memory &memory) {
  float value;
  memcpy(&value, on_device ? memory.read((uint64_t)address, sizeof value) : address, sizeof value);
  return value;
}

cublasStatus_t gemm(Origin origin, cublasHandle_t handle, Gemm g) {
  return with_handle(origin, Kind::fallible, handle, [&](Handle &own) {
    const char *name = origin.function;
    const Verdict verdict = check(g);
    if (verdict.status) return refuse(name, verdict.status, verdict.why);
    if (g.m == 0 || g.n == 0 || g.batch == 0) return CUBLAS_STATUS_SUCCESS;
    if (own.device != cudasim_internal_current_device())
      return refuse(name, CUBLAS_STATUS_INVALID_VALUE, "the handle belongs to another device");
    if (workspace_is_busy(own))
      return refuse(name, CUBLAS_STATUS_INVALID_VALUE,
                    "another handle's stream has work with the same workspace");
    note_workspace(own);

    g.rounding = rounding_of(g.compute, own.math, g.a.type);
    const bool on_device = own.pointers == CUBLAS_POINTER_MODE_DEVICE;
    float alpha = 0, beta = 0;
    if (!on_device) { /* host scalars are read during the call */
      memcpy(&alpha, g.alpha, sizeof alpha);
      memcpy(&beta, g.beta, sizeof beta);
    }
    void *workspace = own.workspace;
    const size_t workspace_bytes = own.workspace_bytes;
    cudasim_internal_queue(own.stream, [=](Memory &memory) {
      const Scalars scalars = {on_device ? scalar(g.alpha, true, memory) : alpha,
                               on_device ? scalar(g.beta, true, memory) : beta};
      if (workspace) scribble(workspace, workspace_bytes, memory);
      try {
        compute(g, scalars, memory);
      } catch (const Fault &fault) {
        throw Fault(
            format("cuBLAS GEMM, m %lld n %lld k %lld batch %lld: ", g.m, g.n, g.k, g.batch) +
            fault.what());
      }
    });
    return CUBLAS_STATUS_SUCCESS;
  });
}

Matrix matrix(const void *address, cudaDataType type, cublasOperation_t operation, int rows,
              int columns, int leading, long long stride) {
  const bool swapped = operation != CUBLAS_OP_N;
  return {(uint64_t)address,        type,    swapped ? columns : rows,
          swapped ? rows : columns, leading, stride};
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t operation_a,
                                          cublasOperation_t operation_b, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType a_type,
                                          int lda, long long stride_a, const void *b,
                                          cudaDataType b_type, int ldb, long long stride_b,
                                          const void *beta, void *c, cudaDataType c_type, int ldc,
                                          long long stride_c, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t) {
  return gemm(
      HERE, handle,
      {operation_a, operation_b, m, n, k, batch,
       matrix(a, a_type, operation_a, m, k, lda, stride_a),
       matrix(b, b_type, operation_b, k, n, ldb, stride_b),
       matrix(c, c_type, CUBLAS_OP_N, m, n, ldc, stride_c), alpha, beta, compute, Rounding::none});
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t operation_a,
                            cublasOperation_t operation_b, int m, int n, int k, const void *alpha,
                            const void *a, cudaDataType a_type, int lda, const void *b,
                            cudaDataType b_type, int ldb, const void *beta, void *c,
                            cudaDataType c_type, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t) {
  return gemm(HERE, handle,
              {operation_a, operation_b, m, n, k, 1, matrix(a, a_type, operation_a, m, k, lda, 0),
               matrix(b, b_type, operation_b, k, n, ldb, 0),
               matrix(c, c_type, CUBLAS_OP_N, m, n, ldc, 0), alpha, beta, compute, Rounding::none});
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t operation_a,
                              cublasOperation_t operation_b, int m, int n, int k,
                              const float *alpha, const float *a, int lda, const float *b, int ldb,
                              const float *beta, float *c, int ldc) {
  return gemm(
      HERE, handle,
      {operation_a, operation_b, m, n, k, 1, matrix(a, CUDA_R_32F, operation_a, m, k, lda, 0),
       matrix(b, CUDA_R_32F, operation_b, k, n, ldb, 0),
       matrix(c, CUDA_R_32F, CUBLAS_OP_N, m, n, ldc, 0), alpha, beta, CUBLAS_COMPUTE_32F,
       Rounding::none});
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t operation_a,
                                         cublasOperation_t operation_b, int m, int n, int k,
                                         const float *alpha, const float *a, int lda,
                                         long long stride_a, const float *b, int ldb,
                                         long long stride_b, const float *beta, float *c, int ldc,
                                         long long stride_c, int batch) {
  return gemm(HERE, handle,
              {operation_a, operation_b, m, n, k, batch,
               matrix(a, CUDA_R_32F, operation_a, m, k, lda, stride_a),
               matrix(b, CUDA_R_32F, operation_b, k, n, ldb, stride_b),
               matrix(c, CUDA_R_32F, CUBLAS_OP_N, m, n, ldc, stride_c), alpha, beta,
               CUBLAS_COMPUTE_32F, Rounding::none});
}

}  // extern "C"
