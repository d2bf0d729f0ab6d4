/* Runs a plan: resolves operands to addresses and hands each step to the backend. Decides nothing. */
#ifndef XATTN_RUN_H
#define XATTN_RUN_H

#include "plan.h"

typedef struct xattn_run {
  const xattn_backend *backend;
  xattn_device *device;
  char *slot[XATTN_SLOT_COUNT];
  const void *packed[XATTN_MAX_STEPS]; /* of a linear step, its weight (packed.h), or NULL */
  xattn_lengths lengths;               /* of the keys, per batch item */
  uint64_t launches;                   /* counted up */
} xattn_run;

/* Of the product of a linear step, over all items, what its weight has to know: m, n, k, B, and the levels above
 * the item. */
xattn_gemm xattn_run_weight(const xattn_run *run, const xattn_step *step);

/* One step. */
xattn_status xattn_run_linear(xattn_error *error, xattn_run *run, const xattn_step *step,
                              const void *packed);
xattn_status xattn_run_attend(xattn_error *error, xattn_run *run, const xattn_step *step);

/* A pipe, of which plan->step[attend] is the attend step (run_pipe.c). */
xattn_status xattn_run_pipe(xattn_error *error, xattn_run *run, const xattn_plan_steps *plan,
                            int attend);

xattn_status xattn_run_plan(xattn_error *error, xattn_run *run, const xattn_plan_steps *plan);

#endif
