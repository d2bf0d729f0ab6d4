/* What a bench measured, as text, JSON or CSV, beside what the machine can do. */
#ifndef XATTN_APPS_BENCH_REPORT_H
#define XATTN_APPS_BENCH_REPORT_H

#include <xattn.h>

#include "machine.h"
#include "measure.h"
#include "roof.h"

/* Where it ran. */
typedef struct bench_place {
  machine here;
  xattn_handle_info device;
  roof_rates roof;
} bench_place;

typedef struct bench_report {
  void (*begin)(const bench_place *place);
  void (*row)(const bench_place *place, const measurement *result, size_t index); /* from 0 */
  void (*end)(void);
} bench_report;

extern const bench_report bench_text, bench_json, bench_csv;

#endif
