/* Products in float64 on the host, for weights that are merged once: block by block as gemm.c does it, with
 * rows of C spread over the threads. */
#include <omp.h>
#include <string.h>

#include "cpu.h"

/* Below this many multiply-adds a part, starting threads costs more than it saves. */
static const double part_work = 1e5;

enum { DEPTH = 64, COLUMNS = 64, ROWS = 48 };

typedef struct product {
  bool a_transposed;
  int64_t m, n, k; /* of the whole */
  const double *a, *b;
  double *c;
} product;

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static void copy_rows(const product *p, int64_t i, int64_t rows, int64_t l, int64_t depth,
                      double *to) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t d = 0; d < depth; d++)
      to[r * DEPTH + d] =
          p->a_transposed ? p->a[(l + d) * p->m + i + r] : p->a[(i + r) * p->k + l + d];
}

static void some_rows(const xattn_isa *isa, const product *p, int64_t from, int64_t to) {
  double packed[DEPTH * COLUMNS], a[ROWS * DEPTH];
  for (int64_t j = 0; j < p->n; j += COLUMNS)
    for (int64_t l = 0; l < p->k; l += DEPTH) {
      int64_t columns = smaller(p->n - j, COLUMNS), depth = smaller(p->k - l, DEPTH);
      isa->tile_pack_f64(false, columns, depth, p->b + l * p->n + j, p->n, packed);
      for (int64_t i = from; i < to; i += ROWS) {
        int64_t rows = smaller(to - i, ROWS);
        double *c = p->c + i * p->n + j;
        copy_rows(p, i, rows, l, depth, a);
        isa->tile_multiply_f64(&(xattn_tile_f64){.rows = rows,
                                                 .n = columns,
                                                 .k = depth,
                                                 .a = a,
                                                 .lda = DEPTH,
                                                 .b = packed,
                                                 .first = l ? c : NULL,
                                                 .first_ld = p->n,
                                                 .c = c,
                                                 .ldc = p->n});
      }
    }
}

void xattn_multiply_f64(bool a_transposed, int64_t m, int64_t n, int64_t k, const double *a,
                        const double *b, double *c) {
  product p = {.a_transposed = a_transposed, .m = m, .n = n, .k = k, .a = a, .b = b};
  p.c = c;
  xattn_error ignored;
  const xattn_isa *isa;
  if (xattn_isa_choose(&ignored, &isa)) isa = xattn_isa_list(0);
  double work = (double)m * (double)n * (double)k;
  int64_t parts = xattn_cpu_forked() ? 1 : omp_get_max_threads();
  if (parts > m) parts = m;
  if ((double)parts > work / part_work) parts = (int64_t)(work / part_work) + 1;
#pragma omp parallel for num_threads((int)parts) schedule(static) if (parts > 1)
  for (int64_t part = 0; part < parts; part++)
    some_rows(isa, &p, m * part / parts, m * (part + 1) / parts);
}
