#include "io/layer_shapes.h"

#include "io/text.h"
#include "tensor.h"

typedef struct check {
  xattn_error *error;
  const char *label;
  const xattn_statedict *layer;
} check;

static xattn_status misfit(const check *c, xattn_part part, xattn_part other, const char *rule) {
  xattn_shown name, other_name;
  xattn_text shape, other_shape;
  return xattn_fail(c->error, XATTN_ERROR_SHAPE, "%s: \"%s\" is %s, \"%s\" is %s: %s", c->label,
                    xattn_show(&name, c->layer->names[part]),
                    xattn_shape_text(&shape, &c->layer->parts[part]),
                    xattn_show(&other_name, c->layer->names[other]),
                    xattn_shape_text(&other_shape, &c->layer->parts[other]), rule);
}

static xattn_status check_rank(const check *c, xattn_part part, int32_t rank) {
  const xattn_tensor *t = &c->layer->parts[part];
  bool right = t->rank == rank;
  for (int32_t i = 0; i < t->rank; i++) right = right && t->shape[i] > 0;
  xattn_shown name;
  xattn_text shape;
  if (right) return XATTN_OK;
  return xattn_fail(c->error, XATTN_ERROR_SHAPE, "%s: \"%s\" is %s, must be a %s that is not empty",
                    c->label, xattn_show(&name, c->layer->names[part]), xattn_shape_text(&shape, t),
                    rank == 2 ? "matrix" : "vector");
}

static xattn_status check_ranks(const check *c) {
  for (int part = 0; part < XATTN_PARTS; part++) {
    if (!c->layer->present[part]) continue;
    xattn_status status = check_rank(c, (xattn_part)part, part < XATTN_QUERY_BIAS ? 2 : 1);
    if (status) return status;
  }
  return XATTN_OK;
}

static int64_t rows(const check *c, xattn_part part) {
  return c->layer->parts[part].shape[0];
}

static int64_t columns(const check *c, xattn_part part) {
  return c->layer->parts[part].shape[1];
}

xattn_status xattn_check_layer_shapes(xattn_error *error, const char *label,
                                      const xattn_statedict *layer) {
  const check c = {error, label, layer};
  xattn_status status = check_ranks(&c);
  if (status) return status;
  if (columns(&c, XATTN_KEY_WEIGHT) != columns(&c, XATTN_VALUE_WEIGHT))
    return misfit(&c, XATTN_KEY_WEIGHT, XATTN_VALUE_WEIGHT, "columns (context width) differ");
  /* H·Dh over Hkv·Dh is the number of query heads that share a key head. */
  if (rows(&c, XATTN_QUERY_WEIGHT) % rows(&c, XATTN_KEY_WEIGHT) != 0)
    return misfit(&c, XATTN_QUERY_WEIGHT, XATTN_KEY_WEIGHT,
                  "rows of the first are not a multiple of those of the second");
  int64_t group = rows(&c, XATTN_QUERY_WEIGHT) / rows(&c, XATTN_KEY_WEIGHT);
  int64_t joined;
  if (layer->present[XATTN_OUT_WEIGHT] &&
      (__builtin_mul_overflow(group, rows(&c, XATTN_VALUE_WEIGHT), &joined) ||
       columns(&c, XATTN_OUT_WEIGHT) != joined))
    return misfit(&c, XATTN_OUT_WEIGHT, XATTN_VALUE_WEIGHT,
                  "columns of the first differ from the joined heads");
  for (int i = 0; i < XATTN_PARTS - XATTN_QUERY_BIAS; i++) {
    xattn_part weight = (xattn_part)i, bias = (xattn_part)(XATTN_QUERY_BIAS + i);
    if (layer->present[bias] && rows(&c, bias) != rows(&c, weight))
      return misfit(&c, bias, weight, "a bias has one element per row");
  }
  return XATTN_OK;
}
