/* Strided-batched GEMMs on cuBLAS.
 *
 * cuBLAS is column-major, everything else here is row-major. A row-major matrix [r, c] with leading
 * dimension ld is, bit for bit, the column-major matrix [c, r] with the same ld: its transpose. So
 *
 *     C = A·op(B)   row-major        is        Cᵀ = op(B)ᵀ·Aᵀ   column-major
 *
 * and cuBLAS is asked for an n × m product of B, then A, with no transposition but that of a B [n, k]
 * (weights, K), which as column-major [k, n] has to be turned. Nothing is moved to make this so.
 *
 * cuBLAS has one batch level, a GEMM here has three (item, group, head). Levels that follow one another
 * without a gap in A, B and C are one; of what is left the longest is cuBLAS's batch, the others are
 * walked. Key lengths cut the items into runs of one length. */
#include "device.h"

enum { LEVELS = 3, MOST_BATCH = 65535 /* the grid's z, where kernels of cuBLAS keep the batch */ };

typedef struct level {
  int64_t count, a, b, c; /* extent and strides */
} level;

static bool follows(const level *outer, const level *inner) {
  return outer->a == inner->a * inner->count && outer->b == inner->b * inner->count &&
         outer->c == inner->c * inner->count;
}

/* The levels of extent above 1, outermost first, neighbours joined. At least one. */
static int join_levels(const xattn_gemm *g, level joined[LEVELS]) {
  int count = 0;
  for (int i = 0; i < LEVELS; i++) {
    const level next = {g->batch[i], g->a.stride[i], g->b.stride[i], g->c.stride[i]};
    if (next.count == 1) continue;
    if (count && follows(&joined[count - 1], &next)) {
      const int64_t outer = joined[count - 1].count;
      joined[count - 1] = next;
      joined[count - 1].count = outer * next.count;
    } else {
      joined[count++] = next;
    }
  }
  if (count) return count;
  joined[0] = (level){.count = 1};
  return 1;
}

static void *at(const xattn_matrix *m, int64_t elements) {
  return (char *)m->data + elements * (int64_t)xattn_dtype_size(m->dtype);
}

static cudaDataType_t type_of(xattn_dtype dtype) {
  return dtype == XATTN_F32 ? CUDA_R_32F : dtype == XATTN_F16 ? CUDA_R_16F : CUDA_R_16BF;
}

/* cuBLAS wants a leading dimension of a full row even where there is one row alone. */
static int leading(int64_t ld, int64_t columns) {
  return (int)(ld < columns ? columns : ld);
}

/* One call: a batch along one level. What the product is added to, if anything, is in C already. */
static xattn_status multiply(xattn_error *error, xattn_device *device, const xattn_gemm *g,
                             const level *batch, int64_t a, int64_t b, int64_t c) {
  const float one = 1.0F, beta = g->bias || g->accumulate ? 1.0F : 0.0F;
  const cublasComputeType_t compute = device->math == XATTN_MATH_TF32 && g->a.dtype == XATTN_F32
                                          ? CUBLAS_COMPUTE_32F_FAST_TF32
                                          : CUBLAS_COMPUTE_32F;
  return xattn_cuda_check_blas(
      error,
      cublasGemmStridedBatchedEx(
          device->blas, g->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, CUBLAS_OP_N, (int)g->n,
          (int)g->m, (int)g->k, &one, at(&g->b, b), type_of(g->b.dtype),
          leading(g->b.ld, g->b_transposed ? g->k : g->n), batch->b, at(&g->a, a),
          type_of(g->a.dtype), leading(g->a.ld, g->k), batch->a, &beta, at(&g->c, c),
          type_of(g->c.dtype), leading(g->c.ld, g->n), batch->c, (int)batch->count, compute,
          CUBLAS_GEMM_DEFAULT),
      "multiplying");
}

/* The longest level is the batch, in pieces that cuBLAS takes; the others are walked. */
static xattn_status multiply_levels(xattn_error *error, xattn_device *device, const xattn_gemm *g) {
  level joined[LEVELS], outer[2] = {{.count = 1}, {.count = 1}};
  const int count = join_levels(g, joined);
  int longest = 0;
  for (int i = 1; i < count; i++)
    if (joined[i].count > joined[longest].count) longest = i;
  for (int i = 0, next = 0; i < count; i++)
    if (i != longest) outer[next++] = joined[i];
  xattn_status status = XATTN_OK;
  level batch = joined[longest];
  for (int64_t i = 0; i < outer[0].count && !status; i++)
    for (int64_t j = 0; j < outer[1].count && !status; j++)
      for (int64_t first = 0; first < joined[longest].count && !status; first += MOST_BATCH) {
        const int64_t rest = joined[longest].count - first;
        batch.count = rest < MOST_BATCH ? rest : MOST_BATCH;
        status =
            multiply(error, device, g, &batch, i * outer[0].a + j * outer[1].a + first * batch.a,
                     i * outer[0].b + j * outer[1].b + first * batch.b,
                     i * outer[0].c + j * outer[1].c + first * batch.c);
      }
  return status;
}

/* The bias of an item, group or head, in elements from the first; it has C's dtype. NULL: there is none. */
static const void *bias_at(const xattn_gemm *g, int64_t elements) {
  return g->bias ? (const char *)g->bias + elements * (int64_t)xattn_dtype_size(g->c.dtype) : NULL;
}

/* Every row of C becomes its bias, or 0. A copy has four dimensions, of which rows and columns take two: of the
 * three levels the shortest is walked. */
static xattn_status start_from_bias(xattn_error *error, xattn_device *device, const xattn_gemm *g) {
  int walked = 0;
  for (int i = 1; i < LEVELS; i++)
    if (g->batch[i] < g->batch[walked]) walked = i;
  const int outer = walked == 0 ? 1 : 0, inner = walked == 2 ? 1 : 2;
  xattn_status status = XATTN_OK;
  for (int64_t i = 0; i < g->batch[walked] && !status; i++) {
    const xattn_copy copy = {.shape = {g->batch[outer], g->batch[inner], g->m, g->n},
                             .in_dtype = g->c.dtype,
                             .out_dtype = g->c.dtype,
                             .in = bias_at(g, i * g->bias_stride[walked]),
                             .out = at(&g->c, i * g->c.stride[walked]),
                             .in_stride = {g->bias_stride[outer], g->bias_stride[inner], 0, 1},
                             .out_stride = {g->c.stride[outer], g->c.stride[inner], g->c.ld, 1}};
    status = xattn_cuda_copy(error, device, &copy);
  }
  return status;
}

/* All items have the same n and k. */
static xattn_status gemm_of_equals(xattn_error *error, xattn_device *device, const xattn_gemm *g) {
  if (g->n == 0) return XATTN_OK;
  xattn_status status = XATTN_OK;
  if (g->bias || (g->k == 0 && !g->accumulate)) status = start_from_bias(error, device, g);
  return status || g->k == 0 ? status : multiply_levels(error, device, g);
}

static int64_t limited(xattn_lengths limit, int64_t item, int64_t all) {
  if (!limit.count) return all;
  const int64_t count = limit.count[item * limit.step];
  return count < all ? count : all;
}

xattn_status xattn_cuda_gemm(xattn_error *error, xattn_device *device, const xattn_gemm *gemm) {
  const int64_t items = gemm->batch[0];
  if (items == 0 || gemm->batch[1] == 0 || gemm->batch[2] == 0 || gemm->m == 0) return XATTN_OK;
  xattn_status status = XATTN_OK;
  for (int64_t first = 0, next; first < items && !status; first = next) {
    xattn_gemm run = *gemm;
    run.n = limited(gemm->n_limit, first, gemm->n);
    run.k = limited(gemm->k_limit, first, gemm->k);
    for (next = first + 1; next < items; next++)
      if (limited(gemm->n_limit, next, gemm->n) != run.n ||
          limited(gemm->k_limit, next, gemm->k) != run.k)
        break;
    run.batch[0] = next - first;
    run.a.data = at(&gemm->a, first * gemm->a.stride[0]);
    run.b.data = at(&gemm->b, first * gemm->b.stride[0]);
    run.c.data = at(&gemm->c, first * gemm->c.stride[0]);
    run.bias = bias_at(gemm, first * gemm->bias_stride[0]);
    status = gemm_of_equals(error, device, &run);
  }
  return status;
}
