/* How fast memory is read and copied, beyond all caches. */
#ifndef XATTN_APPS_MEMORY_H
#define XATTN_APPS_MEMORY_H

#include <stdbool.h>

typedef struct memory_rates {
  double read; /* bytes/s of all threads together */
  double copy; /* bytes read and bytes written */
} memory_rates;

/* Measures, in about a quarter of a second, on so many threads of OpenMP. False: out of memory. */
bool memory_measure(int threads, memory_rates *rates);

#endif
