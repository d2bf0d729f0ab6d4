/* Times of repeated runs and what to say about them. */
#ifndef XATTN_APPS_TIMING_H
#define XATTN_APPS_TIMING_H

#include <stdbool.h>
#include <stddef.h>

/* Milliseconds of a clock that only moves forward. */
double now_ms(void);

/* Start from all zero; give back with samples_free. */
typedef struct samples {
  double *ms;
  size_t count, capacity;
} samples;

/* False: out of memory. */
bool samples_add(samples *list, double ms);
void samples_free(samples *list);

typedef struct summary {
  double median, min, max, p99;
} summary;

/* Sorts the list, which must not be empty. p99 is the nearest rank: below 100 runs, the slowest. */
summary samples_summary(samples *list);

#endif
