#include "io/statedict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/foreign.h"
#include "io/layer_names.h"
#include "io/layer_shapes.h"
#include "tensor.h"

static void set_part(xattn_statedict *layer, xattn_part part, const xattn_entry *entry) {
  if (!entry) return;
  layer->present[part] = true;
  layer->parts[part] = entry->tensor;
  layer->names[part] = entry->name;
}

/* Three views of `rows` rows each on a tensor with 3·rows. */
static void set_slices(xattn_statedict *layer, xattn_part first, const xattn_entry *entry,
                       int64_t rows) {
  for (int i = 0; i < 3; i++) {
    xattn_part part = (xattn_part)((int)first + i);
    set_part(layer, part, entry);
    xattn_tensor *view = &layer->parts[part];
    int64_t row_bytes = view->strides[0] * (int64_t)xattn_dtype_size(view->dtype);
    view->shape[0] = rows;
    view->data = (char *)view->data + i * rows * row_bytes;
  }
}

static bool has_thrice(const xattn_tensor *tensor, int64_t rows) {
  return rows > 0 && tensor->shape[0] % 3 == 0 && tensor->shape[0] / 3 == rows;
}

static xattn_status wrong_shape(xattn_error *error, const xattn_file *file,
                                const xattn_entry *entry, const char *wanted, int64_t width) {
  xattn_shown name;
  xattn_text shape;
  return xattn_fail(error, XATTN_ERROR_SHAPE, "%s: \"%s\" is %s, must be %s with E = %lld",
                    file->label.text, xattn_show(&name, entry->name),
                    xattn_shape_text(&shape, &entry->tensor), wanted, (long long)width);
}

static xattn_status cut_packed(xattn_error *error, const xattn_file *file, xattn_stem stem,
                               const xattn_style *style, xattn_statedict *layer) {
  const xattn_entry *weight = xattn_stem_find(file, stem, style->packed_weight);
  if (weight) {
    int64_t width = weight->tensor.rank == 2 ? weight->tensor.shape[1] : 0;
    if (!has_thrice(&weight->tensor, width))
      return wrong_shape(error, file, weight, "[3E, E]", width);
    set_slices(layer, XATTN_QUERY_WEIGHT, weight, width);
  }
  const xattn_entry *bias = xattn_stem_find(file, stem, style->packed_bias);
  if (bias) {
    const xattn_tensor *query = &layer->parts[XATTN_QUERY_WEIGHT];
    int64_t width = query->rank == 2 ? query->shape[0] : 0;
    if (bias->tensor.rank != 1 || !has_thrice(&bias->tensor, width))
      return wrong_shape(error, file, bias, "[3E]", width);
    set_slices(layer, XATTN_QUERY_BIAS, bias, width);
  }
  return XATTN_OK;
}

static xattn_status build(xattn_error *error, const xattn_file *file, xattn_stem stem,
                          const xattn_match *match, xattn_statedict *layer) {
  const xattn_style *style = match->style;
  xattn_shown shown;
  if (match->missing)
    return xattn_fail(error, XATTN_ERROR_NOT_FOUND, "%s: \"%s%s\" is missing beside \"%s\"",
                      file->label.text, xattn_show_bytes(&shown, stem.text, stem.length),
                      match->missing, match->beside);
  xattn_status status = xattn_refuse_foreign(error, file, stem, style);
  if (status) return status;
  *layer = (xattn_statedict){
      .style = style->name, .prefix = stem.text, .prefix_length = xattn_stem_prefix_length(stem)};
  for (int part = 0; part < XATTN_PARTS; part++)
    set_part(layer, (xattn_part)part, xattn_stem_find(file, stem, style->parts[part]));
  status = cut_packed(error, file, stem, style, layer);
  return status ? status : xattn_check_layer_shapes(error, file->label.text, layer);
}

/* "a", "b" and 3 more */
static const char *list_prefixes(const xattn_stems *stems, char *text, size_t room) {
  size_t used = 0;
  text[0] = '\0';
  for (int64_t i = 0; i < stems->count; i++) {
    xattn_shown shown;
    const char *prefix =
        xattn_show_bytes(&shown, stems->items[i].text, xattn_stem_prefix_length(stems->items[i]));
    /* Quotes, the comma, and the words below with any number. */
    if (used + strlen(prefix) + 40 > room) {
      (void)snprintf(text + used, room - used, " and %lld more", (long long)(stems->count - i));
      break;
    }
    used += (size_t)snprintf(text + used, room - used, "%s\"%s\"", i ? ", " : "", prefix);
  }
  return text;
}

static xattn_status not_found(xattn_error *error, const xattn_file *file, const char *wanted) {
  xattn_stems stems;
  xattn_status status = xattn_collect_stems(error, file, false, &stems);
  if (status) return status;
  char there[220];
  xattn_shown shown;
  if (wanted[0])
    status = xattn_fail(
        error, XATTN_ERROR_NOT_FOUND, "%s: prefix: no attention layer at \"%s\"; there are: %s",
        file->label.text, xattn_show(&shown, wanted),
        stems.count ? list_prefixes(&stems, there, sizeof there) : "none at any prefix");
  else
    status = xattn_fail(error, XATTN_ERROR_NOT_FOUND,
                        "%s: no attention layer: no name of its %lld entries ends in query.weight, "
                        "q_proj.weight, q_proj_weight, in_proj_weight or to_q.weight with its "
                        "fellows",
                        file->label.text, (long long)file->entries.count);
  free(stems.items);
  return status;
}

/* The stem given + dot, in the file's own memory, if any name begins with it. */
static bool adopt(const xattn_file *file, const char *given, const char *dot, xattn_stem *stem) {
  size_t length = strlen(given), dots = strlen(dot);
  const xattn_entries *entries = &file->entries;
  int64_t at = xattn_entries_lower_bound(entries, given, length, dot);
  if (at == entries->count) return false;
  const char *name = entries->by_name[at]->name;
  if (strncmp(name, given, length) != 0 || strncmp(name + length, dot, dots) != 0) return false;
  *stem = (xattn_stem){name, length + dots};
  return true;
}

static xattn_status find_at(xattn_error *error, const xattn_file *file, const char *given,
                            xattn_statedict *out) {
  xattn_stem stem;
  xattn_match match = {NULL, NULL, NULL};
  if (given[strlen(given) - 1] == '.' && adopt(file, given, "", &stem))
    match = xattn_recognise(file, stem);
  if (!match.style && adopt(file, given, ".", &stem)) match = xattn_recognise(file, stem);
  return match.style ? build(error, file, stem, &match, out) : not_found(error, file, given);
}

/* The only complete layer, else the only one begun, for the sake of the message. */
static xattn_status find_only(xattn_error *error, const xattn_file *file, xattn_statedict *out) {
  xattn_stems stems;
  xattn_status status = xattn_collect_stems(error, file, false, &stems);
  if (!status && stems.count == 0) {
    free(stems.items);
    status = xattn_collect_stems(error, file, true, &stems);
  }
  if (status) return status;
  if (stems.count == 1) {
    xattn_match match = xattn_recognise(file, stems.items[0]);
    status = build(error, file, stems.items[0], &match, out);
  } else if (stems.count == 0) {
    status = not_found(error, file, "");
  } else {
    char there[320];
    status = xattn_fail(error, XATTN_ERROR_ARGUMENT,
                        "%s: prefix: not given, and there are %lld layers: %s", file->label.text,
                        (long long)stems.count, list_prefixes(&stems, there, sizeof there));
  }
  free(stems.items);
  return status;
}

xattn_status xattn_statedict_find(xattn_error *error, const xattn_file *file, const char *prefix,
                                  xattn_statedict *out) {
  if (prefix && prefix[0]) return find_at(error, file, prefix, out);
  const xattn_stem none = {"", 0};
  xattn_match match = xattn_recognise(file, none);
  return match.style ? build(error, file, none, &match, out) : find_only(error, file, out);
}

void xattn_statedict_weights(const xattn_statedict *layer, xattn_layer_weights *weights) {
  const xattn_tensor **const fields[XATTN_PARTS] = {
      [XATTN_QUERY_WEIGHT] = &weights->query_weight, [XATTN_KEY_WEIGHT] = &weights->key_weight,
      [XATTN_VALUE_WEIGHT] = &weights->value_weight, [XATTN_OUT_WEIGHT] = &weights->out_weight,
      [XATTN_QUERY_BIAS] = &weights->query_bias,     [XATTN_KEY_BIAS] = &weights->key_bias,
      [XATTN_VALUE_BIAS] = &weights->value_bias,     [XATTN_OUT_BIAS] = &weights->out_bias,
  };
  for (int part = 0; part < XATTN_PARTS; part++)
    *fields[part] = layer->present[part] ? &layer->parts[part] : NULL;
}

static xattn_status describe(xattn_error *error, const xattn_file *file,
                             const xattn_statedict *layer, xattn_file_layer_info *info) {
  xattn_shown shown;
  if (layer->prefix_length >= sizeof info->prefix)
    return xattn_fail(error, XATTN_ERROR_UNSUPPORTED,
                      "%s: prefix \"%s\" has %zu bytes, at most %zu are supported",
                      file->label.text,
                      xattn_show_bytes(&shown, layer->prefix, layer->prefix_length),
                      layer->prefix_length, sizeof info->prefix - 1);
  const xattn_tensor *parts = layer->parts;
  *info = (xattn_file_layer_info){
      .query_dim = parts[XATTN_QUERY_WEIGHT].shape[1],
      .context_dim = parts[XATTN_KEY_WEIGHT].shape[1],
      .query_width = parts[XATTN_QUERY_WEIGHT].shape[0],
      .value_width = parts[XATTN_VALUE_WEIGHT].shape[0],
      .out_dim = layer->present[XATTN_OUT_WEIGHT] ? parts[XATTN_OUT_WEIGHT].shape[0] : 0,
  };
  memcpy(info->prefix, layer->prefix, layer->prefix_length);
  (void)snprintf(info->style, sizeof info->style, "%s", layer->style);
  for (int part = XATTN_QUERY_BIAS; part < XATTN_PARTS; part++)
    if (layer->present[part]) info->biases = 1;
  return XATTN_OK;
}

xattn_status xattn_file_layer(const xattn_file *file, int64_t index, xattn_file_layer_info *info) {
  xattn_error *error = xattn_thread_error();
  if (!file) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "file: is NULL");
  if (index < 0)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "%s: layer index is %lld, below 0",
                      file->label.text, (long long)index);
  xattn_stems stems;
  xattn_status status = xattn_collect_stems(error, file, false, &stems);
  if (status) return status;
  xattn_stem stem = {"", 0};
  if (index < stems.count)
    stem = stems.items[index];
  else
    status = xattn_fail(error, XATTN_ERROR_NOT_FOUND, "%s: layer index is %lld, there are %lld",
                        file->label.text, (long long)index, (long long)stems.count);
  free(stems.items);
  if (status) return status;

  xattn_match match = xattn_recognise(file, stem);
  xattn_statedict layer;
  xattn_file_layer_info own = {0};
  status = build(error, file, stem, &match, &layer);
  if (!status) status = describe(error, file, &layer, &own);
  return status ? status : xattn_write_sized(error, "info", &own, sizeof own, info);
}
