/* tile.c in F64. */
#define XATTN_REAL double
#define XATTN_TYPED(name) name##_f64
#include "cpu.h"
typedef xattn_tile_f64 tile;
#include "tile.c" /* NOLINT(bugprone-suspicious-include) */
