/* Products of a layer's weights, which some plans read in place of the weights. */
#ifndef XATTN_MERGE_H
#define XATTN_MERGE_H

#include "objects.h"

/* Room for them; NULL: out of memory. */
struct xattn_merged *xattn_merged_new(void);
void xattn_merged_free(struct xattn_merged *merged);

/* Puts the addresses of what the form reads into slots M to N_TOTAL. What is not there yet is made: in float64, on the host, of the
 * weights as the device has them, rounded once to their dtype. Threads may ask at once.
 * @return XATTN_ERROR_MEMORY, _CAPTURE (it is not there, and cannot be made now), _DEVICE. */
xattn_status xattn_layer_merge(xattn_handle *handle, const xattn_layer *layer, xattn_form form,
                               char *slot[XATTN_SLOT_COUNT]);

#endif
