/* All forms of one call: what each is predicted to take, and what it takes. */
#ifndef XATTN_APPS_SURVEY_H
#define XATTN_APPS_SURVEY_H

#include <stdbool.h>
#include <xattn.h>

#include "workload.h"

enum {
  MOST_FORMS = 32,
  TOO_SLOW = 20 /* times the picked form's predicted time: such forms need not be measured */
};

typedef struct form_result {
  xattn_plan_info plan; /* of a form that is left out, the name alone */
  char left_out[160];   /* why; "" if it is not */
  bool skipped;         /* not measured, being too slow */
  size_t runs;          /* timed forwards; 0: not measured */
  double ms; /* median of one forward; with uses, of making the context and all of them */
} form_result;

typedef struct survey {
  int64_t uses;   /* forwards over a resident context; 0: one forward_once */
  bool predicted; /* the fields below are filled */
  bool measured;
  size_t count, allowed;        /* forms; those not left out come first, the fastest of them at 0 */
  size_t picked, direct, best;  /* best: the fastest of those measured */
  form_result form[MOST_FORMS]; /* by predicted time */
} survey;

/* Asks for the plan of each form. Fails only if no form can be had. */
xattn_status survey_predict(const workload *work, int64_t uses, survey *all);

typedef struct survey_options {
  double seconds;  /* to spend on each form, over five rounds, with a run in each */
  bool everything; /* forms that are too slow, too */
} survey_options;

/* Runs the forms by turns, so that all of them meet the same disturbances; those that take three times what the
 * fastest does, but for the picked one, drop out after their first turns. The workload is filled. */
xattn_status survey_measure(const workload *work, const survey_options *options, survey *all);

/* Number of the form with this name; all->count if there is none. */
size_t survey_find(const survey *all, const char *name);

/* The picked form's measured time over that of the best. */
double survey_ratio(const survey *all);

#endif
