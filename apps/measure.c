#include "measure.h"

#include "commands.h"
#include "workload.h"

/* USES of a resident context: many, as its own work is not timed. */
enum { WARM_UPS = 2, FEWEST_RUNS = 5, USES = 1000 };

/* What the timed runs need; zero at first, so that it can be given back from any state. */
typedef struct bench_state {
  workload work;
  xattn_context *context;
  xattn_options options;
  samples times;
} bench_state;

static void give_back(bench_state *state) {
  xattn_context_destroy(state->context);
  workload_free(&state->work);
  samples_free(&state->times);
}

static xattn_status make_context(const bench_case *what, bench_state *state) {
  xattn_options options = state->options;
  options.expected_uses = USES;
  options.expected_queries = what->queries;
  return xattn_context_create(state->work.handle, state->work.layer, &state->work.y, &options,
                              &state->context);
}

static xattn_status prepare(const bench_case *what, const measure_options *options,
                            bench_state *state, xattn_plan_info *plan) {
  workload *work = &state->work;
  xattn_status status = workload_make_layer(work, what, true);
  if (!status) status = workload_make_streams(work, what, true);
  if (!status && options->reuse_context) status = make_context(what, state);
  *plan = (xattn_plan_info){.size = sizeof *plan};
  if (!status)
    status = xattn_plan(work->handle, work->layer, &work->x, state->context ? NULL : &work->y,
                        state->context, &state->options, plan);
  for (int i = 0; !status && i < WARM_UPS; i++)
    status = workload_forward(work, state->context, &state->options);
  return status;
}

static xattn_status run_for(double seconds, bench_state *state, uint64_t *allocations) {
  xattn_stats before = {.size = sizeof before}, after = {.size = sizeof after};
  xattn_status status = xattn_get_stats(state->work.handle, &before);
  double begin = now_ms(), end = begin;
  while (!status && (state->times.count < FEWEST_RUNS || end - begin < seconds * 1e3)) {
    double start = now_ms();
    status = workload_forward(&state->work, state->context, &state->options);
    end = now_ms();
    if (!status && !samples_add(&state->times, end - start)) status = XATTN_ERROR_MEMORY;
  }
  if (!status) status = xattn_get_stats(state->work.handle, &after);
  *allocations = after.allocations - before.allocations;
  return status;
}

int measure(xattn_handle *handle, const char *subject, const bench_case *what,
            const measure_options *options, measurement *result) {
  bench_state state = {.work.handle = handle,
                       .options = {.size = sizeof(xattn_options), .plan = options->plan}};
  int code = EXIT_FINE;
  *result = (measurement){.what = what};
  xattn_status status = prepare(what, options, &state, &result->plan);
  if (!status) status = run_for(options->seconds, &state, &result->allocations);
  if (status) {
    code = workload_failed(subject, handle, status);
  } else {
    result->runs = state.times.count;
    result->ms = samples_summary(&state.times);
  }
  give_back(&state);
  return code;
}
