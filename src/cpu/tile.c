/* The product of a tile, compiled once per instruction set like softmax_row.c, in F32 and in F64, and of pairs of BF16 where
 * there are instructions for these: a pair that follows one another along k takes the place of an F32 in A and B.
 *
 *          B in panels of up to MOST vectors, each [k][width], one behind the other
 *           k ┌────────┐
 *             │ panel  │          A rows × width block of C is in registers while k runs: each step loads one row
 *             └────────┘          of the panel and one element of each row of A, which is spread over a vector.
 *      ┌────┐ ┌────────┐          Sums run over k in order, so a row's bits do not depend on its neighbours.
 * rows │ A  │ │ C      │
 *      └────┘ └────────┘
 *
 * 12 rows × 2 vectors are 24 of 32 registers. Of 16, 12 are 4 rows × 3 vectors: enough sums at once that none waits for the
 * one before, and the fewest loads beside them, which count where another thread shares the core. One vector or two that
 * are left over take more rows, so that they have as many sums; four are two and two. The columns of a panel tell the order
 * of a packed B. Columns are filled up to whole vectors, with zeros in B. A is read where it lies. */
#include "turn.h"

#ifndef XATTN_TYPED
#define XATTN_TYPED(name) name
typedef xattn_tile tile;
#if XATTN_LANES == 8 && !defined(__SANITIZE_ADDRESS__) /* which does not see what assembly reads */
#include "tile_avx2.h"
#endif
#endif
#define KERNEL(name) XATTN_KERNEL(XATTN_TYPED(name))

enum {
  MANY = XATTN_REGISTERS == 32,
  ROWS = 12,                /* of a block, at most */
  LINE = 64 / sizeof(real), /* elements of a line of the cache */
  GROUP = 8,                /* rows that are packed into all panels before the next */
  UNROLLED = 4              /* steps of k: ends of short loops are foretold better */
};

_Static_assert(XATTN_ROW_UNIT % ROWS == 0 && XATTN_COLUMN_UNIT % (MOST * W) == 0,
               "gemm.c cuts rows and columns where blocks and panels end");

_Static_assert(sizeof(real) != sizeof(float) ||
                   ((int)XATTN_PASTE(XATTN_PANEL, XATTN_ISA) == (int)(MOST * W) &&
                    (int)(MOST * W) <= (int)XATTN_TILE_PANEL),
               "the order of a packed B has its name, and attend.c room for a panel");

/* Vectors of the next panel of so many that are left. */
static inline int64_t panel_of(int64_t left) {
  if (MOST == 3 && left == 4) return 2;
  return left < MOST ? left : MOST;
}

/* Rows of a block of so many vectors. */
static inline __attribute__((always_inline)) int rows_of(int vectors) {
  if (MANY || vectors == 1) return 12;
  return vectors == 2 ? 6 : 4;
}

static inline int64_t vectors_of(int64_t columns) {
  return (columns + W - 1) / W;
}

/* An element of A for all columns, and its products. */
#ifndef XATTN_PAIRS
static inline vec spread(const real *element) {
  return all(*element);
}

static inline vec add(vec sum, vec element, vec row) {
  return sum + element * row;
}
#endif

/* In step l: what lies like a line of A, of one row after another. */
static inline __attribute__((always_inline)) void ask(const bool turned, const tile *t, int64_t l) {
  const int64_t at = turned ? l * t->next_ld : l % LINE * t->next_ld + l / LINE * LINE;
  __builtin_prefetch(t->next + at);
}

/* For the panel behind the one that is multiplied, a part with each of its blocks. */
static inline const real *ask_behind(const real *behind, int64_t elements) {
  for (int64_t l = 0; l < elements; l += LINE) __builtin_prefetch(behind + l);
  return behind + elements;
}

/* `first` is added last: small products added one by one to what is large would each round by its size. */
static inline __attribute__((always_inline)) void sums(const int rows, const int vectors,
                                                       const bool turned, const bool asks,
                                                       const tile *t, vec sum[ROWS][MOST]) {
#ifdef XATTN_CPU_TILE_AVX2_H
  if (asks && !turned) /* not in the loops below */
    for (int64_t l = 0; l < t->k; l += 16)
      for (int i = 0; i < rows; i++) ask(false, t, l + i);
  if (!turned && rows == 4 && vectors == 3) {
    sums_of_4x3(t->k, t->a, t->lda, t->b, sum);
    return;
  }
  if (!turned && rows == 6 && vectors == 2) {
    sums_of_6x2(t->k, t->a, t->lda, t->b, sum);
    return;
  }
#endif
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) sum[i][v] = (vec){0};
  const real *a = t->a, *b = t->b;
#pragma GCC unroll UNROLLED
  for (int64_t l = 0; l < t->k; l++) {
    vec row[MOST];
    if (asks) ask(turned, t, l);
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) row[v] = load(b + (l * vectors + v) * W);
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
      vec element = spread(a + (turned ? l * t->lda + i : i * t->lda + l));
#pragma GCC unroll 3
      for (int v = 0; v < vectors; v++) sum[i][v] = add(sum[i][v], element, row[v]);
    }
  }
}

static inline __attribute__((always_inline)) void block(const int rows, const int vectors,
                                                        const bool turned, const bool asks,
                                                        const tile *t) {
  vec sum[ROWS][MOST], factor[MOST];
  sums(rows, vectors, turned, asks, t, sum);
#pragma GCC unroll 3
  for (int v = 0; v < vectors; v++)
    if (turned && t->factor) factor[v] = load(t->factor + v * W);
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) {
      if (turned && t->factor)
        sum[i][v] += factor[v] * load(t->first + i * t->first_ld + v * W);
      else if (t->first)
        sum[i][v] += load(t->first + i * t->first_ld + v * W);
      store(t->c + i * t->ldc + v * W, sum[i][v]);
    }
}

static void forward(tile *t, int64_t rows) {
  t->a += t->turned ? rows : rows * t->lda;
  if (t->next) t->next += t->turned ? rows : rows * t->next_ld;
  t->c += rows * t->ldc;
  if (t->first) t->first += rows * t->first_ld;
}

/* One panel for all rows. */
static inline __attribute__((always_inline)) void panel(const int vectors, const bool turned,
                                                        int64_t rows, tile t) {
  const int full = rows_of(vectors);
  const int64_t elements = t.k * vectors * W;
  /* With 32 registers whole calls were up to 3 % slower. */
  const int64_t share = !MANY && t.streams && rows ? elements * full / rows : 0;
  const real *behind = t.b + elements;
  if (t.next)
    for (; rows >= full; rows -= full, forward(&t, full)) {
      behind = ask_behind(behind, share);
      block(full, vectors, turned, true, &t);
    }
  for (; rows >= full; rows -= full, forward(&t, full)) {
    behind = ask_behind(behind, share);
    block(full, vectors, turned, false, &t);
  }
  if (full > 8 && rows >= 8) {
    block(8, vectors, turned, false, &t);
    forward(&t, 8);
    rows -= 8;
  }
  if (full > 4 && rows >= 4) {
    block(4, vectors, turned, false, &t);
    forward(&t, 4);
    rows -= 4;
  }
  if (rows >= 2) {
    block(2, vectors, turned, false, &t);
    forward(&t, 2);
    rows -= 2;
  }
  if (rows) block(1, vectors, turned, false, &t);
}

static inline __attribute__((always_inline)) void panel_of_vectors(int64_t vectors,
                                                                   const bool turned, int64_t rows,
                                                                   const tile *t) {
  if (vectors == 1)
    panel(1, turned, rows, *t);
  else if (vectors == 2)
    panel(2, turned, rows, *t);
  else
    panel(MOST, turned, rows, *t);
}

static void any_panel(int64_t vectors, int64_t rows, const tile *t) {
  if (t->turned)
    panel_of_vectors(vectors, true, rows, t);
  else
    panel_of_vectors(vectors, false, rows, t);
}

/* The last panel, where C has fewer columns than whole vectors: through a block beside it. */
static void edge(int64_t vectors, int64_t rows, int64_t columns, tile t) {
  real beside[ROWS][MOST * W] = {{0}};
  tile part = t;
  for (; rows > 0; rows -= ROWS, forward(&t, ROWS)) {
    int64_t now = rows < ROWS ? rows : ROWS;
    for (int64_t i = 0; t.first && i < now; i++)
      memcpy(beside[i], t.first + i * t.first_ld, (size_t)columns * sizeof(real));
    part.a = t.a;
    part.next = t.next;
    part.c = beside[0];
    part.first = t.first ? beside[0] : NULL;
    part.ldc = part.first_ld = MOST * W;
    any_panel(vectors, now, &part);
    for (int64_t i = 0; i < now; i++)
      memcpy(t.c + i * t.ldc, beside[i], (size_t)columns * sizeof(real));
  }
}

void KERNEL(xattn_tile_multiply)(const tile *whole) {
  tile t = *whole;
  for (int64_t left = vectors_of(t.n), vectors; left > 0; left -= vectors) {
    vectors = panel_of(left);
    t.next = left == vectors ? whole->next : NULL;
    if (left == vectors && t.n % W)
      edge(vectors, t.rows, t.n - (vectors_of(t.n) - vectors) * W, t);
    else
      any_panel(vectors, t.rows, &t);
    t.b += t.k * vectors * W;
    t.c += vectors * W;
    if (t.first) t.first += vectors * W;
    if (t.factor) t.factor += vectors * W;
  }
}

/* ------------------------------------------------------------------ packing */

#ifndef XATTN_PAIRS
/* A panel from rows of B, or from columns, which lie along k. A panel takes a line or two of a row, and four columns are
 * short: the hardware would start to fetch anew with each, so the next ones are asked for. */
static inline __attribute__((always_inline)) void pack_whole_rows(const int64_t width, int64_t k,
                                                                  const real *b, int64_t ld,
                                                                  real *packed) {
  for (int64_t l = 0; l < k; l++) {
    for (int64_t at = 0; at < width; at += LINE) __builtin_prefetch(b + (l + GROUP) * ld + at);
    memcpy(packed + l * width, b + l * ld, (size_t)width * sizeof *b);
  }
}

static void pack_rows(int64_t count, int64_t width, int64_t k, const real *b, int64_t ld,
                      real *packed) {
  if (count == MOST * W) {
    pack_whole_rows(MOST * W, k, b, ld, packed);
    return;
  }
  if (count == 2 * W) {
    pack_whole_rows(2 * W, k, b, ld, packed);
    return;
  }
  for (int64_t l = 0; l < k; l++) {
    memcpy(packed + l * width, b + l * ld, (size_t)count * sizeof *b);
    for (int64_t j = count; j < width; j++) packed[l * width + j] = 0;
  }
}

static void pack_columns(int64_t count, int64_t width, int64_t k, const real *b, int64_t ld,
                         real *packed) {
  int64_t j = 0;
  for (; j + 4 <= count; j += 4) {
    int64_t l = 0;
    for (; l + 4 <= k; l += 4) {
      quad rows[4];
      for (int i = 4; l % LINE == 0 && i < 8; i++) __builtin_prefetch(b + (j + i) * ld + l);
      for (int i = 0; i < 4; i++) memcpy(&rows[i], b + (j + i) * ld + l, sizeof rows[i]);
      turn(rows, packed + l * width + j, width);
    }
    for (; l < k; l++)
      for (int64_t i = j; i < j + 4; i++) packed[l * width + i] = b[i * ld + l];
  }
  for (; j < width; j++)
    for (int64_t l = 0; l < k; l++) packed[l * width + j] = j < count ? b[j * ld + l] : 0;
}

void KERNEL(xattn_tile_pack)(bool transposed, int64_t n, int64_t k, const real *b, int64_t ld,
                             real *packed) {
  const int64_t step = transposed ? k : GROUP;
  for (int64_t l = 0; l < k; l += step) {
    const int64_t now = k - l < step ? k - l : step;
    for (int64_t j = 0; j < n;) {
      int64_t width = panel_of(vectors_of(n - j)) * W, count = n - j < width ? n - j : width;
      if (transposed)
        pack_columns(count, width, k, b + j * ld, ld, packed + k * j);
      else
        pack_rows(count, width, now, b + l * ld + j, ld, packed + k * j + l * width);
      j += width;
    }
  }
}
#endif
