#include "measure.h"

#include <stdlib.h>

#include "commands.h"
#include "device.h"
#include "random.h"
#include "report.h"

enum { WARM_UPS = 2, FEWEST_RUNS = 5 };

/* What the timed runs need; zero at first, so that it can be given back from any state. */
typedef struct bench_state {
  xattn_handle *handle;
  xattn_layer *layer;
  xattn_context *context;
  xattn_tensor x, y, out;
  xattn_options options;
  samples times;
} bench_state;

static void give_back(bench_state *state) {
  xattn_context_destroy(state->context);
  xattn_layer_destroy(state->layer);
  free_tensor(state->handle, &state->x);
  free_tensor(state->handle, &state->y);
  free_tensor(state->handle, &state->out);
  samples_free(&state->times);
}

static xattn_status make_layer(const bench_case *what, bench_state *state) {
  int64_t width = what->heads * what->head_dim;
  const int64_t query[] = {width, what->query_dim}, context[] = {width, what->context_dim},
                joined[] = {what->out_dim, width};
  xattn_tensor weight[] = {random_tensor(1, 2, query),
                           random_tensor(2, 2, context),
                           random_tensor(3, 2, context),
                           {.data = NULL}};
  enum { WEIGHTS = sizeof weight / sizeof *weight };
  xattn_status status = XATTN_OK;
  if (what->out_dim) weight[3] = random_tensor(4, 2, joined);
  for (int i = 0; i < (what->out_dim ? WEIGHTS : WEIGHTS - 1); i++)
    if (!weight[i].data) status = XATTN_ERROR_MEMORY;
  if (!status) {
    xattn_layer_weights weights = {.size = sizeof weights,
                                   .heads = what->heads,
                                   .query_weight = &weight[0],
                                   .key_weight = &weight[1],
                                   .value_weight = &weight[2],
                                   .out_weight = what->out_dim ? &weight[3] : NULL};
    status = xattn_layer_create(state->handle, &weights, &state->layer);
  }
  for (int i = 0; i < WEIGHTS; i++) free(weight[i].data);
  return status;
}

static xattn_status make_streams(const bench_case *what, bench_state *state) {
  int64_t width = what->out_dim ? what->out_dim : what->heads * what->head_dim;
  const int64_t x[] = {what->batch, what->queries, what->query_dim},
                y[] = {what->batch, what->keys, what->context_dim},
                out[] = {what->batch, what->queries, width};
  state->x = random_tensor(5, 3, x);
  state->y = random_tensor(6, 3, y);
  /* Values are overwritten; writing some now keeps page faults out of the times. */
  state->out = random_tensor(7, 3, out);
  if (!state->x.data || !state->y.data || !state->out.data) return XATTN_ERROR_MEMORY;
  xattn_status status = move_to_device(state->handle, &state->x);
  if (!status) status = move_to_device(state->handle, &state->y);
  return status ? status : move_to_device(state->handle, &state->out);
}

static xattn_status forward(bench_state *state) {
  xattn_status status = state->context
                            ? xattn_forward(state->handle, state->layer, &state->x, state->context,
                                            &state->options, &state->out)
                            : xattn_forward_once(state->handle, state->layer, &state->x, &state->y,
                                                 &state->options, &state->out);
  return status ? status : xattn_synchronize(state->handle);
}

static xattn_status prepare(const bench_case *what, const measure_options *options,
                            bench_state *state, xattn_plan_info *plan) {
  xattn_status status = make_layer(what, state);
  if (!status) status = make_streams(what, state);
  if (!status && options->reuse_context)
    status = xattn_context_create(state->handle, state->layer, &state->y, &state->options,
                                  &state->context);
  *plan = (xattn_plan_info){.size = sizeof *plan};
  if (!status)
    status = xattn_plan(state->handle, state->layer, &state->x, state->context ? NULL : &state->y,
                        state->context, &state->options, plan);
  for (int i = 0; !status && i < WARM_UPS; i++) status = forward(state);
  return status;
}

static xattn_status run_for(double seconds, bench_state *state, uint64_t *allocations) {
  xattn_stats before = {.size = sizeof before}, after = {.size = sizeof after};
  xattn_status status = xattn_get_stats(state->handle, &before);
  double begin = now_ms(), end = begin;
  while (!status && (state->times.count < FEWEST_RUNS || end - begin < seconds * 1e3)) {
    double start = now_ms();
    status = forward(state);
    end = now_ms();
    if (!status && !samples_add(&state->times, end - start)) status = XATTN_ERROR_MEMORY;
  }
  if (!status) status = xattn_get_stats(state->handle, &after);
  *allocations = after.allocations - before.allocations;
  return status;
}

int measure(xattn_handle *handle, const char *subject, const bench_case *what,
            const measure_options *options, measurement *result) {
  bench_state state = {.handle = handle,
                       .options = {.size = sizeof(xattn_options), .plan = options->plan}};
  *result = (measurement){.what = what};
  xattn_status status = prepare(what, options, &state, &result->plan);
  if (!status) status = run_for(options->seconds, &state, &result->allocations);
  if (!status) {
    result->runs = state.times.count;
    result->ms = samples_summary(&state.times);
  } else if (status == XATTN_ERROR_MEMORY) {
    /* Ours or the library's: last_error need not be about this. */
    complain(subject, "%s", xattn_status_message(status));
  } else {
    complain_status(subject, handle, status);
  }
  give_back(&state);
  return status ? EXIT_FAILED : EXIT_FINE;
}
