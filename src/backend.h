/* What a backend gives. A backend is one table of functions; the host library plans a call into
 * steps (plan.h) and hands each step to the table of the handle's backend. Everything a backend
 * does after `open` is enqueued on the device's stream and may be asynchronous.
 *
 * All matrices are row-major float32 in device memory:
 *
 *     element (i, j) of item (b, g, h)  =  data[b·stride[0] + g·stride[1] + h·stride[2] + i·ld + j]
 *
 * The three batch levels are the batch item, the key/value head and the query head within its
 * group, so that grouped queries read their shared K and V through a stride of 0, and heads are
 * split and joined by strides alone. */
#ifndef XATTN_BACKEND_H
#define XATTN_BACKEND_H

#include <stdbool.h>

#include "error.h"

/* An opened device: a handle's stream, threads and library handles. Each backend has its own. */
typedef struct xattn_device xattn_device;

typedef struct xattn_matrix {
  float *data;
  int64_t ld;
  int64_t stride[3];
} xattn_matrix;

/* Key lengths: item b has count[b·step] keys, at most all; NULL means all. step 0 shares one. */
typedef struct xattn_lengths {
  const int32_t *count;
  int64_t step;
} xattn_lengths;

/* C = A·Bᵀ + bias   with B [n, k]    if b_transposed
 * C = A·B  + bias   with B [k, n]    otherwise
 * A is [m, k], C is [m, n], bias is [n] or NULL. C is overwritten, never read. With k = 0, C is the
 * bias or zero. */
typedef struct xattn_gemm {
  int64_t m, n, k;
  int64_t batch[3];
  bool b_transposed;
  xattn_matrix a, b, c;
  const float *bias;
  xattn_lengths n_limit; /* per item: columns of C from here on are neither computed nor written */
  xattn_lengths k_limit; /* per item: the sum stops here; what A and B hold behind is not read */
} xattn_gemm;

/* out = softmax(scale·in) over each row of n, scale > 0; in place if both are the same. From the item's length
 * on, in is not read and out is written as 0. A row without a key above -inf becomes 0. */
typedef struct xattn_softmax {
  int64_t m, n;
  int64_t batch[3];
  float scale;
  xattn_matrix in, out;
  xattn_lengths limit;
} xattn_softmax;

/* out[i] = in[i] over four dimensions of any strides. */
typedef struct xattn_copy {
  int64_t shape[4];
  const float *in;
  float *out;
  int64_t in_stride[4], out_stride[4];
} xattn_copy;

/* What the planner has to know of a device. */
typedef struct xattn_limits {
  int64_t max_extent;  /* of one dimension or leading dimension of a matrix */
  int64_t score_bytes; /* a chunk of scores of this size stays in the cache between its two GEMMs */
  int64_t parallel;    /* independent matrices wanted at once to fill the device */
} xattn_limits;

typedef struct xattn_backend {
  const char *name; /* "cpu", "cuda" */

  /* Opens device `index`; `threads` as in xattn_handle_options. */
  xattn_status (*open)(xattn_error *error, int32_t index, int32_t threads, xattn_device **device);
  void (*close)(xattn_device *device);
  void (*describe)(const xattn_device *device, xattn_handle_info *info); /* detail and threads */
  xattn_limits (*limits)(const xattn_device *device);

  /* Memory, aligned to XATTN_ALIGNMENT bytes. Freed by device number, since layers and contexts
   * may outlive the handle that made them. */
  xattn_status (*allocate)(xattn_error *error, xattn_device *device, size_t bytes, void **memory);
  void (*release)(int32_t index, void *memory);
  xattn_status (*upload)(xattn_error *error, xattn_device *device, void *to, const void *from,
                         size_t bytes);

  xattn_status (*gemm)(xattn_error *error, xattn_device *device, const xattn_gemm *gemm);
  xattn_status (*softmax)(xattn_error *error, xattn_device *device, const xattn_softmax *softmax);
  xattn_status (*copy)(xattn_error *error, xattn_device *device, const xattn_copy *copy);
  xattn_status (*synchronize)(xattn_error *error, xattn_device *device);
} xattn_backend;

#define XATTN_ALIGNMENT 64

extern const xattn_backend xattn_backend_cpu;

/* The backend and device number of "auto", "cpu", "cuda" or "cuda:N"; note tells why auto chose. */
xattn_status xattn_backend_find(xattn_error *error, const char *name, const xattn_backend **backend,
                                int32_t *index, char *note, size_t note_size);

#endif
