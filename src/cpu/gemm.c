/* Strided-batched GEMM. Every item is cut into a grid of tiles, and the tiles of all items are spread over the
 * threads. Each multiplies its tile block by block (Goto and van de Geijn, Anatomy of high-performance matrix
 * multiplication, 2008):
 *
 *                    n                  for COLUMNS of B
 *               ┌────┬────┐               for DEPTH of k
 *             k │ Bp │    │                 pack B, BLOCKS of DEPTH × COLUMNS, into panels
 *               └────┴────┘                 for ROWS of A, for each block
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

/* One sum of 512 rounds up to twice as much as two of 256, more than the rule of SEMANTICS.md allows beside PyTorch. */
enum {
  DEPTH = 384,
  COLUMNS = 512,
  MOST_COLUMNS = COLUMNS + XATTN_COLUMN_UNIT,
  BLOCKS = 3, /* of DEPTH that are packed at a time */
  ROWS = 96,
  A_LD = DEPTH + 16,                      /* of the copy of A */
  PACKED = BLOCKS * DEPTH * MOST_COLUMNS, /* floats of the scratch for B */
  COPIED = 2 * XATTN_COLUMN_UNIT * DEPTH, /* and behind it for A, or for what is widened of B */
  FEWEST_COLUMNS = XATTN_COLUMN_UNIT,     /* of a tile */
  WORTH_COPYING = 64,                     /* columns that a part of A is multiplied by */
  STREAMED = 1 << 18, /* floats of a packed B that does not stay in a core's cache */
  LINE = 16,          /* floats of a line of the cache */
  SAME_SET = 1024,    /* rows 4 KiB apart fall into one set of the first-level cache */
};

_Static_assert((int)PACKED >= (int)XATTN_SOFTMAX_PIECE, "the scratch is the softmax's too");
_Static_assert((int)PACKED >= (int)XATTN_ABREAST_FLOATS, "and that of heads abreast");
_Static_assert(ROWS % XATTN_ROW_UNIT == 0, "whole blocks");
_Static_assert((int)COPIED >= ROWS * A_LD, "both uses");

int64_t xattn_cpu_scratch(void) {
  return PACKED + COPIED;
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

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* Of the blocks of k: as even as they can be. */
static int64_t depth_of(int64_t k) {
  int64_t blocks = divide_up(k, DEPTH), unit = 8;
  return blocks < 2 ? DEPTH : divide_up(divide_up(k, blocks), unit) * unit;
}

/* A packed B is multiplied by some rows at a time, and each thread takes the next when it is done. All threads should get
 * as many. All rows take the same columns before the next, so many that what is read for each of them anew stays in the cache
 * that threads share: of large weights that takes 5 to 14 % off. */
static grid choose_packed_grid(const xattn_gemm *g, int64_t items, int threads) {
  enum { SHARED = 1 << 20, FEWEST = 256 }; /* floats; columns */
  const int64_t columns = smaller(divide_up(g->k * g->n, SHARED), larger(g->n / FEWEST, 1));
  grid tiles = {divide_up(g->m, ROWS), larger(columns, 1)};
  if (threads == 1) return tiles;
  int64_t wanted = divide_up(4 * (int64_t)threads, tiles.rows * items);
  tiles.columns = larger(tiles.columns, smaller(wanted, larger(g->n / FEWEST_COLUMNS, 1)));
  int64_t most = tiles.rows + threads;
  while (tiles.rows < most && tiles.rows * tiles.columns * items % threads) tiles.rows++;
  return tiles;
}

/* Tiles for the threads. Where B has to be packed, every tile packs its columns, so there is one for each thread, and
 * columns are cut before rows unless that leaves few of them. */
static grid choose_grid(const xattn_gemm *g, int64_t items, int threads) {
  if (g->packed) return choose_packed_grid(g, items, threads);
  /* With limits one item may be long and the others short. */
  bool even = !g->n_limit.count && !g->k_limit.count;
  if (threads == 1 || (even && (items % threads == 0 || items >= 4 * (int64_t)threads)))
    return (grid){1, 1};
  for (int64_t columns = threads; columns > 1; columns--)
    if (threads % columns == 0 && g->n >= columns * 2 * FEWEST_COLUMNS)
      return (grid){threads / columns, columns};
  return (grid){threads, 1};
}

/* C [m, n] = first + A·B on one thread; first may be NULL for 0, or C. */
typedef struct product {
  int64_t m, n, k;
  int64_t all_rows; /* of the whole product: how it is cut must not change the order of a sum */
  bool b_transposed;
  xattn_matrix a, b;
  const float *first;
  float *c;
  int64_t first_ld, ldc;
  const float *packed;            /* B, or NULL */
  bool pairs;                     /* of BF16, A and the packed B (tile_bf16.c) */
  int64_t packed_width, packed_j; /* columns of all of it, and where this product starts */
  const char *next_a;             /* rows of A that the thread is likely to take then, or NULL */
} product;

/* A block of B; what has 16 bits is widened some columns at a time into `room`. */
static void pack_block(const xattn_isa *isa, const product *p, int64_t j, int64_t n, int64_t l,
                       int64_t depth, float *to, float *room) {
  int64_t ld = p->b.ld, pieces = p->b.dtype == XATTN_F32 ? 1 : larger(n / XATTN_COLUMN_UNIT, 1);
  for (int64_t at = 0; at < pieces; at++) {
    int64_t first, end;
    xattn_piece(n, XATTN_COLUMN_UNIT, pieces, at, &first, &end);
    int64_t now = end - first, columns = p->b_transposed ? depth : now;
    int64_t from = p->b_transposed ? (j + first) * p->b.ld + l : l * p->b.ld + j + first;
    const float *b =
        xattn_cpu_rows(isa, &p->b, from, p->b_transposed ? now : depth, columns, room, &ld);
    isa->tile_pack(p->b_transposed, now, depth, b, ld, to + first * depth);
  }
}

/* A part of A, copied if that pays. */
static const float *copy_block(const xattn_isa *isa, const product *p, int64_t i, int64_t rows,
                               int64_t n, int64_t l, int64_t depth, float *to, int64_t *lda) {
  int64_t from = i * p->a.ld + l;
  const float *a = xattn_cpu_rows(isa, &p->a, from, rows, depth, to, lda);
  if (a == to || depth == 0 || n <= WORTH_COPYING || *lda % SAME_SET != 0) return a;
  /* Parts of rows: the hardware would start to fetch anew with each. */
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t d = 0; d < depth; d += LINE) __builtin_prefetch(a + (r + 2) * *lda + d);
    memcpy(to + r * A_LD, a + r * *lda, (size_t)depth * sizeof *a);
  }
  *lda = A_LD;
  return to;
}

/* The same of BF16 in pairs: copied also where rows, or their distance, are not whole pairs. */
static const float *pairs_of(const product *p, int64_t i, int64_t rows, int64_t n, int64_t l,
                             int64_t depth, float *to, int64_t *lda) {
  const uint16_t *a = (const uint16_t *)p->a.data + i * p->a.ld + l;
  const bool in_one_set = n > WORTH_COPYING && p->a.ld / 2 % SAME_SET == 0;
  *lda = p->a.ld / 2;
  if (p->a.ld % 2 == 0 && depth % 2 == 0 && !in_one_set) return (const float *)(const void *)a;
  *lda = A_LD;
  for (int64_t r = 0; r < rows; r++) {
    if (depth % 2) to[r * A_LD + depth / 2] = 0.0F;
    memcpy(to + r * A_LD, a + r * p->a.ld, (size_t)depth * sizeof *a);
  }
  return to;
}

/* What is read of A after rows `i` on at l of k, from `from` to `to`, or NULL. */
static const float *a_after(const product *p, int64_t i, int64_t l, int64_t from, int64_t to) {
  const int64_t step = depth_of(p->k), size = (int64_t)xattn_dtype_size(p->a.dtype);
  const char *a = p->a.data;
  if (p->a.dtype != XATTN_F32 && !(p->pairs && p->a.ld % 2 == 0)) return NULL;
  if (l + step < to)
    a += (i * p->a.ld + l + step) * size;
  else if (i + ROWS < p->m)
    a += ((i + ROWS) * p->a.ld + from) * size;
  else
    a = p->next_a;
  return (const float *)(const void *)a;
}

/* Columns j to j + n of C, summed over k from `from` to `to`: some rows at a time, whose part of C stays in the cache. */
static void one_block(const xattn_isa *isa, const product *p, int64_t j, int64_t n, int64_t from,
                      int64_t to, float *scratch) {
  float *copied = scratch + PACKED;
  const int64_t step = depth_of(p->k);
  const int64_t width = p->packed ? p->packed_width : xattn_filled_up(isa, n);
  const int64_t each = p->pairs ? 2 : 1; /* of k in an element of A and of what is packed */
  const float *packed = p->packed ? p->packed + from / each * width : scratch;
  if (!p->packed)
    for (int64_t l = from; l < to; l += step)
      pack_block(isa, p, j, n, l, smaller(to - l, step), scratch + (l - from) * width, copied);
  for (int64_t i = 0; i < p->m; i += ROWS) {
    int64_t rows = smaller(p->m - i, ROWS), l = from, lda;
    do { /* once at least: without k C is `first` */
      int64_t depth = smaller(to - l, step), first_ld = l ? p->ldc : p->first_ld;
      const float *a = p->pairs ? pairs_of(p, i, rows, n, l, depth, copied, &lda)
                                : copy_block(isa, p, i, rows, n, l, depth, copied, &lda);
      const float *first = l ? p->c : p->first;
      const int64_t k = divide_up(depth, each);
      (p->pairs ? isa->tile_multiply_bf16 : isa->tile_multiply)(&(xattn_tile){
          .rows = rows,
          .n = n,
          .k = k,
          .a = a,
          .lda = lda,
          .next = a_after(p, i, l, from, to),
          .next_ld = p->a.ld / each,
          .streams = p->packed && p->k * p->n > STREAMED,
          .b = packed + (l - from) / each * width + (p->packed ? k * (p->packed_j + j) : 0),
          .first = first ? first + i * first_ld + j : NULL,
          .first_ld = first_ld,
          .c = p->c + i * p->ldc + j,
          .ldc = p->ldc});
      l += step;
    } while (l < to);
  }
}

/* So few rows that B is read as it lies. What has 16 bits is widened: all of A, and some rows of B at a time. */
static bool is_few(const product *p) {
  if (p->all_rows > (p->packed ? XATTN_FEWEST_ROWS : XATTN_FEW_ROWS)) return false;
  return (p->a.dtype == XATTN_F32 || p->all_rows * p->k <= PACKED) &&
         (p->b.dtype == XATTN_F32 || (p->b_transposed ? p->k : p->n) <= COPIED);
}

static void multiply_few(const xattn_isa *isa, const product *p, float *scratch) {
  int64_t all = p->b_transposed ? p->n : p->k, columns = p->b_transposed ? p->k : p->n, lda, ldb;
  int64_t step = p->b.dtype == XATTN_F32 || columns == 0 ? all : COPIED / columns, at = 0;
  const float *a = xattn_cpu_rows(isa, &p->a, 0, p->m, p->k, scratch, &lda);
  do {
    int64_t now = smaller(all - at, step);
    const float *first = p->first;
    const float *b = xattn_cpu_rows(isa, &p->b, at * p->b.ld, now, columns, scratch + PACKED, &ldb);
    /* What comes when some rows are done. */
    xattn_next next = {(const char *)(b + (p->b_transposed ? 8 : 64) * ldb),
                       ldb * (int64_t)sizeof *b, sizeof *b};
    if (p->b_transposed)
      isa->few_dots(p->m, now, p->k, a, lda, b, ldb, first ? first + at : NULL, p->first_ld,
                    p->c + at, p->ldc, &next);
    else
      isa->few_rows(p->m, p->n, now, a + at, lda, b, ldb, at ? p->c : first,
                    at ? p->ldc : p->first_ld, p->c, p->ldc, &next);
    at += step;
  } while (at < all);
}

static void multiply(const xattn_isa *isa, const product *p, float *scratch) {
  if (is_few(p)) {
    multiply_few(isa, p, scratch);
    return;
  }
  /* All of a packed B, so that A is copied once. */
  const int64_t blocks = p->packed ? 1 : divide_up(p->n, COLUMNS);
  const int64_t depth = p->packed && p->k ? p->k : BLOCKS * depth_of(p->k);
  for (int64_t block = 0; block < blocks; block++) {
    int64_t j, end, l = 0;
    xattn_piece(p->n, XATTN_COLUMN_UNIT, blocks, block, &j, &end);
    do {
      one_block(isa, p, j, end - j, l, smaller(p->k, l + depth), scratch);
      l += depth;
    } while (l < p->k);
  }
}

/* ------------------------------------------------------------------ packed weights */

/* Each matrix that the levels above the item do not share: by blocks of k, the panels of all its columns. */
static int64_t packed_item(const xattn_gemm *g, int64_t group, int64_t head) {
  int64_t heads = g->b.stride[2] ? g->batch[2] : 1;
  return (g->b.stride[1] ? group * heads : 0) + (g->b.stride[2] ? head : 0);
}

/* What is packed of BF16 is for A of BF16. */
static bool packs_pairs(const xattn_isa *isa, const xattn_gemm *g) {
  return isa->tile_pack_bf16 && g->a.dtype == XATTN_BF16 && g->b.dtype == XATTN_BF16;
}

static int64_t item_elements(const xattn_isa *isa, const xattn_gemm *g) {
  return (g->b.dtype == XATTN_F32 ? g->k : divide_up(g->k, 2)) * xattn_filled_up(isa, g->n);
}

int64_t xattn_cpu_packed_elements(const xattn_device *device, const xattn_gemm *g) {
  if (g->b.dtype != XATTN_F32 && !packs_pairs(device->isa, g)) return 0;
  int64_t items = packed_item(g, g->batch[1] - 1, g->batch[2] - 1) + 1;
  return items * item_elements(device->isa, g);
}

void xattn_cpu_pack(const xattn_device *device, const xattn_gemm *g, void *to) {
  const xattn_isa *isa = device->isa;
  int64_t width = xattn_filled_up(isa, g->n), step = depth_of(g->k);
  for (int64_t group = 0; group < g->batch[1]; group++)
    for (int64_t head = 0; head < g->batch[2]; head++) {
      const int64_t first = xattn_offset(g->b.stride, 0, group, head);
      float *item = (float *)to + packed_item(g, group, head) * item_elements(isa, g);
      for (int64_t l = 0; l < g->k; l += step) {
        const int64_t at = first + (g->b_transposed ? l : l * g->b.ld);
        const int64_t depth = smaller(g->k - l, step);
        if (g->b.dtype == XATTN_F32)
          isa->tile_pack(g->b_transposed, g->n, depth, (const float *)g->b.data + at, g->b.ld,
                         item + l * width);
        else
          isa->tile_pack_bf16(g->b_transposed, g->n, depth, (const uint16_t *)g->b.data + at,
                              g->b.ld, (void *)(item + l / 2 * width));
      }
    }
}

/* ------------------------------------------------------------------ one call */

/* A matrix from an element on. */
static xattn_matrix from(const xattn_matrix *m, int64_t element) {
  xattn_matrix at = *m;
  at.data = (char *)m->data + element * (int64_t)xattn_dtype_size(m->dtype);
  return at;
}

/* Where the sums of a product begin: at C, at a bias for every row, or at 0. A bias of 16 bits is widened into C. */
static void begin_sums(const xattn_gemm *g, const xattn_isa *isa, int64_t bias_at, product *p) {
  if (g->bias && g->bias_dtype == XATTN_F32) {
    p->first = (const float *)g->bias + bias_at;
    return;
  }
  for (int64_t i = 0; g->bias && i < p->m; i++)
    isa->widen(g->bias_dtype, 1, p->n, (const uint16_t *)g->bias + bias_at, 0, p->c + i * p->ldc);
  if (!g->bias && !g->accumulate) return;
  p->first = p->c;
  p->first_ld = p->ldc;
}

/* Tiles of a packed B go from one to the next by rows. */
static const char *next_rows(const xattn_gemm *g, grid tiles, int64_t tile, const xattn_matrix *a) {
  int64_t i, i_end;
  if (!g->packed || tile >= tiles.rows * tiles.columns) return NULL;
  xattn_piece(g->m, XATTN_ROW_UNIT, tiles.rows, tile % tiles.rows, &i, &i_end);
  return from(a, i * a->ld).data;
}

static void one_tile(const xattn_gemm *g, const xattn_isa *isa, int threads, grid tiles,
                     int64_t index, float *scratch) {
  int64_t tile = index % (tiles.rows * tiles.columns);
  int64_t item = index / (tiles.rows * tiles.columns);
  int64_t head = item % g->batch[2];
  int64_t group = item / g->batch[2] % g->batch[1];
  int64_t b = item / g->batch[2] / g->batch[1];
  int64_t i, i_end, j, j_end;
  xattn_piece(g->m, XATTN_ROW_UNIT, tiles.rows, tile % tiles.rows, &i, &i_end);
  xattn_piece(xattn_limited(g->n_limit, b, g->n), XATTN_COLUMN_UNIT, tiles.columns,
              tile / tiles.rows, &j, &j_end);
  if (i >= i_end || j >= j_end) return;
  const xattn_matrix a = from(&g->a, xattn_offset(g->a.stride, b, group, head));
  product p = {
      .m = i_end - i,
      .all_rows = g->m,
      .n = j_end - j,
      .k = xattn_limited(g->k_limit, b, g->k),
      .b_transposed = g->b_transposed,
      .a = from(&a, i * a.ld),
      .next_a = next_rows(g, tiles, tile + threads, &a),
      .b = from(&g->b,
                xattn_offset(g->b.stride, b, group, head) + (g->b_transposed ? j * g->b.ld : j)),
      .c = (float *)g->c.data + xattn_offset(g->c.stride, b, group, head) + i * g->c.ld + j,
      .ldc = g->c.ld};
  begin_sums(g, isa, xattn_offset(g->bias_stride, b, group, head) + j, &p);
  if (g->packed) {
    p.packed_width = xattn_filled_up(isa, g->n);
    p.packed_j = j;
    p.packed = (const float *)g->packed + packed_item(g, group, head) * item_elements(isa, g);
    p.pairs = g->b.dtype == XATTN_BF16;
  }
  multiply(isa, &p, scratch);
}

/* A product, and its tiles among those of all. */
typedef struct part {
  const xattn_gemm *gemm;
  grid tiles;
  int64_t first, end;
} part;

static double work_of(const xattn_gemm *g, int64_t items) {
  return (double)items * (double)g->m * (double)g->n * (double)g->k;
}

/* Tiles of all products are one list, so that threads wait for one another once. */
static void run_parts(xattn_device *device, const part *parts, int threads, int64_t count) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
  for (int64_t index = 0; index < count; index++) {
    const part *at = parts;
    while (index >= at->end) at++;
    one_tile(at->gemm, device->isa, threads, at->tiles, index - at->first,
             device->scratch + omp_get_thread_num() * xattn_cpu_scratch());
  }
}

xattn_status xattn_cpu_gemm(xattn_error *error, xattn_device *device, const xattn_gemm *gemms,
                            int count) {
  enum { AT_ONCE = 8 };
  (void)error;
  part parts[AT_ONCE];
  for (int next = 0; next < count;) {
    const int start = next;
    double work = 0.0;
    for (; next < count && next - start < AT_ONCE; next++) {
      const xattn_gemm *g = &gemms[next];
      work += work_of(g, g->batch[0] * g->batch[1] * g->batch[2]);
    }
    int threads = work < serial_work ? 1 : xattn_cpu_threads(device);
    int64_t tiles = 0;
    for (int i = start; i < next; i++) {
      const xattn_gemm *g = &gemms[i];
      int64_t items = g->m && g->n ? g->batch[0] * g->batch[1] * g->batch[2] : 0;
      grid cut = items ? choose_grid(g, items, threads) : (grid){0};
      int64_t end = tiles + items * cut.rows * cut.columns;
      parts[i - start] = (part){g, cut, tiles, end};
      tiles = end;
    }
    run_parts(device, parts, threads, tiles);
  }
  return XATTN_OK;
}
