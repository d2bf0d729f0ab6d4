/* One call of a GEMM, C = alpha op(A) op(B) + beta C, column-major, for `batch` matrices in a row. */
#ifndef CUDASIM_GEMM_H
#define CUDASIM_GEMM_H

#include <cublas_v2.h>

#include <string>

#include "memory.h"

namespace cudasim {

/* As it lies in memory: `columns` columns of `rows` elements, `leading` elements apart. */
struct Matrix {
  uint64_t address;
  cudaDataType type;
  long long rows, columns, leading, stride; /* stride: from one of the batch to the next */
};

/* What the compute type lets the library do to float inputs. */
enum class Rounding { none, tf32, half, bfloat16 };

struct Gemm {
  cublasOperation_t operation_a, operation_b;
  long long m, n, k, batch;
  Matrix a, b, c;
  const void *alpha, *beta;
  cublasComputeType_t compute;
  Rounding rounding;
};

/* 0 for a type that is not simulated. */
size_t element_size(cudaDataType type);

struct Verdict {
  cublasStatus_t status;
  std::string why;
};

/* What cuBLAS refuses, and more that only asks for trouble (README.md). */
Verdict check(const Gemm &gemm);

/* Computes, now. */
struct Scalars {
  float alpha, beta;
};
void compute(const Gemm &gemm, Scalars scalars, Memory &memory);

}  // namespace cudasim

#endif
