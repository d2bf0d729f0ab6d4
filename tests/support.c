#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BAND = 64 };
static const uint32_t guard_bits = 0x7FC0DEADU; /* a quiet NaN */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(rng *r) {
  uint64_t z = (r->state += 0x9E3779B97F4A7C15U);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

double rng_uniform(rng *r) {
  return (double)(next(r) >> 11) * 0x1p-52 - 1.0;
}

int64_t rng_range(rng *r, int64_t least, int64_t most) {
  return least + (int64_t)(next(r) % (uint64_t)(most - least + 1));
}

guarded guarded_new(layout how, int32_t rank, const int64_t *shape) {
  guarded g = {.t = xattn_tensor_dense(NULL, XATTN_F32, rank, shape)};
  int64_t stride = 1;
  if (how == GAPS || how == BROADCAST)
    for (int32_t i = rank - 1; i >= 0; i--) {
      g.t.strides[i] = stride;
      stride = stride * shape[i] + (i == rank - 1 ? 3 : 5);
    }
  if (how == BROADCAST && rank > 1) g.t.strides[0] = 0;
  if (how == REVERSED)
    for (int32_t i = 0; i < rank; i++) {
      g.t.strides[i] = stride;
      stride = stride * (shape[i] ? shape[i] : 1) + 1;
    }
  int64_t last = 0;
  for (int32_t i = 0; i < rank; i++) last += (shape[i] ? shape[i] - 1 : 0) * g.t.strides[i];
  g.size = last + 1 + 2 * BAND;
  g.memory = malloc((size_t)g.size * sizeof(float));
  ck_assert_ptr_nonnull(g.memory);
  for (int64_t i = 0; i < g.size; i++) memcpy(&g.memory[i], &guard_bits, sizeof guard_bits);
  g.t.data = g.memory + BAND;
  return g;
}

void guarded_free(guarded *g) {
  free(g->memory);
}

/* Calls visit for the offset of every element. */
static void each(const xattn_tensor *t, void (*visit)(void *, int64_t), void *data) {
  int64_t index[XATTN_MAX_RANK] = {0};
  for (int32_t i = 0; i < t->rank; i++)
    if (t->shape[i] == 0) return;
  for (;;) {
    int64_t offset = 0;
    for (int32_t i = 0; i < t->rank; i++) offset += index[i] * t->strides[i];
    visit(data, offset);
    int32_t i = t->rank - 1;
    while (i >= 0 && ++index[i] == t->shape[i]) index[i--] = 0;
    if (i < 0) return;
  }
}

typedef struct filler {
  float *data;
  rng *r;
  double scale;
} filler;

static void fill_one(void *data, int64_t offset) {
  filler *f = data;
  f->data[offset] = (float)(rng_uniform(f->r) * f->scale);
}

void guarded_fill(guarded *g, rng *r, double scale) {
  filler f = {g->t.data, r, scale};
  each(&g->t, fill_one, &f);
}

float *guarded_at(const guarded *g, int64_t i0, int64_t i1, int64_t i2, int64_t i3) {
  const int64_t *s = g->t.strides, index[4] = {i0, i1, i2, i3};
  int64_t offset = 0;
  for (int32_t i = 0; i < g->t.rank; i++) offset += index[i] * s[i];
  return (float *)g->t.data + offset;
}

static void mark(void *data, int64_t offset) {
  ((bool *)data)[offset + BAND] = true;
}

void guarded_check(const guarded *g, const char *name) {
  bool *element = calloc((size_t)g->size, sizeof *element);
  ck_assert_ptr_nonnull(element);
  each(&g->t, mark, element);
  for (int64_t i = 0; i < g->size; i++)
    ck_assert_msg(element[i] || memcmp(&g->memory[i], &guard_bits, sizeof guard_bits) == 0,
                  "%s: float %lld beside the tensor was written", name, (long long)(i - BAND));
  free(element);
}

static void weight(xattn_tensor *tensor, rng *r, int32_t rank, int64_t rows, int64_t columns) {
  int64_t shape[2] = {rows, columns}, count = rank == 2 ? rows * columns : rows;
  float *data = malloc((size_t)(count ? count : 1) * sizeof *data);
  ck_assert_ptr_nonnull(data);
  double scale = rank == 2 ? sqrt(3.0 / (double)columns) : 0.5;
  for (int64_t i = 0; i < count; i++) data[i] = (float)(rng_uniform(r) * scale);
  *tensor = xattn_tensor_dense(data, XATTN_F32, rank, shape);
}

void test_layer_init(test_layer *layer, rng *r) {
  if (!layer->heads) layer->heads = 1;
  if (!layer->kv_heads) layer->kv_heads = layer->heads;
  if (!layer->value_dim) layer->value_dim = layer->head_dim;
  xattn_tensor *t = layer->tensor;
  memset(t, 0, sizeof layer->tensor);
  int64_t rows[4] = {layer->heads * layer->head_dim, layer->kv_heads * layer->head_dim,
                     layer->kv_heads * layer->value_dim, layer->out_dim};
  int64_t columns[4] = {layer->query_dim, layer->context_dim, layer->context_dim,
                        layer->heads * layer->value_dim};
  for (int i = 0; i < (layer->out_dim ? 4 : 3); i++) {
    weight(&t[i], r, 2, rows[i], columns[i]);
    if (layer->biases) weight(&t[4 + i], r, 1, rows[i], 1);
  }
  layer->weights = (xattn_layer_weights){
      .size = sizeof layer->weights,
      .heads = layer->heads,
      .kv_heads = layer->kv_heads,
      .query_weight = &t[0],
      .key_weight = &t[1],
      .value_weight = &t[2],
      .out_weight = t[3].data ? &t[3] : NULL,
      .query_bias = t[4].data ? &t[4] : NULL,
      .key_bias = t[5].data ? &t[5] : NULL,
      .value_bias = t[6].data ? &t[6] : NULL,
      .out_bias = t[7].data ? &t[7] : NULL,
  };
}

void test_layer_free(test_layer *layer) {
  for (int i = 0; i < 8; i++) free(layer->tensor[i].data);
}

const xattn_rates test_rates = {.flops = 1e11,
                                .flops_half = 1e11,
                                .operands = 1e10,
                                .stream = 1e10,
                                .softmax = 1e9,
                                .launch = 1e-6};

const char *test_device(void) {
  const char *device = getenv("XATTN_TEST_DEVICE");
  return device ? device : "cpu";
}

bool on_cpu(void) {
  return strcmp(test_device(), "cpu") == 0;
}

xattn_handle *test_handle(int threads) {
  xattn_handle_options options = {
      .size = sizeof options, .device = test_device(), .threads = threads};
  xattn_handle *handle = NULL;
  ASSERT_OK(NULL, xattn_create(&options, &handle));
  return handle;
}
