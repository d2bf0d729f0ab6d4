#include "io/entries.h"

#include <stdlib.h>
#include <string.h>

xattn_status xattn_entries_create(xattn_error *error, const char *label, int64_t count,
                                  size_t name_bytes, xattn_entries *entries) {
  size_t room = (size_t)count + 1; /* calloc(0) may give NULL */
  *entries = (xattn_entries){.items = calloc(room, sizeof *entries->items),
                             .count = count,
                             .by_name = calloc(room, sizeof *entries->by_name),
                             .names = calloc(name_bytes + 1, 1)};
  if (entries->items && entries->by_name && entries->names) return XATTN_OK;
  xattn_entries_free(entries);
  return xattn_fail(error, XATTN_ERROR_MEMORY, "%s: no memory for its list of %lld entries", label,
                    (long long)count);
}

void xattn_entries_free(xattn_entries *entries) {
  free(entries->items);
  free(entries->by_name);
  free(entries->names);
  *entries = (xattn_entries){0};
}

static int by_data(const void *a, const void *b) {
  const xattn_entry *left = a, *right = b;
  uintptr_t x = (uintptr_t)left->tensor.data, y = (uintptr_t)right->tensor.data;
  if (x != y) return x < y ? -1 : 1;
  if (left->bytes != right->bytes) return left->bytes < right->bytes ? -1 : 1;
  return strcmp(left->name, right->name);
}

static int by_name(const void *a, const void *b) {
  const xattn_entry *const *left = a, *const *right = b;
  return strcmp((*left)->name, (*right)->name);
}

void xattn_entries_sort(xattn_entries *entries) {
  qsort(entries->items, (size_t)entries->count, sizeof *entries->items, by_data);
  for (int64_t i = 0; i < entries->count; i++) entries->by_name[i] = &entries->items[i];
  qsort(entries->by_name, (size_t)entries->count, sizeof *entries->by_name, by_name);
}

static int compare(const char *name, const char *prefix, size_t prefix_length, const char *suffix) {
  int order = strncmp(name, prefix, prefix_length);
  return order ? order : strcmp(name + prefix_length, suffix);
}

int64_t xattn_entries_lower_bound(const xattn_entries *entries, const char *prefix,
                                  size_t prefix_length, const char *suffix) {
  int64_t begin = 0, end = entries->count;
  while (begin < end) {
    int64_t middle = begin + (end - begin) / 2;
    if (compare(entries->by_name[middle]->name, prefix, prefix_length, suffix) < 0)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}

const xattn_entry *xattn_entries_find(const xattn_entries *entries, const char *prefix,
                                      size_t prefix_length, const char *suffix) {
  int64_t at = xattn_entries_lower_bound(entries, prefix, prefix_length, suffix);
  if (at == entries->count) return NULL;
  const xattn_entry *entry = entries->by_name[at];
  return compare(entry->name, prefix, prefix_length, suffix) ? NULL : entry;
}

bool xattn_entry_size(xattn_dtype dtype, int32_t rank, const int64_t *shape, size_t *bytes) {
  int64_t product = (int64_t)xattn_dtype_size(dtype);
  bool empty = false;
  for (int32_t i = 0; i < rank; i++) {
    empty |= shape[i] == 0;
    if (__builtin_mul_overflow(product, shape[i] ? shape[i] : 1, &product)) return false;
  }
  *bytes = empty ? 0 : (size_t)product;
  return true;
}
