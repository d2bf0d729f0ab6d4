/* Strided-batched GEMM over a CBLAS. Every item is cut into a grid of tiles, and the tiles of all
 * items are spread over the threads; the BLAS multiplies one tile on one thread.
 *
 *              n
 *        ┌────┬────┐      The BLAS's own threads are not used: they cannot spread a batch, some
 *      m │ 00 │ 01 │      allocate on every call, and each BLAS has another way to count them.
 *        ├────┼────┤      A tile's sums run over all of k in the BLAS's one order, so the result
 *        │ 10 │ 11 │      does not depend on which thread takes which tile.
 *        └────┴────┘
 */
#include <string.h>

#include "blas.h"
#include "cpu.h"

/* Below this many multiply-adds, starting threads costs more than it saves. */
static const double serial_work = 5e4;

/* Tiles start at multiples of this, so that the BLAS's micro-kernels see full registers. */
enum { TILE_UNIT = 32 };

typedef struct grid {
  int64_t rows, columns;
} grid;

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* As many tiles as evenly occupy the threads, as square as can be: a tile of r × c reads r + c rows
 * of A and B to do r·c of work. */
static grid choose_grid(const xattn_gemm *g, int64_t items, int threads) {
  grid best = {1, 1};
  if (threads == 1 || items % threads == 0 || items >= 4 * (int64_t)threads) return best;
  double least = 0.0;
  for (int64_t rows = 1; rows <= threads; rows++) {
    int64_t columns = threads / rows;
    if (rows * columns != threads) continue;
    double cost = (double)divide_up(g->m, rows) + (double)divide_up(g->n, columns);
    if (least == 0.0 || cost < least) {
      least = cost;
      best = (grid){rows, columns};
    }
  }
  return best;
}

/* Piece number `at` of `pieces` of an extent: [*from, *to). */
static void piece(int64_t extent, int64_t pieces, int64_t at, int64_t *from, int64_t *to) {
  int64_t units = divide_up(extent, TILE_UNIT);
  *from = units * at / pieces * TILE_UNIT;
  *to = units * (at + 1) / pieces * TILE_UNIT;
  if (*to > extent) *to = extent;
}

static int64_t limited(xattn_lengths limit, int64_t item, int64_t all) {
  if (!limit.count) return all;
  int64_t count = limit.count[item * limit.step];
  return count < all ? count : all;
}

static int64_t start(const xattn_matrix *m, int64_t b, int64_t group, int64_t head) {
  return b * m->stride[0] + group * m->stride[1] + head * m->stride[2];
}

/* C starts as the bias, or 0, which the product is then added to: the BLAS reads and writes C once. */
static void start_from_bias(const float *bias, float *c, int64_t ld, int64_t rows,
                            int64_t columns) {
  for (int64_t i = 0; i < rows; i++) {
    if (bias)
      memcpy(c + i * ld, bias, (size_t)columns * sizeof *c);
    else
      memset(c + i * ld, 0, (size_t)columns * sizeof *c);
  }
}

static void one_tile(const xattn_gemm *g, grid tiles, int64_t index) {
  int64_t tile = index % (tiles.rows * tiles.columns);
  int64_t item = index / (tiles.rows * tiles.columns);
  int64_t head = item % g->batch[2];
  int64_t group = item / g->batch[2] % g->batch[1];
  int64_t b = item / g->batch[2] / g->batch[1];
  int64_t k = limited(g->k_limit, b, g->k);
  int64_t i, i_end, j, j_end;
  piece(g->m, tiles.rows, tile / tiles.columns, &i, &i_end);
  piece(limited(g->n_limit, b, g->n), tiles.columns, tile % tiles.columns, &j, &j_end);
  if (i >= i_end || j >= j_end) return;
  float *c_data = (float *)g->c.data + start(&g->c, b, group, head) + i * g->c.ld + j;
  const float *bias = NULL;
  if (g->bias)
    bias = (const float *)g->bias + b * g->bias_stride[0] + group * g->bias_stride[1] +
           head * g->bias_stride[2] + j;
  if (bias || (k == 0 && !g->accumulate))
    start_from_bias(bias, c_data, g->c.ld, i_end - i, j_end - j);
  if (k == 0) return;
  const float *a_data = (const float *)g->a.data + start(&g->a, b, group, head) + i * g->a.ld;
  const float *b_data =
      (const float *)g->b.data + start(&g->b, b, group, head) + (g->b_transposed ? j * g->b.ld : j);
  xattn_blas_gemm(g->b_transposed, i_end - i, j_end - j, k, a_data, g->a.ld, b_data, g->b.ld,
                  bias || g->accumulate ? 1.0F : 0.0F, c_data, g->c.ld);
}

xattn_status xattn_cpu_gemm(xattn_error *error, xattn_device *device, const xattn_gemm *gemm) {
  (void)error;
  int64_t items = gemm->batch[0] * gemm->batch[1] * gemm->batch[2];
  if (items == 0 || gemm->m == 0 || gemm->n == 0) return XATTN_OK;
  double work = (double)items * (double)gemm->m * (double)gemm->n * (double)gemm->k;
  int threads = work < serial_work ? 1 : xattn_cpu_threads(device);
  grid tiles = choose_grid(gemm, items, threads);
  int64_t count = items * tiles.rows * tiles.columns;
  int before = xattn_blas_threads(1);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
  for (int64_t index = 0; index < count; index++) one_tile(gemm, tiles, index);
  (void)xattn_blas_threads(before);
  return XATTN_OK;
}
