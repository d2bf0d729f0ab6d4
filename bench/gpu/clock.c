/* Times work by CUDA's events. */
#include "bench.h"

static bool flush(bench *b, cudaStream_t stream, int value) {
  return cuda_fine(b, cudaMemsetAsync(b->flush, value, b->flush_bytes, stream),
                   "writing over the cache");
}

/* Enqueues runs, each between two events, and waits for all of them. */
static bool run(bench *b, const work *w, temperature how, size_t runs) {
  for (size_t i = 0; i < runs; i++) {
    if (how == COLD && !flush(b, w->stream, (int)(i & 0xFF))) return false;
    if (!cuda_fine(b, cudaEventRecord(b->begin[i], w->stream), "recording an event")) return false;
    if (!w->enqueue(b, w->what)) return false;
    if (!cuda_fine(b, cudaEventRecord(b->end[i], w->stream), "recording an event")) return false;
  }
  return cuda_fine(b, cudaStreamSynchronize(w->stream), "waiting for the runs");
}

bool time_work(bench *b, const work *w, temperature how, timing *result) {
  *result = (timing){0};
  if (!run(b, w, how, WARM_UPS)) return false;
  const double start = now_ms();
  if (!run(b, w, how, WARM_UPS)) return false;
  const double one = (now_ms() - start) / WARM_UPS, fit = b->set.seconds * 1e3 / one;
  const size_t runs = fit > MOST_RUNS ? MOST_RUNS : fit > FEWEST_RUNS ? (size_t)fit : FEWEST_RUNS;
  if (!run(b, w, how, runs)) return false;
  samples list = {0};
  bool fine = true;
  for (size_t i = 0; i < runs && fine; i++) {
    float ms = 0;
    fine = cuda_fine(b, cudaEventElapsedTime(&ms, b->begin[i], b->end[i]), "reading the events") &&
           samples_add(&list, (double)ms);
  }
  if (fine) *result = (timing){.runs = runs, .ms = samples_summary(&list)};
  samples_free(&list);
  return fine;
}

double time_enqueue(bench *b, const work *w) {
  enum { CALLS = 21 };
  samples list = {0};
  bool fine = true;
  for (int i = 0; i < CALLS && fine; i++) {
    const double start = now_ms();
    fine = w->enqueue(b, w->what);
    const double end = now_ms();
    fine = fine && samples_add(&list, end - start) &&
           cuda_fine(b, cudaStreamSynchronize(w->stream), "waiting for a run");
  }
  const double median = fine ? samples_summary(&list).median * 1e3 : -1;
  samples_free(&list);
  return median;
}

void print_timing(json *out, const char *name, const timing *t) {
  if (!t->runs) return;
  json_begin(out, name, '{');
  json_integer(out, "runs", (int64_t)t->runs);
  json_real(out, "median_ms", t->ms.median);
  json_real(out, "min_ms", t->ms.min);
  json_real(out, "p99_ms", t->ms.p99);
  json_end(out, '}');
}
