/* The fused kernel on its own. */
#include <math.h>

#include "check.h"
#include "stage.h"
#include "tensor.h"

/* [.., m, n] with up to two dimensions before them. */
static xattn_matrix score_matrix(const xattn_tensor *t, void *data, int64_t batch[3], int64_t *m) {
  xattn_matrix matrix = {
      .data = data, .dtype = t->dtype, .ld = t->rank > 1 ? t->strides[t->rank - 2] : 0};
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

/* *in_place: out is scores itself. */
static xattn_status check_scores(const xattn_handle *handle, xattn_error *error,
                                 const xattn_tensor *scores, const xattn_tensor *out,
                                 bool *in_place) {
  xattn_status status = xattn_check_operand(handle, error, "scores", scores, 0, 1, 4, false);
  if (!status)
    status = xattn_check_operand(handle, error, "out", out, 0, scores->rank, scores->rank, false);
  if (status) return status;
  bool same = scores->data == out->data && scores->dtype == out->dtype &&
              scores->device_type == out->device_type;
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
  *in_place = same;
  if (!status && !same) status = xattn_tensor_disjoint(error, "out", out, "scores", scores);
  return status;
}

/* Host tensors are worked on in the workspace; in place they share one copy there. */
static xattn_status run_staged(xattn_handle *handle, const xattn_tensor *scores,
                               const xattn_tensor *out, bool in_place, xattn_softmax *softmax) {
  xattn_place in, result;
  int64_t bytes = 0;
  bool capturing;
  char *workspace;
  xattn_status status = xattn_stage_plan(handle, scores, &bytes, &in);
  if (!status) status = xattn_stage_plan(handle, out, &bytes, &result);
  if (!status && in_place) result.offset = in.offset;
  if (!status) status = xattn_handle_begin(handle, &capturing);
  if (!status && capturing && bytes)
    status = xattn_fail(&handle->error, XATTN_ERROR_CAPTURE,
                        "scores: lie in host memory, which a graph cannot copy");
  if (!status) status = xattn_workspace(handle, bytes, &workspace);
  if (!status) status = xattn_stage_in(handle, &in, scores->dtype, workspace);
  if (status) return status;
  xattn_tensor from = xattn_as_staged(handle, scores), to = xattn_as_staged(handle, out);
  softmax->in =
      score_matrix(&from, xattn_stage_address(&in, workspace), softmax->batch, &softmax->m);
  softmax->out =
      score_matrix(&to, xattn_stage_address(&result, workspace), softmax->batch, &softmax->m);
  status = handle->backend->softmax(&handle->error, handle->device, softmax);
  return status ? status : xattn_stage_out(handle, &result, workspace);
}

xattn_status xattn_scale_softmax(xattn_handle *handle, const xattn_tensor *scores, float scale,
                                 const xattn_options *options, const xattn_tensor *out) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_options own;
  xattn_status status = xattn_check_options(error, options, &own);
  bool in_place;
  if (!status) status = check_scores(handle, error, scores, out, &in_place);
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
  int64_t items = scores->rank > 1 ? scores->shape[0] : 1;
  status = xattn_check_lengths(error, own.key_lengths, items, softmax.n, false, &softmax.limit);
  if (!status && own.key_lengths)
    status = xattn_tensor_disjoint(error, "out", out, "options.key_lengths", own.key_lengths);
  if (!status) status = run_staged(handle, scores, out, in_place, &softmax);
  if (status) return status;
  handle->stats.launches++;
  handle->stats.calls++;
  return XATTN_OK;
}
