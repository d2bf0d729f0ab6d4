/* What a backend gives. A backend is one table of functions; the host library plans a call into
 * steps (plan.h) and hands each step to the table of the handle's backend. Everything a backend
 * does after `open` is enqueued on the device's stream and may be asynchronous.
 *
 * All matrices are row-major in device memory, of F32, F16 or BF16; products are summed in float32:
 *
 *     element (i, j) of item (b, g, h)  =  data[b·stride[0] + g·stride[1] + h·stride[2] + i·ld + j]
 *
 * The three batch levels are the batch item, the key/value head and the query head within its
 * group, so that grouped queries read their shared K and V through a stride of 0, and heads are
 * split and joined by strides alone. Strides and ld are in elements. */
#ifndef XATTN_BACKEND_H
#define XATTN_BACKEND_H

#include <stdbool.h>
#include <xattn_cuda.h>

#include "error.h"

/* An opened device: a handle's stream, threads and library handles. Each backend has its own. */
typedef struct xattn_device xattn_device;

typedef struct xattn_matrix {
  void *data;
  xattn_dtype dtype;
  int64_t ld;
  int64_t stride[3];
} xattn_matrix;

/* Piece number `at` of `pieces` of an extent, [*from, *to), in whole units; the last takes what is left beyond these. */
static inline void xattn_piece(int64_t extent, int64_t unit, int64_t pieces, int64_t at,
                               int64_t *from, int64_t *to) {
  int64_t units = extent / unit;
  *from = units * at / pieces * unit;
  *to = at + 1 == pieces ? extent : units * (at + 1) / pieces * unit;
}

/* Key lengths in host memory: item b has count[b·step] keys, at most all; NULL means all. step 0 shares
 * one. Read while the call runs, not later. */
typedef struct xattn_lengths {
  const int32_t *count;
  int64_t step;
} xattn_lengths;

/* C = A·Bᵀ + bias   with B [n, k]    if b_transposed
 * C = A·B  + bias   with B [k, n]    otherwise
 * A is [m, k], C is [m, n], bias is [n] or NULL; its strides are over the batch, 0 where items share it. Of dtypes
 * there are two cases: with limits.wide C is F32 and the others are any; else A and B have one, C has the same or
 * F32, and bias that of C. C is overwritten, never read; with `accumulate`, which goes without bias, the product is
 * added to it. With k = 0 the product is zero. */
typedef struct xattn_gemm {
  int64_t m, n, k;
  int64_t batch[3];
  bool b_transposed;
  bool accumulate;
  xattn_matrix a, b, c;
  const void *packed; /* what `pack` made of B, or NULL */
  const void *bias;
  xattn_dtype bias_dtype;
  int64_t bias_stride[3];
  xattn_lengths n_limit; /* per item: columns of C from here on are neither computed nor written */
  xattn_lengths k_limit; /* per item: the sum stops here; what A and B hold behind is not read */
} xattn_gemm;

/* out = softmax(scale·in) over each row of n, scale > 0; in place if both are the same. From the item's
 * length on, in is not read and out is written as 0. A row without a key above -inf becomes 0. */
typedef struct xattn_softmax {
  int64_t m, n;
  int64_t batch[3];
  float scale;
  xattn_matrix in, out;
  xattn_lengths limit;
} xattn_softmax;

/* C = softmax(scale·(A·Bᵀ + key bias))·D in one pass, in F32, where B and D may be stored in 16 bits: A is
 * [m, k], B [keys, k], D [keys, n], C [m, n]. Keys from the item's limit on are not read; a row without a key
 * above -inf becomes 0. Either a thread takes tile_rows rows of an item, tile_keys keys at a time, and `scratch`
 * is xattn_tile_floats for each of `parallel` threads; or, of XATTN_FEW_ROWS rows at most, one of key_pieces
 * pieces of the keys, and `scratch` is xattn_few_floats for each piece of each item if there are several; with `abreast`
 * for all groups at once, whose keys and values lie side by side in rows of at most XATTN_ABREAST_WIDEST columns, each group's
 * filled up to XATTN_TILE_UNIT: of XATTN_ABREAST_ROWS rows at most, and of one head a group. */
typedef struct xattn_attend {
  int64_t m, n, k, keys;
  int64_t batch[3];
  xattn_matrix a, b, d, c;
  const float *key_bias; /* [keys], or NULL */
  int64_t key_bias_stride[3];
  xattn_lengths limit;
  float scale;
  int64_t tile_rows, tile_keys;
  int64_t key_pieces; /* 0: tiles */
  bool abreast;
  float *scratch;
} xattn_attend;

/* Scores of a panel of XATTN_TILE_PANEL rows at most are alive at a time, beside A and the results of the tile's rows, whose
 * number is filled up to whole vectors. */
enum { XATTN_TILE_PANEL = 32, XATTN_TILE_UNIT = 16, XATTN_FEW_ROWS = 32 };
enum { XATTN_ABREAST_ROWS = 4, XATTN_ABREAST_WIDEST = 16384 };
static inline int64_t xattn_tile_width(int64_t columns) {
  return (columns + XATTN_TILE_UNIT - 1) / XATTN_TILE_UNIT * XATTN_TILE_UNIT;
}
static inline int64_t xattn_tile_floats(int64_t rows, int64_t keys, int64_t k, int64_t n) {
  return keys * XATTN_TILE_PANEL + xattn_tile_width(rows) * (k + n + 2);
}

static inline int64_t xattn_few_floats(int64_t rows, int64_t n) {
  return xattn_tile_width(rows * (2 + n));
}

/* out[i] = in[i] over four dimensions of any strides; F32, F16 and BF16 are converted, rounding to nearest
 * even. F16 to BF16 and back do not occur. */
typedef struct xattn_copy {
  int64_t shape[4];
  xattn_dtype in_dtype, out_dtype;
  const void *in;
  void *out;
  int64_t in_stride[4], out_stride[4];
} xattn_copy;

/* What the planner has to know of a device. Of one type, so without padding: problems are compared byte by byte
 * (choices.c). */
typedef struct xattn_limits {
  int64_t max_extent;  /* of one dimension or leading dimension of a matrix */
  int64_t score_bytes; /* a chunk of scores of this size stays in the cache between its two GEMMs */
  int64_t parallel;    /* independent matrices wanted at once to fill the device */
  int64_t row_alignment;        /* rows of scores start at multiples of this many elements */
  int64_t tile_rows, tile_keys; /* that a thread of attend takes at most; 0: there is no attend */
  int64_t tile_floats;   /* of keys and values at a time, which should stay in a core's cache */
  int64_t wide;          /* 1: only what is stored has 16 bits; what is between steps is F32 */
  int64_t few_rows;      /* of A: products of no more read B as it lies */
  int64_t packing;       /* names the order that `pack` gives; 0: there is no pack */
  int64_t packing_bf16;  /* the same of BF16 for A of BF16; 0: it does not pack such */
  int64_t unpacked_rows; /* products of no more rows do not read what is packed */
  int64_t pipe_rows;     /* of a pipe (plan.h) at a time; 0: there are no pipes */
} xattn_limits;

typedef struct xattn_device_options {
  int32_t threads; /* as in xattn_handle_options */
  xattn_math math;
} xattn_device_options;

typedef struct xattn_backend xattn_backend;

/* Device memory and who frees it. */
typedef struct xattn_memory {
  const xattn_backend *backend; /* NULL: none */
  int32_t index;
  void *data;
  void *block; /* the backend's own */
} xattn_memory;

/* Streams and events, for backends that have them. A stream and an event are the backend's own. */
typedef struct xattn_interop {
  xattn_status (*set_stream)(xattn_error *error, xattn_device *device, void *stream);
  void *(*get_stream)(const xattn_device *device);
  xattn_status (*wait_event)(xattn_error *error, xattn_device *device, void *event);
  xattn_status (*record_event)(xattn_error *error, xattn_device *device, void *event);
  xattn_status (*set_allocator)(xattn_error *error, xattn_device *device,
                                const xattn_cuda_allocator *allocator);
} xattn_interop;

/* A task on a device of one thread, which is number `thread` of the device's. */
typedef xattn_status xattn_task_function(xattn_error *error, xattn_device *one, int thread,
                                         int64_t task, void *argument);

struct xattn_backend {
  const char *name;             /* "cpu", "cuda" */
  xattn_device_type memory;     /* where its memory is; XATTN_CPU: host tensors are used in place */
  const xattn_interop *interop; /* NULL: it has no streams */

  xattn_status (*open)(xattn_error *error, int32_t index, const xattn_device_options *options,
                       xattn_device **device);
  void (*close)(xattn_device *device);                                   /* waits for its work */
  void (*describe)(const xattn_device *device, xattn_handle_info *info); /* detail and threads */
  xattn_limits (*limits)(const xattn_device *device);
  xattn_rates (*rates)(const xattn_device *device); /* sane ones; nothing is measured */

  /* Asked once before the steps of a call: may work be enqueued? *capturing: it is recorded into a
   * graph, not run. */
  xattn_status (*begin)(xattn_error *error, xattn_device *device, bool *capturing);

  /* Memory, aligned to XATTN_ALIGNMENT bytes, in stream order: data and block; the caller notes whose it
   * is. It may be released after the device that allocated it was closed. */
  xattn_status (*allocate)(xattn_error *error, xattn_device *device, size_t bytes,
                           xattn_memory *memory);
  void (*release)(xattn_memory *memory);

  /* Memory that one device writes and others read: publish marks what is enqueued by now as its contents,
   * acquire makes what is enqueued from now on wait for them. */
  xattn_status (*publish)(xattn_error *error, xattn_device *device, xattn_memory *memory);
  xattn_status (*acquire)(xattn_error *error, xattn_device *device, const xattn_memory *memory);

  /* Between a host tensor and device memory in the packed order of pack.h, all of its elements. The host
   * tensor may be used again at return. upload converts to the dtype; download does not. */
  xattn_status (*upload)(xattn_error *error, xattn_device *device, void *to, xattn_dtype dtype,
                         const xattn_tensor *from);
  xattn_status (*download)(xattn_error *error, xattn_device *device, const void *from,
                           const xattn_tensor *to);

  /* Of a weight: n, k, B, the dtype of A and the levels above the item. F32 that pack writes, or 0 if it does not pack such;
   * pack waits for nothing. */
  int64_t (*packed_elements)(const xattn_device *device, const xattn_gemm *gemm);
  void (*pack)(const xattn_device *device, const xattn_gemm *gemm, void *to);

  /* Products that do not wait for one another. */
  xattn_status (*gemm)(xattn_error *error, xattn_device *device, const xattn_gemm *gemms,
                       int count);
  xattn_status (*softmax)(xattn_error *error, xattn_device *device, const xattn_softmax *softmax);
  xattn_status (*attend)(xattn_error *error, xattn_device *device, const xattn_attend *attend);
  xattn_status (*copy)(xattn_error *error, xattn_device *device, const xattn_copy *copy);

  /* The function for each task, spread over the threads; returns when all are done, with the failure of one if there was
   * any. NULL where there are no pipes. */
  xattn_status (*share)(xattn_error *error, xattn_device *device, int64_t tasks,
                        xattn_task_function *function, void *argument);
  xattn_status (*synchronize)(xattn_error *error, xattn_device *device);
};

enum { XATTN_ALIGNMENT = 256 };

extern const xattn_backend xattn_backend_cpu;

/* On the host, in float64: row-major C[m, n] = op(A)·B with A [m, k], or [k, m] if a_transposed, and B [k, n];
 * no extent is 0. Leading dimensions are those of full rows. */
void xattn_multiply_f64(bool a_transposed, int64_t m, int64_t n, int64_t k, const double *a,
                        const double *b, double *c);

#define XATTN_TEXT2(x) #x
#define XATTN_TEXT(x) XATTN_TEXT2(x)
#define XATTN_VERSION_TEXT        \
  XATTN_TEXT(XATTN_VERSION_MAJOR) \
  "." XATTN_TEXT(XATTN_VERSION_MINOR) "." XATTN_TEXT(XATTN_VERSION_PATCH)

/* What a plugin exports, as XATTN_PLUGIN_SYMBOL. A plugin belongs to the library of the same build: its
 * version must be xattn_version(). */
typedef struct xattn_plugin {
  const char *version;
  const xattn_backend *backend;
} xattn_plugin;
#define XATTN_PLUGIN_SYMBOL "xattn_cuda_plugin"

/* The backend and device number of "auto", "cpu", "cuda" or "cuda:N"; note tells why auto chose. */
xattn_status xattn_backend_find(xattn_error *error, const char *name, const xattn_backend **backend,
                                int32_t *index, char *note, size_t note_size);

#endif
