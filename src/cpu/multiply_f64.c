/* Products in float64 on the host, for weights that are merged once. Rows of C are spread over the threads; the BLAS
 * multiplies each part on one. */
#include <omp.h>

#include "blas.h"
#include "cpu.h"

/* Below this many multiply-adds a part, starting threads costs more than it saves. */
static const double part_work = 1e5;

void xattn_multiply_f64(bool a_transposed, int64_t m, int64_t n, int64_t k, const double *a,
                        const double *b, double *c) {
  double work = (double)m * (double)n * (double)k;
  int64_t parts = xattn_cpu_forked() ? 1 : omp_get_max_threads();
  if (parts > m) parts = m;
  if ((double)parts > work / part_work) parts = (int64_t)(work / part_work) + 1;
  int before = xattn_blas_threads(1);
#pragma omp parallel for num_threads((int)parts) schedule(static) if (parts > 1)
  for (int64_t part = 0; part < parts; part++) {
    int64_t from = m * part / parts, rows = m * (part + 1) / parts - from;
    xattn_blas_gemm_f64(a_transposed, rows, n, k, a + (a_transposed ? from : from * k),
                        a_transposed ? m : k, b, c + from * n);
  }
  (void)xattn_blas_threads(before);
}
