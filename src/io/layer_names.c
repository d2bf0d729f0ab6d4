#include "io/layer_names.h"

#include <stdlib.h>
#include <string.h>

/* In the order in which they count where one stem has several. */
static const xattn_style styles[] = {
    {.name = "article",
     .parts = {"query.weight", "key.weight", "value.weight", NULL, "query.bias", "key.bias",
               "value.bias", NULL},
     .modules = {"query.", "key.", "value.", NULL}},
    {.name = "projections",
     .parts = {"q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight", "q_proj.bias",
               "k_proj.bias", "v_proj.bias", "out_proj.bias"},
     .modules = {"q_proj.", "k_proj.", "v_proj.", "out_proj."}},
    {.name = "torch-packed",
     .packed_weight = "in_proj_weight",
     .packed_bias = "in_proj_bias",
     .parts = {NULL, NULL, NULL, "out_proj.weight", NULL, NULL, NULL, "out_proj.bias"},
     .modules = {"out_proj.", NULL, NULL, NULL}},
    {.name = "torch-separate",
     .packed_bias = "in_proj_bias",
     .parts = {"q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight", NULL, NULL,
               NULL, "out_proj.bias"},
     .modules = {"out_proj.", NULL, NULL, NULL}},
    {.name = "diffusers",
     .parts = {"to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight", "to_q.bias",
               "to_k.bias", "to_v.bias", "to_out.0.bias"},
     .modules = {"to_q.", "to_k.", "to_v.", "to_out."}},
};
enum { STYLES = sizeof styles / sizeof *styles };

size_t xattn_stem_prefix_length(xattn_stem stem) {
  return stem.length ? stem.length - 1 : 0;
}

const xattn_entry *xattn_stem_find(const xattn_file *file, xattn_stem stem, const char *name) {
  return name ? xattn_entries_find(&file->entries, stem.text, stem.length, name) : NULL;
}

/* One of Q, K, V alone may be anything, two make a layer. */
static xattn_match match_style(const xattn_file *file, xattn_stem stem, const xattn_style *style) {
  xattn_match m = {NULL, NULL, NULL};
  int found = 0;
  if (style->packed_weight) {
    if (!xattn_stem_find(file, stem, style->packed_weight)) return m;
    m = (xattn_match){style, NULL, style->packed_weight};
  } else {
    for (int i = XATTN_QUERY_WEIGHT; i <= XATTN_VALUE_WEIGHT; i++) {
      if (xattn_stem_find(file, stem, style->parts[i])) {
        found++;
        m.beside = style->parts[i];
      } else {
        m.missing = style->parts[i];
      }
    }
    if (found < 2) return (xattn_match){NULL, NULL, NULL};
    m.style = style;
  }
  const char *out = style->parts[XATTN_OUT_WEIGHT];
  if (!m.missing && out && !xattn_stem_find(file, stem, out)) m.missing = out;
  return m;
}

xattn_match xattn_recognise(const xattn_file *file, xattn_stem stem) {
  xattn_match best = {NULL, NULL, NULL};
  for (int i = 0; i < STYLES; i++) {
    xattn_match m = match_style(file, stem, &styles[i]);
    if (m.style && !m.missing) return m;
    if (!best.style) best = m;
  }
  return best;
}

static bool ends_with_name(const char *name, size_t length, const char *suffix, xattn_stem *stem) {
  if (!suffix) return false;
  size_t tail = strlen(suffix);
  if (length < tail || memcmp(name + length - tail, suffix, tail) != 0) return false;
  *stem = (xattn_stem){name, length - tail};
  /* ".query.weight" would have a prefix that reads as none. */
  return stem->length == 0 || (stem->length > 1 && name[stem->length - 1] == '.');
}

static bool prefix_of(const char *name, xattn_stem *stem) {
  size_t length = strlen(name);
  for (int i = 0; i < STYLES; i++) {
    if (ends_with_name(name, length, styles[i].packed_weight, stem)) return true;
    for (int part = XATTN_QUERY_WEIGHT; part <= XATTN_VALUE_WEIGHT; part++)
      if (ends_with_name(name, length, styles[i].parts[part], stem)) return true;
  }
  return false;
}

static int by_text(const void *a, const void *b) {
  const xattn_stem *left = a, *right = b;
  size_t x = xattn_stem_prefix_length(*left), y = xattn_stem_prefix_length(*right);
  int order = memcmp(left->text, right->text, x < y ? x : y);
  if (order) return order;
  return x < y ? -1 : x > y;
}

xattn_status xattn_collect_stems(xattn_error *error, const xattn_file *file, bool begun,
                                 xattn_stems *stems) {
  size_t room = (size_t)file->entries.count + 1;
  stems->count = 0;
  stems->items = malloc(room * sizeof *stems->items);
  if (!stems->items)
    return xattn_fail(error, XATTN_ERROR_MEMORY, "%s: no memory for a list of its layers",
                      file->label.text);
  int64_t found = 0;
  for (int64_t i = 0; i < file->entries.count; i++)
    if (prefix_of(file->entries.items[i].name, &stems->items[found])) found++;
  qsort(stems->items, (size_t)found, sizeof *stems->items, by_text);
  for (int64_t i = 0; i < found; i++) {
    xattn_stem stem = stems->items[i];
    if (i > 0 && !by_text(&stems->items[i - 1], &stem)) continue;
    xattn_match m = xattn_recognise(file, stem);
    if (m.style && (begun || !m.missing)) stems->items[stems->count++] = stem;
  }
  return XATTN_OK;
}
