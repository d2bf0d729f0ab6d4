/* How right is right, for every dtype that CUDA computes with: the rule of SEMANTICS.md for attention alone,
 * and the plain implementation in half precision that whole layers are measured by. */
#ifndef XATTN_TESTS_CUDA_REFERENCE_H
#define XATTN_TESTS_CUDA_REFERENCE_H

#include "support.h"

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

/* Fails unless the largest error of out is at most 2× that of a plain implementation, which rounds to the
 * dtype after each step, plus 2 ulp. Weights, x and y hold values of the dtype; streams have rank 3. */
void check_half_layer(xattn_dtype dtype, const test_layer *l, const xattn_tensor *x,
                      const xattn_tensor *y, const int32_t *lengths, const xattn_tensor *out);

#endif
