/* libFuzzer target: any bytes as a .safetensors or .npy file. What opens must be safe to use.
 *     clang -fsanitize=fuzzer,address,undefined -Iinclude -iquote src tests/fuzz_files.c ... */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "io/file.h"
#include "io/statedict.h"
#include "tensor.h"

static void must(bool holds) {
  if (!holds) __builtin_trap();
}

/* Every byte of every tensor can be read, and converted where its dtype can be. */
static void use_tensor(const xattn_tensor *tensor) {
  xattn_error error;
  must(xattn_tensor_check(&error, "entry", tensor, false) == XATTN_OK);
  const unsigned char *bytes = tensor->data;
  volatile unsigned char sum = 0;
  for (size_t i = 0; i < xattn_tensor_span(tensor); i++) sum = (unsigned char)(sum + bytes[i]);
  int64_t elements = xattn_tensor_elements(tensor);
  if (!xattn_convert_supports(tensor->dtype) || elements == 0) return;
  float *copy = malloc((size_t)elements * sizeof *copy);
  if (!copy) return;
  xattn_tensor dense = xattn_tensor_dense(copy, XATTN_F32, tensor->rank, tensor->shape);
  must(xattn_tensor_convert(tensor, &dense) == XATTN_OK);
  free(copy);
}

static void use_layer(const xattn_statedict *layer) {
  for (int part = 0; part < XATTN_PARTS; part++)
    if (layer->present[part]) use_tensor(&layer->parts[part]);
}

/* Makes the header length of a mutated .safetensors fit its last brace; else most inputs would get
 * no further than to that length. Every eighth stays as mutated. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 0 || size < 10 || data[0] == 0x93) return size;
  uint64_t length = size - 8;
  while (length > 1 && data[8 + length - 1] != '}') length--;
  for (int i = 0; i < 8; i++) data[i] = (uint8_t)(length >> (8 * i));
  data[8] = '{';
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  xattn_error error = {""};
  xattn_file *file = NULL;
  if (xattn_file_open_memory(&error, "fuzz", data, size, &file)) {
    must(error.text[0] && !file);
    return 0;
  }
  for (int64_t i = 0; i < xattn_file_count(file); i++) {
    const char *name;
    xattn_tensor tensor, found;
    must(xattn_file_entry(file, i, &name, &tensor) == XATTN_OK);
    must(xattn_file_find(file, name, &found) == XATTN_OK && found.data == tensor.data);
    use_tensor(&tensor);
  }
  xattn_statedict layer;
  if (!xattn_statedict_find(&error, file, NULL, &layer)) use_layer(&layer);
  xattn_status status = XATTN_OK;
  for (int64_t i = 0; i < 16 && status != XATTN_ERROR_NOT_FOUND; i++) {
    xattn_file_layer_info info = {.size = sizeof info};
    status = xattn_file_layer(file, i, &info);
    /* What is listed can be loaded by the prefix it is listed with. */
    if (status) continue;
    must(!xattn_statedict_find(&error, file, info.prefix, &layer));
    must(layer.prefix_length == strlen(info.prefix));
    use_layer(&layer);
  }
  xattn_file_close(file);
  return 0;
}
