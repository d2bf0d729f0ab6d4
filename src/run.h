/* Runs a plan: resolves operands to addresses and hands each step to the backend. Decides nothing. */
#ifndef XATTN_RUN_H
#define XATTN_RUN_H

#include "plan.h"

typedef struct xattn_run {
  const xattn_backend *backend;
  xattn_device *device;
  char *slot[XATTN_SLOT_COUNT];
  xattn_lengths lengths; /* of the keys, per batch item */
  uint64_t launches;     /* counted up */
} xattn_run;

xattn_status xattn_run_plan(xattn_error *error, xattn_run *run, const xattn_plan_steps *plan);

#endif
