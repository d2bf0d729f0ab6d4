#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "report.h"

enum {
  MOST_OPTIONS = 32,
  FIRST_ID = 256, /* getopt's numbers for long options, away from every character */
};

/* ------------------------------------------------------------------ help */

static int left_column(FILE *to, const option_row *row) {
  char text[64];
  int width = snprintf(text, sizeof text, "  --%s%s%s", row->name, row->value ? " " : "",
                       row->value ? row->value : "");
  if (to) (void)fputs(text, to);
  return width;
}

static void print_help(const option_set *set) {
  const option_row help = {.name = "help", .help = "print this text"};
  printf("usage: xattn %s %s\n\n%s\n", set->command, set->synopsis, set->summary);
  int widest = 0;
  for (size_t i = 0; i < set->count; i++) {
    int width = left_column(NULL, &set->rows[i]);
    if (width > widest) widest = width;
  }
  for (size_t i = 0; i <= set->count; i++) {
    const option_row *row = i < set->count ? &set->rows[i] : &help;
    printf("%*s", widest + 2 - left_column(stdout, row), "");
    for (const char *c = row->help; *c; c++) {
      putchar(*c);
      if (*c == '\n') printf("%*s", widest + 2, "");
    }
    if (row->required) printf(" (required)");
    if (row->preset) printf(" (default: %s)", row->preset);
    putchar('\n');
  }
}

/* ------------------------------------------------------------------ values */

/* strtoll and strtod skip spaces and take a plus sign, hexadecimal and "nan": too much for us. */
static bool only_of(const char *text, const char *allowed) {
  return *text && text[strspn(text, allowed)] == '\0';
}

static bool read_integer(const char *text, int64_t *value) {
  char *end;
  errno = 0;
  *value = strtoll(text, &end, 10);
  return only_of(text, "-0123456789") && *end == '\0' && errno == 0;
}

static bool read_real(const char *text, double *value) {
  char *end;
  *value = strtod(text, &end);
  return only_of(text, "-.0123456789") && *end == '\0' && isfinite(*value);
}

static bool assign(const option_row *row, const char *text) {
  int64_t integer;
  double real;
  const char *kind = "an integer";
  switch (row->kind) {
    case OPTION_FLAG:
      *row->to.flag = true;
      return true;
    case OPTION_TEXT:
      *row->to.text = text;
      return true;
    case OPTION_INT:
      if (!read_integer(text, &integer) || integer < row->least || integer > row->most) break;
      *row->to.integer = integer;
      return true;
    case OPTION_REAL:
      kind = "a number";
      if (!read_real(text, &real) || real < (double)row->least || real > (double)row->most) break;
      *row->to.real = real;
      return true;
  }
  char option[64];
  (void)snprintf(option, sizeof option, "--%s", row->name);
  complain(option, "expected %s from %" PRId64 " to %" PRId64 ", got '%s'", kind, row->least,
           row->most, text);
  return false;
}

/* ------------------------------------------------------------------ the command line */

/* Complains about what getopt could not read: ':' a missing value, else an unknown option. */
static bool refuse(const option_set *set, int what, char **argv) {
  const option_row *row = NULL;
  if (optopt >= FIRST_ID && (size_t)(optopt - FIRST_ID) < set->count)
    row = &set->rows[optopt - FIRST_ID];
  char option[64];
  (void)snprintf(option, sizeof option, "--%s", row ? row->name : "help");
  if (what == ':') {
    complain(option, "needs a value, %s", row && row->value ? row->value : "none given");
  } else if (optopt >= FIRST_ID) {
    complain(option, "takes no value, got '%s'", strchr(argv[optind - 1], '=') + 1);
  } else if (optopt) {
    (void)snprintf(option, sizeof option, "-%c", optopt);
    complain(option, "no such option");
  } else {
    complain(argv[optind - 1], "no such option");
  }
  return false;
}

static bool read_operands(const option_set *set, int argc, char **argv) {
  if (set->operand && optind < argc) *set->operand_to = argv[optind++];
  if (optind < argc) {
    complain(argv[optind], "one argument too many");
    return false;
  }
  if (set->operand && !*set->operand_to) {
    complain(set->operand, "missing");
    return false;
  }
  return true;
}

static bool read_command_line(const option_set *set, int argc, char **argv, bool *help) {
  struct option known[MOST_OPTIONS + 2] = {0};
  bool given[MOST_OPTIONS] = {false};
  if (set->count > MOST_OPTIONS) abort();
  for (size_t i = 0; i < set->count; i++) {
    const option_row *row = &set->rows[i];
    known[i].name = row->name;
    known[i].has_arg = row->kind == OPTION_FLAG ? no_argument : required_argument;
    known[i].val = FIRST_ID + (int)i;
    if (row->preset && !assign(row, row->preset)) abort();
  }
  known[set->count].name = "help";
  known[set->count].val = FIRST_ID + (int)set->count;

  opterr = 0; /* the messages are ours */
  optind = 0; /* start afresh */
  for (int id; (id = getopt_long(argc, argv, ":h", known, NULL)) != -1;) {
    size_t i = (size_t)(id - FIRST_ID);
    if (id == 'h' || (id >= FIRST_ID && i == set->count)) {
      *help = true;
      return true;
    }
    if (id < FIRST_ID) return refuse(set, id, argv);
    if (!assign(&set->rows[i], optarg)) return false;
    given[i] = true;
  }
  for (size_t i = 0; i < set->count; i++) {
    if (!set->rows[i].required || given[i]) continue;
    char option[64];
    (void)snprintf(option, sizeof option, "--%s", set->rows[i].name);
    complain(option, "missing");
    return false;
  }
  return read_operands(set, argc, argv);
}

bool options_parse(const option_set *set, int argc, char **argv, int *exit_code) {
  bool help = false;
  if (!read_command_line(set, argc, argv, &help)) {
    (void)fprintf(stderr, "'xattn %s --help' lists the options\n", set->command);
    *exit_code = EXIT_USAGE;
    return false;
  }
  if (help) print_help(set);
  *exit_code = EXIT_FINE;
  return !help;
}
