/* Some BLAS builds compute wrong results on processors newer than they are. Small integers are
 * exact in float32 in any order of summation, so a right BLAS gives exactly what plain C gives. */
#include <pthread.h>
#include <stdio.h>

#include "blas.h"
#include "cpu.h"

enum {
  MOST = 128,       /* of m and n */
  MOST_DEPTH = 800, /* of k: over the block that any kernel takes at a time */
  GAP = 3           /* between rows, as heads have it */
};

static float integer(int64_t i, int64_t j, int64_t seed) {
  return (float)((i * 7 + j * 13 + seed * 5) % 17 - 8);
}

/* C = A·B + beta·C, where C holds 2 before. */
static bool product_is_right(bool b_transposed, int64_t m, int64_t n, int64_t k, float beta) {
  static float a[MOST * (MOST_DEPTH + GAP)], b[(MOST + GAP) * (MOST_DEPTH + GAP)];
  static float c[MOST * (MOST + GAP)];
  int64_t lda = k + GAP, ldb = (b_transposed ? k : n) + GAP, ldc = n + GAP;
  for (int64_t i = 0; i < m; i++)
    for (int64_t l = 0; l < k; l++) a[i * lda + l] = integer(i, l, 1);
  for (int64_t j = 0; j < n; j++)
    for (int64_t l = 0; l < k; l++) b[b_transposed ? j * ldb + l : l * ldb + j] = integer(j, l, 2);
  for (int64_t i = 0; i < m * ldc; i++) c[i] = 2.0F;
  xattn_blas_gemm(b_transposed, m, n, k, a, lda, b, ldb, beta, c, ldc);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      float sum = 2.0F * beta;
      for (int64_t l = 0; l < k; l++) sum += integer(i, l, 1) * integer(j, l, 2);
      if (c[i * ldc + j] != sum) return false;
    }
  return true;
}

static struct {
  bool wrong;
  int64_t m, n, k;
  bool b_transposed;
} outcome;

/* Sizes that reach the full tiles, the edges, the vector path, more than one block of k, and more
 * than the kernels for small matrices that some BLASes have. */
static void check(void) {
  static const int64_t sizes[][3] = {{64, 96, 48}, {67, 53, 71},  {5, 96, 96},
                                     {1, 93, 64},  {24, 33, 800}, {128, 112, 80}};
  int before = xattn_blas_threads(1); /* as gemm.c calls it */
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !outcome.wrong; i++)
    for (int t = 0; t < 4 && !outcome.wrong; t++) {
      const int64_t *s = sizes[i];
      outcome.wrong = !product_is_right(t & 1, s[0], s[1], s[2], t & 2 ? 1.0F : 0.0F);
      outcome.m = s[0];
      outcome.n = s[1];
      outcome.k = s[2];
      outcome.b_transposed = t & 1;
    }
  (void)xattn_blas_threads(before);
}

xattn_status xattn_cpu_check_blas(xattn_error *error) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, check);
  if (!outcome.wrong) return XATTN_OK;
  char blas[96];
  xattn_blas_name(blas, sizeof blas);
  return xattn_fail(error, XATTN_ERROR_NUMERICS,
                    "%s computes a wrong %lld × %lld × %lld product%s on this processor; use "
                    "another build of it, or name a core it knows (OPENBLAS_CORETYPE=Haswell)",
                    blas, (long long)outcome.m, (long long)outcome.n, (long long)outcome.k,
                    outcome.b_transposed ? " (B transposed)" : "");
}
