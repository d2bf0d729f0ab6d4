/* Attention layers recognised by the names of a state dict. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/statedict.h"
#include "support_files.h"

static char directory[200];
static char path[300];

static void set_up(void) {
  ck_assert_int_eq(make_directory(directory, sizeof directory), 0);
  (void)snprintf(path, sizeof path, "%s/file", directory);
}

static void tear_down(void) {
  ck_assert_int_eq(remove_directory(directory), 0);
}

/* A tensor of a state dict under test: rows x columns, or a vector where columns is 0. */
typedef struct item {
  const char *name;
  int64_t rows, columns;
} item;

enum { ITEMS = 14 };
typedef struct dict {
  item items[ITEMS];
} dict;

static float values[4096]; /* each is its own index, over all tensors of the file */

/* Writes the items to `path`, each name behind the prefix, and opens the file. */
static xattn_file *open_dict(const dict *d, const char *prefix) {
  named_tensor tensors[ITEMS];
  static char names[ITEMS][600];
  int count = 0;
  int64_t used = 0;
  for (int i = 0; i < 4096; i++) values[i] = (float)i;
  for (; count < ITEMS && d->items[count].name; count++) {
    const item *it = &d->items[count];
    (void)snprintf(names[count], sizeof names[count], "%s%s", prefix, it->name);
    int64_t shape[] = {it->rows, it->columns};
    tensors[count] = (named_tensor){
        names[count], xattn_tensor_dense(values + used, XATTN_F32, it->columns ? 2 : 1, shape)};
    used += it->rows * (it->columns ? it->columns : 1);
    ck_assert_int_le(used, 4096);
  }
  ck_assert_int_eq(write_safetensors(path, tensors, count), 0);
  xattn_file *file = NULL;
  ck_assert_int_eq(xattn_file_open(path, &file), XATTN_OK);
  return file;
}

/* The file's index of the first element of a part. */
static int64_t first_value(const xattn_statedict *layer, xattn_part part) {
  float value;
  memcpy(&value, layer->parts[part].data, sizeof value);
  return (int64_t)value;
}

static void assert_text(const char *text, const char *wanted) {
  ck_assert_msg(strstr(text, wanted), "\"%s\" in \"%s\"", wanted, text);
}

/* The layer of each style: Dq 5, Dc 3, H·Dh 4, Hkv·Dv 6, Do 2 where the style lets them differ. */
typedef struct style_case {
  const char *style;
  dict with, without; /* biases */
  int64_t query_dim, context_dim, query_width, value_width, out_dim;
  int64_t first[XATTN_PARTS]; /* where the parts begin in `with`; -1: absent */
} style_case;

static const style_case cases[] = {
    {"article",
     {{{"query.weight", 4, 5},
       {"query.bias", 4, 0},
       {"key.weight", 4, 3},
       {"key.bias", 4, 0},
       {"value.weight", 6, 3},
       {"value.bias", 6, 0}}},
     {{{"value.weight", 6, 3}, {"key.weight", 4, 3}, {"query.weight", 4, 5}}},
     5,
     3,
     4,
     6,
     0,
     {0, 24, 40, -1, 20, 36, 58, -1}},
    {"projections",
     {{{"k_proj.weight", 4, 3},
       {"v_proj.weight", 6, 3},
       {"q_proj.weight", 4, 5},
       {"out_proj.weight", 2, 6},
       {"k_proj.bias", 4, 0},
       {"v_proj.bias", 6, 0},
       {"q_proj.bias", 4, 0},
       {"out_proj.bias", 2, 0}}},
     {{{"k_proj.weight", 4, 3},
       {"v_proj.weight", 6, 3},
       {"q_proj.weight", 4, 5},
       {"out_proj.weight", 2, 6}}},
     5,
     3,
     4,
     6,
     2,
     {30, 0, 12, 50, 72, 62, 66, 76}},
    {"torch-packed",
     {{{"in_proj_weight", 12, 4},
       {"in_proj_bias", 12, 0},
       {"out_proj.weight", 4, 4},
       {"out_proj.bias", 4, 0}}},
     {{{"in_proj_weight", 12, 4}, {"out_proj.weight", 4, 4}}},
     4,
     4,
     4,
     4,
     4,
     {0, 16, 32, 60, 48, 52, 56, 76}},
    {"torch-separate",
     {{{"q_proj_weight", 4, 4},
       {"k_proj_weight", 4, 3},
       {"v_proj_weight", 4, 3},
       {"in_proj_bias", 12, 0},
       {"out_proj.weight", 4, 4},
       {"out_proj.bias", 4, 0}}},
     {{{"q_proj_weight", 4, 4},
       {"k_proj_weight", 4, 3},
       {"v_proj_weight", 4, 3},
       {"out_proj.weight", 4, 4}}},
     4,
     3,
     4,
     4,
     4,
     {0, 16, 28, 52, 40, 44, 48, 68}},
    {"diffusers",
     {{{"to_q.weight", 4, 5},
       {"to_k.weight", 4, 3},
       {"to_v.weight", 6, 3},
       {"to_out.0.weight", 2, 6},
       {"to_q.bias", 4, 0},
       {"to_k.bias", 4, 0},
       {"to_v.bias", 6, 0},
       {"to_out.0.bias", 2, 0}}},
     {{{"to_q.weight", 4, 5},
       {"to_k.weight", 4, 3},
       {"to_v.weight", 6, 3},
       {"to_out.0.weight", 2, 6}}},
     5,
     3,
     4,
     6,
     2,
     {0, 20, 32, 50, 62, 66, 70, 76}},
};
enum { CASES = sizeof cases / sizeof *cases };
static const char *const prefixes[] = {"", "attn.", "model.layers.10.cross-attn."};

START_TEST(test_styles) {
  const style_case *c = &cases[_i / 3];
  const char *prefix = prefixes[_i % 3];
  size_t length = strlen(prefix) ? strlen(prefix) - 1 : 0;
  for (int biases = 0; biases < 2; biases++) {
    xattn_file *file = open_dict(biases ? &c->with : &c->without, prefix);
    xattn_file_layer_info info = {.size = sizeof info};
    ck_assert_msg(!xattn_file_layer(file, 0, &info), "%s", xattn_last_error(NULL));
    ck_assert_str_eq(info.style, c->style);
    ck_assert_uint_eq(strlen(info.prefix), length);
    ck_assert_int_eq(strncmp(info.prefix, prefix, length), 0);
    ck_assert_int_eq(info.query_dim, c->query_dim);
    ck_assert_int_eq(info.context_dim, c->context_dim);
    ck_assert_int_eq(info.query_width, c->query_width);
    ck_assert_int_eq(info.value_width, c->value_width);
    ck_assert_int_eq(info.out_dim, c->out_dim);
    ck_assert_int_eq(info.biases, biases);
    ck_assert_int_eq(xattn_file_layer(file, 1, &info), XATTN_ERROR_NOT_FOUND);
    assert_text(xattn_last_error(NULL), "layer index is 1, there are 1");

    const char *const ways[] = {NULL, "", prefix, info.prefix}; /* all lead to the one layer */
    for (int way = 0; way < 4; way++) {
      xattn_error error;
      xattn_statedict layer;
      ck_assert_msg(!xattn_statedict_find(&error, file, ways[way], &layer), "%s", error.text);
      xattn_layer_weights weights = {.size = sizeof weights, .heads = 3};
      xattn_statedict_weights(&layer, &weights);
      ck_assert_int_eq(weights.heads, 3);
      ck_assert_ptr_eq(weights.query_weight, &layer.parts[XATTN_QUERY_WEIGHT]);
      ck_assert_ptr_eq(weights.out_bias,
                       biases && c->out_dim ? &layer.parts[XATTN_OUT_BIAS] : NULL);
      for (int part = 0; part < XATTN_PARTS; part++) {
        bool expected = c->first[part] >= 0 && (biases || part < XATTN_QUERY_BIAS);
        ck_assert_int_eq(layer.present[part], expected);
        if (expected && biases)
          ck_assert_int_eq(first_value(&layer, (xattn_part)part), c->first[part]);
      }
      if (biases) ck_assert_int_eq(weights.value_bias->shape[0], c->value_width);
      ck_assert_int_eq(weights.key_weight->shape[0], c->query_width);
      ck_assert_int_eq(weights.key_weight->shape[1], c->context_dim);
    }
    xattn_file_close(file);
  }
}
END_TEST

/* One bias may be there without the others. */
START_TEST(test_single_biases) {
  static const struct {
    dict d;
    xattn_part part;
  } all[] = {
      {{{{"query.weight", 4, 5}, {"key.weight", 4, 3}, {"value.weight", 6, 3}, {"key.bias", 4, 0}}},
       XATTN_KEY_BIAS},
      {{{{"to_q.weight", 4, 5},
         {"to_k.weight", 4, 3},
         {"to_v.weight", 6, 3},
         {"to_out.0.weight", 2, 6},
         {"to_out.0.bias", 2, 0}}},
       XATTN_OUT_BIAS},
      {{{{"q_proj.weight", 4, 5},
         {"k_proj.weight", 4, 3},
         {"v_proj.weight", 6, 3},
         {"out_proj.weight", 2, 6},
         {"v_proj.bias", 6, 0}}},
       XATTN_VALUE_BIAS},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    xattn_file *file = open_dict(&all[i].d, "x.");
    xattn_error error;
    xattn_statedict layer;
    ck_assert_msg(!xattn_statedict_find(&error, file, "x", &layer), "%s", error.text);
    for (int part = XATTN_QUERY_BIAS; part < XATTN_PARTS; part++)
      ck_assert_int_eq(layer.present[part], part == (int)all[i].part);
    xattn_file_close(file);
  }
}
END_TEST

/* Loading: the dict, the prefix asked for, and what the refusal says. */
typedef struct refusal {
  dict d;
  const char *wanted;
  xattn_status status;
  const char *text;
} refusal;

#define ARTICLE(p)                                    \
  {p "query.weight", 4, 5}, {p "key.weight", 4, 3}, { \
    p "value.weight", 6, 3                            \
  }
#define PROJECTIONS                                                            \
  {"q_proj.weight", 4, 5}, {"k_proj.weight", 4, 3}, {"v_proj.weight", 6, 3}, { \
    "out_proj.weight", 2, 6                                                    \
  }
#define PACKED                 \
  {"in_proj_weight", 12, 4}, { \
    "out_proj.weight", 4, 4    \
  }
#define DIFFUSERS                                                        \
  {"to_q.weight", 4, 5}, {"to_k.weight", 4, 3}, {"to_v.weight", 6, 3}, { \
    "to_out.0.weight", 2, 6                                              \
  }

static const refusal refusals[] = {
    /* nothing there */
    {{{{"conv.weight", 2, 2}}},
     NULL,
     XATTN_ERROR_NOT_FOUND,
     "no attention layer: no name of its 1"},
    {{{{"query.weight", 2, 2}}}, NULL, XATTN_ERROR_NOT_FOUND, "no attention layer"},
    {{{{"my_query.weight", 2, 2}, {"my_key.weight", 2, 2}, {"my_value.weight", 2, 2}}},
     NULL,
     XATTN_ERROR_NOT_FOUND,
     "no attention layer"},
    {{{ARTICLE("a.")}},
     "b",
     XATTN_ERROR_NOT_FOUND,
     "prefix: no attention layer at \"b\"; there are: \"a\""},
    {{{{"conv.weight", 2, 2}}},
     "b.",
     XATTN_ERROR_NOT_FOUND,
     "no attention layer at \"b.\"; there are: none"},
    {{{ARTICLE("a.b.")}}, "a", XATTN_ERROR_NOT_FOUND, "at \"a\"; there are: \"a.b\""},
    {{{ARTICLE("a.b.")}}, ".", XATTN_ERROR_NOT_FOUND, "at \".\"; there are: \"a.b\""},
    {{{ARTICLE(".")}}, NULL, XATTN_ERROR_NOT_FOUND, "no attention layer"},
    /* several */
    {{{ARTICLE("dec.1."), ARTICLE("dec.0.")}},
     NULL,
     XATTN_ERROR_ARGUMENT,
     "prefix: not given, and there are 2 layers: \"dec.0\", \"dec.1\""},
    /* a part is missing */
    {{{{"query.weight", 4, 5}, {"key.weight", 4, 3}}},
     NULL,
     XATTN_ERROR_NOT_FOUND,
     "\"value.weight\" is missing beside \"key.weight\""},
    {{{{"a.b.key.weight", 4, 3}, {"a.b.value.weight", 4, 3}}},
     NULL,
     XATTN_ERROR_NOT_FOUND,
     "\"a.b.query.weight\" is missing beside \"value.weight\""},
    {{{{"q_proj.weight", 4, 5},
       {"k_proj.weight", 4, 3},
       {"v_proj.weight", 6, 3},
       {"o_proj.weight", 2, 6}}},
     NULL,
     XATTN_ERROR_NOT_FOUND,
     "\"out_proj.weight\" is missing beside \"v_proj.weight\""},
    {{{{"in_proj_weight", 12, 4}}},
     NULL,
     XATTN_ERROR_NOT_FOUND,
     "\"out_proj.weight\" is missing beside \"in_proj_weight\""},
    {{{{"m.q_proj_weight", 4, 4}, {"m.v_proj_weight", 4, 4}, {"m.out_proj.weight", 4, 4}}},
     "m",
     XATTN_ERROR_NOT_FOUND,
     "\"m.k_proj_weight\" is missing"},
    {{{{"to_q.weight", 4, 5},
       {"to_k.weight", 4, 3},
       {"to_v.weight", 6, 3},
       {"to_out.weight", 2, 6}}},
     NULL,
     XATTN_ERROR_NOT_FOUND,
     "\"to_out.0.weight\" is missing"},
    /* what would be ignored */
    {{{PACKED, {"bias_k", 4, 0}, {"bias_v", 4, 0}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"bias_k\" changes what the layer computes"},
    {{{PACKED, {"bias_v", 4, 0}}}, NULL, XATTN_ERROR_UNSUPPORTED, "\"bias_v\" changes"},
    {{{DIFFUSERS, {"norm_q.weight", 4, 0}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"norm_q.weight\" changes"},
    {{{DIFFUSERS, {"norm_k.weight", 4, 0}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"norm_k.weight\" changes"},
    {{{DIFFUSERS, {"add_k_proj.weight", 4, 4}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"add_k_proj.weight\" changes"},
    {{{DIFFUSERS, {"group_norm.bias", 4, 0}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"group_norm.bias\" changes"},
    {{{DIFFUSERS, {"to_out.2.weight", 4, 4}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"to_out.2.weight\" changes"},
    {{{PROJECTIONS, {"q_norm.weight", 4, 0}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"q_norm.weight\" changes"},
    {{{PROJECTIONS, {"k_norm.weight", 4, 0}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"k_norm.weight\" changes"},
    {{{PROJECTIONS, {"q_proj.lora_A.weight", 1, 5}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"q_proj.lora_A.weight\" changes"},
    {{{PROJECTIONS, {"v_proj.weight_scale", 6, 0}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"v_proj.weight_scale\" changes"},
    {{{ARTICLE("s."), {"s.distance_embedding.weight", 9, 2}}},
     NULL,
     XATTN_ERROR_UNSUPPORTED,
     "\"s.distance_embedding.weight\" changes"},
    /* shapes */
    {{{{"in_proj_weight", 10, 4}, {"out_proj.weight", 4, 4}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"in_proj_weight\" is [10, 4], must be [3E, E] with E = 4"},
    {{{{"in_proj_weight", 12, 3}, {"out_proj.weight", 4, 4}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"in_proj_weight\" is [12, 3], must be [3E, E] with E = 3"},
    {{{{"in_proj_weight", 12, 0}, {"out_proj.weight", 4, 4}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"in_proj_weight\" is [12], must be [3E, E]"},
    {{{PACKED, {"in_proj_bias", 4, 0}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"in_proj_bias\" is [4], must be [3E] with E = 4"},
    {{{PACKED, {"in_proj_bias", 12, 1}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"in_proj_bias\" is [12, 1], must be [3E] with E = 4"},
    {{{{"q_proj_weight", 4, 4},
       {"k_proj_weight", 4, 3},
       {"v_proj_weight", 4, 2},
       {"out_proj.weight", 4, 4}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"k_proj_weight\" is [4, 3], \"v_proj_weight\" is [4, 2]: columns (context width) differ"},
    {{{{"q_proj_weight", 4, 4},
       {"k_proj_weight", 2, 3},
       {"v_proj_weight", 2, 3},
       {"out_proj.weight", 4, 4},
       {"in_proj_bias", 12, 0}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"in_proj_bias\" is [4], \"k_proj_weight\" is [2, 3]: a bias has"},
    {{{{"query.weight", 4, 5}, {"key.weight", 3, 3}, {"value.weight", 6, 3}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"query.weight\" is [4, 5], \"key.weight\" is [3, 3]: rows of the first"},
    {{{{"query.weight", 4, 0}, {"key.weight", 4, 3}, {"value.weight", 6, 3}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"query.weight\" is [4], must be a matrix"},
    {{{{"query.weight", 4, 5}, {"key.weight", 0, 3}, {"value.weight", 6, 3}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"key.weight\" is [0, 3], must be a matrix that is not empty"},
    {{{ARTICLE(""), {"query.bias", 5, 0}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"query.bias\" is [5], \"query.weight\" is [4, 5]: a bias has one element per row"},
    {{{ARTICLE(""), {"query.bias", 4, 1}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"query.bias\" is [4, 1], must be a vector"},
    {{{{"q_proj.weight", 4, 5},
       {"k_proj.weight", 4, 3},
       {"v_proj.weight", 6, 3},
       {"out_proj.weight", 2, 5}}},
     NULL,
     XATTN_ERROR_SHAPE,
     "\"out_proj.weight\" is [2, 5], \"v_proj.weight\" is [6, 3]: columns of the first differ"},
};
enum { REFUSALS = sizeof refusals / sizeof *refusals };

START_TEST(test_refusals) {
  const refusal *r = &refusals[_i];
  xattn_file *file = open_dict(&r->d, "");
  xattn_error error = {""};
  xattn_statedict layer;
  xattn_status status = xattn_statedict_find(&error, file, r->wanted, &layer);
  ck_assert_msg(status == r->status, "%s: %s", xattn_status_name(status), error.text);
  assert_text(error.text, r->text);
  assert_text(error.text, path);
  xattn_file_close(file);
}
END_TEST

/* The listing: complete layers by prefix, what is begun left out, errors in their place. */
START_TEST(test_listing) {
  static const dict d = {{ARTICLE("b."),
                          ARTICLE("a-1."),
                          {"a.query.weight", 2, 2},
                          {"a.key.weight", 2, 2},
                          {"a.value.weight", 2, 3},
                          {"half.query.weight", 2, 2},
                          {"half.key.weight", 2, 2},
                          {"other.weight", 2, 2}}};
  xattn_file *file = open_dict(&d, "");
  xattn_file_layer_info info = {.size = sizeof info};
  ck_assert_int_eq(xattn_file_layer(file, 0, &info), XATTN_ERROR_SHAPE);
  assert_text(xattn_last_error(NULL), "\"a.key.weight\" is [2, 2], \"a.value.weight\" is [2, 3]");
  ck_assert_int_eq(xattn_file_layer(file, 1, &info), XATTN_OK);
  ck_assert_str_eq(info.prefix, "a-1");
  ck_assert_int_eq(xattn_file_layer(file, 2, &info), XATTN_OK);
  ck_assert_str_eq(info.prefix, "b");
  ck_assert_int_eq(xattn_file_layer(file, 3, &info), XATTN_ERROR_NOT_FOUND);
  ck_assert_int_eq(xattn_file_layer(file, INT64_MAX, &info), XATTN_ERROR_NOT_FOUND);
  ck_assert_int_eq(xattn_file_layer(file, -1, &info), XATTN_ERROR_ARGUMENT);
  ck_assert_int_eq(xattn_file_layer(NULL, 0, &info), XATTN_ERROR_ARGUMENT);
  ck_assert_int_eq(xattn_file_layer(file, 1, NULL), XATTN_ERROR_ARGUMENT);
  info.size = 3;
  ck_assert_int_eq(xattn_file_layer(file, 1, &info), XATTN_ERROR_ARGUMENT);
  xattn_file_close(file);
}
END_TEST

/* The names without prefix are meant before those with one; several need not be told apart. */
START_TEST(test_prefix_rule) {
  static const dict d = {{ARTICLE("a."), ARTICLE("b."), ARTICLE("")}};
  static const char *const wanted[] = {NULL, "", "a", "a.", "b"};
  static const char *const expected[] = {"query.weight", "query.weight", "a.query.weight",
                                         "a.query.weight", "b.query.weight"};
  xattn_file *file = open_dict(&d, "");
  for (int i = 0; i < 5; i++) {
    xattn_error error;
    xattn_statedict layer;
    ck_assert_int_eq(xattn_statedict_find(&error, file, wanted[i], &layer), XATTN_OK);
    ck_assert_str_eq(layer.names[XATTN_QUERY_WEIGHT], expected[i]);
  }
  xattn_file_close(file);
}
END_TEST

/* A prefix that itself ends in a dot is found as the listing gives it. */
START_TEST(test_prefix_with_two_dots) {
  static const dict d = {{ARTICLE("a.."), ARTICLE("b.")}};
  xattn_file *file = open_dict(&d, "");
  xattn_file_layer_info info = {.size = sizeof info};
  ck_assert_int_eq(xattn_file_layer(file, 0, &info), XATTN_OK);
  ck_assert_str_eq(info.prefix, "a.");
  xattn_error error;
  xattn_statedict layer;
  ck_assert_int_eq(xattn_statedict_find(&error, file, info.prefix, &layer), XATTN_OK);
  ck_assert_str_eq(layer.names[XATTN_QUERY_WEIGHT], "a..query.weight");
  xattn_file_close(file);
}
END_TEST

START_TEST(test_several_styles_at_one_prefix) {
  static const dict d = {{{"q_proj_weight", 4, 4},
                          {"k_proj_weight", 4, 3},
                          {"v_proj_weight", 4, 3},
                          {"in_proj_weight", 12, 4},
                          {"out_proj.weight", 4, 4}}};
  xattn_file *file = open_dict(&d, "m.");
  xattn_file_layer_info info = {.size = sizeof info};
  ck_assert_int_eq(xattn_file_layer(file, 0, &info), XATTN_OK);
  ck_assert_str_eq(info.style, "torch-packed");
  ck_assert_int_eq(xattn_file_layer(file, 1, &info), XATTN_ERROR_NOT_FOUND);
  xattn_file_close(file);
}
END_TEST

/* Groups of query heads that share a key head: visible in the widths. */
START_TEST(test_grouped_heads) {
  static const dict d = {{{"q_proj.weight", 8, 5},
                          {"k_proj.weight", 2, 3},
                          {"v_proj.weight", 3, 3},
                          {"out_proj.weight", 7, 12}}};
  xattn_file *file = open_dict(&d, "");
  xattn_file_layer_info info = {.size = sizeof info};
  ck_assert_msg(!xattn_file_layer(file, 0, &info), "%s", xattn_last_error(NULL));
  ck_assert_int_eq(info.query_width, 8);
  ck_assert_int_eq(info.value_width, 3);
  xattn_file_close(file);
}
END_TEST

START_TEST(test_long_prefixes) {
  static const dict d = {{ARTICLE("")}};
  char prefix[300];
  memset(prefix, 'p', sizeof prefix);
  for (int length = 255; length <= 256; length++) {
    prefix[length] = '.';
    prefix[length + 1] = '\0';
    xattn_file *file = open_dict(&d, prefix);
    xattn_file_layer_info info = {.size = sizeof info};
    xattn_status status = xattn_file_layer(file, 0, &info);
    ck_assert_int_eq(status, length == 255 ? XATTN_OK : XATTN_ERROR_UNSUPPORTED);
    if (!status)
      ck_assert_uint_eq(strlen(info.prefix), 255);
    else
      assert_text(xattn_last_error(NULL), "has 256 bytes, at most 255");
    xattn_error error;
    xattn_statedict layer;
    ck_assert_int_eq(xattn_statedict_find(&error, file, prefix, &layer), XATTN_OK);
    xattn_file_close(file);
    prefix[length] = 'p';
  }
}
END_TEST

/* More layers than a message can list. */
START_TEST(test_many_layers) {
  enum { LAYERS = 200 };
  static named_tensor tensors[LAYERS * 3];
  static char names[LAYERS * 3][64];
  static const char *const ends[] = {"query", "key", "value"};
  for (int i = 0; i < LAYERS * 3; i++) {
    (void)snprintf(names[i], sizeof names[i], "decoder.layers.%03d.attention.%s.weight", i / 3,
                   ends[i % 3]);
    tensors[i] = (named_tensor){names[i], XATTN_TENSOR(values, XATTN_F32, 2, 2)};
  }
  ck_assert_int_eq(write_safetensors(path, tensors, LAYERS * 3), 0);
  xattn_file *file;
  ck_assert_int_eq(xattn_file_open(path, &file), XATTN_OK);
  xattn_error error;
  xattn_statedict layer;
  ck_assert_int_eq(xattn_statedict_find(&error, file, NULL, &layer), XATTN_ERROR_ARGUMENT);
  assert_text(error.text, "there are 200 layers: \"decoder.layers.000.attention\", \"");
  ck_assert_str_eq(error.text + strlen(error.text) - 5, " more");
  ck_assert_int_eq(xattn_statedict_find(&error, file, "x", &layer), XATTN_ERROR_NOT_FOUND);
  ck_assert_str_eq(error.text + strlen(error.text) - 5, " more");
  xattn_file_layer_info info = {.size = sizeof info};
  for (int i = 0; i < LAYERS; i++) ck_assert_int_eq(xattn_file_layer(file, i, &info), XATTN_OK);
  ck_assert_str_eq(info.prefix, "decoder.layers.199.attention");
  xattn_file_close(file);
}
END_TEST

Suite *suite_statedict(void);
Suite *suite_statedict(void) {
  Suite *suite = suite_create("statedict");
  TCase *layers = tcase_create("layers");
  tcase_add_checked_fixture(layers, set_up, tear_down);
  tcase_add_loop_test(layers, test_styles, 0, CASES * 3);
  tcase_add_test(layers, test_single_biases);
  tcase_add_loop_test(layers, test_refusals, 0, REFUSALS);
  tcase_add_test(layers, test_listing);
  tcase_add_test(layers, test_prefix_rule);
  tcase_add_test(layers, test_prefix_with_two_dots);
  tcase_add_test(layers, test_several_styles_at_one_prefix);
  tcase_add_test(layers, test_grouped_heads);
  tcase_add_test(layers, test_long_prefixes);
  tcase_add_test(layers, test_many_layers);
  suite_add_tcase(suite, layers);
  return suite;
}
