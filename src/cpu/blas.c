#include "blas.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#if defined(XATTN_BLAS_MKL)
#include <mkl.h>
#elif defined(XATTN_BLAS_BLIS)
#include <blis.h>
#include <cblas.h>
#else
#include <cblas.h>
#endif

#if defined(XATTN_BLAS_MKL)
int xattn_blas_threads(int threads) {
  return mkl_set_num_threads_local(threads);
}

void xattn_blas_name(char *text, size_t size) {
  MKLVersion version;
  mkl_get_version(&version);
  (void)snprintf(text, size, "MKL %d.%d", version.MajorVersion, version.UpdateVersion);
}

#elif defined(XATTN_BLAS_BLIS)
int xattn_blas_threads(int threads) {
  int before = (int)bli_thread_get_num_threads();
  if (before != threads) bli_thread_set_num_threads(threads);
  return before > 0 ? before : 1;
}

void xattn_blas_name(char *text, size_t size) {
  (void)snprintf(text, size, "BLIS %s", bli_info_get_version_str());
}

#else
/* Debian's libopenblas.so.0 is one of three builds, chosen by the machine's administrator. The
 * OpenMP one takes OpenMP's own number of threads, which is 1 inside a parallel region; the pthread
 * one has a number of its own for the whole process, as BLIS has: where several threads multiply at
 * once, one may see the other's number for a while, which costs time, not results. */
enum { OPENBLAS_PTHREAD = 1 };

int xattn_blas_threads(int threads) {
  if (openblas_get_parallel() != OPENBLAS_PTHREAD) {
    int before = omp_get_max_threads();
    if (before != threads) omp_set_num_threads(threads);
    return before;
  }
  int before = openblas_get_num_threads();
  if (before != threads) openblas_set_num_threads(threads);
  return before;
}

void xattn_blas_name(char *text, size_t size) {
  static const char *const threading[] = {"serial", "pthread", "OpenMP"};
  int parallel = openblas_get_parallel();
  const char *version = openblas_get_config(); /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
  size_t words = strcspn(version, " ");
  if (version[words]) words += 1 + strcspn(version + words + 1, " ");
  (void)snprintf(text, size, "%.*s %s, %s", (int)words, version, openblas_get_corename(),
                 parallel >= 0 && parallel <= 2 ? threading[parallel] : "threading unknown");
}
#endif

#if defined(XATTN_BLAS_MKL)
#define INT MKL_INT
#elif defined(XATTN_BLAS_BLIS)
#define INT f77_int
#else
#define INT blasint
#endif

/* One row of C is a matrix-vector product, which reads B once where a GEMM would copy it first. */
static void vector(bool b_transposed, int64_t n, int64_t k, const float *a, const float *b,
                   int64_t ldb, float beta, float *c) {
  /* Some BLASes multiply what y holds by a beta of 0. */
  if (beta == 0.0F) memset(c, 0, (size_t)n * sizeof *c);
  if (b_transposed)
    cblas_sgemv(CblasRowMajor, CblasNoTrans, (INT)n, (INT)k, 1.0F, b, (INT)ldb, a, 1, beta, c, 1);
  else
    cblas_sgemv(CblasRowMajor, CblasTrans, (INT)k, (INT)n, 1.0F, b, (INT)ldb, a, 1, beta, c, 1);
}

void xattn_blas_gemm(bool b_transposed, int64_t m, int64_t n, int64_t k, const float *a,
                     int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  /* The leading dimension of a single row is never used, but the BLAS checks it. */
  if (m == 1) {
    lda = k;
    ldc = n;
  }
  if ((b_transposed ? n : k) == 1) ldb = b_transposed ? k : n;
  if (m == 1) {
    vector(b_transposed, n, k, a, b, ldb, beta, c);
    return;
  }
  cblas_sgemm(CblasRowMajor, CblasNoTrans, b_transposed ? CblasTrans : CblasNoTrans, (INT)m, (INT)n,
              (INT)k, 1.0F, a, (INT)lda, b, (INT)ldb, beta, c, (INT)ldc);
}

void xattn_blas_gemm_f64(bool a_transposed, int64_t m, int64_t n, int64_t k, const double *a,
                         int64_t lda, const double *b, double *c) {
  cblas_dgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans, CblasNoTrans, (INT)m, (INT)n,
              (INT)k, 1.0, a, (INT)lda, b, (INT)n, 0.0, c, (INT)n);
}
