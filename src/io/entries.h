/* The named tensors of a file: in the order of their data, and findable by name. */
#ifndef XATTN_IO_ENTRIES_H
#define XATTN_IO_ENTRIES_H

#include <stdbool.h>

#include "error.h"

typedef struct xattn_entry {
  const char *name;
  size_t bytes;
  xattn_tensor tensor;
} xattn_entry;

typedef struct xattn_entries {
  xattn_entry *items;
  int64_t count;
  const xattn_entry **by_name; /* the same, in strcmp order of their names */
  char *names;                 /* where the names live */
} xattn_entries;

/* Room for `count` items, with their names in one block of `name_bytes`. label: the file's name. */
xattn_status xattn_entries_create(xattn_error *error, const char *label, int64_t count,
                                  size_t name_bytes, xattn_entries *entries);
void xattn_entries_free(xattn_entries *entries);

/* Sorts the filled items by address, then size, then name, and builds the order of names. */
void xattn_entries_sort(xattn_entries *entries);

/* The position in by_name of the first name that is not before prefix + suffix; the prefix is
 * given by its length. Thereby a name is composed without memory for it. */
int64_t xattn_entries_lower_bound(const xattn_entries *entries, const char *prefix,
                                  size_t prefix_length, const char *suffix);

/* The entry named prefix + suffix, or NULL. */
const xattn_entry *xattn_entries_find(const xattn_entries *entries, const char *prefix,
                                      size_t prefix_length, const char *suffix);

/* The bytes of a dense tensor with a shape read from a file. An extent of 0 counts as 1 in looking
 * for overflow, so that the strides fit too. False where either does not fit in int64. */
bool xattn_entry_size(xattn_dtype dtype, int32_t rank, const int64_t *shape, size_t *bytes);

#endif
