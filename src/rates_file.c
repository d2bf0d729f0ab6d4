/* The file of rates:  {"cpu; avx512 kernels; threads 2; F32": {"flops": 1.9e11, ...}, ...} */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rates.h"

static const struct field {
  const char *name;
  size_t offset;
} fields[] = {{"flops", offsetof(xattn_rates, flops)},
              {"flops_half", offsetof(xattn_rates, flops_half)},
              {"operands", offsetof(xattn_rates, operands)},
              {"stream", offsetof(xattn_rates, stream)},
              {"softmax", offsetof(xattn_rates, softmax)},
              {"launch", offsetof(xattn_rates, launch)}};
enum { FIELDS = sizeof fields / sizeof *fields };

static bool fits(int written) {
  return written > 0 && written < XATTN_RATES_PATH;
}

bool xattn_rates_path(char path[XATTN_RATES_PATH]) {
  const char *named = getenv("XATTN_RATES"), *cache = getenv("XDG_CACHE_HOME");
  const char *home = getenv("HOME");
  if (named && *named)
    return strcmp(named, "builtin") != 0 && fits(snprintf(path, XATTN_RATES_PATH, "%s", named));
  /* A path that is not absolute is to be taken for none (XDG Base Directory Specification). */
  if (cache && *cache == '/')
    return fits(snprintf(path, XATTN_RATES_PATH, "%s/xattn/rates.json", cache));
  if (!home || !*home) return false;
  return fits(snprintf(path, XATTN_RATES_PATH, "%s/.cache/xattn/rates.json", home));
}

bool xattn_rates_read(const char *path, const char *key, xattn_rates *rates) {
  json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
  const json_t *entry = json_object_get(file, key);
  xattn_rates own = {.size = sizeof own};
  for (int i = 0; i < FIELDS; i++) {
    double value = json_number_value(json_object_get(entry, fields[i].name));
    memcpy((char *)&own + fields[i].offset, &value, sizeof value);
  }
  json_decref(file);
  if (!xattn_rates_sane(&own)) return false;
  (void)snprintf(own.source, sizeof own.source, "%s", path);
  *rates = own;
  return true;
}

/* What the file holds already, or an empty object. */
static xattn_status load(xattn_error *error, const char *path, json_t **file) {
  json_error_t why;
  *file = NULL;
  if (access(path, F_OK)) {
    *file = json_object();
    if (*file) return XATTN_OK;
    return xattn_fail(error, XATTN_ERROR_MEMORY, "rates: out of memory");
  }
  *file = json_load_file(path, 0, &why);
  if (json_is_object(*file)) return XATTN_OK;
  bool parsed = *file != NULL;
  json_decref(*file);
  *file = NULL;
  return xattn_fail(error, XATTN_ERROR_FORMAT, "%.300s: is no file of rates: %s", path,
                    parsed ? "not an object" : why.text);
}

/* The folders above the file. */
static xattn_status make_folders(xattn_error *error, const char *path) {
  char folder[XATTN_RATES_PATH];
  (void)snprintf(folder, sizeof folder, "%s", path);
  for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
    *at = '\0';
    if (mkdir(folder, 0777) && errno != EEXIST)
      return xattn_fail(error, XATTN_ERROR_IO, "%.300s: %s", folder, strerror(errno));
    *at = '/';
  }
  return XATTN_OK;
}

static xattn_status replace(xattn_error *error, const char *path, const json_t *file) {
  char temporary[XATTN_RATES_PATH + 32];
  (void)snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
  if (json_dump_file(file, temporary, JSON_INDENT(1) | JSON_SORT_KEYS) || rename(temporary, path)) {
    int why = errno;
    (void)unlink(temporary);
    return xattn_fail(error, XATTN_ERROR_IO, "%.300s: %s", path, strerror(why));
  }
  return XATTN_OK;
}

xattn_status xattn_rates_write(xattn_error *error, const char *path, const char *key,
                               const xattn_rates *rates) {
  json_t *file, *entry = json_object();
  bool filled = entry != NULL;
  for (int i = 0; i < FIELDS; i++) {
    double value;
    memcpy(&value, (const char *)rates + fields[i].offset, sizeof value);
    filled &= json_object_set_new(entry, fields[i].name, json_real(value)) == 0;
  }
  xattn_status status = load(error, path, &file);
  if (!status && (!filled || json_object_set(file, key, entry)))
    status = xattn_fail(error, XATTN_ERROR_MEMORY, "rates: out of memory");
  if (!status) status = make_folders(error, path);
  if (!status) status = replace(error, path, file);
  json_decref(entry);
  json_decref(file);
  return status;
}
