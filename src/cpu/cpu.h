/* The parts of the CPU backend. */
#ifndef XATTN_CPU_H
#define XATTN_CPU_H

#include "backend.h"

struct xattn_device {
  int32_t threads;
  const struct xattn_isa *isa;
  float *scratch;      /* of gemm: xattn_cpu_scratch() floats for each thread */
  int64_t tile_floats; /* of xattn_limits */
};

int64_t xattn_cpu_scratch(void);

/* Elements of a row of 16 bits whose softmax is taken at a time, in the scratch. */
enum { XATTN_SOFTMAX_PIECE = 1 << 15 };

/* Keys that rows of heads abreast take at a time, and what of the scratch that needs: the maximum, sum and factor of a row,
 * its scores and its part of O. */
enum {
  XATTN_ABREAST_KEYS = 48,
  XATTN_ABREAST_FLOATS =
      XATTN_ABREAST_ROWS *
      (XATTN_ABREAST_WIDEST / XATTN_TILE_UNIT * (3 + XATTN_ABREAST_KEYS) + XATTN_ABREAST_WIDEST)
};

/* Products are cut at multiples of the rows of a block and the columns of a panel of every kernel (tile.c). Of columns the
 * last part takes what is left beyond whole units, since how the last panels are cut depends on it. */
enum { XATTN_ROW_UNIT = 12, XATTN_COLUMN_UNIT = 96 };

/* So few rows sum in many lanes, which rounds less, and read B once even so: as it lies, packed or not. */
enum { XATTN_FEWEST_ROWS = 4 };

/* Columns of a panel of each instruction set, which name the order of a packed B. */
enum {
  XATTN_PANEL_base = 12,
  XATTN_PANEL_avx2 = 24,
  XATTN_PANEL_avx512 = 32,
  XATTN_PANEL_neon = 8
};

/* True in the child of a fork. */
bool xattn_cpu_forked(void);

/* Threads that a call may use: the device's, or 1 in the child of a fork, where OpenMP's threads do not
 * exist and waiting for them would take forever. */
int xattn_cpu_threads(const xattn_device *device);

/* One row of a softmax: out[j] = exp(scale·(in[j] - max)) / Σ, scale > 0, j < n; in may be out. */
typedef void xattn_softmax_row(const float *in, float *out, int64_t n, float scale);

/* out[j] = in[j]·factor, j < n; in may be out. */
typedef void xattn_row_scale(const float *in, float *out, int64_t n, float factor);

/* Rows of C = O / l, each by its l, or 0 where that is; O may be C. */
typedef void xattn_finish_rows(int64_t rows, int64_t n, const float *o, int64_t ldo, const float *l,
                               float *c, int64_t ldc);

/* A further part of rows of a softmax, ld apart, that is not whole yet: s[j] = exp(scale·(s[j] - maximum)), j < n, where
 * a row's maximum, and the sum of all so far, are brought up to date. What was summed by the maximum before counts by the
 * factor. */
typedef void xattn_softmax_part(int64_t rows, int64_t n, float *s, int64_t ld, float scale,
                                float *maximum, float *sum, float *factor);

/* The same where a row of the softmax is a column of S [keys, width], whole vectors that are one panel of tile_pack at most:
 * to each key's scores its bias is added, unless that is NULL. */
typedef void xattn_softmax_columns(int64_t keys, int64_t width, float *s, const float *bias,
                                   float scale, float *maximum, float *sum, float *factor);

/* Rows of C [rows, n] = columns of O [n, width] / l, each by its l, or 0 where that is. */
typedef void xattn_finish_columns(int64_t rows, int64_t n, const float *o, int64_t width,
                                  const float *l, float *c, int64_t ldc);

/* B [k, n], or its transpose [n, k], rows ld apart, as tile_multiply wants it: k·(n filled up to whole vectors) elements. */
typedef void xattn_tile_pack(bool transposed, int64_t n, int64_t k, const float *b, int64_t ld,
                             float *packed);
typedef void xattn_tile_pack_f64(bool transposed, int64_t n, int64_t k, const double *b, int64_t ld,
                                 double *packed);

/* C [rows, n] = first·factor + A·B, with B as tile_pack gives it. A is [rows, k], or [k, rows] if it is turned. `first`
 * is NULL for 0; it may be C. A turned product, whose n is whole vectors, may have a factor for each column of it. While the
 * last panel is multiplied, memory is asked for what is A of the next product, laid out alike, unless `next` is NULL. If B
 * `streams`, it is asked for the panel behind each, where that pays. */
#define XATTN_TILE(real)                \
  {                                     \
    int64_t rows, n, k;                 \
    bool turned, streams;               \
    const real *a, *b, *first, *factor; \
    real *c;                            \
    int64_t lda, first_ld, ldc;         \
    const real *next;                   \
    int64_t next_ld;                    \
  }
typedef struct xattn_tile XATTN_TILE(float) xattn_tile;
typedef struct xattn_tile_f64 XATTN_TILE(double) xattn_tile_f64;
typedef void xattn_tile_multiply(const xattn_tile *tile);
typedef void xattn_tile_multiply_f64(const xattn_tile_f64 *tile);

/* BF16 [k, n], or its transpose, in pairs along k, and products of A in such pairs by it, with k, lda and next_ld in pairs:
 * tile_bf16.c. */
typedef void xattn_tile_pack_bf16(bool transposed, int64_t n, int64_t k, const uint16_t *b,
                                  int64_t ld, uint16_t *packed);
typedef xattn_tile_multiply xattn_tile_multiply_bf16;

/* What will be read later and is fetched into the cache as a product goes, since memory would rest meanwhile, and the
 * hardware start anew with each row. Without gaps it is fetched line by line: as many as B has, or more, in two products
 * over the same rows, the second of which goes on where the first ended. Else it is laid out like B. */
typedef struct xattn_next {
  const char *line;
  int64_t row, item; /* bytes; row 0: there are no gaps */
} xattn_next;

/* C = first + A·B with B as it lies, for few rows: [n, k] for few_dots, [k, n] for few_rows. */
typedef void xattn_few(int64_t rows, int64_t n, int64_t k, const float *a, int64_t lda,
                       const float *b, int64_t ldb, const float *first, int64_t first_ld, float *c,
                       int64_t ldc, xattn_next *next);

/* B or D of the groups of heads of an item, side by side in rows: each has `columns` of them, and rows of A. */
typedef struct xattn_side {
  int64_t groups, rows, columns;
  xattn_dtype dtype;
  int64_t
      ld; /* elements from a row to the next; a group's columns follow those of the one before */
} xattn_side;

/* Over some rows of B from `b` on, with A [rows, columns] of each group, a_group apart:
 *     abreast_dots   C [groups·rows, keys] = A·Bᵀ
 *     abreast_sums   C [groups·rows, columns filled up] += A·B, with A [rows, keys] */
typedef void xattn_abreast(const xattn_side *side, int64_t keys, const char *b, const float *a,
                           int64_t a_group, int64_t lda, float *c, int64_t ldc);

/* F16 or BF16, rows ld apart, to F32, rows dense. */
typedef void xattn_widen(xattn_dtype dtype, int64_t rows, int64_t columns, const uint16_t *from,
                         int64_t ld, float *to);

/* F32 to F16 or BF16, rounded to nearest even. */
typedef void xattn_narrow(xattn_dtype dtype, int64_t columns, const float *from, uint16_t *to);

/* The kernels for one instruction set. */
typedef struct xattn_isa {
  const char *name;
  int32_t lanes; /* F32 in a register */
  int32_t panel;
  xattn_softmax_row *softmax_row;
  xattn_softmax_part *softmax_part;
  xattn_softmax_columns *softmax_columns;
  xattn_row_scale *row_scale;
  xattn_finish_rows *finish_rows;
  xattn_finish_columns *finish_columns;
  xattn_tile_pack *tile_pack;
  xattn_tile_multiply *tile_multiply;
  xattn_tile_pack_f64 *tile_pack_f64;
  xattn_tile_multiply_f64 *tile_multiply_f64;
  xattn_tile_pack_bf16 *tile_pack_bf16; /* NULL: there are no instructions for it */
  xattn_tile_multiply_bf16 *tile_multiply_bf16;
  xattn_few *few_dots, *few_rows;
  xattn_abreast *abreast_dots, *abreast_sums;
  xattn_widen *widen;
  xattn_narrow *narrow;
} xattn_isa;

/* Elements from the first item of a stack to another. */
static inline int64_t xattn_offset(const int64_t stride[3], int64_t b, int64_t group,
                                   int64_t head) {
  return b * stride[0] + group * stride[1] + head * stride[2];
}

/* The item's length, at most all. */
static inline int64_t xattn_limited(xattn_lengths limit, int64_t item, int64_t all) {
  if (!limit.count || limit.count[item * limit.step] > all) return all;
  return limit.count[item * limit.step];
}

/* n filled up to whole vectors. */
static inline int64_t xattn_filled_up(const xattn_isa *isa, int64_t n) {
  return (n + isa->lanes - 1) / isa->lanes * isa->lanes;
}

/* The best instruction set of this processor, or the one that XATTN_CPU_ISA names. */
xattn_status xattn_isa_choose(xattn_error *error, const xattn_isa **isa);

/* The instruction sets that were built and that this processor has, worst first; NULL past the
 * last. */
const xattn_isa *xattn_isa_list(int index);

int64_t xattn_cpu_packed_elements(const xattn_device *device, const xattn_gemm *gemm);
void xattn_cpu_pack(const xattn_device *device, const xattn_gemm *gemm, void *to);
xattn_status xattn_cpu_gemm(xattn_error *error, xattn_device *device, const xattn_gemm *gemms,
                            int count);
xattn_status xattn_cpu_softmax(xattn_error *error, xattn_device *device,
                               const xattn_softmax *softmax);
/* Rows of a matrix from an element on in F32: as they lie, or, of 16 bits, widened to `room`. */
const float *xattn_cpu_rows(const xattn_isa *isa, const xattn_matrix *m, int64_t element,
                            int64_t rows, int64_t columns, float *room, int64_t *ld);

/* With key_pieces. */
void xattn_cpu_attend_few(const xattn_device *device, const xattn_attend *t);
xattn_status xattn_cpu_attend(xattn_error *error, xattn_device *device, const xattn_attend *t);
xattn_status xattn_cpu_copy(xattn_error *error, xattn_device *device, const xattn_copy *copy);

#endif
