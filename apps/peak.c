#include "peak.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>

#include "timing.h"

/* Chains s = s + s·factor, each of which waits for itself alone: enough of them to hide that a multiply-add takes 4
 * cycles or so and that there are two units, on ARM up to four, and few enough for the registers. Built with
 * -ffp-contract=fast (Makefile), or each would be a product and a sum. */
#define CHAINS(name, bytes, chains, attributes)                                           \
  attributes static float name(int64_t rounds, float factor) {                            \
    typedef float vector __attribute__((vector_size(bytes)));                             \
    vector s[chains], f = (vector){0} + factor;                                           \
    for (int i = 0; i < (chains); i++) s[i] = f + (float)i;                               \
    for (int64_t r = 0; r < rounds; r++)                                                  \
      _Pragma("GCC unroll 24") for (int i = 0; i < (chains); i++) s[i] = s[i] * f + s[i]; \
    for (int i = 1; i < (chains); i++) s[0] += s[i];                                      \
    return s[0][0];                                                                       \
  }

typedef struct chains {
  const char *name;
  float (*run)(int64_t rounds, float factor);
  double flops; /* of a round */
} chains;

#define TINY 0x1p-30F /* changes no chain, and is no 0, which may take less power */

enum { MOST_SETS = 3, FEW_REGISTERS = 12, MANY_REGISTERS = 24 };

#define FLOPS(bytes, chains) (2.0 * (chains) * (bytes) / sizeof(float))

#ifdef __x86_64__
CHAINS(run_base, 16, FEW_REGISTERS, )
CHAINS(run_avx2, 32, FEW_REGISTERS, __attribute__((target("avx2,fma"))))
CHAINS(run_avx512, 64, MANY_REGISTERS, __attribute__((target("avx512f"))))

static int sets_here(chains sets[MOST_SETS]) {
  int count = 0;
  sets[count++] = (chains){"base", run_base, FLOPS(16, FEW_REGISTERS)};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    sets[count++] = (chains){"avx2", run_avx2, FLOPS(32, FEW_REGISTERS)};
  if (__builtin_cpu_supports("avx512f"))
    sets[count++] = (chains){"avx512", run_avx512, FLOPS(64, MANY_REGISTERS)};
  return count;
}
#else
CHAINS(run_base, 16, MANY_REGISTERS, )

static int sets_here(chains sets[MOST_SETS]) {
  sets[0] = (chains){"base", run_base, FLOPS(16, MANY_REGISTERS)};
  return 1;
}
#endif

static _Thread_local volatile float kept; /* what is not used would not be computed */

/* FLOP/s of this thread in the best of many short rounds between two times: whatever disturbs a round makes it slower,
 * and in between all threads are at work. */
static double flops_between(const chains *set, double begin, double end) {
  const int64_t rounds = 1 << 14; /* some 30 us */
  double best = 0;
  for (double start = now_ms(); start < end;) {
    kept = set->run(rounds, TINY);
    double stop = now_ms();
    double flops = set->flops * (double)rounds / (stop - start) * 1e3;
    if (start > begin && stop < end && flops > best) best = flops;
    start = stop;
  }
  return best;
}

static double flops_of(const chains *set, int threads) {
  const double warm_up = 10, measured = 40; /* ms */
  double sum = 0, begin = now_ms() + warm_up;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : sum)
  for (int t = 0; t < threads; t++) sum += flops_between(set, begin, begin + measured);
  /* Threads that take turns on a processor have it to themselves in their best rounds. */
  return sum * fmin(1, (double)omp_get_num_procs() / threads);
}

peak_rate peak_measure(int threads) {
  chains sets[MOST_SETS];
  int count = sets_here(sets);
  peak_rate best = {0};
  for (int i = 0; i < count; i++) {
    double flops = flops_of(&sets[i], threads);
    if (flops > best.flops) best = (peak_rate){flops, sets[i].name};
  }
  return best;
}
