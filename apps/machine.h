/* The machine a bench ran on. */
#ifndef XATTN_APPS_MACHINE_H
#define XATTN_APPS_MACHINE_H

typedef struct machine {
  char cpu[128]; /* its model as /proc/cpuinfo names it, or else the architecture */
  int cores;     /* this process may run on */
} machine;

machine machine_here(void);

#endif
