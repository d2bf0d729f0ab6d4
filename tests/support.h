/* What the suites share: random numbers, tensors between guard bands, layers made of them. */
#ifndef XATTN_TESTS_SUPPORT_H
#define XATTN_TESTS_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <xattn.h>

/* Check notes every assertion that holds in a file, which takes longer than the tests where each
 * element is one. Here only an assertion that fails is noted. */
#undef ck_assert_msg
#undef ck_assert
#define ck_assert_msg(condition, ...)            \
  do {                                           \
    if (!(condition)) ck_abort_msg(__VA_ARGS__); \
  } while (0)
#define ck_assert(condition) ck_assert_msg(condition, "%s does not hold", #condition)

/* A generator with a seed of its own: tests give the same numbers in any order. */
typedef struct rng {
  uint64_t state;
} rng;
double rng_uniform(rng *r);                             /* in [-1, 1) */
int64_t rng_range(rng *r, int64_t least, int64_t most); /* both included */

/* A float32 tensor whose memory is NaN of one bit pattern wherever it is not an element: before,
 * behind, and in the gaps of its strides. */
typedef struct guarded {
  xattn_tensor t;
  float *memory;
  int64_t size; /* floats */
} guarded;

typedef enum layout {
  DENSE,
  GAPS,      /* row-major with a gap after each row and each item */
  REVERSED,  /* strides from the first dimension up: column-major */
  BROADCAST, /* the first dimension has a stride of 0 */
  LAYOUTS
} layout;

guarded guarded_new(layout how, int32_t rank, const int64_t *shape);
void guarded_free(guarded *g);
void guarded_fill(guarded *g, rng *r, double scale);
float *guarded_at(const guarded *g, int64_t i0, int64_t i1, int64_t i2, int64_t i3);

/* Fails the test if anything but the tensor's elements has changed. */
void guarded_check(const guarded *g, const char *name);

/* Weights of a layer with what it takes to make them. */
typedef struct test_layer {
  int64_t batch, queries, keys, query_dim, context_dim, heads, kv_heads, head_dim, value_dim;
  int64_t out_dim; /* 0: no output projection */
  bool biases;
  xattn_tensor tensor[8]; /* query, key, value, out weights, then their biases */
  xattn_layer_weights weights;
} test_layer;

/* Fills tensor and weights from the numbers: values near 1/√width, so that results are near 1. */
void test_layer_init(test_layer *layer, rng *r);
void test_layer_free(test_layer *layer);

/* Of no machine; plans are made by them. */
extern const xattn_rates test_rates;

/* The device that the suites run on: XATTN_TEST_DEVICE, or "cpu". */
const char *test_device(void);
bool on_cpu(void);

/* A handle of that device; threads 0 for the default. Fails the test if there is none. */
xattn_handle *test_handle(int threads);

/* Fails the test with the library's text unless status is success. */
#define ASSERT_OK(handle, call)                                                         \
  do {                                                                                  \
    xattn_status status_ = (call);                                                      \
    ck_assert_msg(status_ == XATTN_OK, "%s: %s: %s", #call, xattn_status_name(status_), \
                  xattn_last_error(handle));                                            \
  } while (0)

/* Fails the test unless the call fails with this status and a text that holds this part. */
#define ASSERT_FAILS(handle, call, wanted, part)                                                \
  do {                                                                                          \
    xattn_status status_ = (call);                                                              \
    ck_assert_msg(status_ == (wanted), "%s: %s, not %s: %s", #call, xattn_status_name(status_), \
                  #wanted, xattn_last_error(handle));                                           \
    ck_assert_msg(strstr(xattn_last_error(handle), (part)) != NULL, "\"%s\" lacks \"%s\"",      \
                  xattn_last_error(handle), (part));                                            \
  } while (0)

#endif
