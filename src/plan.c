/* Chooses the form that takes least. */
#include "plan.h"

#include <stdio.h>
#include <string.h>

/* What a context serves where its maker does not say: more than one step of a decoder, less than an image. */
enum { USES = 16, QUERIES = 64 };

/* NULL where the problem allows the form, else why not. */
static const char *obstacle(const xattn_problem *p, xattn_form form) {
  bool direct = form.scores == XATTN_SCORES_PROJECT && form.values == XATTN_VALUES_PROJECT;
  if (p->task == XATTN_TASK_ATTENTION)
    return direct ? NULL : "Q, K and V are made already: direct is the only plan";
  int64_t widest = p->query_dim > p->context_dim ? p->query_dim : p->context_dim;
  if (p->out_dim > widest) widest = p->out_dim;
  if (!direct &&
      (widest > p->limits.max_extent / p->heads || p->queries > p->limits.max_extent / p->heads))
    return "its matrices are larger than the device takes";
  if (xattn_form_merges_values(form) && !p->out_dim)
    return "the layer has no out_weight to merge with value_weight";
  if (p->task != XATTN_TASK_FORWARD) return NULL;
  if (xattn_form_keeps_scores(form) != p->store.scores)
    return "the context keeps something else for the scores";
  if (xattn_form_keeps_values(form) != p->store.values)
    return "the context keeps something else for the values";
  return NULL;
}

xattn_problem xattn_plan_use(const xattn_problem *context, xattn_form form) {
  xattn_problem use = *context;
  use.task = XATTN_TASK_FORWARD;
  use.queries = context->expected_queries ? context->expected_queries : QUERIES;
  int64_t width = use.out_dim ? use.out_dim : use.heads * use.value_dim;
  use.x = (xattn_view){use.queries * use.query_dim, use.query_dim, 0, 1};
  use.out = (xattn_view){use.queries * width, width, use.value_dim, 1};
  use.store.scores = xattn_form_keeps_scores(form);
  use.store.values = xattn_form_keeps_values(form);
  use.store.start = 0;
  return use;
}

static void sum_cost(xattn_plan_steps *plan, const xattn_limits *limits, const xattn_rates *rates) {
  plan->cost = (xattn_cost){0};
  for (int i = 0; i < plan->count; i++) {
    xattn_cost cost = xattn_step_cost(&plan->step[i], limits, rates);
    plan->cost.flops += cost.flops;
    plan->cost.bytes += cost.bytes;
    plan->cost.seconds += cost.seconds;
    plan->cost.launches += cost.launches;
  }
}

/* The problem as the form poses it: a context keeps what the form reads. */
static xattn_problem posed(const xattn_problem *problem, xattn_form form) {
  xattn_problem p = *problem;
  if (p.task != XATTN_TASK_CONTEXT) return p;
  p.store.scores = xattn_form_keeps_scores(form);
  p.store.values = xattn_form_keeps_values(form);
  return p;
}

static xattn_status build(xattn_error *error, const xattn_problem *problem,
                          const xattn_rates *rates, xattn_form form, xattn_plan_steps *plan) {
  xattn_problem p = posed(problem, form);
  if (!xattn_plan_build(&p, form, plan))
    return xattn_fail(error, XATTN_ERROR_MEMORY,
                      "plan %s: the workspace is larger than memory can be", xattn_form_name(form));
  sum_cost(plan, &problem->limits, rates);
  return XATTN_OK;
}

/* Seconds of all that hangs on the choice: a context's own and those of the forwards it serves. */
static double weight_of(const xattn_problem *problem, const xattn_rates *rates,
                        const xattn_plan_steps *plan) {
  if (problem->task != XATTN_TASK_CONTEXT) return plan->cost.seconds;
  xattn_problem use = xattn_plan_use(problem, plan->form);
  xattn_plan_steps forward;
  xattn_error ignored;
  if (xattn_plan_make(&ignored, &use, rates, NULL, &forward)) return plan->cost.seconds;
  double uses = problem->uses ? (double)problem->uses : USES;
  return plan->cost.seconds + uses * forward.cost.seconds;
}

static xattn_status build_cheapest(xattn_error *error, const xattn_problem *problem,
                                   const xattn_rates *rates, xattn_plan_steps *best) {
  xattn_plan_steps candidate;
  double least = 0.0;
  xattn_status status = XATTN_ERROR_UNSUPPORTED;
  for (int i = 0; i < XATTN_FORMS; i++) {
    xattn_form form = xattn_form_at(i);
    if (obstacle(problem, form)) continue;
    xattn_status built = build(error, problem, rates, form, &candidate);
    if (built) {
      if (status) status = built;
      continue;
    }
    double weight = weight_of(problem, rates, &candidate);
    if (!status && !(weight < least)) continue;
    *best = candidate;
    least = weight;
    status = XATTN_OK;
  }
  return status;
}

/* "auto, direct, project+defer, ..." */
static void list_names(char *text, size_t size) {
  size_t used = 0;
  (void)snprintf(text, size, "auto");
  for (int i = 0; i < XATTN_FORMS; i++) {
    used += strlen(text + used);
    (void)snprintf(text + used, size - used, ", %s", xattn_form_name(xattn_form_at(i)));
  }
}

xattn_status xattn_plan_make(xattn_error *error, const xattn_problem *problem,
                             const xattn_rates *rates, const char *name, xattn_plan_steps *plan) {
  if (!name || strcmp(name, "auto") == 0) return build_cheapest(error, problem, rates, plan);
  xattn_form form;
  if (!xattn_form_find(name, &form)) {
    char known[400];
    list_names(known, sizeof known);
    return xattn_fail(error, XATTN_ERROR_NOT_FOUND,
                      "options.plan: \"%.64s\" is unknown; known are %s", name, known);
  }
  const char *why = obstacle(problem, form);
  if (why) return xattn_fail(error, XATTN_ERROR_UNSUPPORTED, "options.plan: \"%s\": %s", name, why);
  return build(error, problem, rates, form, plan);
}
