#include "bench_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "device.h"
#include "report.h"

/* What is not measured but follows. */
typedef struct figures {
  double gflops;            /* GFLOP/s of the operations done */
  double gflops_direct;     /* of those that the direct form would have needed */
  double gbytes;            /* GB/s that the steps of the plan read and write */
  double fma, gemm, copy;   /* % of the rates of the roof */
  double floor, over_floor; /* ms that the roof allows, and the median over it */
} figures;

static double over(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

static figures figures_of(const bench_place *place, const measurement *result) {
  const roof_rates *roof = &place->roof;
  const xattn_plan_info *plan = &result->plan;
  double seconds = result->ms.median * 1e-3;
  double flops = over(plan->flops, seconds), bytes = over(plan->bytes, seconds);
  figures f = {.gflops = flops * 1e-9,
               .gflops_direct = over(plan->flops_direct, seconds) * 1e-9,
               .gbytes = bytes * 1e-9,
               .fma = 100 * over(flops, roof->fma.flops),
               .gemm = 100 * over(flops, roof->rates.flops),
               .copy = 100 * over(bytes, roof->memory.copy)};
  f.floor = 1e3 * fmax(over(plan->flops, roof->fma.flops), over(plan->bytes, roof->memory.copy));
  f.over_floor = over(result->ms.median, f.floor);
  return f;
}

/* ------------------------------------------------------------------ text */

static void text_begin(const bench_place *place) {
  printf("cpu      ");
  print_safe(stdout, place->here.cpu);
  printf(", %d cores\n", place->here.cores);
  print_device(&place->device);
  print_roof(&place->roof);
  printf("\n%-15s %-16s %6s %9s %9s %9s %8s %8s %7s %5s %5s %5s %9s %7s %6s\n", "case", "plan",
         "runs", "ms median", "ms min", "ms p99", "GFLOP/s", "direct", "GB/s", "%FMA", "%GEMM",
         "%copy", "ms floor", "x floor", "allocs");
}

static void text_row(const bench_place *place, const measurement *result, size_t index) {
  figures f = figures_of(place, result);
  (void)index;
  printf(
      "%-15s %-16s %6zu %9.3f %9.3f %9.3f %8.1f %8.1f %7.1f %5.1f %5.1f %5.1f %9.3f %7.2f %6" PRIu64
      "\n",
      result->what->name, result->plan.name, result->runs, result->ms.median, result->ms.min,
      result->ms.p99, f.gflops, f.gflops_direct, f.gbytes, f.fma, f.gemm, f.copy, f.floor,
      f.over_floor, result->allocations);
}

static void text_end(void) {
  printf(
      "\nGFLOP/s, GB/s: operations of the plan, and bytes that its steps read and write, by the "
      "median; direct: operations of the direct form\n"
      "%%FMA, %%GEMM, %%copy: of the rates of multiply-adds, products and copied memory above; "
      "what "
      "stays in caches can be above 100\n"
      "ms floor: operations by multiply-adds or bytes by copied memory, whichever takes longer; x "
      "floor: the median over it\n");
}

/* ------------------------------------------------------------------ JSON */

static void json_begin(const bench_place *place) {
  printf("{\"machine\":{\"cpu\":");
  print_json_string(stdout, place->here.cpu);
  printf(",\"cores\":%d,", place->here.cores);
  print_device_json(&place->device);
  putchar(',');
  print_roof_json(&place->roof);
  printf("},\"cases\":[");
}

static void json_row(const bench_place *place, const measurement *result, size_t index) {
  figures f = figures_of(place, result);
  printf("%s\n{\"case\":", index ? "," : "");
  print_json_string(stdout, result->what->name);
  printf(",\"plan\":");
  print_json_string(stdout, result->plan.name);
  printf(",\"runs\":%zu,\"ms\":{\"median\":%.6f,\"min\":%.6f,\"p99\":%.6f}", result->runs,
         result->ms.median, result->ms.min, result->ms.p99);
  printf(",\"gflop_done\":%.9g,\"gflop_direct\":%.9g", result->plan.flops * 1e-9,
         result->plan.flops_direct * 1e-9);
  printf(",\"gflops_done\":%.3f,\"gflops_direct\":%.3f,\"allocations\":%" PRIu64, f.gflops,
         f.gflops_direct, result->allocations);
  printf(",\"bytes\":%.9g,\"gbytes_per_s\":%.3f", result->plan.bytes, f.gbytes);
  printf(",\"percent_fma\":%.2f,\"percent_gemm\":%.2f,\"percent_copy\":%.2f", f.fma, f.gemm,
         f.copy);
  printf(",\"ms_floor\":%.6f,\"x_floor\":%.3f}", f.floor, f.over_floor);
}

static void json_end(void) {
  printf("]}\n");
}

/* ------------------------------------------------------------------ CSV */

/* The machine is a comment, which the usual readers of CSV can be told to skip. */
static void csv_begin(const bench_place *place) {
  const roof_rates *roof = &place->roof;
  printf("# cpu: ");
  print_safe(stdout, place->here.cpu);
  printf("; cores: %d; device: %s: ", place->here.cores, place->device.device);
  print_safe(stdout, place->device.detail);
  printf("; threads: %d; GFLOP/s of multiply-adds: %.3f (%s); of products: %.3f",
         (int)place->device.threads, roof->fma.flops * 1e-9, roof->fma.instructions,
         roof->rates.flops * 1e-9);
  printf("; GB/s of memory read: %.3f; copied: %.3f\n", roof->memory.read * 1e-9,
         roof->memory.copy * 1e-9);
  printf(
      "case,plan,runs,ms_median,ms_min,ms_p99,gflops_done,gflops_direct,allocations,bytes,"
      "gbytes_per_s,percent_fma,percent_gemm,percent_copy,ms_floor,x_floor\n");
}

static void csv_row(const bench_place *place, const measurement *result, size_t index) {
  figures f = figures_of(place, result);
  (void)index;
  printf("%s,%s,%zu,%.6f,%.6f,%.6f,%.3f,%.3f,%" PRIu64 ",%.9g,%.3f,%.2f,%.2f,%.2f,%.6f,%.3f\n",
         result->what->name, result->plan.name, result->runs, result->ms.median, result->ms.min,
         result->ms.p99, f.gflops, f.gflops_direct, result->allocations, result->plan.bytes,
         f.gbytes, f.fma, f.gemm, f.copy, f.floor, f.over_floor);
}

static void csv_end(void) {
}

const bench_report bench_text = {text_begin, text_row, text_end},
                   bench_json = {json_begin, json_row, json_end},
                   bench_csv = {csv_begin, csv_row, csv_end};
