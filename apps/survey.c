#include "survey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timing.h"

enum {
  ROUNDS = 5,
  OUT_OF_RACE = 3 /* times the fastest */
};

/* ------------------------------------------------------------------ prediction */

/* The library says "options.plan: "NAME": REASON"; the reason is what is wanted. */
static const char *reason_of(const char *text) {
  const char *reason = strstr(text, "\": ");
  return reason ? reason + strlen("\": ") : text;
}

static xattn_status plan_of(const workload *work, int64_t uses, const char *name,
                            xattn_plan_info *plan) {
  xattn_options options = {.size = sizeof options, .plan = name, .expected_uses = uses};
  *plan = (xattn_plan_info){.size = sizeof *plan};
  return xattn_plan(work->handle, work->layer, &work->x, &work->y, NULL, &options, plan);
}

/* Forms that are left out last; ties stay in the library's order. */
static bool goes_before(const form_result *a, const form_result *b) {
  if (*a->left_out || *b->left_out) return !*a->left_out && *b->left_out;
  return a->plan.seconds < b->plan.seconds;
}

static void insert(survey *all, const form_result *form) {
  size_t at = all->count++;
  for (; at > 0 && goes_before(form, &all->form[at - 1]); at--) all->form[at] = all->form[at - 1];
  all->form[at] = *form;
  if (!*form->left_out) all->allowed++;
}

size_t survey_find(const survey *all, const char *name) {
  size_t i = 0;
  while (i < all->count && strcmp(all->form[i].plan.name, name) != 0) i++;
  return i;
}

xattn_status survey_predict(const workload *work, int64_t uses, survey *all) {
  *all = (survey){.uses = uses};
  for (int64_t i = 0; i < MOST_FORMS; i++) {
    const char *name = xattn_plan_name(i);
    if (!name) break;
    form_result form = {.runs = 0};
    xattn_status status = plan_of(work, uses, name, &form.plan);
    if (status && status != XATTN_ERROR_UNSUPPORTED && status != XATTN_ERROR_MEMORY) return status;
    if (status) {
      form.plan = (xattn_plan_info){.size = sizeof form.plan};
      (void)snprintf(form.plan.name, sizeof form.plan.name, "%s", name);
      (void)snprintf(form.left_out, sizeof form.left_out, "%s",
                     reason_of(xattn_last_error(work->handle)));
    }
    insert(all, &form);
  }
  xattn_plan_info picked;
  xattn_status status = plan_of(work, uses, NULL, &picked);
  if (status) return status;
  all->picked = all->best = survey_find(all, picked.name);
  all->direct = survey_find(all, "direct");
  all->predicted = all->picked < all->allowed;
  return all->predicted ? XATTN_OK : XATTN_ERROR_NOT_FOUND;
}

/* ------------------------------------------------------------------ measurement */

typedef struct form_times {
  samples make, use; /* of a context, of a forward */
} form_times;

static xattn_status make_context(const workload *work, const survey *all, const char *name,
                                 xattn_context **context) {
  const xattn_options options = {.size = sizeof options,
                                 .plan = name,
                                 .expected_uses = all->uses,
                                 .expected_queries = work->x.shape[1]};
  xattn_status status =
      xattn_context_create(work->handle, work->layer, &work->y, &options, context);
  return status ? status : xattn_synchronize(work->handle);
}

static xattn_status timed_forward(const workload *work, const xattn_context *context,
                                  const xattn_options *options, form_times *times) {
  double start = now_ms();
  xattn_status status = workload_forward(work, context, options);
  if (!status && times && !samples_add(&times->use, now_ms() - start)) return XATTN_ERROR_MEMORY;
  return status;
}

/* Makes the context if there is to be one, and runs the form for `ms`, at least once. What is short starts
 * with a run that is not timed: another form was there before and has taken the caches. With `times` NULL
 * nothing is timed. */
static xattn_status take_turn(const workload *work, const survey *all, const char *name, double ms,
                              form_times *times) {
  const xattn_options options = {.size = sizeof options, .plan = name};
  xattn_context *context = NULL;
  xattn_status status = XATTN_OK;
  double begin = now_ms();
  if (all->uses) status = make_context(work, all, name, &context);
  if (!status && all->uses && times && !samples_add(&times->make, now_ms() - begin))
    status = XATTN_ERROR_MEMORY;
  if (times && times->use.count && times->use.ms[times->use.count - 1] < ms && !status)
    status = timed_forward(work, context, &options, NULL);
  begin = now_ms();
  while (!status) {
    status = timed_forward(work, context, &options, times);
    if (!times || now_ms() - begin >= ms) break;
  }
  xattn_context_destroy(context);
  return status;
}

/* What all the uses take, by the fastest runs so far. */
static double fastest(const survey *all, const form_times *times) {
  double make = INFINITY, use = INFINITY;
  for (size_t i = 0; i < times->make.count; i++) make = fmin(make, times->make.ms[i]);
  for (size_t i = 0; i < times->use.count; i++) use = fmin(use, times->use.ms[i]);
  return all->uses ? make + (double)all->uses * use : use;
}

/* Forms that can no longer be the best one run no more. */
static void retire(const survey *all, const form_times times[MOST_FORMS], bool out[MOST_FORMS]) {
  double least = INFINITY;
  for (size_t i = 0; i < all->allowed; i++)
    if (times[i].use.count) least = fmin(least, fastest(all, &times[i]));
  for (size_t i = 0; i < all->allowed; i++)
    out[i] |=
        i != all->picked && times[i].use.count && fastest(all, &times[i]) > OUT_OF_RACE * least;
}

static xattn_status take_turns(const workload *work, const survey_options *options,
                               const survey *all, form_times times[MOST_FORMS]) {
  bool out[MOST_FORMS] = {false};
  xattn_status status = XATTN_OK;
  for (size_t i = 0; i < all->allowed; i++) out[i] = all->form[i].skipped;
  for (int round = 0; round <= ROUNDS; round++) { /* 0 warms up: weights are merged, memory grows */
    for (size_t i = 0; i < all->allowed && !status; i++) {
      if (out[i]) continue;
      status = take_turn(work, all, all->form[i].plan.name, options->seconds * 1e3 / ROUNDS,
                         round ? &times[i] : NULL);
    }
    if (round) retire(all, times, out);
  }
  return status;
}

static double median_of(samples *list) {
  return list->count ? samples_summary(list).median : 0;
}

xattn_status survey_measure(const workload *work, const survey_options *options, survey *all) {
  form_times times[MOST_FORMS] = {{.make = {0}}};
  double bound = TOO_SLOW * all->form[all->picked].plan.seconds;
  for (size_t i = 0; i < all->allowed; i++)
    all->form[i].skipped = !options->everything && all->form[i].plan.seconds > bound;
  xattn_status status = take_turns(work, options, all, times);
  for (size_t i = 0; i < all->allowed; i++) {
    form_result *form = &all->form[i];
    form->runs = status ? 0 : times[i].use.count;
    if (form->runs) {
      form->ms = median_of(&times[i].use);
      if (all->uses) form->ms = median_of(&times[i].make) + (double)all->uses * form->ms;
      if (form->ms < all->form[all->best].ms || !all->form[all->best].runs) all->best = i;
    }
    samples_free(&times[i].make);
    samples_free(&times[i].use);
  }
  all->measured = !status;
  return status;
}

double survey_ratio(const survey *all) {
  double best = all->form[all->best].ms;
  return best > 0 ? all->form[all->picked].ms / best : 1;
}
