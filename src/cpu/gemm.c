/* Strided-batched GEMM. Every item is cut into a grid of tiles, and the tiles of all items are spread over the
 * threads. Each multiplies its tile block by block (Goto and van de Geijn, Anatomy of high-performance matrix
 * multiplication, 2008):
 *
 *                    n                  for COLUMNS of B
 *               ┌────┬────┐               for DEPTH of k
 *             k │ Bp │    │                 pack B, DEPTH × COLUMNS, into panels: they stay in the second-level cache
 *               └────┴────┘                 for ROWS of A
 *          k    ┌────┬────┐                   C = C + A·B by the kernel of tile.c, a panel at a time
 *       ┌────┐  │ 00 │ 01 │
 *     m │ A  │  ├────┼────┤             A part of A that several panels multiply is copied first, so that its rows do not
 *       └────┘  │ 10 │ 11 │             fall into one set of the cache, as rows 4 KiB apart do.
 *               └────┴────┘
 *
 * Sums run over k in one order, whichever thread takes the tile. Few rows take B as it lies (few.c). */
#include <omp.h>
#include <string.h>

#include "cpu.h"

/* Below this many multiply-adds, starting threads costs more than it saves. */
static const double serial_work = 5e4;

enum {
  DEPTH = 384,
  COLUMNS = 512,
  ROWS = 96,
  A_LD = DEPTH + 16,   /* of the copy of A */
  FEWEST_COLUMNS = 64, /* of a tile */
  WORTH_COPYING = 64,  /* columns that a part of A is multiplied by */
  LINE = 16,           /* floats of a line of the cache */
  SAME_SET = 1024,     /* rows 4 KiB apart fall into one set of the first-level cache */
};

_Static_assert(ROWS % XATTN_ROW_UNIT == 0 && COLUMNS % XATTN_COLUMN_UNIT == 0, "whole panels");

int64_t xattn_cpu_scratch(void) {
  return DEPTH * COLUMNS + ROWS * A_LD;
}

typedef struct grid {
  int64_t rows, columns;
} grid;

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* Tiles for the threads. Where B has to be packed, every tile packs its columns, so there is one for each thread, and
 * columns are cut before rows unless that leaves few of them. A packed B is multiplied by some rows at a time, and each
 * thread takes the next when it is done. */
static grid choose_grid(const xattn_gemm *g, int64_t items, int threads) {
  if (g->packed) {
    int64_t rows = divide_up(g->m, ROWS), wanted = divide_up(4 * (int64_t)threads, rows * items);
    return (grid){rows, threads == 1 ? 1 : smaller(wanted, divide_up(g->n, FEWEST_COLUMNS))};
  }
  if (threads == 1 || items % threads == 0 || items >= 4 * (int64_t)threads) return (grid){1, 1};
  for (int64_t columns = threads; columns > 1; columns--)
    if (threads % columns == 0 && g->n >= columns * 2 * FEWEST_COLUMNS)
      return (grid){threads / columns, columns};
  return (grid){threads, 1};
}

/* Piece number `at` of `pieces` of an extent, in whole units: [*from, *to). */
static void piece(int64_t extent, int64_t unit, int64_t pieces, int64_t at, int64_t *from,
                  int64_t *to) {
  int64_t units = divide_up(extent, unit);
  *from = units * at / pieces * unit;
  *to = smaller(units * (at + 1) / pieces * unit, extent);
}

/* C [m, n] = first + A·B on one thread; first may be NULL for 0, or C. */
typedef struct product {
  int64_t m, n, k;
  bool b_transposed;
  const float *a, *b, *first;
  float *c;
  int64_t lda, ldb, first_ld, ldc;
  const float *packed;            /* B, or NULL */
  int64_t packed_width, packed_j; /* columns of all of it, and where this product starts */
} product;

/* Columns j to j + n, the part of k from l on. */
static void one_block(const xattn_isa *isa, const product *p, int64_t j, int64_t n, int64_t l,
                      float *scratch) {
  int64_t depth = smaller(p->k - l, DEPTH);
  const float *packed = scratch;
  float *copied = scratch + DEPTH * COLUMNS;
  if (p->packed)
    packed = p->packed + l * p->packed_width + depth * (p->packed_j + j);
  else
    isa->tile_pack(p->b_transposed, n, depth,
                   p->b + (p->b_transposed ? j * p->ldb + l : l * p->ldb + j), p->ldb, scratch);
  for (int64_t i = 0; i < p->m; i += ROWS) {
    int64_t rows = smaller(p->m - i, ROWS), lda = p->lda;
    const float *a = p->a + i * p->lda + l, *first = l ? p->c : p->first;
    int64_t first_ld = l ? p->ldc : p->first_ld;
    if (depth && n > WORTH_COPYING && lda % SAME_SET == 0) {
      /* Parts of rows: the hardware would start to fetch anew with each. */
      for (int64_t r = 0; r < rows; r++) {
        for (int64_t d = 0; d < depth; d += LINE) __builtin_prefetch(a + (r + 2) * lda + d);
        memcpy(copied + r * A_LD, a + r * lda, (size_t)depth * sizeof *a);
      }
      a = copied;
      lda = A_LD;
    }
    isa->tile_multiply(rows, n, depth, a, lda, packed, first ? first + i * first_ld + j : NULL,
                       first_ld, p->c + i * p->ldc + j, p->ldc);
  }
}

static void multiply(const xattn_isa *isa, const product *p, float *scratch) {
  if (p->m <= (p->packed ? XATTN_FEWEST_ROWS : XATTN_FEW_ROWS)) {
    xattn_few *few = p->b_transposed ? isa->few_dots : isa->few_rows;
    few(p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, p->first, p->first_ld, p->c, p->ldc);
    return;
  }
  for (int64_t j = 0; j < p->n; j += COLUMNS) {
    int64_t l = 0;
    do {
      one_block(isa, p, j, smaller(p->n - j, COLUMNS), l, scratch);
      l += DEPTH;
    } while (l < p->k);
  }
}

/* ------------------------------------------------------------------ packed weights */

/* Each matrix that the levels above the item do not share: by DEPTH of k, the panels of all its columns. */
static int64_t packed_item(const xattn_gemm *g, int64_t group, int64_t head) {
  int64_t heads = g->b.stride[2] ? g->batch[2] : 1;
  return (g->b.stride[1] ? group * heads : 0) + (g->b.stride[2] ? head : 0);
}

int64_t xattn_cpu_packed_elements(const xattn_device *device, const xattn_gemm *g) {
  int64_t items = packed_item(g, g->batch[1] - 1, g->batch[2] - 1) + 1;
  return items * g->k * xattn_filled_up(device->isa, g->n);
}

void xattn_cpu_pack(const xattn_device *device, const xattn_gemm *g, void *to) {
  int64_t width = xattn_filled_up(device->isa, g->n);
  for (int64_t group = 0; group < g->batch[1]; group++)
    for (int64_t head = 0; head < g->batch[2]; head++) {
      const float *b = (const float *)g->b.data + xattn_offset(g->b.stride, 0, group, head);
      float *item = (float *)to + packed_item(g, group, head) * g->k * width;
      for (int64_t l = 0; l < g->k; l += DEPTH)
        device->isa->tile_pack(g->b_transposed, g->n, smaller(g->k - l, DEPTH),
                               b + (g->b_transposed ? l : l * g->b.ld), g->b.ld, item + l * width);
    }
}

/* ------------------------------------------------------------------ one call */

static void one_tile(const xattn_gemm *g, const xattn_isa *isa, grid tiles, int64_t index,
                     float *scratch) {
  int64_t tile = index % (tiles.rows * tiles.columns);
  int64_t item = index / (tiles.rows * tiles.columns);
  int64_t head = item % g->batch[2];
  int64_t group = item / g->batch[2] % g->batch[1];
  int64_t b = item / g->batch[2] / g->batch[1];
  int64_t i, i_end, j, j_end;
  piece(g->m, XATTN_ROW_UNIT, tiles.rows, tile / tiles.columns, &i, &i_end);
  piece(xattn_limited(g->n_limit, b, g->n), XATTN_COLUMN_UNIT, tiles.columns, tile % tiles.columns,
        &j, &j_end);
  if (i >= i_end || j >= j_end) return;
  product p = {
      .m = i_end - i,
      .n = j_end - j,
      .k = xattn_limited(g->k_limit, b, g->k),
      .b_transposed = g->b_transposed,
      .a = (const float *)g->a.data + xattn_offset(g->a.stride, b, group, head) + i * g->a.ld,
      .b = (const float *)g->b.data + xattn_offset(g->b.stride, b, group, head) +
           (g->b_transposed ? j * g->b.ld : j),
      .c = (float *)g->c.data + xattn_offset(g->c.stride, b, group, head) + i * g->c.ld + j,
      .lda = g->a.ld,
      .ldb = g->b.ld,
      .ldc = g->c.ld};
  if (g->accumulate) {
    p.first = p.c;
    p.first_ld = p.ldc;
  } else if (g->bias) {
    p.first = (const float *)g->bias + xattn_offset(g->bias_stride, b, group, head) + j;
  }
  if (g->packed) {
    p.packed_width = xattn_filled_up(isa, g->n);
    p.packed_j = j;
    p.packed = (const float *)g->packed + packed_item(g, group, head) * g->k * p.packed_width;
  }
  multiply(isa, &p, scratch);
}

xattn_status xattn_cpu_gemm(xattn_error *error, xattn_device *device, const xattn_gemm *gemm) {
  (void)error;
  int64_t items = gemm->batch[0] * gemm->batch[1] * gemm->batch[2];
  if (items == 0 || gemm->m == 0 || gemm->n == 0) return XATTN_OK;
  double work = (double)items * (double)gemm->m * (double)gemm->n * (double)gemm->k;
  int threads = work < serial_work ? 1 : xattn_cpu_threads(device);
  grid tiles = choose_grid(gemm, items, threads);
  int64_t count = items * tiles.rows * tiles.columns;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
  for (int64_t index = 0; index < count; index++)
    one_tile(gemm, device->isa, tiles, index,
             device->scratch + omp_get_thread_num() * xattn_cpu_scratch());
  return XATTN_OK;
}
