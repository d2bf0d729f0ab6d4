#include "io/safetensors.h"

#include <jansson.h>
#include <string.h>

#include "io/text.h"
#include "tensor.h"

/* The bound of the format's own implementation. It also bounds what parsing may cost. */
#define MAX_HEADER 100000000u

/* One entry on its way through the checks. */
typedef struct source {
  xattn_error *error;
  const char *label;
  const char *name; /* of the entry, made fit to be shown */
  const unsigned char *data;
  size_t data_bytes;
} source;

static const char *type_name(const json_t *value) {
  switch (json_typeof(value)) {
    case JSON_OBJECT:
      return "an object";
    case JSON_ARRAY:
      return "an array";
    case JSON_STRING:
      return "a string";
    case JSON_INTEGER:
      return "an integer";
    case JSON_REAL:
      return "a real number";
    case JSON_NULL:
      return "null";
    default:
      return "a boolean";
  }
}

static xattn_status field(const source *from, const json_t *entry, const char *key,
                          json_t **value) {
  *value = json_object_get(entry, key);
  if (*value) return XATTN_OK;
  return xattn_fail(from->error, XATTN_ERROR_FORMAT, "%s: entry \"%s\" has no %s", from->label,
                    from->name, key);
}

static xattn_status read_dtype(const source *from, const json_t *entry, xattn_dtype *dtype) {
  static const char *const foreign[] = {"F8_E8M0", "F6_E2M3", "F6_E3M2", "F4", "C64"};
  json_t *value;
  xattn_status status = field(from, entry, "dtype", &value);
  if (status) return status;
  if (!json_is_string(value))
    return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                      "%s: entry \"%s\": dtype is %s, must be a string", from->label, from->name,
                      type_name(value));
  const char *text = json_string_value(value);
#define XATTN_X(label, number, short_name, bytes) \
  if (!strcmp(text, short_name)) return *dtype = label, XATTN_OK;
  XATTN_DTYPE_LIST(XATTN_X)
#undef XATTN_X
  status = XATTN_ERROR_FORMAT;
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
    if (!strcmp(text, foreign[i])) status = XATTN_ERROR_UNSUPPORTED;
  xattn_shown shown;
  return xattn_fail(from->error, status, "%s: entry \"%s\": dtype \"%s\" is %s", from->label,
                    from->name, xattn_show(&shown, text),
                    status == XATTN_ERROR_FORMAT ? "unknown" : "not supported");
}

static xattn_status read_shape(const source *from, const json_t *entry, int32_t *rank,
                               int64_t *shape) {
  json_t *value;
  xattn_status status = field(from, entry, "shape", &value);
  if (status) return status;
  if (!json_is_array(value))
    return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                      "%s: entry \"%s\": shape is %s, must be an array of integers", from->label,
                      from->name, type_name(value));
  size_t count = json_array_size(value);
  if (count > XATTN_MAX_RANK)
    return xattn_fail(from->error, XATTN_ERROR_UNSUPPORTED,
                      "%s: entry \"%s\": rank is %zu, at most %d is supported", from->label,
                      from->name, count, XATTN_MAX_RANK);
  *rank = (int32_t)count;
  for (size_t i = 0; i < count; i++) {
    const json_t *extent = json_array_get(value, i);
    if (!json_is_integer(extent))
      return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                        "%s: entry \"%s\": shape[%zu] is %s, must be an integer", from->label,
                        from->name, i, type_name(extent));
    shape[i] = (int64_t)json_integer_value(extent);
    if (shape[i] < 0)
      return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                        "%s: entry \"%s\": shape[%zu] is %lld, below 0", from->label, from->name, i,
                        (long long)shape[i]);
  }
  return XATTN_OK;
}

static xattn_status read_offsets(const source *from, const json_t *entry, size_t *begin,
                                 size_t *end) {
  json_t *value;
  xattn_status status = field(from, entry, "data_offsets", &value);
  if (status) return status;
  const json_t *first = json_array_get(value, 0), *second = json_array_get(value, 1);
  if (json_array_size(value) != 2 || !json_is_integer(first) || !json_is_integer(second))
    return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                      "%s: entry \"%s\": data_offsets must be two integers, is %s of %zu",
                      from->label, from->name, type_name(value), json_array_size(value));
  int64_t low = (int64_t)json_integer_value(first), high = (int64_t)json_integer_value(second);
  if (low < 0 || low > high)
    return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                      "%s: entry \"%s\": data_offsets [%lld, %lld] are not in order", from->label,
                      from->name, (long long)low, (long long)high);
  if ((uint64_t)high > from->data_bytes)
    return xattn_fail(
        from->error, XATTN_ERROR_FORMAT,
        "%s: entry \"%s\": data_offsets [%lld, %lld] end beyond the %zu bytes of data", from->label,
        from->name, (long long)low, (long long)high, from->data_bytes);
  *begin = (size_t)low;
  *end = (size_t)high;
  return XATTN_OK;
}

static xattn_status read_entry(const source *from, const json_t *value, xattn_entry *entry) {
  if (!json_is_object(value))
    return xattn_fail(from->error, XATTN_ERROR_FORMAT, "%s: entry \"%s\" is %s, must be an object",
                      from->label, from->name, type_name(value));
  xattn_dtype dtype = XATTN_F32;
  int32_t rank = 0;
  int64_t shape[XATTN_MAX_RANK];
  size_t begin = 0, end = 0;
  xattn_status status = read_dtype(from, value, &dtype);
  if (!status) status = read_shape(from, value, &rank, shape);
  if (!status) status = read_offsets(from, value, &begin, &end);
  if (status) return status;

  bool fits = xattn_entry_size(dtype, rank, shape, &entry->bytes);
  entry->tensor = xattn_tensor_dense(from->data + begin, dtype, rank, shape);
  xattn_text text;
  if (!fits)
    return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                      "%s: entry \"%s\": the product of shape %s overflows", from->label,
                      from->name, xattn_shape_text(&text, &entry->tensor));
  if (entry->bytes != end - begin)
    return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                      "%s: entry \"%s\": data_offsets [%zu, %zu] hold %zu bytes, %s %s needs %zu",
                      from->label, from->name, begin, end, end - begin, xattn_dtype_name(dtype),
                      xattn_shape_text(&text, &entry->tensor), entry->bytes);
  return XATTN_OK;
}

static xattn_status check_metadata(const source *from, const json_t *metadata) {
  if (!json_is_object(metadata))
    return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                      "%s: \"__metadata__\" is %s, must be an object of strings", from->label,
                      type_name(metadata));
  for (void *at = json_object_iter((json_t *)(uintptr_t)metadata); at;
       at = json_object_iter_next((json_t *)(uintptr_t)metadata, at)) {
    xattn_shown key;
    if (!json_is_string(json_object_iter_value(at)))
      return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                        "%s: \"__metadata__\": \"%s\" is %s, must be a string", from->label,
                        xattn_show(&key, json_object_iter_key(at)),
                        type_name(json_object_iter_value(at)));
  }
  return XATTN_OK;
}

/* With the entries in the order of their data, each must begin where those before it end. */
static xattn_status check_cover(const source *from, const xattn_entries *entries) {
  size_t covered = 0;
  xattn_shown name, other;
  for (int64_t i = 0; i < entries->count; i++) {
    const xattn_entry *entry = &entries->items[i];
    size_t begin = (size_t)((const unsigned char *)entry->tensor.data - from->data);
    if (begin < covered) {
      const xattn_entry *before = entry - 1;
      return xattn_fail(
          from->error, XATTN_ERROR_FORMAT,
          "%s: entry \"%s\", bytes %zu to %zu, overlaps \"%s\", which ends at byte %zu",
          from->label, xattn_show(&name, entry->name), begin, begin + entry->bytes,
          xattn_show(&other, before->name), covered);
    }
    if (begin > covered)
      return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                        "%s: bytes %zu to %zu of the data, before entry \"%s\", belong to no entry",
                        from->label, covered, begin, xattn_show(&name, entry->name));
    covered += entry->bytes;
  }
  if (covered == from->data_bytes) return XATTN_OK;
  return xattn_fail(from->error, XATTN_ERROR_FORMAT,
                    "%s: bytes %zu to %zu of the data, after the last entry, belong to no entry",
                    from->label, covered, from->data_bytes);
}

static xattn_status read_header(source *from, json_t *header, xattn_entries *entries) {
  const json_t *metadata = json_object_get(header, "__metadata__");
  if (metadata) {
    xattn_status status = check_metadata(from, metadata);
    if (status) return status;
  }
  size_t name_bytes = 0;
  const char *key;
  json_t *value;
  json_object_foreach(header, key, value) name_bytes += strlen(key) + 1;
  int64_t count = (int64_t)json_object_size(header) - (metadata ? 1 : 0);
  xattn_status status = xattn_entries_create(from->error, from->label, count, name_bytes, entries);
  if (status) return status;

  xattn_entry *entry = entries->items;
  char *name = entries->names;
  json_object_foreach(header, key, value) {
    if (value == metadata) continue;
    size_t length = strlen(key) + 1;
    entry->name = memcpy(name, key, length);
    name += length;
    xattn_shown shown;
    from->name = xattn_show(&shown, key);
    status = read_entry(from, value, entry++);
    if (status) return status;
  }
  xattn_entries_sort(entries);
  return check_cover(from, entries);
}

/* Jansson tells where a duplicate ends, but its name only if it is short. The key just read is the
 * string before that position. */
static xattn_status duplicate(xattn_error *error, const char *label, const char *text, size_t end) {
  xattn_shown name;
  size_t close = end;
  while (close > 0 && text[close - 1] != '"') close--;
  size_t open = close > 0 ? close - 1 : 0;
  while (open > 0) {
    open--;
    size_t escapes = 0;
    while (escapes < open && text[open - 1 - escapes] == '\\') escapes++;
    if (text[open] == '"' && escapes % 2 == 0) break;
  }
  size_t length = close > open + 2 ? close - open - 2 : 0;
  return xattn_fail(error, XATTN_ERROR_FORMAT,
                    "%s: header: the name \"%s\" is there twice, again before byte %zu", label,
                    xattn_show_bytes(&name, text + open + 1, length), end);
}

static xattn_status invalid_json(xattn_error *error, const char *label, const char *text,
                                 size_t length, const json_error_t *details) {
  size_t position = details->position < 0 ? 0 : (size_t)details->position;
  if (position > length) position = length;
  switch (json_error_code(details)) {
    case json_error_out_of_memory:
      return xattn_fail(error, XATTN_ERROR_MEMORY, "%s: no memory to parse a header of %zu bytes",
                        label, length);
    case json_error_duplicate_key:
      return duplicate(error, label, text, position);
    default: {
      xattn_shown reason;
      return xattn_fail(error, XATTN_ERROR_FORMAT, "%s: header is not valid JSON: byte %zu: %s",
                        label, position, xattn_show(&reason, details->text));
    }
  }
}

xattn_status xattn_safetensors_parse(xattn_error *error, const char *label,
                                     const unsigned char *data, size_t size,
                                     xattn_entries *entries) {
  *entries = (xattn_entries){0};
  if (size < 8)
    return xattn_fail(error, XATTN_ERROR_FORMAT,
                      "%s: has %zu bytes, a .safetensors file has at least 8", label, size);
  uint64_t length = 0;
  for (int i = 7; i >= 0; i--) length = length << 8 | data[i];
  if (length > MAX_HEADER)
    return xattn_fail(error, XATTN_ERROR_FORMAT,
                      "%s: header length is %llu, at most %u; not a .safetensors or .npy file?",
                      label, (unsigned long long)length, MAX_HEADER);
  if (length > size - 8)
    return xattn_fail(error, XATTN_ERROR_FORMAT,
                      "%s: header length is %llu, only %zu bytes follow it", label,
                      (unsigned long long)length, size - 8);
  const char *text = (const char *)data + 8;
  if (length == 0 || text[0] != '{')
    return xattn_fail(error, XATTN_ERROR_FORMAT, "%s: header of %llu bytes does not start with '{'",
                      label, (unsigned long long)length);
  json_error_t details;
  json_t *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &details);
  if (!header) return invalid_json(error, label, text, (size_t)length, &details);
  source from = {error, label, "", data + 8 + length, size - 8 - (size_t)length};
  xattn_status status = read_header(&from, header, entries);
  json_decref(header);
  if (status) xattn_entries_free(entries);
  return status;
}
