/* One parser for the options of every subcommand. A subcommand describes its options in a table;
 * parsing, messages and --help all come from that table. */
#ifndef XATTN_APPS_OPTIONS_H
#define XATTN_APPS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_INT, OPTION_REAL } option_kind;

typedef struct option_row {
  const char *name;   /* without its dashes */
  const char *value;  /* what --help calls the value; NULL for a flag */
  const char *preset; /* the value where the option is not given, read like a given one; NULL: the
                         target stays as it is */
  const char *help;   /* a '\n' starts an indented further line */
  option_kind kind;
  bool required;
  int64_t least, most; /* range of an OPTION_INT or OPTION_REAL */
  union {
    bool *flag;
    const char **text;
    int64_t *integer;
    double *real;
  } to;
} option_row;

typedef struct option_set {
  const char *command;  /* "run" */
  const char *synopsis; /* what follows "usage: xattn run " */
  const char *summary;  /* a sentence or more, each line ended */
  const option_row *rows;
  size_t count;        /* of rows */
  const char *operand; /* name of the one argument that is no option; NULL: there is none */
  const char **operand_to;
} option_set;

/* Reads the command line into the targets. False: the command ends here with *exit_code, because
 * help was asked for (and printed) or because something was wrong (and complained about). */
bool options_parse(const option_set *set, int argc, char **argv, int *exit_code);

#endif
