/* Some BLAS builds compute wrong results on processors newer than they are. Small integers are
 * exact in float32 in any order of summation, so a right BLAS gives exactly what plain C gives. */
#include <pthread.h>
#include <stdio.h>

#include "blas.h"
#include "cpu.h"

enum { MOST = 96 };

static float integer(int64_t i, int64_t j, int64_t seed) {
  return (float)((i * 7 + j * 13 + seed * 5) % 17 - 8);
}

static bool product_is_right(bool b_transposed, int64_t m, int64_t n, int64_t k, float *a, float *b,
                             float *c) {
  for (int64_t i = 0; i < m; i++)
    for (int64_t l = 0; l < k; l++) a[i * k + l] = integer(i, l, 1);
  for (int64_t j = 0; j < n; j++)
    for (int64_t l = 0; l < k; l++) b[b_transposed ? j * k + l : l * n + j] = integer(j, l, 2);
  for (int64_t i = 0; i < m * n; i++) c[i] = 1e9F;
  xattn_blas_gemm(b_transposed, m, n, k, 1.0F, a, k, b, b_transposed ? k : n, 0.0F, c, n);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      float sum = 0.0F;
      for (int64_t l = 0; l < k; l++) sum += integer(i, l, 1) * integer(j, l, 2);
      if (c[i * n + j] != sum) return false;
    }
  return true;
}

static struct {
  bool wrong;
  int64_t m, n, k;
  bool b_transposed;
} outcome;

/* Sizes that reach the full tiles, the edges and the vector path of a BLAS's kernels. */
static void check(void) {
  static const int64_t sizes[][3] = {{64, 96, 48}, {67, 53, 71}, {5, 96, 96}, {1, 93, 64}};
  static float a[MOST * MOST], b[MOST * MOST], c[MOST * MOST];
  int before = xattn_blas_threads(1); /* as gemm.c calls it */
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !outcome.wrong; i++)
    for (int t = 0; t < 2 && !outcome.wrong; t++) {
      const int64_t *s = sizes[i];
      outcome.wrong = !product_is_right(t, s[0], s[1], s[2], a, b, c);
      outcome.m = s[0];
      outcome.n = s[1];
      outcome.k = s[2];
      outcome.b_transposed = t;
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
