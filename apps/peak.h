/* The most multiply-adds that the processor does, with nothing to load or store. */
#ifndef XATTN_APPS_PEAK_H
#define XATTN_APPS_PEAK_H

typedef struct peak_rate {
  double flops;             /* FLOP/s of all threads together, F32, a multiply-add is 2 */
  const char *instructions; /* that did them: "avx512"; static */
} peak_rate;

/* Measures, in less than a quarter of a second, on so many threads of OpenMP. Of the instruction sets that the
 * processor has, the fastest counts, whichever the library's kernels are of. */
peak_rate peak_measure(int threads);

#endif
