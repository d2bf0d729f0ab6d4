/* Writes JSON, a member a line. */
#ifndef XATTN_BENCH_GPU_JSON_H
#define XATTN_BENCH_GPU_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct json {
  FILE *file;
  int depth;
  bool behind; /* another value: a comma comes first */
} json;

/* name is NULL for what stands in an array. bracket: '{' or '['. */
void json_begin(json *j, const char *name, char bracket);
void json_end(json *j, char bracket); /* '}' or ']' */
void json_text(json *j, const char *name, const char *text);
void json_integer(json *j, const char *name, int64_t number);
void json_real(json *j, const char *name, double number); /* null where it is no number */
void json_truth(json *j, const char *name, bool truth);

#endif
