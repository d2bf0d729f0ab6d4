#include "json.h"

#include <inttypes.h>
#include <math.h>

#include "../../apps/report.h"

static void member(json *j, const char *name) {
  if (j->behind) (void)fputc(',', j->file);
  if (j->depth) (void)fprintf(j->file, "\n%*s", j->depth, "");
  if (name) {
    print_json_string(j->file, name);
    (void)fputs(": ", j->file);
  }
  j->behind = true;
}

void json_begin(json *j, const char *name, char bracket) {
  member(j, name);
  (void)fputc(bracket, j->file);
  j->depth++;
  j->behind = false;
}

void json_end(json *j, char bracket) {
  j->depth--;
  (void)fputc(bracket, j->file);
  if (!j->depth) (void)fputc('\n', j->file);
  j->behind = true;
}

void json_text(json *j, const char *name, const char *text) {
  member(j, name);
  print_json_string(j->file, text);
}

void json_integer(json *j, const char *name, int64_t number) {
  member(j, name);
  (void)fprintf(j->file, "%" PRId64, number);
}

void json_real(json *j, const char *name, double number) {
  member(j, name);
  if (isfinite(number))
    (void)fprintf(j->file, "%.9g", number);
  else
    (void)fputs("null", j->file);
}

void json_truth(json *j, const char *name, bool truth) {
  member(j, name);
  (void)fputs(truth ? "true" : "false", j->file);
}
