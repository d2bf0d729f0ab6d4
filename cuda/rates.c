/* What a device should reach, from what it says of itself and what its architecture is known for. No GPU has
 * measured these: plans are chosen by them until somebody does (xattn_calibrate).
 *
 *     products   SMs × clock × multiply-adds of an SM a clock × 2, of which a GEMM reaches 70 %
 *     streams    memory clock × 2 (both edges) × width of the bus, of which a kernel reaches 80 %
 *     softmax    4 bytes of scores in, 4 bytes of probabilities out, at the rate of streams
 *     launch     4 µs from the host for an operation that has nothing to do
 *
 * Chunks of scores lie in the second-level cache, which is faster than memory; by how much is not guessed. */
#include "open.h"

static const double product_share = 0.7, stream_share = 0.8, launch_seconds = 4e-6;

/* What stands in where the device tells nothing, as those do that share the host's memory. */
static const double some_clock = 1.5e9, some_bandwidth = 300e9;

/* Multiply-adds of one SM in a clock: F32, and F16 or BF16 summed in F32 on the tensor cores, dense, by NVIDIA's
 * papers on the architectures. TF32 has half of the latter. 8.6, 8.9 and 12.0 are counted as GeForce has them. */
typedef struct unit_counts {
  double f32, half;
} unit_counts;

static unit_counts units_of(int major, int minor) {
  if (major == 8 && minor == 0) return (unit_counts){64, 1024}; /* A100 */
  if (major == 9) return (unit_counts){128, 2048};              /* H100 */
  if (major == 10) return (unit_counts){128, 4096};             /* B200 */
  return (unit_counts){128, 256};
}

/* 0 where the device does not tell. */
static double told(const xattn_device *device, enum cudaDeviceAttr which) {
  int value = 0;
  cudaError_t code = cudaDeviceGetAttribute(&value, which, device->index);
  xattn_cuda_ignore(code);
  return code || value < 0 ? 0.0 : value;
}

xattn_rates xattn_cuda_rates(const xattn_device *device, int major, int minor, int processors) {
  const unit_counts units = units_of(major, minor);
  const double clock = told(device, cudaDevAttrClockRate) * 1e3;              /* kHz */
  const double memory_clock = told(device, cudaDevAttrMemoryClockRate) * 1e3; /* kHz */
  const double bus = told(device, cudaDevAttrGlobalMemoryBusWidth) / 8.0;     /* bits */
  const double bandwidth = memory_clock * 2.0 * bus;
  const double each =
      (processors > 0 ? processors : 1) * (clock > 0.0 ? clock : some_clock) * 2.0 * product_share;
  const double stream = (bandwidth > 0.0 ? bandwidth : some_bandwidth) * stream_share;
  const double f32 = device->math == XATTN_MATH_TF32 && units.half / 2.0 > units.f32
                         ? units.half / 2.0
                         : units.f32;
  return (xattn_rates){.size = sizeof(xattn_rates),
                       .flops = each * f32,
                       .flops_half = each * units.half,
                       .operands = stream,
                       .stream = stream,
                       .softmax = stream / (2 * sizeof(float)),
                       .launch = launch_seconds,
                       .source = "built in"};
}
