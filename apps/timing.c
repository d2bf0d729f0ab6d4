#include "timing.h"

#include <stdlib.h>
#include <time.h>

double now_ms(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

bool samples_add(samples *list, double ms) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? 2 * list->capacity : 1024;
    double *grown = realloc(list->ms, capacity * sizeof *grown);
    if (!grown) return false;
    list->ms = grown;
    list->capacity = capacity;
  }
  list->ms[list->count++] = ms;
  return true;
}

void samples_free(samples *list) {
  free(list->ms);
  *list = (samples){0};
}

static int compare(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

summary samples_summary(samples *list) {
  qsort(list->ms, list->count, sizeof *list->ms, compare);
  size_t last = list->count - 1;
  /* The smallest rank with at least 99 % of the runs at or below it. */
  size_t rank = (99 * list->count + 99) / 100 - 1;
  return (summary){.median = (list->ms[last / 2] + list->ms[list->count / 2]) / 2,
                   .min = list->ms[0],
                   .max = list->ms[last],
                   .p99 = list->ms[rank]};
}
