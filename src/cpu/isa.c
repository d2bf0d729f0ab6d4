#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

void xattn_softmax_row_base(const float *in, float *out, int64_t n, float scale);
float xattn_softmax_part_base(float *s, int64_t n, float scale, float *maximum, float *sum);
void xattn_softmax_row_avx2(const float *in, float *out, int64_t n, float scale);
float xattn_softmax_part_avx2(float *s, int64_t n, float scale, float *maximum, float *sum);
void xattn_softmax_row_avx512(const float *in, float *out, int64_t n, float scale);
float xattn_softmax_part_avx512(float *s, int64_t n, float scale, float *maximum, float *sum);

/* Worst first. The base is what every processor of the architecture has: SSE2, NEON. */
static const xattn_isa base = {"base", 4, xattn_softmax_row_base, xattn_softmax_part_base};
#if defined(__x86_64__)
static const xattn_isa avx2 = {"avx2", 8, xattn_softmax_row_avx2, xattn_softmax_part_avx2};
static const xattn_isa avx512 = {"avx512", 16, xattn_softmax_row_avx512, xattn_softmax_part_avx512};
#endif

const xattn_isa *xattn_isa_list(int index) {
  const xattn_isa *list[4] = {&base};
  int count = 1;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list[count++] = &avx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    list[count++] = &avx512;
#endif
  return index < count ? list[index] : NULL;
}

xattn_status xattn_isa_choose(xattn_error *error, const xattn_isa **isa) {
  const char *wanted = getenv("XATTN_CPU_ISA");
  char known[64] = "";
  *isa = NULL;
  for (int i = 0; xattn_isa_list(i); i++) {
    const xattn_isa *candidate = xattn_isa_list(i);
    if (!wanted || !*wanted || strcmp(wanted, candidate->name) == 0) *isa = candidate;
    size_t used = strlen(known);
    (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", candidate->name);
  }
  if (*isa) return XATTN_OK;
  return xattn_fail(error, XATTN_ERROR_UNAVAILABLE,
                    "XATTN_CPU_ISA: \"%.32s\" is not available here; this processor has %s", wanted,
                    known);
}
