/* The roofline of a bench, an SVG picture: GFLOP/s over FLOP per byte, a point for each case, below the lines of what
 * the machine does. */
#ifndef XATTN_APPS_ROOFLINE_H
#define XATTN_APPS_ROOFLINE_H

#include "bench_report.h"

/* Whether a picture could be written, for it would be a pity to learn only after a long bench that it cannot. Leaves
 * nothing behind. Returns an exit code, having complained if it is not 0. */
int roofline_check(const char *path);

/* Writes it; the file appears under its name only when complete. `count` is at least 1. Returns as above. */
int roofline_write(const char *path, const bench_place *place, const measurement *results,
                   size_t count);

#endif
