#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

#define XATTN_DECLARE(isa)                                          \
  xattn_softmax_row xattn_softmax_row_##isa;                        \
  xattn_softmax_part xattn_softmax_part_##isa;                      \
  xattn_softmax_columns xattn_softmax_columns_##isa;                \
  xattn_row_scale xattn_row_scale_##isa;                            \
  xattn_finish_rows xattn_finish_rows_##isa;                        \
  xattn_finish_columns xattn_finish_columns_##isa;                  \
  xattn_tile_pack xattn_tile_pack_##isa;                            \
  xattn_tile_multiply xattn_tile_multiply_##isa;                    \
  xattn_tile_pack_f64 xattn_tile_pack_f64_##isa;                    \
  xattn_tile_multiply_f64 xattn_tile_multiply_f64_##isa;            \
  xattn_few xattn_few_dots_##isa, xattn_few_rows_##isa;             \
  xattn_abreast xattn_abreast_dots_##isa, xattn_abreast_sums_##isa; \
  xattn_widen xattn_widen_##isa;                                    \
  xattn_narrow xattn_narrow_##isa

#define XATTN_KERNELS(isa)                                                                  \
  .lanes = LANES_##isa, .panel = XATTN_PANEL_##isa, .softmax_row = xattn_softmax_row_##isa, \
  .softmax_part = xattn_softmax_part_##isa, .softmax_columns = xattn_softmax_columns_##isa, \
  .row_scale = xattn_row_scale_##isa, .finish_rows = xattn_finish_rows_##isa,               \
  .finish_columns = xattn_finish_columns_##isa, .tile_pack = xattn_tile_pack_##isa,         \
  .tile_multiply = xattn_tile_multiply_##isa, .tile_pack_f64 = xattn_tile_pack_f64_##isa,   \
  .tile_multiply_f64 = xattn_tile_multiply_f64_##isa, .few_dots = xattn_few_dots_##isa,     \
  .few_rows = xattn_few_rows_##isa, .abreast_dots = xattn_abreast_dots_##isa,               \
  .abreast_sums = xattn_abreast_sums_##isa, .widen = xattn_widen_##isa,                     \
  .narrow = xattn_narrow_##isa

enum { LANES_base = 4, LANES_avx2 = 8, LANES_avx512 = 16, LANES_neon = 4 };

/* Worst first. The base is the same source everywhere, for what every processor has: 16 vectors of 4 floats. */
XATTN_DECLARE(base);
static const xattn_isa base = {.name = "base", XATTN_KERNELS(base)};
#if defined(__x86_64__)
XATTN_DECLARE(avx2);
XATTN_DECLARE(avx512);
xattn_tile_pack_bf16 xattn_tile_pack_bf16_avx512;
xattn_tile_multiply_bf16 xattn_tile_multiply_bf16_avx512;
static const xattn_isa avx2 = {.name = "avx2", XATTN_KERNELS(avx2)};
static const xattn_isa avx512 = {.name = "avx512", XATTN_KERNELS(avx512)};
static const xattn_isa avx512bf16 = {.name = "avx512bf16",
                                     .tile_pack_bf16 = xattn_tile_pack_bf16_avx512,
                                     .tile_multiply_bf16 = xattn_tile_multiply_bf16_avx512,
                                     XATTN_KERNELS(avx512)};
#elif defined(__aarch64__)
XATTN_DECLARE(neon);
static const xattn_isa neon = {.name = "neon", XATTN_KERNELS(neon)};
#endif

const xattn_isa *xattn_isa_list(int index) {
  const xattn_isa *list[5] = {&base};
  int count = 1;
#if defined(__x86_64__)
  __builtin_cpu_init();
  /* Whatever has AVX2 has F16C. */
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list[count++] = &avx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    list[count++] = &avx512;
  if (list[count - 1] == &avx512 && __builtin_cpu_supports("avx512bf16"))
    list[count++] = &avx512bf16;
#elif defined(__aarch64__)
  list[count++] = &neon; /* part of the architecture */
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
