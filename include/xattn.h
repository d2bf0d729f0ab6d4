/*
 * xattn: cross-attention inference.
 *
 * Two streams of features go in, a query stream x and a context stream y; they may differ in
 * length and in width. One fused stream comes out:
 *
 *     Q = x·Wqᵀ + bq     K = y·Wkᵀ + bk     V = y·Wvᵀ + bv          split into heads
 *     P = softmax(scale·Q·Kᵀ)  over the keys
 *     out = (P·V, heads joined)·Woᵀ + bo                            Wo and all biases optional
 *
 *     symbol     meaning                                            shape, row-major
 *     B          batch
 *     Nq, Nk     number of queries, number of context rows (keys)
 *     Dq, Dc     width of x, width of y
 *     H, Hkv     query heads, key/value heads (Hkv divides H)
 *     Dh, Dv     width of one query/key head, of one value head
 *     x, y       the two streams                                    [B, Nq, Dq], [B, Nk, Dc]
 *     Wq Wk Wv   projections, laid out as nn.Linear.weight          [H·Dh, Dq] [Hkv·Dh, Dc] [Hkv·Dv, Dc]
 *     Wo         output projection                                  [Do, H·Dv]
 *
 * The simplest use: one handle, one layer, one call. Every function returns a status; 0 is success.
 *
 *     xattn_handle *handle;
 *     xattn_layer *layer;
 *     xattn_create(NULL, &handle);                                   // best device present
 *     xattn_layer_load(handle, "weights.safetensors", NULL, &layer); // weights now stay on the device
 *     xattn_tensor x = XATTN_TENSOR(xdata, XATTN_F32, 1, 1024, 512);
 *     xattn_tensor y = XATTN_TENSOR(ydata, XATTN_F32, 1, 1024, 1024);
 *     xattn_tensor out = XATTN_TENSOR(odata, XATTN_F32, 1, 1024, 1024);
 *     xattn_forward_once(handle, layer, &x, &y, NULL, &out);
 *     xattn_synchronize(handle);                                     // out is ready
 *
 * When the same context meets many queries, make it resident once (xattn_context_create) and call
 * xattn_forward. When Q, K and V are already at hand, call xattn_attention. How a call is computed is chosen
 * for its shapes among several exact forms (see "the plan of a call"). CUDA streams, events and allocators are
 * in xattn_cuda.h.
 *
 * Rules of ownership
 *   1. The caller owns every tensor's memory. The library keeps no pointer into it after the call
 *      has run; on an asynchronous device that is after xattn_synchronize.
 *   2. What a function named _create, _load or _open hands out, the caller gives back to the
 *      matching _destroy or _close, in any order. All of these take NULL.
 *   3. A handle belongs to one thread at a time. A layer never changes after its creation and
 *      serves any number of handles of its device at once; so does a context.
 *      Destroying either, appending to a context and truncating it need it alone: no other handle may have
 *      unfinished work on it.
 *      After a fork, the child may go on with the CPU handles it has, on one thread; CUDA handles
 *      answer it with XATTN_ERROR_UNAVAILABLE.
 *   4. A call that fails has written nothing the caller can see, has changed nothing, and leaves
 *      the handle usable. What it was to hand out is NULL. After XATTN_ERROR_DEVICE alone, out may
 *      be written in part; where the device reports a fault of its own, every later call fails.
 *   5. Output tensors are overwritten, never read, and may not overlap an input: the range of
 *      bytes from a tensor's first to its last element may not meet another's.
 *
 * Structs whose first field is `size` will grow. Set size to sizeof the struct and zero the rest:
 *     xattn_options options = {.size = sizeof options, .plan = "direct"};
 * A newer library fills the fields it does not find with zero, which always means the default.
 */
#ifndef XATTN_H
#define XATTN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(XATTN_BUILD) && defined(__GNUC__)
#define XATTN_API __attribute__((visibility("default")))
#else
#define XATTN_API
#endif

/* Tells the compiler that a function does not read what its argument points to. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define XATTN_ONLY_POINTS(argument) __attribute__((access(none, argument)))
#else
#define XATTN_ONLY_POINTS(argument)
#endif

#define XATTN_VERSION_MAJOR 0
#define XATTN_VERSION_MINOR 1
#define XATTN_VERSION_PATCH 0

/* The version of the library that is loaded, "major.minor.patch". */
XATTN_API const char *xattn_version(void);

/* ------------------------------------------------------------------ statuses and errors */

/* X(name, number, message). Numbers are pinned: they never change and are never reused.
 * Below 20 the caller can mend the call; from 20 on the call was fine and the world was not. */
#define XATTN_STATUS_LIST(X)                                                           \
  X(XATTN_OK, 0, "success")                                                            \
  X(XATTN_ERROR_ARGUMENT, 1, "an argument is missing or outside its range")            \
  X(XATTN_ERROR_SHAPE, 2, "two shapes do not fit together")                            \
  X(XATTN_ERROR_DTYPE, 3, "a tensor has a dtype that does not fit here")               \
  X(XATTN_ERROR_LAYOUT, 4, "strides, alignment or device of a tensor do not fit here") \
  X(XATTN_ERROR_OVERLAP, 5, "an output overlaps an input")                             \
  X(XATTN_ERROR_NOT_FOUND, 6, "a named thing does not exist")                          \
  X(XATTN_ERROR_FORMAT, 7, "a file is not what it claims to be")                       \
  X(XATTN_ERROR_CAPTURE, 8, "a CUDA graph capture cannot hold what this call needs")   \
  X(XATTN_ERROR_UNSUPPORTED, 20, "valid, but this version cannot do it")               \
  X(XATTN_ERROR_UNAVAILABLE, 21, "the device is not present or not built in")          \
  X(XATTN_ERROR_MEMORY, 22, "out of memory")                                           \
  X(XATTN_ERROR_IO, 23, "the operating system refused to read or write")               \
  X(XATTN_ERROR_DEVICE, 25, "the device reported a fault")

typedef enum xattn_status {
#define XATTN_X(name, number, message) name = number,
  XATTN_STATUS_LIST(XATTN_X)
#undef XATTN_X
} xattn_status;

/* The status's own name, "XATTN_ERROR_SHAPE", and its message. Static strings; any int is legal. */
XATTN_API const char *xattn_status_name(xattn_status status);
XATTN_API const char *xattn_status_message(xattn_status status);

/* ------------------------------------------------------------------ tensors */

/* X(name, number, short name, bytes of one element). Numbers are pinned. A call's tensors are all F32, all
 * F16 or all BF16; sums and softmax are F32 always, and on the CPU so is all that lies between inputs and
 * out. The other types are read from files and converted (see xattn_tensor_convert). */
#define XATTN_DTYPE_LIST(X)          \
  X(XATTN_F32, 1, "F32", 4)          \
  X(XATTN_F16, 2, "F16", 2)          \
  X(XATTN_BF16, 3, "BF16", 2)        \
  X(XATTN_F64, 4, "F64", 8)          \
  X(XATTN_I8, 5, "I8", 1)            \
  X(XATTN_U8, 6, "U8", 1)            \
  X(XATTN_I16, 7, "I16", 2)          \
  X(XATTN_U16, 8, "U16", 2)          \
  X(XATTN_I32, 9, "I32", 4)          \
  X(XATTN_U32, 10, "U32", 4)         \
  X(XATTN_I64, 11, "I64", 8)         \
  X(XATTN_U64, 12, "U64", 8)         \
  X(XATTN_BOOL, 13, "BOOL", 1)       \
  X(XATTN_F8_E4M3, 14, "F8_E4M3", 1) \
  X(XATTN_F8_E5M2, 15, "F8_E5M2", 1)

typedef enum xattn_dtype {
#define XATTN_X(name, number, text, bytes) name = number,
  XATTN_DTYPE_LIST(XATTN_X)
#undef XATTN_X
} xattn_dtype;

XATTN_API const char *xattn_dtype_name(xattn_dtype dtype); /* "F32"; "?" for an unknown number */
XATTN_API size_t xattn_dtype_size(xattn_dtype dtype);      /* bytes; 0 for an unknown number */

/* Where a tensor's memory is. The numbers are DLPack's. A handle on CUDA takes tensors of its own
 * device (device_index) as they stand, and host tensors by way of pinned memory: such inputs may be used
 * again, and such an out is filled, when the call returns. */
typedef enum xattn_device_type { XATTN_CPU = 1, XATTN_CUDA = 2 } xattn_device_type;

#define XATTN_MAX_RANK 8

/* A view of the caller's memory, after DLPack's tensor: data, shape, strides, dtype, device. Strides are in elements; 0
 * (broadcast) is legal for inputs. Entries of shape and strides from `rank` on are ignored. */
typedef struct xattn_tensor {
  void *data;
  int64_t shape[XATTN_MAX_RANK];
  int64_t strides[XATTN_MAX_RANK];
  int32_t rank;
  xattn_dtype dtype;
  xattn_device_type device_type;
  int32_t device_index;
} xattn_tensor;

/* A dense row-major tensor in host memory. A rank outside 0..XATTN_MAX_RANK gives a tensor of rank
 * -1, which every call refuses. Input tensors are never written through `data`. */
XATTN_API XATTN_ONLY_POINTS(1) xattn_tensor
    xattn_tensor_dense(const void *data, xattn_dtype dtype, int32_t rank, const int64_t *shape);

/* The same in C with the shape spelled out: XATTN_TENSOR(ptr, XATTN_F32, batch, rows, columns). */
#define XATTN_TENSOR(data, dtype, ...)                                              \
  xattn_tensor_dense((data), (dtype),                                               \
                     (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
                     (const int64_t[]){__VA_ARGS__})

/* Copies src to dst in host memory: same shape, any strides, dtypes among F32, F16, BF16 and F64.
 * Narrowing rounds to nearest even; overflow gives infinity; NaN stays NaN. src may be unaligned
 * (as entries of files may be).
 * @return XATTN_ERROR_SHAPE, _DTYPE, _LAYOUT (not in host memory) or _OVERLAP. */
XATTN_API xattn_status xattn_tensor_convert(const xattn_tensor *src, const xattn_tensor *dst);

/* ------------------------------------------------------------------ handles */

/* One device, its stream, its threads and its pool of workspace. */
typedef struct xattn_handle xattn_handle;

/* How products of F32 may be computed. */
typedef enum xattn_math {
  XATTN_MATH_DEFAULT = 0, /* true F32 */
  XATTN_MATH_TF32 = 1     /* on CUDA, inputs of products may be rounded to 10 bits of mantissa */
} xattn_math;

typedef struct xattn_handle_options {
  size_t size;
  const char
      *device;     /* "auto" (also NULL): CUDA if its plugin, a driver and a device are there, else
                         the CPU; "cpu"; "cuda" (its device 0) or "cuda:N" */
  int32_t threads; /* CPU threads of one call; 0: as OpenMP decides (OMP_NUM_THREADS, affinity) */
  xattn_math math;
} xattn_handle_options;

/* Opens a device. options may be NULL.
 * @return XATTN_ERROR_ARGUMENT (a device name that cannot be read), _UNAVAILABLE (a device asked
 * for by name is not there), _MEMORY. */
XATTN_API xattn_status xattn_create(const xattn_handle_options *options, xattn_handle **handle);

/* Waits for the handle's work, then frees it. Layers and contexts made with it live on. */
XATTN_API void xattn_destroy(xattn_handle *handle);

/* What the last failed call on this handle had to say: "field: what it is, what it should be".
 * With NULL: the last failed call of this thread that had no handle. "" if none failed. The text
 * is valid until the next failure. */
XATTN_API const char *xattn_last_error(const xattn_handle *handle);

/* Waits until everything enqueued on the handle has run. */
XATTN_API xattn_status xattn_synchronize(xattn_handle *handle);

typedef struct xattn_handle_info {
  size_t size;
  char device[32];  /* "cpu", "cuda:0" */
  char detail[160]; /* the instruction set of the kernels, or the GPU's name */
  char note[160];   /* with "auto": why this device; otherwise "" */
  int32_t threads;  /* CPU threads of one call */
  int32_t reserved;
} xattn_handle_info;

/* Fills *info, whose size field is set by the caller. */
XATTN_API xattn_status xattn_get_info(xattn_handle *handle, xattn_handle_info *info);

/* Counted since the handle's creation. */
typedef struct xattn_stats {
  size_t size;
  uint64_t calls;             /* forwards, contexts made, attentions and softmaxes that ran */
  uint64_t launches;          /* operations given to the backend: GEMMs, kernels, copies */
  uint64_t allocations;       /* of device memory, workspace included */
  uint64_t allocated_bytes;   /* sum over those allocations */
  uint64_t workspace_bytes;   /* held now by the workspace pool */
  uint64_t bytes_to_device;   /* copied from host memory: weights and, on CUDA, host tensors */
  uint64_t bytes_from_device; /* copied back to host memory; none on the CPU */
  double flops; /* floating-point operations of the plans that ran, a multiply-add is 2 */
} xattn_stats;

/* In steady state (the same shapes again) a forward on tensors of the handle's device raises calls,
 * launches and flops, nothing else. */
XATTN_API xattn_status xattn_get_stats(xattn_handle *handle, xattn_stats *stats);

/* Makes the handle's pool of workspace at least this large, so that no later call that needs no more
 * (xattn_plan_info.workspace_bytes) allocates. @return XATTN_ERROR_MEMORY, _CAPTURE. */
XATTN_API xattn_status xattn_reserve(xattn_handle *handle, size_t bytes);

/* The caller's memory in place of the pool: `bytes` on the handle's device, aligned to 256. A call that
 * needs more fails with XATTN_ERROR_MEMORY and says how much. It must stay until it is replaced, or the
 * handle destroyed, and the handle's work is done. NULL and 0 go back to the pool. */
XATTN_API xattn_status xattn_set_workspace(xattn_handle *handle, void *workspace, size_t bytes);

/* ------------------------------------------------------------------ rates of the device */

/* What the planner weighs plans by. The built-in ones suit a device of the kind; xattn_calibrate measures. */
typedef struct xattn_rates {
  size_t size;
  double flops;      /* FLOP/s of large products of F32, a multiply-add is 2 */
  double flops_half; /* the same of F16 and BF16; on the CPU of BF16 where it has products of it */
  double
      operands; /* bytes/s at which a product takes in its matrices; it rules where one has few rows */
  double stream;    /* bytes/s that matrix-vector products read and copies move */
  double softmax;   /* elements/s */
  double launch;    /* seconds that an operation takes which has nothing to do */
  char source[160]; /* where they are from: "built in", "caller", "calibrated", or a file's path */
} xattn_rates;

/* The rates of the handle. At its creation they are read from the file that the environment variable
 * XATTN_RATES names, or else from $XDG_CACHE_HOME/xattn/rates.json (~/.cache without XDG_CACHE_HOME), if it
 * has an entry of this device, number of threads and math; otherwise, and with XATTN_RATES=builtin, they are built in. */
XATTN_API xattn_status xattn_get_rates(xattn_handle *handle, xattn_rates *rates);

/* Other rates from now on; source is not read. NULL: those of the handle's creation again.
 * @return XATTN_ERROR_ARGUMENT: a rate is not above 0. */
XATTN_API xattn_status xattn_set_rates(xattn_handle *handle, const xattn_rates *rates);

/* Measures the rates, in about a second on a device that does nothing else, and sets them on the handle.
 * With save they also go to the file named above, which is replaced whole, other entries kept.
 * @return XATTN_ERROR_MEMORY, _DEVICE, _CAPTURE; with save also _IO, _FORMAT (the file is not one of rates,
 * and is left alone), _ARGUMENT (XATTN_RATES=builtin, or there is no home). The rates are set even so. */
XATTN_API xattn_status xattn_calibrate(xattn_handle *handle, int save);

/* ------------------------------------------------------------------ memory on the device */

/* Memory on the handle's device for the caller's own tensors, aligned to 256 bytes, and its return, both in
 * the order of the handle's work. What is not returned goes with the handle. free takes NULL.
 * @return XATTN_ERROR_ARGUMENT (not from this handle), _MEMORY, _CAPTURE. */
XATTN_API xattn_status xattn_device_alloc(xattn_handle *handle, size_t bytes, void **memory);
XATTN_API xattn_status xattn_device_free(xattn_handle *handle, void *memory);

/* dst = src: the same shape, host or the handle's device on either side. From host to device the dtype may
 * change, as in xattn_tensor_convert; otherwise it is the same. A host src may be used again at return, a
 * host dst is filled at return. A device tensor is F32, F16 or BF16, of rank 4 at most.
 * @return XATTN_ERROR_SHAPE, _DTYPE, _LAYOUT, _OVERLAP, _UNSUPPORTED (rank), _MEMORY, _CAPTURE. */
XATTN_API xattn_status xattn_tensor_copy(xattn_handle *handle, const xattn_tensor *src,
                                         const xattn_tensor *dst);

/* ------------------------------------------------------------------ layers */

/* A configuration and its weights, resident on a device. Immutable. */
typedef struct xattn_layer xattn_layer;

/* Weights in host memory: F32, F16, BF16 or F64, any strides, aligned or not. They are copied and
 * converted to the layer's dtype; the caller may free them after the call. Every width is read off the
 * shapes. */
typedef struct xattn_layer_weights {
  size_t size;
  int64_t heads;                    /* H; 0 means 1 */
  int64_t kv_heads;                 /* Hkv; 0 means H */
  float scale;                      /* of the scores, not below 0; 0 means 1/√Dh */
  xattn_dtype dtype;                /* of the layer and the tensors it is used with; 0 means F32 */
  const xattn_tensor *query_weight; /* [H·Dh, Dq] */
  const xattn_tensor *key_weight;   /* [Hkv·Dh, Dc] */
  const xattn_tensor *value_weight; /* [Hkv·Dv, Dc] */
  const xattn_tensor *out_weight;   /* [Do, H·Dv], or NULL: the joined heads are the result */
  const xattn_tensor *query_bias;   /* [H·Dh] or NULL */
  const xattn_tensor *key_bias;     /* [Hkv·Dh] or NULL */
  const xattn_tensor *value_bias;   /* [Hkv·Dv] or NULL */
  const xattn_tensor *out_bias;     /* [Do] or NULL; needs out_weight */
} xattn_layer_weights;

/* Copies the weights. On the CPU the first calls of more than a few rows add a copy in the order of the kernels.
 * @return XATTN_ERROR_ARGUMENT, _SHAPE, _DTYPE, _LAYOUT (each names the weight), _MEMORY. */
XATTN_API xattn_status xattn_layer_create(xattn_handle *handle, const xattn_layer_weights *weights,
                                          xattn_layer **layer);

typedef struct xattn_load_options {
  size_t size;
  const char *prefix; /* of the state-dict names, with or without its last dot; NULL or "": the
                         names without prefix, else the only layer in the file */
  int64_t heads;      /* as in xattn_layer_weights: a state dict does not tell them */
  int64_t kv_heads;
  float scale;
  xattn_dtype dtype; /* as in xattn_layer_weights; 0 means F32, whatever the file holds */
} xattn_load_options;

/* Creates a layer from a .safetensors file. The names understood are listed at xattn_file_layer.
 * options may be NULL: one head, no prefix.
 * @return also XATTN_ERROR_IO, _FORMAT, _NOT_FOUND. */
XATTN_API xattn_status xattn_layer_load(xattn_handle *handle, const char *path,
                                        const xattn_load_options *options, xattn_layer **layer);

typedef struct xattn_layer_info {
  size_t size;
  int64_t query_dim;   /* Dq */
  int64_t context_dim; /* Dc */
  int64_t heads;       /* H */
  int64_t kv_heads;    /* Hkv */
  int64_t head_dim;    /* Dh */
  int64_t value_dim;   /* Dv */
  int64_t out_dim;     /* Do, or H·Dv without output projection */
  int64_t parameters;  /* elements of all weights and biases */
  float scale;
  xattn_dtype dtype;
} xattn_layer_info;

XATTN_API xattn_status xattn_layer_get_info(const xattn_layer *layer, xattn_layer_info *info);
XATTN_API void xattn_layer_destroy(xattn_layer *layer);

/* ------------------------------------------------------------------ the forward pass */

/* Options of a call. NULL means all defaults. */
typedef struct xattn_options {
  size_t size;
  const char
      *plan; /* how to compute it: NULL or "auto": the cheapest; or a name of xattn_plan_name */
  const xattn_tensor *key_lengths; /* I32 [B] in host memory, or NULL: all Nk. Batch item b has the
                                      keys 0 .. key_lengths[b]-1; the others do not exist, whatever
                                      they hold. 0 is legal: the attention result is then 0. */
  /* of xattn_context_create, and of xattn_plan with y, alone */
  int64_t expected_uses;    /* forwards that the context will serve; 0: not known */
  int64_t expected_queries; /* rows of x in each of them; 0: not known */
  int64_t
      context_capacity; /* rows of y to make room for, so that appending need not allocate; 0: as y has */
  xattn_dtype
      context_dtype; /* that it is stored in; 0: the layer's. An F32 layer's may be F16 or BF16; it is
                                computed with in F32 even so */
} xattn_options;

/* out = cross attention of x over y, projections included.
 *     x [B, Nq, Dq]   y [B, Nk, Dc]   out [B, Nq, Do], all of the layer's dtype; or all of rank 2,
 *     without B.
 * Enqueued on the handle; ready after xattn_synchronize (on the CPU, or with a host tensor: at return).
 * @return XATTN_ERROR_ARGUMENT, _SHAPE, _DTYPE, _LAYOUT, _OVERLAP, _NOT_FOUND (plan), _MEMORY. */
XATTN_API xattn_status xattn_forward_once(xattn_handle *handle, const xattn_layer *layer,
                                          const xattn_tensor *x, const xattn_tensor *y,
                                          const xattn_options *options, const xattn_tensor *out);

/* A context stream made ready for one layer, resident on the device: its keys and values, or what the plan
 * wants in place of either, such as y itself. */
typedef struct xattn_context xattn_context;

/* Makes y [B, Nk, Dc] (or [Nk, Dc]) ready. What is kept is chosen for options->expected_uses forwards of
 * options->expected_queries rows (not known: 16 and 64), or named by options->plan. options->key_lengths are
 * copied and kept with it.
 * @return XATTN_ERROR_ARGUMENT, _SHAPE, _DTYPE, _LAYOUT, _NOT_FOUND (plan), _UNSUPPORTED, _MEMORY, _CAPTURE. */
XATTN_API xattn_status xattn_context_create(xattn_handle *handle, const xattn_layer *layer,
                                            const xattn_tensor *y, const xattn_options *options,
                                            xattn_context **context);
XATTN_API void xattn_context_destroy(xattn_context *context);

/* Puts the rows of y [B, n, Dc] behind the keys that each item has. With options->key_lengths item b gets
 * its first key_lengths[b] rows alone. Of the options the others are not for this call. Beyond its capacity the
 * context moves to memory of at least twice the size. y has the batch that the context was made with; where the context
 * was made of equal items (a batch stride of 0), so must y be.
 * @return as xattn_context_create; on failure the context is as before. */
XATTN_API xattn_status xattn_context_append(xattn_handle *handle, const xattn_layer *layer,
                                            xattn_context *context, const xattn_tensor *y,
                                            const xattn_options *options);

/* Keeps the first `keys` keys of each item, those that have fewer as they are.
 * @return XATTN_ERROR_ARGUMENT: keys is below 0 or above what the context has. */
XATTN_API xattn_status xattn_context_truncate(xattn_context *context, int64_t keys);

typedef struct xattn_context_info {
  size_t size;
  int64_t batch;    /* B */
  int64_t keys;     /* Nk, of the longest item */
  int64_t capacity; /* keys that there is room for */
  uint64_t bytes;   /* of device memory */
  xattn_dtype dtype;
  int32_t reserved;
  char form[32]; /* the plan it was made for, one of xattn_plan_name */
} xattn_context_info;

XATTN_API xattn_status xattn_context_get_info(const xattn_context *context,
                                              xattn_context_info *info);

/* xattn_forward_once without the work that the context has behind it. The context must have been
 * made with this layer; a context of batch 1 serves every batch item of x. options->key_lengths
 * must be NULL: the context carries its own. options->plan may name any plan that uses what is kept. */
XATTN_API xattn_status xattn_forward(xattn_handle *handle, const xattn_layer *layer,
                                     const xattn_tensor *x, const xattn_context *context,
                                     const xattn_options *options, const xattn_tensor *out);

/* ------------------------------------------------------------------ the plan of a call
 *
 * Matrix products associate, so the same result can be had in several ways, whose cost differs by up to the
 * ratio of Nk to Nq. A plan's name is "scores+values", with one form of each side; "direct" is project+project.
 *
 *     scores     computed as                        worth it with
 *     project    (x·Wqᵀ)·(y·Wkᵀ)ᵀ                   many queries, a context used again
 *     push       ((x·Wqᵀ)·Wk)·yᵀ                    few queries; K is never made
 *     merge-x    (x·M)·yᵀ       M = Wqᵀ·Wk          heads that are wide beside Dq and Dc
 *     merge-y    x·(y·Mᵀ)ᵀ                          the same, and Dq below Dc
 *
 *     values
 *     project    (P·(y·Wvᵀ))·Woᵀ                    many queries, a context used again
 *     defer      ((P·y)·Wvᵀ)·Woᵀ                    few queries; V is never made
 *     merge-py   (P·y)·Nᵀ       N = Wo·Wv           few heads, Do small; needs out_weight
 *     merge-y    P·(y·Nᵀ)                           the same
 *
 * each per head, M and N computed once in float64 when a plan first wants them, and kept with the layer. bk adds the
 * same to every score of a row, which the softmax takes away again: no plan reads it. */

/* Name number `index` of all plans there are, "direct" first; NULL behind the last. Static strings. */
XATTN_API const char *xattn_plan_name(int64_t index);

typedef struct xattn_plan_info {
  size_t size;
  char name[32];            /* "direct", "push+defer" */
  double flops;             /* of its matrix products, all keys counted; a multiply-add is 2 */
  double flops_direct;      /* of the direct form of the same call, for comparison */
  uint64_t workspace_bytes; /* taken from the handle's pool */
  char text[1024];          /* the steps, a line each; the same call gives the same text */
  double bytes;             /* that its steps read and write */
  double seconds;           /* that it should take, by the handle's rates */
  int64_t launches;         /* operations given to the device */
} xattn_plan_info;

/* What xattn_forward_once (context NULL) or xattn_forward (y NULL) would do. Of the tensors only
 * shape, strides and dtype are read, and data may be NULL; key lengths with data are checked. Nothing
 * runs. With y and options->expected_uses above 0: a context of y made for so many forwards of x, and these; flops,
 * bytes, seconds and launches are of all of them together.
 * @return XATTN_ERROR_UNSUPPORTED where options->plan names one that the layer or the context does not allow;
 * otherwise as in the call itself. */
XATTN_API xattn_status xattn_plan(xattn_handle *handle, const xattn_layer *layer,
                                  const xattn_tensor *x, const xattn_tensor *y,
                                  const xattn_context *context, const xattn_options *options,
                                  xattn_plan_info *info);

/* ------------------------------------------------------------------ the parts on their own */

/* out = softmax(scale·q·kᵀ)·v for ready heads; scale is not below 0, and 0 means 1/√Dh. Any strides: [B, H, N, D] in
 * memory is the same call with other strides.
 *     q [B, Nq, H, Dh]   k [B, Nk, Hkv, Dh]   v [B, Nk, Hkv, Dv]   out [B, Nq, H, Dv], of one dtype. */
XATTN_API xattn_status xattn_attention(xattn_handle *handle, const xattn_tensor *q,
                                       const xattn_tensor *k, const xattn_tensor *v, float scale,
                                       const xattn_options *options, const xattn_tensor *out);

/* out = softmax(scale·scores) over the last dimension, in one read and one write; scale > 0.
 *     scores, out [..., Nk], rank 1 to 4, last stride 1; any pair of F32, F16 and BF16. out may be
 *     scores itself (same data, dtype and strides). options->key_lengths: one per entry of the first dimension, needs rank 2 to 4;
 *     what lies behind a length is written as 0. A row that has no key, or only -inf, becomes 0. */
XATTN_API xattn_status xattn_scale_softmax(xattn_handle *handle, const xattn_tensor *scores,
                                           float scale, const xattn_options *options,
                                           const xattn_tensor *out);

/* ------------------------------------------------------------------ files */

/* A .safetensors or .npy file, told apart by content, mapped into memory and fully checked when
 * opened. Read-only; may be shared by threads. A file that is cut short while it is open ends the
 * process with SIGBUS, as with any mapped file. */
typedef struct xattn_file xattn_file;

/* @return XATTN_ERROR_IO, _FORMAT (names the entry and the values), _UNSUPPORTED, _MEMORY; the
 * text is at xattn_last_error(NULL), as for all functions of this section. */
XATTN_API xattn_status xattn_file_open(const char *path, xattn_file **file);
XATTN_API void xattn_file_close(xattn_file *file);

/* Number of tensors, in the order of their data; an .npy file has one, named "". */
XATTN_API int64_t xattn_file_count(const xattn_file *file);

/* Tensor number `index`. Its name and data point into the file and live as long as it; the data
 * may be unaligned for its dtype. name may be NULL.
 * @return XATTN_ERROR_ARGUMENT for an index outside 0..count-1. */
XATTN_API xattn_status xattn_file_entry(const xattn_file *file, int64_t index, const char **name,
                                        xattn_tensor *tensor);

/* The tensor with this name. @return XATTN_ERROR_NOT_FOUND. */
XATTN_API xattn_status xattn_file_find(const xattn_file *file, const char *name,
                                       xattn_tensor *tensor);

typedef struct xattn_file_layer_info {
  size_t size;
  char prefix[256];    /* as xattn_load_options takes it, without its last dot; "" for none */
  char style[32];      /* which of the conventions below */
  int64_t query_dim;   /* Dq */
  int64_t context_dim; /* Dc */
  int64_t query_width; /* H·Dh */
  int64_t value_width; /* Hkv·Dv */
  int64_t out_dim;     /* Do, or 0 without output projection */
  int32_t biases;      /* 1 if any bias is present */
  int32_t reserved;
} xattn_file_layer_info;

/* Attention layer number `index` of those recognised in the file, ordered by prefix. State-dict
 * names understood, each after an optional prefix (style: names):
 *     article             query.weight key.weight value.weight (+ .bias)
 *     projections         q_proj k_proj v_proj out_proj, each .weight (+ .bias)
 *     torch-separate      q_proj_weight k_proj_weight v_proj_weight in_proj_bias out_proj.weight
 *     torch-packed        in_proj_weight in_proj_bias out_proj.weight
 *     diffusers           to_q to_k to_v to_out.0, each .weight (+ .bias)
 * Where several are complete under one prefix, the first of this list counts.
 * @return XATTN_ERROR_NOT_FOUND behind the last one; _SHAPE if the parts do not fit; _UNSUPPORTED if
 * the file holds something beside them that changes what the layer computes (norms of Q and K,
 * biases appended to the keys, adapters), naming it. */
XATTN_API xattn_status xattn_file_layer(const xattn_file *file, int64_t index,
                                        xattn_file_layer_info *info);

/* Writes a host tensor of any strides as .npy (version 1.0, C order), dtypes F32, F16 and F64. The
 * file appears under its name only when complete. @return XATTN_ERROR_IO, _DTYPE, _LAYOUT. */
XATTN_API xattn_status xattn_npy_write(const char *path, const xattn_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
