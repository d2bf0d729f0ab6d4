/* Weights once more, in the order in which the backend's products read them, where it has such an order. */
#ifndef XATTN_PACKED_H
#define XATTN_PACKED_H

#include "objects.h"
#include "run.h"

/* Room for them; NULL: out of memory. */
struct xattn_packed *xattn_packed_new(void);
void xattn_packed_free(struct xattn_packed *packed);

/* Puts the addresses of the packed weights of the plan's steps into the run, whose slots are filled. What is not there
 * yet is packed. Threads may ask at once.
 * @return XATTN_ERROR_MEMORY. */
xattn_status xattn_layer_pack(xattn_handle *handle, const xattn_layer *layer,
                              const xattn_plan_steps *plan, xattn_run *run);

#endif
