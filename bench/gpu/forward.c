/* Every case of the table in every mode: with a new context, and with a resident one; warm, cold, and as a
 * graph. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../apps/random.h"
#include "bench.h"

typedef struct forward_work {
  xattn_handle *handle;
  xattn_layer *layer;
  xattn_context *context; /* NULL: forward_once */
  xattn_tensor x, y, out;
} forward_work;

static bool enqueue_forward(bench *b, void *what) {
  forward_work *f = what;
  const xattn_status status =
      f->context ? xattn_forward(f->handle, f->layer, &f->x, f->context, NULL, &f->out)
                 : xattn_forward_once(f->handle, f->layer, &f->x, &f->y, NULL, &f->out);
  return xattn_fine(b, f->handle, status, "forward");
}

/* ---- a case */

static xattn_layer *make_layer(bench *b, xattn_handle *handle, const bench_case *c, const mode *m) {
  const int64_t width = c->heads * c->head_dim;
  const int64_t query[] = {width, c->query_dim}, context[] = {width, c->context_dim},
                joined[] = {c->out_dim, width};
  const int weights = c->out_dim ? 4 : 3;
  xattn_tensor w[4] = {random_tensor(1, 2, query), random_tensor(2, 2, context),
                       random_tensor(3, 2, context),
                       c->out_dim ? random_tensor(4, 2, joined) : (xattn_tensor){.data = NULL}};
  bool there = true;
  for (int i = 0; i < weights; i++) there &= w[i].data != NULL;
  xattn_layer *layer = NULL;
  const xattn_layer_weights all = {.size = sizeof all,
                                   .heads = c->heads,
                                   .dtype = m->dtype,
                                   .query_weight = &w[0],
                                   .key_weight = &w[1],
                                   .value_weight = &w[2],
                                   .out_weight = c->out_dim ? &w[3] : NULL};
  if (!there)
    complain_about(b, "no host memory for weights");
  else
    (void)xattn_fine(b, handle, xattn_layer_create(handle, &all, &layer), "making a layer");
  for (int i = 0; i < 4; i++) free(w[i].data);
  return layer;
}

static bool prepare(bench *b, const bench_case *c, const mode *m, forward_work *f) {
  const int64_t width = c->out_dim ? c->out_dim : c->heads * c->head_dim;
  f->handle = open_handle(b, m->math);
  if (!f->handle) return false;
  f->layer = make_layer(b, f->handle, c, m);
  f->x = device_tensor(b, f->handle, m->dtype, 5, 3,
                       (const int64_t[]){c->batch, c->queries, c->query_dim});
  f->y = device_tensor(b, f->handle, m->dtype, 6, 3,
                       (const int64_t[]){c->batch, c->keys, c->context_dim});
  f->out =
      device_tensor(b, f->handle, m->dtype, 0, 3, (const int64_t[]){c->batch, c->queries, width});
  return f->layer && f->x.data && f->y.data && f->out.data;
}

static void give_back(forward_work *f) {
  xattn_context_destroy(f->context);
  xattn_layer_destroy(f->layer);
  xattn_destroy(f->handle); /* and the tensors with it */
}

/* The fewest bytes a call can move: each input read once, each output written once. */
static double least_bytes(const bench_case *c, const mode *m, bool resident) {
  const double width = (double)(c->heads * c->head_dim),
               out = c->out_dim ? (double)c->out_dim : width;
  const double queries = (double)(c->batch * c->queries), keys = (double)(c->batch * c->keys);
  double elements = queries * (double)c->query_dim + width * (double)c->query_dim + queries * out;
  if (c->out_dim) elements += out * width;
  elements += resident ? 2 * keys * width
                       : keys * (double)c->context_dim + 2 * width * (double)c->context_dim;
  return elements * (double)xattn_dtype_size(m->dtype);
}

/* ---- a call as a graph */

typedef struct graph_work {
  cudaGraphExec_t graph;
  cudaStream_t stream;
} graph_work;

static bool enqueue_graph(bench *b, void *what) {
  const graph_work *g = what;
  return cuda_fine(b, cudaGraphLaunch(g->graph, g->stream), "launching a graph");
}

/* The call has run before, so its memory is there: a capture cannot hold an allocation. */
static bool time_graph(bench *b, const work *call, timing *t, double *enqueue_us) {
  graph_work g = {.stream = call->stream};
  cudaGraph_t graph = NULL;
  if (!cuda_fine(b, cudaStreamBeginCapture(g.stream, cudaStreamCaptureModeThreadLocal),
                 "beginning a capture"))
    return false;
  bool fine = call->enqueue(b, call->what);
  fine = cuda_fine(b, cudaStreamEndCapture(g.stream, &graph), "ending a capture") && fine;
  fine = fine && cuda_fine(b, cudaGraphInstantiate(&g.graph, graph, 0), "making a graph");
  const work replay = {enqueue_graph, &g, g.stream};
  fine = fine && time_work(b, &replay, WARM, t);
  if (fine) *enqueue_us = time_enqueue(b, &replay);
  if (g.graph) (void)cudaGraphExecDestroy(g.graph);
  if (graph) (void)cudaGraphDestroy(graph);
  return fine;
}

/* ---- measuring */

typedef struct measured {
  timing warm, cold, graph;
  double enqueue_us, graph_enqueue_us;
  xattn_plan_info plan;
  uint64_t launches, allocations; /* of one call; of all that were timed */
  int64_t not_finite;
} measured;

/* Launches of one call, by the library's own count. */
static bool count_launches(bench *b, forward_work *f, uint64_t *launches) {
  xattn_stats before = {.size = sizeof before}, after = {.size = sizeof after};
  if (!xattn_fine(b, f->handle, xattn_get_stats(f->handle, &before), "counting") ||
      !enqueue_forward(b, f) ||
      !xattn_fine(b, f->handle, xattn_get_stats(f->handle, &after), "counting"))
    return false;
  *launches = after.launches - before.launches;
  return true;
}

static bool measure_call(bench *b, forward_work *f, measured *r) {
  const work call = {enqueue_forward, f, stream_of(f->handle)};
  xattn_stats before = {.size = sizeof before}, after = {.size = sizeof after};
  r->plan.size = sizeof r->plan;
  if (!xattn_fine(b, f->handle,
                  xattn_plan(f->handle, f->layer, &f->x, f->context ? NULL : &f->y, f->context,
                             NULL, &r->plan),
                  "planning") ||
      !enqueue_forward(b, f) || !count_launches(b, f, &r->launches))
    return false;
  (void)xattn_get_stats(f->handle, &before);
  if (!time_work(b, &call, WARM, &r->warm) || !time_work(b, &call, COLD, &r->cold)) return false;
  r->enqueue_us = time_enqueue(b, &call);
  (void)xattn_get_stats(f->handle, &after);
  r->allocations = after.allocations - before.allocations;
  if (r->warm.ms.median < b->set.graph_below)
    (void)time_graph(b, &call, &r->graph, &r->graph_enqueue_us);
  r->not_finite = count_not_finite(b, f->handle, &f->out);
  return true;
}

static void print_result(bench *b, const bench_case *c, const mode *m, bool resident,
                         const measured *r) {
  json *out = &b->out;
  json_begin(out, NULL, '{');
  json_text(out, "case", c->name);
  json_text(out, "mode", m->name);
  json_truth(out, "resident", resident);
  json_begin(out, "sizes", '{');
  json_integer(out, "B", c->batch);
  json_integer(out, "Nq", c->queries);
  json_integer(out, "Nk", c->keys);
  json_integer(out, "Dq", c->query_dim);
  json_integer(out, "Dc", c->context_dim);
  json_integer(out, "H", c->heads);
  json_integer(out, "Dh", c->head_dim);
  json_integer(out, "Do", c->out_dim);
  json_end(out, '}');
  json_text(out, "plan", r->plan.name);
  json_real(out, "flops", r->plan.flops);
  json_real(out, "least_bytes", least_bytes(c, m, resident));
  json_integer(out, "workspace_bytes", (int64_t)r->plan.workspace_bytes);
  json_integer(out, "launches", (int64_t)r->launches);
  json_integer(out, "allocations", (int64_t)r->allocations);
  json_real(out, "enqueue_us", r->enqueue_us);
  print_timing(out, "warm", &r->warm);
  print_timing(out, "cold", &r->cold);
  print_timing(out, "graph", &r->graph);
  if (r->graph.runs) json_real(out, "graph_enqueue_us", r->graph_enqueue_us);
  json_end(out, '}');
}

static void measure_kind(bench *b, const bench_case *c, const mode *m, forward_work *f) {
  const bool resident = f->context != NULL;
  char name[160];
  (void)snprintf(name, sizeof name, "%s, %s%s", c->name, m->name, resident ? ", resident" : "");
  if (time_is_up(b, name)) return;
  measured r = {.not_finite = 0};
  const int before = b->problems;
  if (measure_call(b, f, &r))
    print_result(b, c, m, resident, &r);
  else
    complain_about(b, "%s: failed", name);
  if (r.not_finite > 0)
    complain_about(b, "%s: %lld results are not finite", name, (long long)r.not_finite);
  if (r.allocations)
    complain_about(b, "%s: %llu allocations in steady state", name,
                   (unsigned long long)r.allocations);
  (void)fprintf(stderr, "gpu-bench: %s: %s\n", name, b->problems > before ? "failed" : "done");
}

static void measure_case(bench *b, const bench_case *c, const mode *m) {
  forward_work f = {.handle = NULL};
  if (prepare(b, c, m, &f)) {
    measure_kind(b, c, m, &f);
    if (xattn_fine(b, f.handle, xattn_context_create(f.handle, f.layer, &f.y, NULL, &f.context),
                   "making a context"))
      measure_kind(b, c, m, &f);
  } else {
    complain_about(b, "%s, %s: failed", c->name, m->name);
  }
  give_back(&f);
}

void measure_cases(bench *b, const case_table *table) {
  json_begin(&b->out, "cases", '[');
  for (size_t i = 0; i < table->count; i++) {
    const bench_case *c = &table->cases[i];
    if (b->set.only && strcmp(b->set.only, c->name) != 0) continue;
    for (int k = 0; k < MODES; k++)
      if (!time_is_up(b, c->name)) measure_case(b, c, &modes[k]);
  }
  json_end(&b->out, ']');
}
