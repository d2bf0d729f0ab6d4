#include "io/foreign.h"

#include <string.h>

#include "io/text.h"

/* Tensors, and modules (those that end in a dot), that change what an attention layer computes. */
static const char *const known[] = {
    "bias_k",
    "bias_v",
    "q_norm.",
    "k_norm.",
    "norm_q.",
    "norm_k.",
    "query_norm.",
    "key_norm.",
    "q_layernorm.",
    "k_layernorm.",
    "norm_added_q.",
    "norm_added_k.",
    "norm_cross.",
    "group_norm.",
    "spatial_norm.",
    "add_q_proj.",
    "add_k_proj.",
    "add_v_proj.",
    "to_add_out.",
    "to_k_ip.",
    "to_v_ip.",
    "rotary_emb.",
    "logit_scale",
    "sinks",
    "distance_embedding.",
    "relative_attention_bias.",
    "relative_position_bias_table",
};

static bool is_part(const xattn_style *style, const char *name) {
  for (int i = 0; i < XATTN_PARTS; i++)
    if (style->parts[i] && !strcmp(name, style->parts[i])) return true;
  return false;
}

/* The first tensor stem + name or, for a module, below it that is no part of the style. */
static const char *find_foreign(const xattn_file *file, xattn_stem stem, const xattn_style *style,
                                const char *name) {
  const xattn_entries *entries = &file->entries;
  size_t length = strlen(name);
  bool module = name[length - 1] == '.';
  int64_t at = xattn_entries_lower_bound(entries, stem.text, stem.length, name);
  for (; at < entries->count; at++) {
    const char *full = entries->by_name[at]->name;
    if (strncmp(full, stem.text, stem.length) != 0) return NULL;
    const char *own = full + stem.length;
    if (module ? strncmp(own, name, length) != 0 : strcmp(own, name) != 0) return NULL;
    if (!is_part(style, own)) return full;
  }
  return NULL;
}

xattn_status xattn_refuse_foreign(xattn_error *error, const xattn_file *file, xattn_stem stem,
                                  const xattn_style *style) {
  const char *found = NULL;
  for (size_t i = 0; !found && i < sizeof known / sizeof *known; i++)
    found = find_foreign(file, stem, style, known[i]);
  /* Below a projection anything but its weight and bias: an adapter, a quantiser's scale. */
  for (size_t i = 0; !found && i < sizeof style->modules / sizeof *style->modules; i++)
    if (style->modules[i]) found = find_foreign(file, stem, style, style->modules[i]);
  if (!found) return XATTN_OK;
  xattn_shown shown;
  return xattn_fail(error, XATTN_ERROR_UNSUPPORTED,
                    "%s: \"%s\" changes what the layer computes and is not supported",
                    file->label.text, xattn_show(&shown, found));
}
