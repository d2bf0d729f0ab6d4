/* Calls on whole layers: random ones with the float64 truth beside them, and ones of small integers, whose
 * result every exact form must give bit for bit. */
#ifndef XATTN_TESTS_SUPPORT_CALLS_H
#define XATTN_TESTS_SUPPORT_CALLS_H

#include "support.h"

typedef enum numbers {
  REAL,   /* random */
  INTEGER /* small whole numbers, the scale so large that only the best keys of a row count */
} numbers;

typedef struct layer_call {
  test_layer l;
  numbers kind;
  xattn_layer *layer;
  guarded x, y, out;
  int32_t *lengths;             /* [B], always there */
  xattn_tensor lengths_tensor;  /* the same */
  const xattn_tensor *limiting; /* lengths_tensor, or NULL where all have l.keys */
  double *truth;                /* [B, Nq, width], NaN where no form is exact */
  double plain_error, largest;  /* of plain float32 beside the truth; of the truth */
} layer_call;

/* A shape with grouped heads, extents of 1 to `most`; keys may be 0. */
test_layer random_layer(rng *r, int64_t most);

/* Makes the layer and the data of a shape. With lengths each item has its own, 0 among them. */
void layer_call_init(layer_call *c, xattn_handle *handle, const test_layer *shape, numbers kind,
                     const layout how[3], bool with_lengths, rng *r);
void layer_call_free(layer_call *c);

/* The truth of x, y and lengths as they are now. Called by init. */
void layer_call_solve(layer_call *c);

int64_t result_width(const test_layer *l);
void fill_integers(guarded *g, rng *r, int64_t most);

/* Fails the test unless out is right: for real numbers by the end-to-end rule of SEMANTICS.md, for integers exactly;
 * and unless nothing beside the tensors has changed. */
void layer_call_check(const layer_call *c, const char *what);

/* Before a call: out is overwritten whole, whatever it held. */
void layer_call_spoil(layer_call *c);

/* The options of the call with this plan. */
xattn_options layer_call_options(const layer_call *c, const char *plan);

/* Rows first to first + count of every item. */
xattn_tensor rows_of(const xattn_tensor *y, int64_t first, int64_t count);

/* Whether a form needs an output projection, by its name. */
bool merges_values(const char *plan);

#endif
