/* Reads the matrices to packed floats, leaves the arithmetic to OpenBLAS, writes the result. Every element
 * goes through the device's memory, so that one never written or out of bounds is a fault; bytes between
 * the columns are not looked at. */
#include "gemm.h"

#include <cblas.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>
#include <vector>

namespace cudasim {

size_t element_size(cudaDataType type) {
  return type == CUDA_R_32F ? 4 : type == CUDA_R_16F || type == CUDA_R_16BF ? 2 : 0;
}

namespace {

float from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t to_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Half precision has 65536 values: a table is faster than the conversion in software. */
const float *half_values() {
  static const std::vector<float> *values = [] {
    auto *table = new std::vector<float>(65536);
    for (unsigned i = 0; i < 65536; i++) {
      __half_raw bits;
      bits.x = uint16_t(i);
      (*table)[i] = __half2float(__half(bits));
    }
    return table;
  }();
  return values->data();
}

/* To the nearest number with 10 bits of mantissa, halves away from zero, as cvt.rna.tf32 does. */
float to_tf32(float value) {
  const uint32_t bits = to_bits(value);
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return finite ? from_bits((bits + 0x1000u) & 0xffffe000u) : value;
}

float rounded(float value, Rounding rounding) {
  switch (rounding) {
    case Rounding::tf32:
      return to_tf32(value);
    case Rounding::half:
      return __half2float(__float2half_rn(value));
    case Rounding::bfloat16:
      return __bfloat162float(__float2bfloat16_rn(value));
    case Rounding::none:
      break;
  }
  return value;
}

void read_column(float *to, const uint8_t *from, cudaDataType type, size_t rows,
                 Rounding rounding) {
  if (type == CUDA_R_32F) {
    memcpy(to, from, rows * sizeof(float));
    if (rounding != Rounding::none)
      for (size_t i = 0; i < rows; i++) to[i] = rounded(to[i], rounding);
    return;
  }
  const float *halves = half_values();
  for (size_t i = 0; i < rows; i++) {
    uint16_t bits;
    memcpy(&bits, from + 2 * i, sizeof bits);
    to[i] = type == CUDA_R_16F ? halves[bits] : from_bits(uint32_t(bits) << 16);
  }
}

void write_column(uint8_t *to, const float *from, cudaDataType type, size_t rows) {
  if (type == CUDA_R_32F) {
    memcpy(to, from, rows * sizeof(float));
    return;
  }
  for (size_t i = 0; i < rows; i++) {
    const __half half = __float2half_rn(from[i]);
    const __nv_bfloat16 brain = __float2bfloat16_rn(from[i]);
    memcpy(to + 2 * i, type == CUDA_R_16F ? (const void *)&half : (const void *)&brain, 2);
  }
}

uint64_t column_address(const Matrix &matrix, long long index, long long column) {
  const long long elements = index * matrix.stride + column * matrix.leading;
  return matrix.address + uint64_t(elements) * element_size(matrix.type);
}

std::vector<float> read(const Matrix &matrix, long long index, Rounding rounding, Memory &memory) {
  const size_t rows = size_t(matrix.rows);
  std::vector<float> packed(rows * size_t(matrix.columns));
  if (rows == 0) return packed; /* its address may be null */
  for (long long j = 0; j < matrix.columns; j++) {
    const uint8_t *column =
        memory.read(column_address(matrix, index, j), rows * element_size(matrix.type));
    read_column(packed.data() + size_t(j) * rows, column, matrix.type, rows, rounding);
  }
  return packed;
}

void write(const Matrix &matrix, long long index, const std::vector<float> &packed,
           Memory &memory) {
  const size_t rows = size_t(matrix.rows);
  for (long long j = 0; j < matrix.columns; j++) {
    uint8_t *column =
        memory.write(column_address(matrix, index, j), rows * element_size(matrix.type));
    write_column(column, packed.data() + size_t(j) * rows, matrix.type, rows);
  }
}

CBLAS_TRANSPOSE transposed(cublasOperation_t operation) {
  return operation == CUBLAS_OP_N ? CblasNoTrans : CblasTrans;
}

int leading(const Matrix &matrix) {
  return matrix.rows > 0 ? int(matrix.rows) : 1;
}

}  // namespace

void compute(const Gemm &g, Scalars scalars, Memory &memory) {
  std::vector<float> a, b;
  for (long long i = 0; i < g.batch; i++) {
    if (i == 0 || g.a.stride) a = read(g.a, i, g.rounding, memory);
    if (i == 0 || g.b.stride) b = read(g.b, i, g.rounding, memory);
    std::vector<float> c(size_t(g.m) * size_t(g.n));
    if (scalars.beta != 0) c = read(g.c, i, Rounding::none, memory);
    cblas_sgemm(CblasColMajor, transposed(g.operation_a), transposed(g.operation_b), int(g.m),
                int(g.n), int(g.k), scalars.alpha, a.data(), leading(g.a), b.data(), leading(g.b),
                scalars.beta, c.data(), int(g.m));
    write(g.c, i, c, memory);
  }
}

}  // namespace cudasim
