/* The subcommands of xattn and what they return to the shell. */
#ifndef XATTN_APPS_COMMANDS_H
#define XATTN_APPS_COMMANDS_H

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* argv[0] is the subcommand's own name, as in a program of its own. */
int cmd_run(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_calibrate(int argc, char **argv);

#endif
