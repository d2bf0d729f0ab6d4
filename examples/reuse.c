/* One context, many queries: the context is projected once and stays on the device. Weights and
 * streams are made up here; 8 heads of 64, with an output projection. */
#include <stdio.h>
#include <stdlib.h>
#include <xattn.h>

enum { WIDTH = 512, HEADS = 8, CONTEXT_ROWS = 1500, STEPS = 20 };

static float *numbers(size_t count) {
  float *data = malloc(count * sizeof *data);
  if (!data) exit(EXIT_FAILURE);
  for (size_t i = 0; i < count; i++) data[i] = (float)(i * 2654435761U % 1000) * 1e-4F - 0.05F;
  return data;
}

int main(void) {
  float *weights = numbers((size_t)WIDTH * WIDTH), *audio = numbers((size_t)CONTEXT_ROWS * WIDTH);
  float *token = numbers(WIDTH), *result = numbers(WIDTH);
  xattn_tensor w = XATTN_TENSOR(weights, XATTN_F32, WIDTH, WIDTH);
  xattn_tensor y = XATTN_TENSOR(audio, XATTN_F32, CONTEXT_ROWS, WIDTH);
  xattn_tensor x = XATTN_TENSOR(token, XATTN_F32, 1, WIDTH);
  xattn_tensor out = XATTN_TENSOR(result, XATTN_F32, 1, WIDTH);
  xattn_layer_weights parts = {.size = sizeof parts,
                               .heads = HEADS,
                               .query_weight = &w,
                               .key_weight = &w,
                               .value_weight = &w,
                               .out_weight = &w};
  xattn_handle *handle = NULL;
  xattn_layer *layer = NULL;
  xattn_context *context = NULL;
  xattn_status status = xattn_create(NULL, &handle);
  if (!status) status = xattn_layer_create(handle, &parts, &layer);
  xattn_options uses = {.size = sizeof uses, .expected_uses = STEPS, .expected_queries = 1};
  if (!status) status = xattn_context_create(handle, layer, &y, &uses, &context);
  for (int step = 0; step < STEPS && !status; step++) {
    status = xattn_forward(handle, layer, &x, context, NULL, &out);
    for (int i = 0; i < WIDTH && !status; i++) token[i] += result[i]; /* the next query */
  }
  if (!status) status = xattn_synchronize(handle);
  xattn_stats stats = {.size = sizeof stats};
  if (!status) status = xattn_get_stats(handle, &stats);
  if (status)
    fprintf(stderr, "%s: %s\n", xattn_status_name(status), xattn_last_error(handle));
  else
    printf("%d queries against one context, %llu allocations in all\n", STEPS,
           (unsigned long long)stats.allocations);
  xattn_context_destroy(context);
  xattn_layer_destroy(layer);
  xattn_destroy(handle);
  free(weights);
  free(audio);
  free(token);
  free(result);
  return status ? EXIT_FAILURE : EXIT_SUCCESS;
}
