#include "cases.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "report.h"

/* Where a field goes. */
static const struct field {
  const char *name;
  size_t offset;
  int64_t least;
} fields[] = {
    {"B", offsetof(bench_case, batch), 1},        {"Nq", offsetof(bench_case, queries), 1},
    {"Nk", offsetof(bench_case, keys), 1},        {"Dq", offsetof(bench_case, query_dim), 1},
    {"Dc", offsetof(bench_case, context_dim), 1}, {"H", offsetof(bench_case, heads), 1},
    {"Dh", offsetof(bench_case, head_dim), 1},    {"Do", offsetof(bench_case, out_dim), 0},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const char spaces[] = " \t\r\n";

/* A complaint's subject, "file:line". */
typedef struct place {
  char text[4200];
} place;

static place place_of(const char *path, int line) {
  place at;
  (void)snprintf(at.text, sizeof at.text, "%s:%d", path, line);
  return at;
}

static bool read_name(const char *at, const char *word, const case_table *table, char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  size_t length = strlen(word), room = sizeof table->cases->name;
  if (length >= room || word[strspn(word, allowed)]) {
    complain(at, "name '%s': expected at most %zu letters, digits, '_', '.' or '-'", word,
             room - 1);
    return false;
  }
  for (size_t i = 0; i < table->count; i++) {
    if (strcmp(table->cases[i].name, word) != 0) continue;
    complain(at, "name '%s' is taken by line %d", word, table->cases[i].line);
    return false;
  }
  memcpy(name, word, length + 1);
  return true;
}

static bool read_number(const char *at, const struct field *field, const char *word,
                        bench_case *one) {
  int64_t value = 0;
  bool digits = word[strspn(word, "0123456789")] == '\0';
  for (const char *c = word; digits && *c && value <= LARGEST_SIZE; c++)
    value = 10 * value + (*c - '0');
  if (!digits || value < field->least || value > LARGEST_SIZE) {
    complain(at, "%s is '%s', expected an integer from %" PRId64 " to %d", field->name, word,
             field->least, LARGEST_SIZE);
    return false;
  }
  memcpy((char *)one + field->offset, &value, sizeof value);
  return true;
}

/* Reads a line that has something on it; the text is cut into words on the way. */
static bool read_case(const char *at, char *text, const case_table *table, bench_case *one) {
  char *rest;
  if (!read_name(at, strtok_r(text, spaces, &rest), table, one->name)) return false;
  for (size_t i = 0; i < FIELDS; i++) {
    char *word = strtok_r(NULL, spaces, &rest);
    if (!word && i == FIELDS - 1) return true; /* Do may be missing */
    if (!word) {
      complain(at, "%s is missing: %zu fields of at least %d", fields[i].name, i + 1, FIELDS);
      return false;
    }
    if (!read_number(at, &fields[i], word, one)) return false;
  }
  const char *more = strtok_r(NULL, spaces, &rest);
  if (more) complain(at, "'%s' is one field too many, expected at most %d", more, FIELDS + 1);
  return !more;
}

static bool append(case_table *table, const bench_case *one) {
  bench_case *grown = realloc(table->cases, (table->count + 1) * sizeof *grown);
  if (!grown) return false;
  table->cases = grown;
  table->cases[table->count++] = *one;
  return true;
}

static bool read_line(const char *path, int line, char *text, size_t length, case_table *table) {
  place at = place_of(path, line);
  if (strlen(text) != length) {
    complain(at.text, "contains a zero byte");
    return false;
  }
  text[strcspn(text, "#")] = '\0';
  if (!text[strspn(text, spaces)]) return true;
  bench_case one = {.line = line};
  if (!read_case(at.text, text, table, &one)) return false;
  if (!append(table, &one)) {
    complain(at.text, "no memory for case %zu", table->count + 1);
    return false;
  }
  return true;
}

int cases_read(const char *path, case_table *table) {
  *table = (case_table){0};
  FILE *file = fopen(path, "r");
  if (!file) {
    complain(path, "%s", strerror(errno));
    return EXIT_FAILED;
  }
  char *text = NULL;
  size_t room = 0;
  bool good = true;
  errno = 0;
  for (int line = 1; good; line++) {
    ssize_t length = getline(&text, &room, file);
    if (length < 0) break;
    good = read_line(path, line, text, (size_t)length, table);
  }
  if (good && !feof(file)) {
    complain(path, "%s", strerror(errno));
    good = false;
  } else if (good && table->count == 0) {
    complain(path, "holds no case, expected at least 1");
    good = false;
  }
  free(text);
  (void)fclose(file);
  return good ? EXIT_FINE : EXIT_FAILED;
}

void cases_free(case_table *table) {
  free(table->cases);
  *table = (case_table){0};
}

const bench_case *cases_find(const case_table *table, const char *path, const char *option,
                             const char *name) {
  for (size_t i = 0; i < table->count; i++)
    if (strcmp(table->cases[i].name, name) == 0) return &table->cases[i];
  complain(option, "'%s' is none of the %zu cases in '%s'", name, table->count, path);
  return NULL;
}
