#include "packed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The uses of one weight, of which each reads it in another order: by columns, whole or per head, and by rows. */
enum { ORDERS = 3 };

typedef struct entry {
  atomic_bool ready;
  int64_t packing; /* of the device that packed it */
  xattn_memory memory;
} entry;

struct xattn_packed {
  pthread_mutex_t lock;
  entry of[XATTN_SLOT_COUNT][ORDERS];
};

struct xattn_packed *xattn_packed_new(void) {
  struct xattn_packed *packed = calloc(1, sizeof *packed);
  if (packed) (void)pthread_mutex_init(&packed->lock, NULL);
  return packed;
}

void xattn_packed_free(struct xattn_packed *packed) {
  if (!packed) return;
  for (int slot = 0; slot < XATTN_SLOT_COUNT; slot++)
    for (int order = 0; order < ORDERS; order++) xattn_memory_free(&packed->of[slot][order].memory);
  (void)pthread_mutex_destroy(&packed->lock);
  free(packed);
}

static int order_of(const xattn_step *step) {
  return !step->b_transposed ? 2 : step->b.heads > 1;
}

static xattn_status pack(xattn_handle *handle, const xattn_gemm *gemm, int64_t elements,
                         int64_t packing, entry *to) {
  const xattn_backend *backend = handle->backend;
  xattn_status status = xattn_memory_new(handle, (size_t)elements * sizeof(float), &to->memory);
  if (status) return status;
  to->packing = packing;
  backend->pack(handle->device, gemm, to->memory.data);
  atomic_store(&to->ready, true);
  return XATTN_OK;
}

xattn_status xattn_layer_pack(xattn_handle *handle, const xattn_layer *layer,
                              const xattn_plan_steps *plan, xattn_run *run) {
  const xattn_limits limits = handle->backend->limits(handle->device);
  xattn_status status = XATTN_OK;
  for (int i = 0; limits.packing && i < plan->count && !status; i++) {
    const xattn_step *step = &plan->step[i];
    if (step->kind != XATTN_STEP_LINEAR || !xattn_slot_is_weight(step->b.slot)) continue;
    entry *of = &layer->packed->of[step->b.slot][order_of(step)];
    const xattn_gemm gemm = xattn_run_weight(run, step);
    if (gemm.m <= limits.unpacked_rows) continue;
    const int64_t elements = handle->backend->packed_elements(handle->device, &gemm);
    if (elements == 0) continue;
    if (!atomic_load(&of->ready)) {
      (void)pthread_mutex_lock(&layer->packed->lock);
      if (!atomic_load(&of->ready)) status = pack(handle, &gemm, elements, limits.packing, of);
      (void)pthread_mutex_unlock(&layer->packed->lock);
    }
    if (!status && of->packing == limits.packing) run->packed[i] = of->memory.data;
  }
  return status;
}
