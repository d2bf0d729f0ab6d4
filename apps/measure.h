/* Measuring one bench case. */
#ifndef XATTN_APPS_MEASURE_H
#define XATTN_APPS_MEASURE_H

#include <stdbool.h>
#include <xattn.h>

#include "cases.h"
#include "timing.h"

typedef struct measure_options {
  const char *plan;
  double seconds; /* to spend on the timed runs, of which there are at least five */
  bool reuse_context;
} measure_options;

typedef struct measurement {
  const bench_case *what;
  xattn_plan_info plan;
  size_t runs;
  summary ms;
  uint64_t allocations; /* by the handle during the timed runs: must be 0 */
} measurement;

/* Makes a random layer and inputs of the case's sizes, warms up, and times forwards until the time
 * is spent. `subject` is whom complaints are about. Returns an exit code. */
int measure(xattn_handle *handle, const char *subject, const bench_case *what,
            const measure_options *options, measurement *result);

#endif
