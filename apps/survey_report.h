/* What a survey found, as text, JSON or CSV: one case in full, or a table with a row for each case. */
#ifndef XATTN_APPS_SURVEY_REPORT_H
#define XATTN_APPS_SURVEY_REPORT_H

#include <xattn.h>

#include "survey.h"

/* Where it was made. */
typedef struct survey_place {
  xattn_handle_info device;
  xattn_rates rates;
  int64_t uses;
  bool measured;
} survey_place;

typedef struct surveyed {
  const bench_case *what;
  const workload *work;
  size_t steps; /* the form whose steps are shown */
  const survey *all;
} surveyed;

/* Of all cases together. */
typedef struct survey_tally {
  size_t cases, within, skipped; /* within: those whose ratio is at most WITHIN; skipped: forms */
  double worst;
  char worst_name[64];
} survey_tally;

#define WITHIN 1.15

typedef struct survey_report {
  void (*begin)(const survey_place *place);
  void (*item)(const survey_place *place, const surveyed *one, size_t index); /* from 0 */
  void (*end)(const survey_place *place, const survey_tally *tally);
} survey_report;

/* In full: of one case, all forms. JSON has all forms in either case. */
extern const survey_report survey_full_text, survey_full_csv, survey_table_text, survey_table_csv,
    survey_json;

#endif
