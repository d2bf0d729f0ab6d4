/* The fused kernel on its own. */
#include <math.h>

#include "check.h"
#include "tensor.h"

/* [.., m, n] with up to two dimensions before them. */
static xattn_matrix score_matrix(const xattn_tensor *t, int64_t batch[3], int64_t *m) {
  xattn_matrix matrix = {.data = t->data, .ld = t->rank > 1 ? t->strides[t->rank - 2] : 0};
  *m = t->rank > 1 ? t->shape[t->rank - 2] : 1;
  batch[0] = t->rank > 2 ? t->shape[0] : 1;
  batch[1] = t->rank > 3 ? t->shape[1] : 1;
  batch[2] = 1;
  if (t->rank > 2) matrix.stride[0] = t->strides[0];
  if (t->rank > 3) matrix.stride[1] = t->strides[1];
  /* Rank 2 is [B, n] for the lengths: each row is an item. */
  if (t->rank == 2) {
    batch[0] = t->shape[0];
    *m = 1;
    matrix.stride[0] = t->strides[0];
  }
  return matrix;
}

static xattn_status check_scores(xattn_error *error, const xattn_tensor *scores,
                                 const xattn_tensor *out) {
  xattn_status status = xattn_check_float(error, "scores", scores, 1, 4, false);
  if (!status) status = xattn_check_float(error, "out", out, scores->rank, scores->rank, false);
  if (status) return status;
  bool same = scores->data == out->data;
  xattn_text a, b;
  for (int32_t i = 0; i < scores->rank; i++) {
    if (scores->shape[i] != out->shape[i])
      return xattn_fail(error, XATTN_ERROR_SHAPE, "out: shape is %s, scores have %s",
                        xattn_shape_text(&a, out), xattn_shape_text(&b, scores));
    same = same && scores->strides[i] == out->strides[i];
  }
  int32_t last = scores->rank - 1;
  if (scores->shape[last] > 1 && (scores->strides[last] != 1 || out->strides[last] != 1))
    return xattn_fail(error, XATTN_ERROR_LAYOUT,
                      "scores: the last stride is %lld, out's is %lld; both must be 1",
                      (long long)scores->strides[last], (long long)out->strides[last]);
  status = xattn_tensor_distinct(error, "out", out);
  if (!status && !same) status = xattn_tensor_disjoint(error, "out", out, "scores", scores);
  return status;
}

xattn_status xattn_scale_softmax(xattn_handle *handle, const xattn_tensor *scores, float scale,
                                 const xattn_options *options, const xattn_tensor *out) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_options own;
  xattn_status status = xattn_check_options(error, options, &own);
  if (!status) status = check_scores(error, scores, out);
  if (status) return status;
  if (!isfinite(scale) || scale <= 0.0F)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "scale: %g must be finite and above 0",
                      (double)scale);
  if (own.plan)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "options.plan: \"%.64s\", must be NULL here",
                      own.plan);
  if (own.key_lengths && scores->rank < 2)
    return xattn_fail(error, XATTN_ERROR_SHAPE,
                      "options.key_lengths: scores have rank %d, lengths need 2 to 4",
                      scores->rank);
  int32_t last = scores->rank - 1;
  xattn_softmax softmax = {.n = scores->shape[last], .scale = scale};
  softmax.in = score_matrix(scores, softmax.batch, &softmax.m);
  softmax.out = score_matrix(out, softmax.batch, &softmax.m);
  status = xattn_check_lengths(error, own.key_lengths, softmax.batch[0], softmax.n, false,
                               &softmax.limit);
  if (!status && own.key_lengths)
    status = xattn_tensor_disjoint(error, "out", out, "options.key_lengths", own.key_lengths);
  if (!status) status = handle->backend->softmax(error, handle->device, &softmax);
  if (status) return status;
  handle->stats.launches++;
  handle->stats.calls++;
  return XATTN_OK;
}
