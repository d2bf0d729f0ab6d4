/* gpu-bench: xattn on a GPU, measured against what the card can do. Writes one JSON file. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static const char usage[] =
    "usage: gpu-bench [OPTION]...\n"
    "  --cases FILE       table of the sizes (bench/shapes/cases.txt)\n"
    "  --only NAME        one case of it\n"
    "  --out FILE         JSON, in place when complete (gpu-bench.json)\n"
    "  --seconds S        to spend on one measurement (0.3)\n"
    "  --limit S          for everything; what does not fit is left out (150)\n"
    "  --graph-below MS   calls that take longer are not replayed as graphs (1)\n"
    "  --copy MIB         size of the large copy (1024)\n"
    "  --gemm N           rows of the large square products (8192)\n"
    "  --softmax N        elements of each softmax (67108864)\n";

/* A number of at least `least`; ends the program on any other text. */
static double number(const char *option, const char *text, double least, double most) {
  char *end;
  const double value = strtod(text, &end);
  if (end != text && !*end && value >= least && value <= most) return value;
  (void)fprintf(stderr, "gpu-bench: --%s is '%s', expected %g to %g\n", option, text, least, most);
  exit(2);
}

static void read_options(settings *set, int argc, char **argv) {
  static const struct option options[] = {
      {"cases", 1, NULL, 'c'},   {"only", 1, NULL, 'n'},  {"out", 1, NULL, 'o'},
      {"seconds", 1, NULL, 's'}, {"limit", 1, NULL, 'l'}, {"graph-below", 1, NULL, 'g'},
      {"copy", 1, NULL, 'm'},    {"gemm", 1, NULL, 'k'},  {"softmax", 1, NULL, 'e'},
      {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0}};
  int which, row = 0;
  while ((which = getopt_long(argc, argv, "", options, &row)) >= 0) {
    const char *name = options[row].name;
    if (which == 'c')
      set->cases = optarg;
    else if (which == 'n')
      set->only = optarg;
    else if (which == 'o')
      set->out = optarg;
    else if (which == 's')
      set->seconds = number(name, optarg, 0, 60);
    else if (which == 'l')
      set->limit = number(name, optarg, 1, 3600);
    else if (which == 'g')
      set->graph_below = number(name, optarg, 0, 1e9);
    else if (which == 'm')
      set->copy_bytes = (int64_t)(number(name, optarg, 1, 65536) * 1048576);
    else if (which == 'k')
      set->gemm = (int64_t)number(name, optarg, 1, 32768);
    else if (which == 'e')
      set->softmax_count = (int64_t)number(name, optarg, 1, 1 << 30);
    else {
      (void)fputs(usage, which == 'h' ? stdout : stderr);
      exit(which == 'h' ? 0 : 2);
    }
  }
  if (optind == argc) return;
  (void)fputs(usage, stderr);
  exit(2);
}

static void measure_all(bench *b, const case_table *table) {
  json_begin(&b->out, NULL, '{');
  if (bench_open(b)) {
    print_device(b);
    measure_ceilings(b);
    measure_cases(b, table);
    measure_softmax(b);
  }
  bench_close(b);
  json_begin(&b->out, "problems", '[');
  for (int i = 0; i < b->problems; i++) json_text(&b->out, NULL, b->problem[i]);
  json_end(&b->out, ']');
  json_end(&b->out, '}');
}

int main(int argc, char **argv) {
  static bench b = {.set = {.cases = "bench/shapes/cases.txt",
                            .out = "gpu-bench.json",
                            .seconds = 0.3,
                            .limit = 150,
                            .graph_below = 1,
                            .copy_bytes = (int64_t)1 << 30,
                            .gemm = 8192,
                            .softmax_count = 1 << 26}};
  read_options(&b.set, argc, argv);
  case_table table;
  if (cases_read(b.set.cases, &table)) return 2;
  char temporary[4096];
  const int length = snprintf(temporary, sizeof temporary, "%s.new", b.set.out);
  b.out.file = length < (int)sizeof temporary ? fopen(temporary, "w") : NULL;
  if (!b.out.file) {
    (void)fprintf(stderr, "gpu-bench: cannot write %s.new\n", b.set.out);
    cases_free(&table);
    return 2;
  }
  measure_all(&b, &table);
  cases_free(&table);
  const bool written = !ferror(b.out.file);
  if (fclose(b.out.file) || !written || rename(temporary, b.set.out)) {
    (void)fprintf(stderr, "gpu-bench: cannot write %s\n", b.set.out);
    return 1;
  }
  return b.problems ? 1 : 0;
}
