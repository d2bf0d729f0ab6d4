/* xattn calibrate: measures the rates by which plans are chosen, and keeps them for later runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xattn.h>

#include "commands.h"
#include "device.h"
#include "options.h"
#include "rates_text.h"
#include "report.h"

typedef struct calibrate_arguments {
  device_arguments device;
  bool dry_run, json;
} calibrate_arguments;

typedef struct calibration {
  xattn_handle_info device;
  xattn_rates builtin, before, measured;
  xattn_rates saved; /* as a handle opened afterwards has them; not in a dry run */
} calibration;

/* ------------------------------------------------------------------ reading and measuring */

/* Rates of a handle opened now; handle and info may be NULL. */
static int rates_now(const device_arguments *device, xattn_handle **handle, xattn_handle_info *info,
                     xattn_rates *rates) {
  xattn_handle *own = NULL;
  xattn_handle_info here;
  int code = open_device(device, &own, &here);
  *rates = (xattn_rates){.size = sizeof *rates};
  if (!code && xattn_get_rates(own, rates)) code = EXIT_FAILED;
  if (!code && info) *info = here;
  if (!code && handle)
    *handle = own;
  else
    xattn_destroy(own);
  return code;
}

/* The built-in rates are those of a handle that is told to look for no others. */
static int builtin_rates(const device_arguments *device, xattn_rates *rates) {
  static const char variable[] = "XATTN_RATES";
  const char *named = getenv(variable);
  char *kept = named ? strdup(named) : NULL;
  if ((named && !kept) || setenv(variable, "builtin", 1)) {
    complain(variable, "no memory to change it");
    free(kept);
    return EXIT_FAILED;
  }
  int code = rates_now(device, NULL, NULL, rates);
  if (kept ? setenv(variable, kept, 1) : unsetenv(variable)) {
    complain(variable, "no memory to change it");
    code = EXIT_FAILED;
  }
  free(kept);
  return code;
}

static int calibrate(const calibrate_arguments *arguments, calibration *all) {
  xattn_handle *handle = NULL;
  int code = rates_now(&arguments->device, &handle, &all->device, &all->before);
  if (!code) code = builtin_rates(&arguments->device, &all->builtin);
  if (!code) {
    xattn_status status = xattn_calibrate(handle, !arguments->dry_run);
    all->measured = (xattn_rates){.size = sizeof all->measured};
    if (!status) status = xattn_get_rates(handle, &all->measured);
    if (status) {
      complain_status(NULL, handle, status);
      code = EXIT_FAILED;
    }
  }
  xattn_destroy(handle);
  if (!code && !arguments->dry_run) code = rates_now(&arguments->device, NULL, NULL, &all->saved);
  return code;
}

/* ------------------------------------------------------------------ the report */

static bool is_builtin(const xattn_rates *rates) {
  return strcmp(rates->source, "built in") == 0;
}

static void print_text(const calibrate_arguments *arguments, const calibration *all) {
  bool had_others = !is_builtin(&all->before);
  print_device(&all->device);
  printf("\n%-18s %10s", "", "built in");
  if (had_others) printf(" %10s", "before");
  printf(" %10s\n", "measured");
  for (size_t i = 0; i < RATE_ROWS; i++) {
    const rate_row *row = &rate_rows[i];
    printf("%-18s %10.4g", row->what, rate_in_unit(row, &all->builtin));
    if (had_others) printf(" %10.4g", rate_in_unit(row, &all->before));
    printf(" %10.4g  %s\n", rate_in_unit(row, &all->measured), row->unit);
  }
  putchar('\n');
  if (had_others) {
    printf("before   ");
    print_safe(stdout, all->before.source);
    putchar('\n');
  }
  printf("saved    ");
  print_safe(stdout, arguments->dry_run ? "nothing, as --dry-run asks" : all->saved.source);
  putchar('\n');
}

static void print_json(const calibrate_arguments *arguments, const calibration *all) {
  const struct {
    const char *name;
    const xattn_rates *rates;
  } columns[] = {
      {"builtin", &all->builtin}, {"before", &all->before}, {"measured", &all->measured}};
  printf("{");
  print_device_json(&all->device);
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
    printf(",\"%s\":", columns[i].name);
    print_rates_json(columns[i].rates);
  }
  printf(",\"file\":");
  if (arguments->dry_run)
    printf("null");
  else
    print_json_string(stdout, all->saved.source);
  printf("}\n");
}

/* ------------------------------------------------------------------ the command */

static bool read_arguments(calibrate_arguments *a, int argc, char **argv, int *code) {
  const option_row rows[] = {
      DEVICE_OPTIONS(&a->device),
      {.name = "dry-run",
       .kind = OPTION_FLAG,
       .to.flag = &a->dry_run,
       .help = "measure and print, but do not save"},
      {.name = "json",
       .kind = OPTION_FLAG,
       .to.flag = &a->json,
       .help = "print one JSON object instead of text"},
  };
  const option_set set = {.command = "calibrate",
                          .synopsis = "[OPTION]...",
                          .summary =
                              "Measures how fast the device computes, by which plans are chosen "
                              "from then on. This takes\n"
                              "about a second, in which the machine should do nothing else.\n",
                          .rows = rows,
                          .count = sizeof rows / sizeof *rows};
  return options_parse(&set, argc, argv, code);
}

int cmd_calibrate(int argc, char **argv) {
  calibrate_arguments arguments = {0};
  calibration all = {0};
  int code;
  if (!read_arguments(&arguments, argc, argv, &code)) return code;
  code = calibrate(&arguments, &all);
  if (!code) (arguments.json ? print_json : print_text)(&arguments, &all);
  return code;
}
