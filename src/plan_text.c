/* A plan as text, for people. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plan.h"

typedef struct writer {
  char *text;
  size_t size, used;
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(writer *w, const char *format, ...) {
  if (w->used >= w->size) return;
  va_list arguments;
  va_start(arguments, format);
  int written = vsnprintf(w->text + w->used, w->size - w->used, format, arguments);
  va_end(arguments);
  if (written > 0) w->used += (size_t)written;
}

/* printf counts bytes; the texts hold characters of several. */
static int columns_of(const char *text) {
  int columns = 0;
  for (; *text; text++) columns += ((unsigned char)*text & 0xC0) != 0x80;
  return columns;
}

/* FLOPs do not depend on rates and limits. */
static const xattn_limits no_limits;
static const xattn_rates no_rates = {
    .flops = 1, .flops_half = 1, .operands = 1, .stream = 1, .softmax = 1};

static void put_step(writer *w, int number, const xattn_step *step) {
  put(w, "  %d  %s%*s", number, step->text, 34 - columns_of(step->text), "");
  switch (step->kind) {
    case XATTN_STEP_COPY:
      put(w, "copy [%lld, %lld, %lld, %lld]", (long long)step->batch, (long long)step->rows,
          (long long)step->heads, (long long)step->columns);
      break;
    case XATTN_STEP_LINEAR: {
      int64_t items = step->joined ? 1 : step->batch;
      put(w, "%lld × GEMM %lld × %lld × %lld", (long long)(items * step->heads),
          (long long)(step->joined ? step->batch * step->rows : step->rows),
          (long long)step->columns, (long long)step->depth);
      break;
    }
    case XATTN_STEP_ATTEND:
      put(w, "%lld × %lld heads, %lld queries, %lld keys, %lld × %lld × %lld × %lld rows at a time",
          (long long)step->batch, (long long)step->heads, (long long)step->rows,
          (long long)step->keys, (long long)step->chunk[0], (long long)step->chunk[1],
          (long long)step->chunk[2], (long long)step->chunk[3]);
      break;
  }
  double flops = xattn_step_cost(step, &no_limits, &no_rates).flops;
  if (flops > 0.0) put(w, ", %.4g GFLOP", flops * 1e-9);
  put(w, "\n");
}

void xattn_plan_text(const xattn_plan_steps *plan, char *text, size_t size) {
  writer w = {.text = text, .size = size};
  if (size) text[0] = '\0';
  put(&w, "plan %s: %d steps, %.4g GFLOP, workspace %lld bytes\n", xattn_form_name(plan->form),
      plan->count, plan->cost.flops * 1e-9, (long long)plan->workspace);
  for (int i = 0; i < plan->count; i++) put_step(&w, i + 1, &plan->step[i]);
}
