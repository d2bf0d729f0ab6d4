#include <algorithm>
#include <vector>

#include "gemm.h"

namespace cudasim {

namespace {

const long long largest_batch = 65535; /* cuBLAS splits larger ones; a grid does not go further */

size_t size_in(const Matrix &matrix, long long elements) {
  return size_t(elements) * element_size(matrix.type);
}

/* Elements from the first to the last of one matrix, and of the batch. */
long long extent(const Matrix &matrix) {
  return matrix.rows && matrix.columns ? (matrix.columns - 1) * matrix.leading + matrix.rows : 0;
}
long long extent(const Matrix &matrix, long long batch) {
  return extent(matrix) ? (batch - 1) * matrix.stride + extent(matrix) : 0;
}

Verdict invalid(const std::string &why) {
  return {CUBLAS_STATUS_INVALID_VALUE, why};
}
const Verdict fine = {CUBLAS_STATUS_SUCCESS, ""};

bool known(cublasOperation_t operation) {
  return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C;
}

Verdict check_sizes(const Gemm &g) {
  if (g.m < 0 || g.n < 0 || g.k < 0 || g.batch < 0) return invalid("a negative size");
  if (!known(g.operation_a) || !known(g.operation_b)) return invalid("no such operation");
  const struct {
    const char *name;
    const Matrix &matrix;
  } all[] = {{"a", g.a}, {"b", g.b}, {"c", g.c}};
  for (const auto &[name, matrix] : all)
    if (matrix.leading < std::max(1ll, matrix.rows))
      return invalid(
          format("ld%s is %lld, the matrix has %lld rows", name, matrix.leading, matrix.rows));
  if (!g.alpha || !g.beta) return invalid("alpha or beta is null");
  return fine;
}

/* The rows of cuBLAS's table for CUBLAS_COMPUTE_32F and its fast variants with scalars of float. */
Verdict check_types(const Gemm &g) {
  const bool pair = g.a.type == g.b.type && element_size(g.a.type) && element_size(g.c.type);
  if (!pair || (g.c.type != g.a.type && g.c.type != CUDA_R_32F))
    return {CUBLAS_STATUS_NOT_SUPPORTED, "this combination of types is not in cuBLAS's table"};
  switch (g.compute) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return fine;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
      if (g.a.type == CUDA_R_32F) return fine;
      return {CUBLAS_STATUS_NOT_SUPPORTED, "fast compute types are for float matrices"};
    default:
      return {CUBLAS_STATUS_NOT_SUPPORTED, "this compute type is not simulated"};
  }
}

Verdict check_batch(const Gemm &g) {
  if (g.batch > largest_batch) return invalid("more than 65535 matrices in one call");
  if (g.a.stride < 0 || g.b.stride < 0 || g.c.stride < 0) return invalid("a negative stride");
  if (g.batch > 1 && g.c.stride == 0) return invalid("every matrix of C at the same place");
  return fine;
}

Verdict check_addresses(const Gemm &g) {
  for (const Matrix *matrix : {&g.a, &g.b, &g.c}) {
    if (extent(*matrix) == 0) continue;
    if (!matrix->address) return invalid("a matrix is null");
    if (matrix->address % element_size(matrix->type)) return invalid("a matrix is not aligned");
  }
  return fine;
}

/* Which bytes are C's, two at a time, from its first to its last. */
class Footprint {
 public:
  explicit Footprint(const Gemm &g)
      : start_(g.c.address), taken_(size_in(g.c, extent(g.c, g.batch)) / unit) {
  }
  /* Whether any byte of the matrices is taken; takes them, if so wanted. */
  bool touches(const Matrix &matrix, long long batch, bool take) {
    const long long copies = matrix.stride ? batch : 1;
    for (long long i = 0; i < copies; i++)
      for (long long j = 0; j < matrix.columns; j++) {
        const long long first = i * matrix.stride + j * matrix.leading;
        const uint64_t from = matrix.address + size_in(matrix, first);
        if (touches(from, from + size_in(matrix, matrix.rows), take)) return true;
      }
    return false;
  }

 private:
  static const size_t unit = 2;
  bool touches(uint64_t from, uint64_t to, bool take) {
    from = std::max(from, start_);
    to = std::min(to, start_ + taken_.size() * unit);
    for (uint64_t at = from; at < to; at += unit) {
      const size_t index = (at - start_) / unit;
      if (taken_[index]) return true;
      if (take) taken_[index] = true;
    }
    return false;
  }
  uint64_t start_;
  std::vector<bool> taken_;
};

bool may_meet(const Matrix &x, const Matrix &y, long long batch) {
  return x.address < y.address + size_in(y, extent(y, batch)) &&
         y.address < x.address + size_in(x, extent(x, batch));
}

/* Heads may lie interleaved in one buffer: what counts is the elements, looked at only in doubt. */
Verdict check_overlap(const Gemm &g) {
  const bool a_may = may_meet(g.a, g.c, g.batch), b_may = may_meet(g.b, g.c, g.batch);
  const bool c_may = g.batch > 1 && g.c.stride < extent(g.c);
  if (!a_may && !b_may && !c_may) return fine;
  Footprint footprint(g);
  if (footprint.touches(g.c, g.batch, true)) return invalid("matrices of C overlap");
  if (a_may && footprint.touches(g.a, g.batch, false)) return invalid("C overlaps A");
  if (b_may && footprint.touches(g.b, g.batch, false)) return invalid("C overlaps B");
  return fine;
}

}  // namespace

Verdict check(const Gemm &gemm) {
  for (const auto step : {check_sizes, check_types, check_batch, check_addresses, check_overlap}) {
    const Verdict verdict = step(gemm);
    if (verdict.status) return verdict;
  }
  return fine;
}

}  // namespace cudasim
