/* xattn plan: the forms in which a call can be computed, what each would take, and which is picked. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xattn.h>

#include "cases.h"
#include "commands.h"
#include "device.h"
#include "options.h"
#include "report.h"
#include "survey_report.h"

typedef struct plan_arguments {
  const char *shape, *weights, *prefix, *cases, *only, *one, *plan;
  bench_case sizes; /* of --shape and the options of the layer */
  int64_t uses;
  survey_options options;
  device_arguments device;
  bool measure, json, csv;
} plan_arguments;

static const char shipped_cases[] = "bench/shapes/cases.txt";

/* A single case is shown in full, with all forms. */
static bool in_full(const plan_arguments *arguments) {
  return arguments->shape || arguments->one;
}

/* ------------------------------------------------------------------ the sizes of one layer */

/* Reads `count` sizes between commas. */
static bool read_sizes(const char *text, size_t count, int64_t *const *to) {
  for (size_t i = 0; i < count; i++) {
    size_t digits = strspn(text, "0123456789");
    int64_t value = digits && digits <= 7 ? strtoll(text, NULL, 10) : 0;
    if (value < 1 || value > LARGEST_SIZE) return false;
    text += digits;
    if (*text != (i + 1 < count ? ',' : '\0')) return false;
    if (*text) text++;
    *to[i] = value;
  }
  return true;
}

static int read_shape(plan_arguments *a) {
  bench_case *s = &a->sizes;
  int64_t *const to[] = {&s->batch, &s->queries, &s->keys, &s->query_dim, &s->context_dim};
  size_t count = a->weights ? 3 : sizeof to / sizeof *to;
  if (read_sizes(a->shape, count, to)) return EXIT_FINE;
  complain("--shape", "expected %s, %zu integers from 1 to %d, got '%s'",
           a->weights ? "B,Nq,Nk (the widths are those of --weights)" : "B,Nq,Nk,Dq,Dc", count,
           LARGEST_SIZE, a->shape);
  return EXIT_USAGE;
}

/* Refuses options of a layer that is described elsewhere. */
static int refuse_layer_options(const plan_arguments *a, bool heads_too, const char *with) {
  const bench_case *s = &a->sizes;
  const struct {
    const char *option;
    bool given;
  } all[] = {{"--head-dim", s->head_dim != 0},       {"--value-dim", s->value_dim != 0},
             {"--out-dim", s->out_dim != 0},         {"--biases", s->biases},
             {"--heads", heads_too && s->heads},     {"--kv-heads", heads_too && s->kv_heads},
             {"--weights", heads_too && a->weights}, {"--shape", heads_too && a->shape}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (!all[i].given) continue;
    complain(all[i].option, "cannot go together with %s, which tells it", with);
    return EXIT_USAGE;
  }
  return EXIT_FINE;
}

static int complete_sizes(plan_arguments *a) {
  bench_case *s = &a->sizes;
  int code = read_shape(a);
  if (code) return code;
  if (a->weights) return refuse_layer_options(a, false, "--weights");
  if (!s->heads) s->heads = 1;
  if (s->head_dim) return EXIT_FINE;
  if (s->query_dim % s->heads) {
    complain("--head-dim", "missing: %" PRId64 " heads do not divide Dq, which is %" PRId64,
             s->heads, s->query_dim);
    return EXIT_USAGE;
  }
  s->head_dim = s->query_dim / s->heads;
  return EXIT_FINE;
}

/* ------------------------------------------------------------------ one case */

static xattn_status load_layer(const plan_arguments *a, bench_case *sizes, workload *work) {
  xattn_load_options options = {.size = sizeof options,
                                .prefix = a->prefix,
                                .heads = sizes->heads,
                                .kv_heads = sizes->kv_heads};
  xattn_layer_info info = {.size = sizeof info};
  xattn_status status = xattn_layer_load(work->handle, a->weights, &options, &work->layer);
  if (!status) status = xattn_layer_get_info(work->layer, &info);
  sizes->query_dim = info.query_dim;
  sizes->context_dim = info.context_dim;
  sizes->out_dim = info.out_dim; /* of the streams: the layer is there */
  return status;
}

static void count_case(survey_tally *tally, const bench_case *what, const survey *all) {
  double ratio = survey_ratio(all);
  tally->cases++;
  for (size_t i = 0; i < all->allowed; i++) tally->skipped += all->form[i].skipped;
  if (ratio <= WITHIN) tally->within++;
  if (ratio <= tally->worst) return;
  tally->worst = ratio;
  (void)snprintf(tally->worst_name, sizeof tally->worst_name, "%s", what->name);
}

/* The form whose steps are to be shown. */
static int choose_steps(const plan_arguments *a, const survey *all, size_t *steps) {
  bool automatic = strcmp(a->plan, "auto") == 0;
  *steps = automatic ? all->picked : survey_find(all, a->plan);
  if (*steps < all->allowed) return EXIT_FINE;
  complain("--plan", "'%s': %s", a->plan, all->form[*steps].left_out);
  return EXIT_FAILED;
}

static int survey_case(const plan_arguments *a, const char *subject, const bench_case *what,
                       const survey_place *place, workload *work, const survey_report *report,
                       survey_tally *tally) {
  static survey all; /* large */
  surveyed one = {.what = what, .work = work, .all = &all};
  bench_case sizes = *what;
  xattn_status status =
      a->weights ? load_layer(a, &sizes, work) : workload_make_layer(work, what, a->measure);
  if (!status) status = workload_make_streams(work, &sizes, a->measure);
  if (!status) status = survey_predict(work, a->uses, &all);
  if (status) return workload_failed(subject, work->handle, status);
  int code = choose_steps(a, &all, &one.steps);
  if (code) return code;
  if (a->measure) status = survey_measure(work, &a->options, &all);
  if (status) return workload_failed(subject, work->handle, status);
  if (!tally->cases) report->begin(place);
  report->item(place, &one, tally->cases);
  count_case(tally, what, &all);
  (void)fflush(stdout); /* a case may take seconds: show it when it is there */
  return EXIT_FINE;
}

/* ------------------------------------------------------------------ all cases */

static survey_report choose_report(const plan_arguments *a) {
  if (a->json) return survey_json;
  if (in_full(a)) return a->csv ? survey_full_csv : survey_full_text;
  return a->csv ? survey_table_csv : survey_table_text;
}

/* A case that fails is complained about and left out; the others are still worth having. */
static int survey_cases(const plan_arguments *a, const case_table *table, xattn_handle *handle,
                        const survey_place *place) {
  survey_report report = choose_report(a);
  survey_tally tally = {0};
  int code = EXIT_FINE;
  const char *only = a->one ? a->one : a->only;
  for (size_t i = 0; i < table->count; i++) {
    const bench_case *what = &table->cases[i];
    if (only && strcmp(what->name, only) != 0) continue;
    char subject[4400];
    if (what->line)
      (void)snprintf(subject, sizeof subject, "%s:%d: case %s", a->cases, what->line, what->name);
    else
      (void)snprintf(subject, sizeof subject, "%s", a->weights ? a->weights : "--shape");
    workload work = {.handle = handle};
    if (survey_case(a, subject, what, place, &work, &report, &tally)) code = EXIT_FAILED;
    workload_free(&work);
  }
  if (tally.cases) report.end(place, &tally);
  return code;
}

/* ------------------------------------------------------------------ the command */

static bool plan_is_known(const char *name) {
  if (strcmp(name, "auto") == 0) return true;
  for (int64_t i = 0; xattn_plan_name(i); i++)
    if (strcmp(name, xattn_plan_name(i)) == 0) return true;
  complain("--plan", "'%s' is none of the plans; 'xattn plan --shape 1,1,1,1,1' lists them", name);
  return false;
}

static int check_arguments(plan_arguments *a) {
  if (a->json && a->csv) {
    complain("--csv", "cannot go together with --json");
    return EXIT_USAGE;
  }
  if (!plan_is_known(a->plan)) return EXIT_USAGE;
  if (a->only && a->one) {
    complain("--only", "cannot go together with --case");
    return EXIT_USAGE;
  }
  const char *from_file = a->cases ? "--cases" : a->one ? "--case" : a->only ? "--only" : NULL;
  if (from_file) {
    int code = refuse_layer_options(a, true, from_file);
    if (!code && !a->one && strcmp(a->plan, "auto") != 0) {
      complain("--plan", "shows the steps of one case: needs --case or --shape");
      code = EXIT_USAGE;
    }
    if (!a->cases) a->cases = shipped_cases;
    return code;
  }
  if (a->prefix && !a->weights) {
    complain("--prefix", "needs --weights");
    return EXIT_USAGE;
  }
  if (a->shape) return complete_sizes(a);
  complain("--shape", "missing, and no --case or --cases is given");
  return EXIT_USAGE;
}

/* The table of cases, or one that has the sizes of --shape. */
static int read_table(const plan_arguments *a, case_table *table) {
  const char *only = a->one ? a->one : a->only;
  if (a->cases) {
    int code = cases_read(a->cases, table);
    if (code || !only) return code;
    const char *option = a->one ? "--case" : "--only";
    return cases_find(table, a->cases, option, only) ? EXIT_FINE : EXIT_FAILED;
  }
  table->cases = malloc(sizeof *table->cases);
  if (!table->cases) return workload_failed("--shape", NULL, XATTN_ERROR_MEMORY);
  *table->cases = a->sizes;
  (void)snprintf(table->cases->name, sizeof table->cases->name, "shape");
  table->count = 1;
  return EXIT_FINE;
}

#define SIZE_OPTION(option, called, target, text)                                              \
  {                                                                                            \
    .name = (option), .kind = OPTION_INT, .value = (called), .least = 1, .most = LARGEST_SIZE, \
    .to.integer = (target), .help = (text)                                                     \
  }

static bool read_arguments(plan_arguments *a, int argc, char **argv, int *code) {
  const option_row rows[] = {
      {.name = "shape",
       .kind = OPTION_TEXT,
       .value = "B,Nq,Nk,Dq,Dc",
       .to.text = &a->shape,
       .help = "batch, queries, keys, widths of x and y; with --weights: B,Nq,Nk"},
      SIZE_OPTION("heads", "H", &a->sizes.heads, "query heads (default: 1)"),
      SIZE_OPTION("kv-heads", "H", &a->sizes.kv_heads, "key/value heads (default: as --heads)"),
      SIZE_OPTION("head-dim", "Dh", &a->sizes.head_dim, "width of a head (default: Dq / H)"),
      SIZE_OPTION("value-dim", "Dv", &a->sizes.value_dim, "width of a value head (default: Dh)"),
      SIZE_OPTION("out-dim", "Do", &a->sizes.out_dim,
                  "width of the output projection (default: there is none)"),
      {.name = "biases",
       .kind = OPTION_FLAG,
       .to.flag = &a->sizes.biases,
       .help = "the layer has biases"},
      {.name = "weights",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .to.text = &a->weights,
       .help = "a layer out of a .safetensors file instead"},
      {.name = "prefix",
       .kind = OPTION_TEXT,
       .value = "NAME",
       .to.text = &a->prefix,
       .help = "of the layer's tensors, where the file has several layers"},
      {.name = "cases",
       .kind = OPTION_TEXT,
       .value = "FILE",
       .to.text = &a->cases,
       .help = "table of sizes: a line for each case (--case and --only: default\n"
               "bench/shapes/cases.txt)"},
      {.name = "only",
       .kind = OPTION_TEXT,
       .value = "NAME",
       .to.text = &a->only,
       .help = "the line of one case (default: all)"},
      {.name = "case",
       .kind = OPTION_TEXT,
       .value = "NAME",
       .to.text = &a->one,
       .help = "one case in full, as with --shape"},
      {.name = "uses",
       .kind = OPTION_INT,
       .value = "N",
       .preset = "0",
       .least = 0,
       .most = 1000000000,
       .to.integer = &a->uses,
       .help = "forwards over one resident context, all counted; 0: the context is not kept"},
      {.name = "plan",
       .kind = OPTION_TEXT,
       .value = "NAME",
       .preset = "auto",
       .to.text = &a->plan,
       .help = "whose steps to print; auto: those of the plan picked"},
      {.name = "measure",
       .kind = OPTION_FLAG,
       .to.flag = &a->measure,
       .help = "run every plan by turns, on random data"},
      {.name = "seconds",
       .kind = OPTION_REAL,
       .value = "S",
       .preset = "0.5",
       .least = 0,
       .most = 3600,
       .to.real = &a->options.seconds,
       .help = "time per plan that is measured, in five turns of a run at least"},
      {.name = "all",
       .kind = OPTION_FLAG,
       .to.flag = &a->options.everything,
       .help = "measure also what is predicted to take above 20 times the pick's time"},
      DEVICE_OPTIONS(&a->device),
      {.name = "json",
       .kind = OPTION_FLAG,
       .to.flag = &a->json,
       .help = "print one JSON object instead of text"},
      {.name = "csv",
       .kind = OPTION_FLAG,
       .to.flag = &a->csv,
       .help = "print comma-separated values instead of text"},
  };
  const option_set set = {
      .command = "plan",
      .synopsis =
          "--shape B,Nq,Nk,Dq,Dc [OPTION]...\n"
          "       xattn plan --weights FILE --shape B,Nq,Nk [OPTION]...\n"
          "       xattn plan --cases FILE [--only NAME | --case NAME] [OPTION]...",
      .summary =
          "Shows in which ways a call can be computed, what each is predicted to take, and\n"
          "which is picked; with --measure also what each takes.\n",
      .rows = rows,
      .count = sizeof rows / sizeof *rows};
  if (!options_parse(&set, argc, argv, code)) return false;
  *code = check_arguments(a);
  if (*code) (void)fprintf(stderr, "'xattn plan --help' lists the options\n");
  return !*code;
}

int cmd_plan(int argc, char **argv) {
  plan_arguments arguments = {.plan = "auto"};
  case_table table = {0};
  xattn_handle *handle = NULL;
  survey_place place = {.rates.size = sizeof place.rates};
  int code;
  if (!read_arguments(&arguments, argc, argv, &code)) return code;
  place.uses = arguments.uses;
  place.measured = arguments.measure;
  code = read_table(&arguments, &table);
  if (!code) code = open_device(&arguments.device, &handle, &place.device);
  if (!code && xattn_get_rates(handle, &place.rates)) code = EXIT_FAILED;
  if (!code) code = survey_cases(&arguments, &table, handle, &place);
  xattn_destroy(handle);
  cases_free(&table);
  return code;
}
