#include "io/npy.h"

#include <string.h>

#include "io/text.h"
#include "tensor.h"

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6

/* The dict's text while it is read. */
typedef struct cursor {
  xattn_error *error;
  const char *label;
  const char *begin, *at, *end;
} cursor;

typedef struct header {
  xattn_dtype dtype;
  bool fortran;
  int64_t rank; /* as written, may be above XATTN_MAX_RANK */
  int64_t shape[XATTN_MAX_RANK];
} header;

typedef struct slice {
  const char *text;
  size_t length;
} slice;

static void skip_space(cursor *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
    c->at++;
}

static xattn_status expected(const cursor *c, const char *what) {
  xattn_shown found;
  size_t left = (size_t)(c->end - c->at);
  return xattn_fail(c->error, XATTN_ERROR_FORMAT, "%s: header byte %zu: expected %s, found %s%s%s",
                    c->label, (size_t)(c->at - c->begin), what, left ? "'" : "",
                    left ? xattn_show_bytes(&found, c->at, left < 12 ? left : 12) : "the end",
                    left ? "'" : "");
}

static bool take(cursor *c, char wanted) {
  skip_space(c);
  if (c->at == c->end || *c->at != wanted) return false;
  c->at++;
  return true;
}

static bool take_word(cursor *c, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0) return false;
  c->at += length;
  return true;
}

/* A Python string without escapes: no key and no dtype needs one. */
static xattn_status read_string(cursor *c, slice *string) {
  skip_space(c);
  if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return expected(c, "a string");
  char quote = *c->at;
  const char *begin = c->at + 1;
  for (const char *p = begin; p < c->end && *p != '\\' && *p != '\n'; p++) {
    if (*p != quote) continue;
    *string = (slice){begin, (size_t)(p - begin)};
    c->at = p + 1;
    return XATTN_OK;
  }
  return expected(c, "a string that ends, without escapes");
}

static bool slice_is(slice s, const char *text) {
  return s.length == strlen(text) && !memcmp(s.text, text, s.length);
}

static xattn_status read_descr(cursor *c, header *h) {
  static const struct {
    const char *text;
    xattn_dtype dtype;
  } known[] = {
      {"<f4", XATTN_F32}, {"<f2", XATTN_F16}, {"<f8", XATTN_F64}, {"|b1", XATTN_BOOL},
      {"|i1", XATTN_I8},  {"<i2", XATTN_I16}, {"<i4", XATTN_I32}, {"<i8", XATTN_I64},
      {"|u1", XATTN_U8},  {"<u2", XATTN_U16}, {"<u4", XATTN_U32}, {"<u8", XATTN_U64},
  };
  skip_space(c);
  if (c->at < c->end && (*c->at == '[' || *c->at == '('))
    return xattn_fail(c->error, XATTN_ERROR_UNSUPPORTED, "%s: a structured dtype is not supported",
                      c->label);
  slice descr = {NULL, 0};
  xattn_status status = read_string(c, &descr);
  if (status) return status;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (slice_is(descr, known[i].text)) return h->dtype = known[i].dtype, XATTN_OK;
  xattn_shown text;
  const char *why = "";
  if (slice_is(descr, "|O") || slice_is(descr, "O"))
    why = " (Python objects: pickled code, never read)";
  else if (descr.length > 0 && descr.text[0] == '>')
    why = " (big-endian)";
  return xattn_fail(c->error, XATTN_ERROR_UNSUPPORTED, "%s: dtype '%s' is not supported%s",
                    c->label, xattn_show_bytes(&text, descr.text, descr.length), why);
}

static xattn_status read_fortran(cursor *c, header *h) {
  skip_space(c);
  h->fortran = take_word(c, "True");
  if (h->fortran || take_word(c, "False")) return XATTN_OK;
  return expected(c, "True or False");
}

static xattn_status read_extent(cursor *c, int64_t *extent) {
  const char *begin = c->at;
  *extent = 0;
  bool fits = true;
  while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
    fits = fits && !__builtin_mul_overflow(*extent, 10, extent) &&
           !__builtin_add_overflow(*extent, *c->at - '0', extent);
    c->at++;
  }
  size_t length = (size_t)(c->at - begin);
  if (length == 0) return expected(c, "an extent, 0 or more");
  xattn_shown digits;
  if (!fits || (length > 1 && *begin == '0'))
    return xattn_fail(c->error, XATTN_ERROR_FORMAT, "%s: shape: %s %s", c->label,
                      xattn_show_bytes(&digits, begin, length),
                      fits ? "starts with 0" : "is too large");
  return XATTN_OK;
}

/* A Python tuple: "()", "(3,)", "(3, 4)" or "(3, 4,)", but "(3)" is a number. */
static xattn_status read_shape(cursor *c, header *h) {
  if (!take(c, '(')) return expected(c, "'(' of the shape");
  h->rank = 0;
  bool comma = true;
  while (!take(c, ')')) {
    if (!comma) return expected(c, "',' or ')' of the shape");
    int64_t extent;
    skip_space(c);
    xattn_status status = read_extent(c, &extent);
    if (status) return status;
    if (h->rank < XATTN_MAX_RANK) h->shape[h->rank] = extent;
    h->rank++;
    comma = take(c, ',');
  }
  if (h->rank != 1 || comma) return XATTN_OK;
  return xattn_fail(c->error, XATTN_ERROR_FORMAT,
                    "%s: shape (%lld) is a number; a tuple of one is (%lld,)", c->label,
                    (long long)h->shape[0], (long long)h->shape[0]);
}

static xattn_status read_dict(cursor *c, header *h) {
  static const struct {
    const char *key;
    xattn_status (*read)(cursor *c, header *h);
  } fields[] = {{"descr", read_descr}, {"fortran_order", read_fortran}, {"shape", read_shape}};
  enum { COUNT = sizeof fields / sizeof *fields };
  bool seen[COUNT] = {false};
  if (!take(c, '{')) return expected(c, "'{'");
  bool comma = true;
  while (!take(c, '}')) {
    if (!comma) return expected(c, "',' or '}'");
    slice key = {NULL, 0};
    xattn_shown shown;
    xattn_status status = read_string(c, &key);
    if (status) return status;
    int i = 0;
    while (i < COUNT && !slice_is(key, fields[i].key)) i++;
    if (i == COUNT || seen[i])
      return xattn_fail(c->error, XATTN_ERROR_FORMAT, "%s: header: key '%s' is %s", c->label,
                        xattn_show_bytes(&shown, key.text, key.length),
                        i == COUNT ? "unknown" : "there twice");
    seen[i] = true;
    if (!take(c, ':')) return expected(c, "':'");
    status = fields[i].read(c, h);
    if (status) return status;
    comma = take(c, ',');
  }
  skip_space(c); /* the padding */
  if (c->at < c->end) return expected(c, "only padding behind the dict");
  for (int i = 0; i < COUNT; i++)
    if (!seen[i])
      return xattn_fail(c->error, XATTN_ERROR_FORMAT, "%s: header: key '%s' is missing", c->label,
                        fields[i].key);
  return XATTN_OK;
}

/* Sets *text to where the dict is. */
static xattn_status read_preamble(xattn_error *error, const char *label, const unsigned char *data,
                                  size_t size, slice *text) {
  if (size < MAGIC_BYTES + 2)
    return xattn_fail(error, XATTN_ERROR_FORMAT, "%s: ends within the .npy version, at byte %zu",
                      label, size);
  unsigned major = data[MAGIC_BYTES], minor = data[MAGIC_BYTES + 1];
  if (major < 1 || major > 3 || minor != 0)
    return xattn_fail(error, XATTN_ERROR_UNSUPPORTED,
                      "%s: .npy version %u.%u is not supported, 1.0 to 3.0 are", label, major,
                      minor);
  size_t width = major == 1 ? 2 : 4, begin = MAGIC_BYTES + 2 + width, length = 0;
  if (size < begin)
    return xattn_fail(error, XATTN_ERROR_FORMAT, "%s: ends within the header length, at byte %zu",
                      label, size);
  for (size_t i = begin; i-- > begin - width;) length = length << 8 | data[i];
  if (length > size - begin)
    return xattn_fail(error, XATTN_ERROR_FORMAT,
                      "%s: header length is %zu, only %zu bytes follow it", label, length,
                      size - begin);
  *text = (slice){(const char *)data + begin, length};
  return XATTN_OK;
}

/* A Fortran-ordered array is a row-major one with its dimensions reversed. */
static void order_as_fortran(xattn_tensor *tensor) {
  int64_t stride = 1;
  for (int32_t i = 0; i < tensor->rank; i++) {
    tensor->strides[i] = stride;
    stride *= tensor->shape[i] ? tensor->shape[i] : 1;
  }
}

static xattn_status make_tensor(xattn_error *error, const char *label, const header *h,
                                const unsigned char *data, size_t size, xattn_entry *entry) {
  if (h->rank > XATTN_MAX_RANK)
    return xattn_fail(error, XATTN_ERROR_UNSUPPORTED, "%s: rank is %lld, at most %d is supported",
                      label, (long long)h->rank, XATTN_MAX_RANK);
  bool fits = xattn_entry_size(h->dtype, (int32_t)h->rank, h->shape, &entry->bytes);
  entry->tensor = xattn_tensor_dense(data, h->dtype, (int32_t)h->rank, h->shape);
  entry->name = "";
  xattn_text text;
  if (!fits)
    return xattn_fail(error, XATTN_ERROR_FORMAT, "%s: the product of shape %s overflows", label,
                      xattn_shape_text(&text, &entry->tensor));
  if (entry->bytes != size)
    return xattn_fail(error, XATTN_ERROR_FORMAT, "%s: %s: data has %zu bytes, %s %s needs %zu",
                      label, size < entry->bytes ? "truncated" : "bytes behind the data", size,
                      xattn_dtype_name(h->dtype), xattn_shape_text(&text, &entry->tensor),
                      entry->bytes);
  if (h->fortran) order_as_fortran(&entry->tensor);
  return XATTN_OK;
}

bool xattn_npy_recognise(const unsigned char *data, size_t size) {
  return size >= MAGIC_BYTES && !memcmp(data, MAGIC, MAGIC_BYTES);
}

xattn_status xattn_npy_parse(xattn_error *error, const char *label, const unsigned char *data,
                             size_t size, xattn_entries *entries) {
  slice text = {NULL, 0};
  header h = {0};
  *entries = (xattn_entries){0};
  xattn_status status = read_preamble(error, label, data, size, &text);
  if (status) return status;
  cursor c = {error, label, text.text, text.text, text.text + text.length};
  status = read_dict(&c, &h);
  if (!status) status = xattn_entries_create(error, label, 1, 0, entries);
  if (status) return status;
  const unsigned char *content = (const unsigned char *)c.end;
  status = make_tensor(error, label, &h, content, size - (size_t)(content - data), entries->items);
  if (status)
    xattn_entries_free(entries);
  else
    xattn_entries_sort(entries);
  return status;
}
