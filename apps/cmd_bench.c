/* xattn bench: times random layers of the sizes in a table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xattn.h>

#include "bench_report.h"
#include "cases.h"
#include "commands.h"
#include "device.h"
#include "options.h"
#include "report.h"
#include "roofline.h"

typedef struct bench_arguments {
  const char *cases, *only, *roofline;
  measure_options measure;
  device_arguments device;
  bool json, csv;
} bench_arguments;

/* ------------------------------------------------------------------ the cases */

static const bench_report *choose_report(const bench_arguments *arguments) {
  return arguments->json ? &bench_json : arguments->csv ? &bench_csv : &bench_text;
}

/* Measures into `results`, which has room for every case, and counts them. A case that fails is complained about and
 * left out; the others are still worth having. */
static int measure_cases(const bench_arguments *arguments, const case_table *table,
                         xattn_handle *handle, const bench_place *place, measurement *results,
                         size_t *done) {
  const bench_report *form = choose_report(arguments);
  int code = EXIT_FINE;
  form->begin(place);
  for (size_t i = 0; i < table->count; i++) {
    const bench_case *one = &table->cases[i];
    if (arguments->only && strcmp(one->name, arguments->only) != 0) continue;
    char subject[4400];
    (void)snprintf(subject, sizeof subject, "%s:%d: case %s", arguments->cases, one->line,
                   one->name);
    if (measure(handle, subject, one, &arguments->measure, &results[*done])) {
      code = EXIT_FAILED;
      continue;
    }
    form->row(place, &results[*done], *done);
    (void)fflush(stdout); /* a case may take seconds: show it when it is there */
    ++*done;
  }
  form->end();
  return code;
}

static int bench(const bench_arguments *arguments, const case_table *table, xattn_handle *handle,
                 const bench_place *place) {
  size_t done = 0;
  measurement *results = calloc(table->count, sizeof *results);
  if (!results) {
    complain(arguments->cases, "no memory for the results of %zu cases", table->count);
    return EXIT_FAILED;
  }
  int code = measure_cases(arguments, table, handle, place, results, &done);
  if (arguments->roofline && done && roofline_write(arguments->roofline, place, results, done))
    code = EXIT_FAILED;
  free(results);
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
      {.name = "roofline",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .to.text = &a->roofline,
       .help = "also draw the cases below what the machine can do, as SVG"},
  };
  const option_set set = {.command = "bench",
                          .synopsis = "[OPTION]...",
                          .summary =
                              "Times forwards of random layers and inputs, whose sizes come from a "
                              "file, beside what the\n"
                              "machine can do, which is measured first.\n",
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
  bench_place place = {.here = machine_here()};
  int code;
  if (!read_arguments(&arguments, argc, argv, &code)) return code;
  code = cases_read(arguments.cases, &table);
  if (!code && arguments.only && !cases_find(&table, arguments.cases, "--only", arguments.only))
    code = EXIT_FAILED;
  if (!code && arguments.roofline) code = roofline_check(arguments.roofline);
  if (!code) code = open_device(&arguments.device, &handle, &place.device);
  if (!code) code = roof_measure(handle, &place.device, &place.roof);
  if (!code) code = bench(&arguments, &table, handle, &place);
  xattn_destroy(handle);
  cases_free(&table);
  return code;
}
