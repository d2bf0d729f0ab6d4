/* A layer and the streams that it is run on, of the sizes of a bench case. */
#ifndef XATTN_APPS_WORKLOAD_H
#define XATTN_APPS_WORKLOAD_H

#include <stdbool.h>
#include <xattn.h>

#include "cases.h"

/* Zero but for the handle at first, so that it can be freed from any state. */
typedef struct workload {
  xattn_handle *handle;
  xattn_layer *layer;
  xattn_tensor x, y, out; /* of rank 3 */
} workload;

/* Random weights; or, not `filled`, zeros, which cost nothing to make: planning reads no value. */
xattn_status workload_make_layer(workload *work, const bench_case *sizes, bool filled);

/* Random streams in the device's memory, and a place for the result; or, not `filled`, tensors without
 * data. */
xattn_status workload_make_streams(workload *work, const bench_case *sizes, bool filled);

/* One forward, over the context if there is one, else over y, up to its end. */
xattn_status workload_forward(const workload *work, const xattn_context *context,
                              const xattn_options *options);

void workload_free(workload *work);

/* Complains about a status that something above, or a call on the handle, gave. Returns EXIT_FAILED. */
int workload_failed(const char *subject, const xattn_handle *handle, xattn_status status);

#endif
