/* From a weight file to a working layer: the file and the same weights in memory give the same bits. */
#include <stdio.h>
#include <string.h>

#include "support.h"
#include "support_files.h"

enum { NQ = 3, NK = 4, WIDTH = 6 };

static void forward(xattn_handle *handle, const xattn_layer *layer, float out[NQ * WIDTH]) {
  static float x[NQ * WIDTH], y[NK * WIDTH];
  rng r = {71};
  for (int i = 0; i < NQ * WIDTH; i++) x[i] = (float)rng_uniform(&r);
  for (int i = 0; i < NK * WIDTH; i++) y[i] = (float)rng_uniform(&r);
  xattn_tensor tx = XATTN_TENSOR(x, XATTN_F32, NQ, WIDTH),
               ty = XATTN_TENSOR(y, XATTN_F32, NK, WIDTH);
  xattn_tensor to = XATTN_TENSOR(out, XATTN_F32, NQ, WIDTH);
  ASSERT_OK(handle, xattn_forward_once(handle, layer, &tx, &ty, NULL, &to));
}

/* The names of each style for query, key, value, out; the packed style is made by hand below. */
static const struct style {
  const char *weight[4], *bias[4];
} styles[] = {
    {{"a.q_proj.weight", "a.k_proj.weight", "a.v_proj.weight", "a.out_proj.weight"},
     {"a.q_proj.bias", "a.k_proj.bias", "a.v_proj.bias", "a.out_proj.bias"}},
    {{"a.to_q.weight", "a.to_k.weight", "a.to_v.weight", "a.to_out.0.weight"},
     {"a.to_q.bias", "a.to_k.bias", "a.to_v.bias", "a.to_out.0.bias"}},
};

START_TEST(a_file_gives_the_same_bits_as_memory) {
  xattn_handle *handle = test_handle(1);
  test_layer l = {.query_dim = WIDTH,
                  .context_dim = WIDTH,
                  .heads = 2,
                  .head_dim = 3,
                  .out_dim = WIDTH,
                  .biases = true};
  rng r = {72};
  test_layer_init(&l, &r);
  xattn_layer *layer;
  ASSERT_OK(handle, xattn_layer_create(handle, &l.weights, &layer));
  float expected[NQ * WIDTH], got[NQ * WIDTH];
  forward(handle, layer, expected);
  xattn_layer_destroy(layer);

  char directory[256], path[300];
  ck_assert_int_eq(make_directory(directory, sizeof directory), 0);
  (void)snprintf(path, sizeof path, "%s/w.safetensors", directory);
  float packed[3 * WIDTH * WIDTH], packed_bias[3 * WIDTH];
  for (int i = 0; i < 3; i++) {
    memcpy(packed + i * WIDTH * WIDTH, l.tensor[i].data, WIDTH * WIDTH * sizeof(float));
    memcpy(packed_bias + i * WIDTH, l.tensor[4 + i].data, WIDTH * sizeof(float));
  }
  for (int style = 0; style < 3; style++) {
    named_tensor parts[8];
    int count = 0;
    if (style < 2) {
      for (int i = 0; i < 4; i++) {
        parts[count++] = (named_tensor){styles[style].weight[i], l.tensor[i]};
        parts[count++] = (named_tensor){styles[style].bias[i], l.tensor[4 + i]};
      }
    } else {
      parts[count++] =
          (named_tensor){"a.in_proj_weight", XATTN_TENSOR(packed, XATTN_F32, 3 * WIDTH, WIDTH)};
      parts[count++] =
          (named_tensor){"a.in_proj_bias", XATTN_TENSOR(packed_bias, XATTN_F32, 3 * WIDTH)};
      parts[count++] = (named_tensor){"a.out_proj.weight", l.tensor[3]};
      parts[count++] = (named_tensor){"a.out_proj.bias", l.tensor[7]};
    }
    ck_assert_int_eq(write_safetensors(path, parts, count), 0);
    static const char *const prefixes[] = {"a", "a.", NULL};
    for (int p = 0; p < 3; p++) {
      xattn_load_options options = {.size = sizeof options, .prefix = prefixes[p], .heads = 2};
      ASSERT_OK(handle, xattn_layer_load(handle, path, &options, &layer));
      forward(handle, layer, got);
      ck_assert(memcmp(expected, got, sizeof got) == 0);
      xattn_layer_destroy(layer);
    }
  }
  xattn_load_options options = {.size = sizeof options, .prefix = "b"};
  ASSERT_FAILS(handle, xattn_layer_load(handle, path, &options, &layer), XATTN_ERROR_NOT_FOUND,
               "b");
  ck_assert_ptr_null(layer);
  options = (xattn_load_options){.size = sizeof options, .heads = 5};
  ASSERT_FAILS(handle, xattn_layer_load(handle, path, &options, &layer), XATTN_ERROR_SHAPE,
               "6 rows cannot be split into heads 5");
  (void)snprintf(path, sizeof path, "%s/absent", directory);
  ASSERT_FAILS(handle, xattn_layer_load(handle, path, NULL, &layer), XATTN_ERROR_IO, "absent");
  ASSERT_FAILS(handle, xattn_layer_load(handle, NULL, NULL, &layer), XATTN_ERROR_ARGUMENT,
               "path: is NULL");
  ck_assert_int_eq(remove_directory(directory), 0);
  test_layer_free(&l);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_load(void) {
  Suite *suite = suite_create("load");
  TCase *tests = tcase_create("load");
  tcase_add_test(tests, a_file_gives_the_same_bits_as_memory);
  suite_add_tcase(suite, tests);
  return suite;
}
