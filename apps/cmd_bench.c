/* xattn bench: times random layers of the sizes in a table. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xattn.h>

#include "cases.h"
#include "commands.h"
#include "device.h"
#include "machine.h"
#include "measure.h"
#include "options.h"
#include "report.h"

typedef struct bench_arguments {
  const char *cases, *only;
  measure_options measure;
  device_arguments device;
  bool json, csv;
} bench_arguments;

/* ------------------------------------------------------------------ the report */

/* A form of output: what comes first, per case, and last. `index` counts cases from 0. */
typedef struct report {
  void (*begin)(const machine *here, const xattn_handle_info *device);
  void (*row)(const measurement *result, size_t index);
  void (*end)(void);
} report;

static double gflops(double flops, const measurement *result) {
  return result->ms.median > 0 ? flops / result->ms.median * 1e-6 : 0;
}

static void text_begin(const machine *here, const xattn_handle_info *device) {
  printf("cpu      ");
  print_safe(stdout, here->cpu);
  printf(", %d cores\n", here->cores);
  print_device(device);
  putchar('\n');
  printf("%-16s %-16s %8s %10s %10s %10s %11s %13s %7s\n", "case", "plan", "runs", "ms median",
         "ms min", "ms p99", "GFLOP/s", "GFLOP/s dir.", "allocs");
}

static void text_row(const measurement *result, size_t index) {
  (void)index;
  printf("%-16s %-16s %8zu %10.3f %10.3f %10.3f %11.1f %13.1f %7" PRIu64 "\n", result->what->name,
         result->plan.name, result->runs, result->ms.median, result->ms.min, result->ms.p99,
         gflops(result->plan.flops, result), gflops(result->plan.flops_direct, result),
         result->allocations);
}

static void text_end(void) {
  printf("\nGFLOP/s: of the operations done; dir.: of those the direct form would have needed\n");
}

static void json_begin(const machine *here, const xattn_handle_info *device) {
  printf("{\"machine\":{\"cpu\":");
  print_json_string(stdout, here->cpu);
  printf(",\"cores\":%d,", here->cores);
  print_device_json(device);
  printf("},\"cases\":[");
}

static void json_row(const measurement *result, size_t index) {
  printf("%s\n{\"case\":", index ? "," : "");
  print_json_string(stdout, result->what->name);
  printf(",\"plan\":");
  print_json_string(stdout, result->plan.name);
  printf(",\"runs\":%zu,\"ms\":{\"median\":%.6f,\"min\":%.6f,\"p99\":%.6f}", result->runs,
         result->ms.median, result->ms.min, result->ms.p99);
  printf(",\"gflop_done\":%.9g,\"gflop_direct\":%.9g", result->plan.flops * 1e-9,
         result->plan.flops_direct * 1e-9);
  printf(",\"gflops_done\":%.3f,\"gflops_direct\":%.3f,\"allocations\":%" PRIu64 "}",
         gflops(result->plan.flops, result), gflops(result->plan.flops_direct, result),
         result->allocations);
}

static void json_end(void) {
  printf("]}\n");
}

/* The machine is a comment, which the usual readers of CSV can be told to skip. */
static void csv_begin(const machine *here, const xattn_handle_info *device) {
  printf("# cpu: ");
  print_safe(stdout, here->cpu);
  printf("; cores: %d; device: %s: ", here->cores, device->device);
  print_safe(stdout, device->detail);
  printf("; threads: %d\n", (int)device->threads);
  printf("case,plan,runs,ms_median,ms_min,ms_p99,gflops_done,gflops_direct,allocations\n");
}

static void csv_row(const measurement *result, size_t index) {
  (void)index;
  printf("%s,%s,%zu,%.6f,%.6f,%.6f,%.3f,%.3f,%" PRIu64 "\n", result->what->name, result->plan.name,
         result->runs, result->ms.median, result->ms.min, result->ms.p99,
         gflops(result->plan.flops, result), gflops(result->plan.flops_direct, result),
         result->allocations);
}

static void csv_end(void) {
}

static report choose_report(const bench_arguments *arguments) {
  if (arguments->json) return (report){json_begin, json_row, json_end};
  if (arguments->csv) return (report){csv_begin, csv_row, csv_end};
  return (report){text_begin, text_row, text_end};
}

/* ------------------------------------------------------------------ the cases */

/* A case that fails is complained about and left out; the others are still worth having. */
static int measure_cases(const bench_arguments *arguments, const case_table *table,
                         xattn_handle *handle, const report *form) {
  int code = EXIT_FINE;
  size_t done = 0;
  for (size_t i = 0; i < table->count; i++) {
    const bench_case *one = &table->cases[i];
    if (arguments->only && strcmp(one->name, arguments->only) != 0) continue;
    char subject[4400];
    (void)snprintf(subject, sizeof subject, "%s:%d: case %s", arguments->cases, one->line,
                   one->name);
    measurement result;
    if (measure(handle, subject, one, &arguments->measure, &result)) {
      code = EXIT_FAILED;
      continue;
    }
    form->row(&result, done++);
    (void)fflush(stdout); /* a case may take seconds: show it when it is there */
  }
  return code;
}

/* ------------------------------------------------------------------ the command */

static bool read_arguments(bench_arguments *a, int argc, char **argv, int *code) {
  const option_row rows[] = {
      {.name = "cases",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .preset = "bench/shapes/cases.txt",
       .to.text = &a->cases,
       .help = "table of the sizes"},
      {.name = "only",
       .kind = OPTION_TEXT,
       .value = "NAME",
       .to.text = &a->only,
       .help = "measure one case (default: all)"},
      {.name = "seconds",
       .kind = OPTION_REAL,
       .value = "S",
       .preset = "1",
       .least = 0,
       .most = 3600,
       .to.real = &a->measure.seconds,
       .help = "time per case; five runs are made in any case"},
      DEVICE_OPTIONS(&a->device),
      {.name = "plan",
       .kind = OPTION_TEXT,
       .value = "NAME",
       .preset = "auto",
       .to.text = &a->measure.plan,
       .help = "how to compute: auto (the cheapest) or a plan's name"},
      {.name = "reuse-context",
       .kind = OPTION_FLAG,
       .to.flag = &a->measure.reuse_context,
       .help = "project the context once, before the runs that are timed"},
      {.name = "json",
       .kind = OPTION_FLAG,
       .to.flag = &a->json,
       .help = "print one JSON object instead of a table"},
      {.name = "csv",
       .kind = OPTION_FLAG,
       .to.flag = &a->csv,
       .help = "print comma-separated values instead of a table"},
  };
  const option_set set = {
      .command = "bench",
      .synopsis = "[OPTION]...",
      .summary = "Times forwards of random layers and inputs, whose sizes come from a file.\n",
      .rows = rows,
      .count = sizeof rows / sizeof *rows};
  if (!options_parse(&set, argc, argv, code)) return false;
  if (!a->json || !a->csv) return true;
  complain("--csv", "cannot go together with --json");
  *code = EXIT_USAGE;
  return false;
}

int cmd_bench(int argc, char **argv) {
  bench_arguments arguments = {0};
  case_table table = {0};
  xattn_handle *handle = NULL;
  xattn_handle_info device;
  int code;
  if (!read_arguments(&arguments, argc, argv, &code)) return code;
  code = cases_read(arguments.cases, &table);
  if (!code && arguments.only && !cases_find(&table, arguments.cases, "--only", arguments.only))
    code = EXIT_FAILED;
  if (!code) code = open_device(&arguments.device, &handle, &device);
  if (!code) {
    report form = choose_report(&arguments);
    machine here = machine_here();
    form.begin(&here, &device);
    code = measure_cases(&arguments, &table, handle, &form);
    form.end();
  }
  xattn_destroy(handle);
  cases_free(&table);
  return code;
}
