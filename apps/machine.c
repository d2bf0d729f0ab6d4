#include "machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  /* More processors than a cpu_set_t has bits. */
  return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

machine machine_here(void) {
  machine here = {.cpu = "unknown", .cores = cores()};
  struct utsname name;
  if (uname(&name) == 0) (void)snprintf(here.cpu, sizeof here.cpu, "%s", name.machine);
  FILE *file = fopen("/proc/cpuinfo", "r");
  if (!file) return here;
  char line[512];
  while (fgets(line, sizeof line, file)) {
    const char *colon = strchr(line, ':');
    if (!colon || strncmp(line, "model name", 10) != 0) continue;
    const char *model = colon + 1 + strspn(colon + 1, " ");
    (void)snprintf(here.cpu, sizeof here.cpu, "%.*s", (int)strcspn(model, "\n"), model);
    break;
  }
  (void)fclose(file);
  return here;
}
