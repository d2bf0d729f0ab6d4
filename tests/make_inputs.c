/* make-inputs DIR: the article's example as real files. CrossAttention(in_dim 1024, out_dim 1024,
 * in_q_dim 512, hid_q_dim 1024) over x [1, 1024, 512] and y [1, 1024, 1024], random, repeatable. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support_files.h"

/* SplitMix64 (Steele, Lea, Flood 2014), to [-1, 1). */
static double uniform(uint64_t *state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15U);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1.0;
}

static xattn_tensor random_tensor(uint64_t *state, int32_t rank, const int64_t *shape,
                                  double scale) {
  int64_t count = 1;
  for (int32_t i = 0; i < rank; i++) count *= shape[i];
  float *data = malloc((size_t)count * sizeof *data);
  if (!data) {
    fprintf(stderr, "make-inputs: out of memory\n");
    exit(EXIT_FAILURE);
  }
  for (int64_t i = 0; i < count; i++) data[i] = (float)(uniform(state) * scale);
  return xattn_tensor_dense(data, XATTN_F32, rank, shape);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: make-inputs DIR\n");
    return 2;
  }
  char path[4096];
  uint64_t state = 2026;
  /* As nn.Linear starts out: within ±1/√in. Streams of variance 1. */
  named_tensor weights[3] = {
      {"query.weight", random_tensor(&state, 2, (int64_t[]){1024, 512}, 1.0 / sqrt(512.0))},
      {"key.weight", random_tensor(&state, 2, (int64_t[]){1024, 1024}, 1.0 / 32.0)},
      {"value.weight", random_tensor(&state, 2, (int64_t[]){1024, 1024}, 1.0 / 32.0)},
  };
  xattn_tensor x = random_tensor(&state, 3, (int64_t[]){1, 1024, 512}, sqrt(3.0));
  xattn_tensor y = random_tensor(&state, 3, (int64_t[]){1, 1024, 1024}, sqrt(3.0));
  (void)snprintf(path, sizeof path, "%s/weights.safetensors", argv[1]);
  if (write_safetensors(path, weights, 3)) {
    perror(path);
    return EXIT_FAILURE;
  }
  const struct {
    const char *name;
    const xattn_tensor *tensor;
  } streams[2] = {{"x.npy", &x}, {"y.npy", &y}};
  for (int i = 0; i < 2; i++) {
    (void)snprintf(path, sizeof path, "%s/%s", argv[1], streams[i].name);
    if (xattn_npy_write(path, streams[i].tensor)) {
      fprintf(stderr, "make-inputs: %s\n", xattn_last_error(NULL));
      return EXIT_FAILURE;
    }
  }
  for (int i = 0; i < 3; i++) free(weights[i].tensor.data);
  free(x.data);
  free(y.data);
  return EXIT_SUCCESS;
}
