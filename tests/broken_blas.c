/* A cblas_sgemm that is off in one element, as some builds are on processors newer than they are. Put
 * before the real one with LD_PRELOAD (tests/test_broken_blas.sh). */
#include <dlfcn.h>

typedef void sgemm(int, int, int, int, int, int, float, const float *, int, const float *, int,
                   float, float *, int);

__attribute__((visibility("default"))) void cblas_sgemm(int order, int ta, int tb, int m, int n,
                                                        int k, float alpha, const float *a, int lda,
                                                        const float *b, int ldb, float beta,
                                                        float *c, int ldc);

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                 int lda, const float *b, int ldb, float beta, float *c, int ldc) {
  void *found = dlsym(RTLD_NEXT, "cblas_sgemm");
  sgemm *real;
  __builtin_memcpy(&real, &found, sizeof real);
  real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  c[(m - 1) * ldc + n - 1] += 1.0F;
}
