/* cuBLAS: what it computes. */
#include <cublas_v2.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_runtime.h"

/* ---- elements; conversions by arithmetic, to share nothing with the simulator's */

static size_t size_of(cudaDataType type) {
  return type == CUDA_R_32F ? 4 : 2;
}

/* To `bits` bits of mantissa, halves to even. */
static double to_mantissa(double x, int bits) {
  int exponent;
  if (x == 0) return 0;
  frexp(x, &exponent);
  const double unit = ldexp(1, exponent - bits);
  return nearbyint(x / unit) * unit;
}

static double rounded(double x, cudaDataType type) {
  return to_mantissa(x, type == CUDA_R_32F ? 24 : type == CUDA_R_16F ? 11 : 8);
}

/* Values that the type holds, none of them subnormal. */
static void put(void *to, size_t i, double x, cudaDataType type) {
  const float value = (float)x;
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (type == CUDA_R_32F) memcpy((char *)to + 4 * i, &bits, 4);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  uint16_t half = (uint16_t)(bits >> 16);
  if (type == CUDA_R_16F)
    half = (uint16_t)(sign | (magnitude ? (magnitude >> 13) - ((127 - 15) << 10) : 0));
  if (type != CUDA_R_32F) memcpy((char *)to + 2 * i, &half, 2);
}

static double get(const void *from, size_t i, cudaDataType type) {
  float value;
  uint16_t half;
  if (type == CUDA_R_32F) {
    memcpy(&value, (const char *)from + 4 * i, 4);
    return value;
  }
  memcpy(&half, (const char *)from + 2 * i, 2);
  if (type == CUDA_R_16F) {
    const int exponent = half >> 10 & 31, mantissa = half & 1023;
    const double size = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return half & 0x8000 ? -size : size;
  }
  const uint32_t bits = (uint32_t)half << 16;
  memcpy(&value, &bits, 4);
  return value;
}

static double next_value(void) {
  static uint32_t state = 1;
  state = state * 1664525 + 1013904223;
  return (double)(state >> 8) / (1 << 23) - 1;
}

/* ---- a GEMM and its reference */

struct problem {
  cublasOperation_t ta, tb;
  int m, n, k, batch, pad; /* pad: of the leading dimensions */
  bool same_a, same_b;     /* stride 0 */
  cudaDataType in, out;
  cublasComputeType_t compute;
  float alpha, beta;
};

struct operand {
  cudaDataType type;
  int rows, columns, leading;
  long long stride;
  size_t elements;
  void *host, *device;
};

static struct operand operand(cudaDataType type, int rows, int columns, int pad, int batch,
                              bool same) {
  struct operand o = {type, rows, columns, rows + pad, 0, 0, NULL, NULL};
  if (o.leading < 1) o.leading = 1;
  const long long one = columns ? (long long)(columns - 1) * o.leading + rows : 0;
  o.stride = same ? 0 : one + pad;
  o.elements = (size_t)(one + o.stride * (batch - 1));
  const size_t bytes = o.elements * size_of(type);
  o.host = calloc(1, bytes + 4);
  for (size_t i = 0; i < o.elements; i++) put(o.host, i, rounded(next_value(), type), type);
  OK(cudaMalloc(&o.device, bytes + 4));
  upload(o.device, o.host, bytes);
  return o;
}

static double element(const struct operand *o, int i, int row, int column, bool transposed) {
  const int r = transposed ? column : row, c = transposed ? row : column;
  return get(o->host, (size_t)(i * o->stride + (long long)c * o->leading + r), o->type);
}

/* The largest error, relative to the sum of the magnitudes; bytes around C must stay. */
static double error_of(const struct problem *p) {
  cudaStream_t stream = new_stream();
  cublasHandle_t handle = new_handle(stream);
  const bool ta = p->ta != CUBLAS_OP_N, tb = p->tb != CUBLAS_OP_N;
  struct operand a =
      operand(p->in, ta ? p->k : p->m, ta ? p->m : p->k, p->pad, p->batch, p->same_a);
  struct operand b =
      operand(p->in, tb ? p->n : p->k, tb ? p->k : p->n, p->pad, p->batch, p->same_b);
  struct operand c = operand(p->out, p->m, p->n, p->pad, p->batch, false);
  OK((int)cublasGemmStridedBatchedEx(handle, p->ta, p->tb, p->m, p->n, p->k, &p->alpha, a.device,
                                     p->in, a.leading, a.stride, b.device, p->in, b.leading,
                                     b.stride, &p->beta, c.device, p->out, c.leading, c.stride,
                                     p->batch, p->compute, CUBLAS_GEMM_DEFAULT));
  OK(cudaStreamSynchronize(stream));
  const size_t bytes = c.elements * size_of(c.type);
  void *result = malloc(bytes + 4);
  download(result, c.device, bytes);
  double worst = 0;
  for (int i = 0; i < p->batch; i++)
    for (int column = 0; column < p->n; column++)
      for (int row = 0; row < c.leading && row < p->m + p->pad; row++) {
        const size_t at = (size_t)(i * c.stride + (long long)column * c.leading + row);
        if (at >= c.elements) continue;
        const double before = get(c.host, at, c.type), got = get(result, at, c.type);
        if (row >= p->m) {
          if (got != before) worst = INFINITY;
          continue;
        }
        double sum = 0, magnitude = 0;
        for (int l = 0; l < p->k; l++) {
          const double term = element(&a, i, row, l, ta) * element(&b, i, l, column, tb);
          sum += term;
          magnitude += fabs(term);
        }
        const double wanted = p->alpha * sum + (p->beta ? p->beta * before : 0);
        const double scale = fabs(p->alpha) * magnitude + fabs(p->beta * before) + 1e-6;
        const double error = fabs(got - wanted) / scale;
        if (!(error <= worst)) worst = error;
      }
  free(a.host), free(b.host), free(c.host), free(result);
  OK(cudaFree(a.device));
  OK(cudaFree(b.device));
  OK(cudaFree(c.device));
  OK((int)cublasDestroy(handle));
  OK(cudaStreamDestroy(stream));
  return worst;
}

static const cudaDataType types[][2] = {
    {CUDA_R_32F, CUDA_R_32F},   {CUDA_R_16F, CUDA_R_16F},  {CUDA_R_16F, CUDA_R_32F},
    {CUDA_R_16BF, CUDA_R_16BF}, {CUDA_R_16BF, CUDA_R_32F},
};

static void values(void) {
  static const cublasOperation_t operations[] = {CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C};
  static const int shapes[][4] = {{1, 1, 1, 1}, {3, 5, 7, 2}, {17, 9, 33, 3}, {8, 16, 0, 2}};
  for (int t = 0; t < 5; t++)
    for (int o = 0; o < 9; o++)
      for (int s = 0; s < 4; s++)
        for (int variant = 0; variant < 4; variant++) {
          const int *shape = shapes[s];
          const struct problem p = {operations[o % 3],
                                    operations[o / 3],
                                    shape[0],
                                    shape[1],
                                    shape[2],
                                    shape[3],
                                    variant * 2,
                                    variant == 1,
                                    variant == 2,
                                    types[t][0],
                                    types[t][1],
                                    CUBLAS_COMPUTE_32F,
                                    variant == 3 ? -0.5f : 1.0f,
                                    variant == 0 ? 0.0f : 0.75f};
          const double bound = p.out == CUDA_R_32F   ? 1e-6
                               : p.out == CUDA_R_16F ? 6e-4 /* half a unit in the last place */
                                                     : 4e-3;
          const double error = error_of(&p);
          CHECK(error <= bound);
          if (error > bound)
            printf("    %g: types %d, operations %d, shape %d, variant %d\n", error, t, o, s,
                   variant);
        }
}

/* Inputs are rounded where the compute type or the math mode allows it, and only there. */
static double product(cublasComputeType_t compute, cublasMath_t math, float x, float y) {
  cudaStream_t stream = new_stream();
  cublasHandle_t handle = new_handle(stream);
  OK((int)cublasSetMathMode(handle, math));
  cublasMath_t is = CUBLAS_PEDANTIC_MATH;
  OK((int)cublasGetMathMode(handle, &is));
  EQUAL(is, math);
  float one = 1, zero = 0, *a = device_floats(1, &x), *b = device_floats(1, &y);
  float *c = device_floats(1, NULL), result = 0;
  OK((int)cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, CUDA_R_32F, 1, b,
                       CUDA_R_32F, 1, &zero, c, CUDA_R_32F, 1, compute, CUBLAS_GEMM_DEFAULT));
  OK(cudaMemcpyAsync(&result, c, 4, cudaMemcpyDeviceToHost, stream));
  return result;
}

static void roundings(void) {
  const float x = 1 + 0x1p-11f + 0x1p-13f, down = 1 + 0x1p-12f; /* to 1 + 2^-10, and to 1 */
  const cublasComputeType_t exact = CUBLAS_COMPUTE_32F, tf32 = CUBLAS_COMPUTE_32F_FAST_TF32;
  CHECK(product(exact, CUBLAS_DEFAULT_MATH, x, 1) == x);
  CHECK(product(exact, CUBLAS_PEDANTIC_MATH, x, 1) == x);
  CHECK(product(exact, CUBLAS_TF32_TENSOR_OP_MATH, x, 1) == 1 + 0x1p-10);
  CHECK(product(CUBLAS_COMPUTE_32F_PEDANTIC, CUBLAS_TF32_TENSOR_OP_MATH, x, 1) == x);
  CHECK(product(tf32, CUBLAS_DEFAULT_MATH, x, 1) == 1 + 0x1p-10);
  CHECK(product(tf32, CUBLAS_DEFAULT_MATH, 1, x) == 1 + 0x1p-10);
  CHECK(product(tf32, CUBLAS_DEFAULT_MATH, down, 1) == 1);
  CHECK(product(tf32, CUBLAS_DEFAULT_MATH, -x, 1) == -1 - 0x1p-10);
  CHECK(isinf(product(tf32, CUBLAS_DEFAULT_MATH, INFINITY, 1)));
  CHECK(isnan(product(tf32, CUBLAS_DEFAULT_MATH, NAN, 1)));
  CHECK(product(CUBLAS_COMPUTE_32F_FAST_16F, CUBLAS_DEFAULT_MATH, x, 1) == 1 + 0x1p-10);
  CHECK(product(CUBLAS_COMPUTE_32F_FAST_16BF, CUBLAS_DEFAULT_MATH, 1 + 0x1p-7f + 0x1p-9f, 1) ==
        1 + 0x1p-7);
}

const struct test gemm_tests[] = {
    {"values", values, NULL, 0, NULL},
    {"roundings", roundings, NULL, 0, NULL},
    {0},
};
