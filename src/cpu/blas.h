/* The BLAS below: the only file that differs from one BLAS to the next is blas.c. */
#ifndef XATTN_CPU_BLAS_H
#define XATTN_CPU_BLAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Row-major C[m, n] = A[m, k]·B + beta·C, with B [n, k] if b_transposed, else [k, n]. All of
 * m, n, k are at least 1; beta 0 overwrites C whatever it holds. */
void xattn_blas_gemm(bool b_transposed, int64_t m, int64_t n, int64_t k, const float *a,
                     int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* In float64 C[m, n] = op(A)·B, where B and C are dense. */
void xattn_blas_gemm_f64(bool a_transposed, int64_t m, int64_t n, int64_t k, const double *a,
                         int64_t lda, const double *b, double *c);

/* The number of threads that calls of this thread use from now on; returns what it was. */
int xattn_blas_threads(int threads);

/* Name and version, for people. */
void xattn_blas_name(char *text, size_t size);

#endif
