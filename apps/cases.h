/* The table of bench cases, a text file: a line "name B Nq Nk Dq Dc H Dh [Do]" each. */
#ifndef XATTN_APPS_CASES_H
#define XATTN_APPS_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bench_case {
  char name[64];
  int64_t batch, queries, keys, query_dim, context_dim, heads, head_dim;
  int64_t out_dim; /* 0: no output projection */
  int line;        /* of the file, from 1; 0: from no file */
  /* not in files: */
  int64_t kv_heads, value_dim; /* 0: as heads, as head_dim */
  bool biases;
} bench_case;

enum { LARGEST_SIZE = 1 << 20 }; /* of any of them: no product of three goes beyond int64 */

typedef struct case_table {
  bench_case *cases;
  size_t count;
} case_table;

/* Reads and checks the whole file. Returns an exit code, having complained ("file:line: ...") if it
 * is not 0. cases_free is needed also after a failure. */
int cases_read(const char *path, case_table *table);
void cases_free(case_table *table);

/* The case with this name. NULL: there is none, and that has been complained about, as a fault of `option`. */
const bench_case *cases_find(const case_table *table, const char *path, const char *option,
                             const char *name);

#endif
