/* How right is right, for every dtype of tensors: the rule of SEMANTICS.md for attention alone, the plain
 * implementation in half precision that whole layers are measured by, and the bound of a softmax. */
#ifndef XATTN_TESTS_SUPPORT_RULES_H
#define XATTN_TESTS_SUPPORT_RULES_H

#include "support_typed.h"

/* A row of the table. */
typedef struct rule {
  const char *name;
  double u_out, u_p, u_v, u_s, c, r, floor;
} rule;
extern const rule rule_f32, rule_tf32, rule_f16, rule_bf16;
const rule *rule_of(xattn_dtype dtype);

/* Fails unless out, float32 copies of what was computed from q, k and v, keeps the rule; q, k and v hold
 * values of the dtype. */
void check_attention_rule(const rule *by, const xattn_tensor *q, const xattn_tensor *k,
                          const xattn_tensor *v, double scale, const int32_t *lengths,
                          const xattn_tensor *out);

/* One attention of tensors of a dtype, whose inputs are rounded to it first, by the rule. With lengths one item has all
 * keys, one none, one half, the others some; 16 items at most. */
typedef struct attention_shape {
  int64_t batch, queries, keys, heads, kv_heads, head_dim, value_dim;
} attention_shape;

void check_attention(xattn_handle *handle, const rule *by, xattn_dtype dtype,
                     const attention_shape *s, const layout how[4], bool with_lengths,
                     uint64_t seed);

/* What a layer gives in float64, and the largest error of a plain implementation, which rounds to the dtype after each
 * step. Weights, x and y hold values of the dtype; streams have rank 3. */
typedef struct half_truth {
  xattn_dtype dtype;
  double *exact; /* dense, to be freed */
  double plain_error, largest;
} half_truth;
half_truth half_truth_of(xattn_dtype dtype, const test_layer *l, const xattn_tensor *x,
                         const xattn_tensor *y, const int32_t *lengths);
/* Fails unless the largest error of out is at most 2× the plain one, plus 2 ulp. */
void half_truth_check(const half_truth *truth, const xattn_tensor *out);

/* Fails unless out, float32 copies of a row of the dtype, is softmax(scale·in) of the first `keys` of n scores, and 0
 * behind them. */
void check_softmax_row(const float *in, const float *out, int64_t n, int64_t keys, float scale,
                       xattn_dtype dtype);

#endif
