/* Chooses the kernel of a scale-softmax: by the length of a row, and by alignment. */
#include "device.h"
#include "kernels.h"

static xattn_softmax_kind kind_of(int64_t n) {
  if (n <= XATTN_SOFTMAX_SHORT) return XATTN_SOFTMAX_WARP_8;
  if (n <= XATTN_SOFTMAX_MEDIUM) return XATTN_SOFTMAX_WARP_32;
  if (n <= XATTN_SOFTMAX_SHARED) return XATTN_SOFTMAX_BLOCK;
  return XATTN_SOFTMAX_ONLINE;
}

/* A side of the softmax as levels of rows, the outermost first. */
typedef struct levels {
  int64_t count[4], in[4], out[4]; /* extents and strides */
} levels;

static levels levels_of(const xattn_softmax *s) {
  levels l = {.count = {s->batch[0], s->batch[1], s->batch[2], s->m}};
  for (int i = 0; i < 3; i++) {
    l.in[i] = s->in.stride[i];
    l.out[i] = s->out.stride[i];
  }
  l.in[3] = s->in.ld;
  l.out[3] = s->out.ld;
  return l;
}

/* Puts level `outer` into the one behind it where its items follow one another without a gap. */
static void join(levels *l, int outer) {
  const int inner = outer + 1;
  const bool follows = l->in[outer] == l->in[inner] * l->count[inner] &&
                       l->out[outer] == l->out[inner] * l->count[inner];
  if (l->count[outer] != 1 && l->count[inner] != 1 && !follows) return;
  if (l->count[inner] == 1) {
    l->in[inner] = l->in[outer];
    l->out[inner] = l->out[outer];
  }
  l->count[inner] *= l->count[outer];
  l->count[outer] = 1;
}

static bool side_aligned(const xattn_matrix *m, const xattn_rows *rows,
                         const xattn_softmax_arguments *a) {
  const int64_t item = (int64_t)xattn_dtype_size(m->dtype);
  return (uintptr_t)m->data % 16 == 0 && (a->items == 1 || rows->item * item % 16 == 0) &&
         (a->groups == 1 || rows->group * item % 16 == 0) &&
         (a->rows == 1 || rows->row * item % 16 == 0);
}

static xattn_status launch(xattn_error *error, xattn_device *device, const xattn_softmax *s,
                           const xattn_softmax_arguments *a) {
  const int aligned = side_aligned(&s->in, &a->in, a) && side_aligned(&s->out, &a->out, a) ? 1 : 0;
  return xattn_cuda_check(error,
                          xattn_cuda_launch_softmax(a, s->in.dtype, s->out.dtype, kind_of(s->n),
                                                    aligned, xattn_stream(device)),
                          "launching a softmax");
}

static void move(xattn_rows *rows, xattn_dtype dtype, int64_t elements) {
  rows->data = (char *)rows->data + elements * (int64_t)xattn_dtype_size(dtype);
}

/* With lengths, a launch takes as many items as its arguments hold lengths for. */
static xattn_status launch_limited(xattn_error *error, xattn_device *device, const xattn_softmax *s,
                                   xattn_softmax_arguments a) {
  const int64_t all = a.items;
  a.limited = 1;
  xattn_status status = XATTN_OK;
  for (int64_t first = 0; first < all && !status; first += XATTN_SOFTMAX_LIMITS) {
    a.items = all - first < XATTN_SOFTMAX_LIMITS ? all - first : XATTN_SOFTMAX_LIMITS;
    for (int64_t i = 0; i < a.items; i++) a.limit[i] = s->limit.count[(first + i) * s->limit.step];
    status = launch(error, device, s, &a);
    move(&a.in, s->in.dtype, a.in.item * a.items);
    move(&a.out, s->out.dtype, a.out.item * a.items);
  }
  return status;
}

xattn_status xattn_cuda_softmax(xattn_error *error, xattn_device *device, const xattn_softmax *s) {
  if (s->batch[0] == 0 || s->batch[1] == 0 || s->batch[2] == 0 || s->m == 0 || s->n == 0)
    return XATTN_OK;
  levels l = levels_of(s);
  for (int outer = 2; outer >= (s->limit.count ? 1 : 0); outer--)
    for (int level = outer; level < 3; level++) join(&l, level);
  xattn_softmax_arguments a = {.in = {.data = s->in.data, .item = l.in[0], .row = l.in[3]},
                               .out = {.data = s->out.data, .item = l.out[0], .row = l.out[3]},
                               .items = l.count[0],
                               .rows = l.count[3],
                               .n = s->n,
                               .scale = s->scale};
  /* Of the two levels between item and row one is left where heads lie as they do in scores; else the
   * outer one is walked here. */
  xattn_status status = XATTN_OK;
  const int kernel_level = l.count[2] > 1 ? 2 : 1, host_level = kernel_level == 2 ? 1 : 2;
  a.groups = l.count[kernel_level];
  a.in.group = l.in[kernel_level];
  a.out.group = l.out[kernel_level];
  for (int64_t i = 0; i < l.count[host_level] && !status; i++) {
    status = s->limit.count ? launch_limited(error, device, s, a) : launch(error, device, s, &a);
    move(&a.in, s->in.dtype, l.in[host_level]);
    move(&a.out, s->out.dtype, l.out[host_level]);
  }
  return status;
}
