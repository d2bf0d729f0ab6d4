/* check-result DIR: compares DIR/out.npy with what the oracle makes of DIR's weights.safetensors,
 * x.npy and y.npy, by the end-to-end rule of SEMANTICS.md, on 64 of the rows. */
#include <stdio.h>
#include <stdlib.h>

#include "oracle.h"

static xattn_file *opened(const char *directory, const char *name, xattn_tensor *tensor) {
  char path[4096];
  xattn_file *file;
  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  if (xattn_file_open(path, &file) || (tensor && xattn_file_entry(file, 0, NULL, tensor))) {
    fprintf(stderr, "check-result: %s\n", xattn_last_error(NULL));
    exit(EXIT_FAILURE);
  }
  return file;
}

static void found(const xattn_file *file, const char *name, xattn_tensor *tensor) {
  if (xattn_file_find(file, name, tensor) == XATTN_OK) return;
  fprintf(stderr, "check-result: %s\n", xattn_last_error(NULL));
  exit(EXIT_FAILURE);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: check-result DIR\n");
    return 2;
  }
  xattn_tensor x, y, out, query, key, value;
  xattn_file *files[4] = {opened(argv[1], "weights.safetensors", NULL),
                          opened(argv[1], "x.npy", &x), opened(argv[1], "y.npy", &y),
                          opened(argv[1], "out.npy", &out)};
  found(files[0], "query.weight", &query);
  found(files[0], "key.weight", &key);
  found(files[0], "value.weight", &value);
  xattn_layer_weights weights = {
      .size = sizeof weights, .query_weight = &query, .key_weight = &key, .value_weight = &value};
  layer_verdict v = oracle_check_layer(&weights, &x, &y, NULL, &out, 64);
  printf("check: largest error against float64 %.3g, of plain float32 %.3g: %s\n", v.error,
         v.plain_error, v.right ? "right" : "WRONG");
  for (int i = 0; i < 4; i++) xattn_file_close(files[i]);
  return v.right ? EXIT_SUCCESS : EXIT_FAILURE;
}
