/* xattn: dispatches to the subcommands. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xattn.h>

#include "commands.h"
#include "report.h"

typedef struct command {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *summary;
} command;

static const command commands[] = {
    {"run", cmd_run, "apply a layer to a query and a context file"},
    {"info", cmd_info, "list what a weight or array file holds"},
    {"bench", cmd_bench, "time a table of cases"},
    {"plan", cmd_plan, "compare the ways in which a call can be computed"},
    {"calibrate", cmd_calibrate, "measure what this machine does, for the choice among them"},
};

static void print_help(FILE *to) {
  (void)fprintf(to,
                "usage: xattn COMMAND [OPTION]...\n"
                "\nCross-attention inference. Commands:\n");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    (void)fprintf(to, "  %-11s%s\n", commands[i].name, commands[i].summary);
  (void)fprintf(
      to,
      "  help       this text, or that of one command\n"
      "\n'xattn COMMAND --help' lists a command's options; 'xattn --version' the version.\n"
      "Exit status: 0 fine, 1 failed, 2 the command line was wrong.\n");
}

static const command *find_command(const char *name) {
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (strcmp(commands[i].name, name) == 0) return &commands[i];
  complain(name, "no such command; 'xattn help' lists them");
  return NULL;
}

static int run_command(const char *name, int argc, char **argv) {
  const command *found = find_command(name);
  if (!found) return EXIT_USAGE;
  report_begin(found->name);
  return found->run(argc, argv);
}

static int dispatch(int argc, char **argv) {
  if (argc < 2) {
    print_help(stderr);
    return EXIT_USAGE;
  }
  const char *name = argv[1];
  if (strcmp(name, "--version") == 0) {
    printf("xattn %s\n", xattn_version());
    return EXIT_FINE;
  }
  bool help = strcmp(name, "help") == 0;
  if (help && argc > 2) {
    char option[] = "--help";
    char *arguments[] = {argv[2], option, NULL};
    return run_command(argv[2], 2, arguments);
  }
  if (help || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
    print_help(stdout);
    return EXIT_FINE;
  }
  return run_command(name, argc - 1, argv + 1);
}

int main(int argc, char **argv) {
  int code = dispatch(argc, argv);
  /* A full disk or closed pipe shows up only here; a caller must not take half a report for one. */
  if (fflush(stdout) != 0 || ferror(stdout)) {
    complain("stdout", "%s", strerror(errno));
    if (code == EXIT_FINE) code = EXIT_FAILED;
  }
  return code;
}
