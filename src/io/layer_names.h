/* The conventions by which state dicts name the tensors of attention layers, and where in a file
 * such names are. */
#ifndef XATTN_IO_LAYER_NAMES_H
#define XATTN_IO_LAYER_NAMES_H

#include "io/file.h"
#include "io/statedict.h"

/* One convention. Packed: one tensor that holds three parts. */
typedef struct xattn_style {
  const char *name;
  const char *packed_weight;
  const char *packed_bias;
  const char *parts[XATTN_PARTS];
  const char *modules[4]; /* what lies below these is either a part or unknown */
} xattn_style;

/* What comes before a layer's own names, its last dot included; not terminated. */
typedef struct xattn_stem {
  const char *text;
  size_t length;
} xattn_stem;

/* What a stem was found to hold: a complete style, or one begun. */
typedef struct xattn_match {
  const xattn_style *style; /* NULL: nothing like a layer */
  const char *missing;      /* NULL: complete */
  const char *beside;       /* the name that makes the missing one expected */
} xattn_match;

typedef struct xattn_stems {
  xattn_stem *items; /* the caller frees it */
  int64_t count;
} xattn_stems;

/* The length without the last dot: a prefix as callers see it. */
size_t xattn_stem_prefix_length(xattn_stem stem);

/* The entry stem + name, or NULL; also where name is NULL. */
const xattn_entry *xattn_stem_find(const xattn_file *file, xattn_stem stem, const char *name);

xattn_match xattn_recognise(const xattn_file *file, xattn_stem stem);

/* The stems with a complete layer, ordered by prefix; with `begun` those with a part of one too. */
xattn_status xattn_collect_stems(xattn_error *error, const xattn_file *file, bool begun,
                                 xattn_stems *stems);

#endif
