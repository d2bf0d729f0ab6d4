/* Attention layers in a state dict, known by the names of their tensors (xattn_file_layer in
 * xattn.h lists them).
 *
 * A prefix holds one layer. Where the names of several styles are complete under one prefix, the
 * first of article, projections, torch-packed, torch-separate, diffusers counts; so in_proj_weight
 * wins over q_proj_weight. The output projection is required but in the style article, which has
 * none: a file whose projection has another name must not load without it.
 *
 * Tensors beside the known ones that are known to change the function (biases appended to the keys,
 * norms of Q and K, adapters inside a projection) make the layer XATTN_ERROR_UNSUPPORTED. */
#ifndef XATTN_IO_STATEDICT_H
#define XATTN_IO_STATEDICT_H

#include <stdbool.h>

#include "io/file.h"

typedef enum xattn_part {
  XATTN_QUERY_WEIGHT,
  XATTN_KEY_WEIGHT,
  XATTN_VALUE_WEIGHT,
  XATTN_OUT_WEIGHT,
  XATTN_QUERY_BIAS,
  XATTN_KEY_BIAS,
  XATTN_VALUE_BIAS,
  XATTN_OUT_BIAS,
  XATTN_PARTS
} xattn_part;

/* Views into the file, valid as long as it is. */
typedef struct xattn_statedict {
  const char *style;
  const char *prefix; /* without its last dot; not terminated, see prefix_length */
  size_t prefix_length;
  bool present[XATTN_PARTS];
  xattn_tensor parts[XATTN_PARTS];
  const char *names[XATTN_PARTS]; /* of the entry each present part comes from */
} xattn_statedict;

/* The layer at a prefix, given as in xattn_load_options. The parts' shapes fit together.
 * @return XATTN_ERROR_NOT_FOUND (nothing there, or a part is missing), _ARGUMENT (no prefix given
 * and several layers), _SHAPE, _UNSUPPORTED, _MEMORY. */
xattn_status xattn_statedict_find(xattn_error *error, const xattn_file *file, const char *prefix,
                                  xattn_statedict *out);

/* Points the weights and biases of *weights at the parts, NULL where absent; the rest stays. */
void xattn_statedict_weights(const xattn_statedict *layer, xattn_layer_weights *weights);

#endif
