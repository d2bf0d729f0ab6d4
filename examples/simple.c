/* The program of the README: one layer, one call. usage: simple weights.safetensors */
#include <stdio.h>
#include <stdlib.h>
#include <xattn.h>

int main(int argc, char **argv) {
  float *text = calloc(1024 * 512, sizeof *text), *image = calloc(1024 * 1024, sizeof *image);
  float *fused = malloc(1024 * 1024 * sizeof *fused);
  xattn_tensor x = XATTN_TENSOR(text, XATTN_F32, 1, 1024, 512);
  xattn_tensor y = XATTN_TENSOR(image, XATTN_F32, 1, 1024, 1024);
  xattn_tensor out = XATTN_TENSOR(fused, XATTN_F32, 1, 1024, 1024);
  xattn_handle *handle = NULL;
  xattn_layer *layer = NULL;
  xattn_status status = xattn_create(NULL, &handle);
  if (!status)
    status = xattn_layer_load(handle, argc > 1 ? argv[1] : "weights.safetensors", NULL, &layer);
  if (!status) status = xattn_forward_once(handle, layer, &x, &y, NULL, &out);
  if (!status) status = xattn_synchronize(handle);
  if (status) fprintf(stderr, "%s: %s\n", xattn_status_name(status), xattn_last_error(handle));
  xattn_layer_destroy(layer);
  xattn_destroy(handle);
  free(text);
  free(image);
  free(fused);
  return status ? EXIT_FAILURE : EXIT_SUCCESS;
}
