#include <stdio.h>
#include <stdlib.h>

#include "objects.h"
#include "rates.h"

enum { MAX_THREADS = 4096 };

const char *xattn_version(void) {
  return XATTN_VERSION_TEXT;
}

/* Where auto finds a device that does not open, it takes the CPU and says why. */
static xattn_status open_device(xattn_error *error, const xattn_handle_options *options,
                                xattn_handle *h) {
  xattn_device_options device = {.threads = options->threads, .math = options->math};
  xattn_status status =
      xattn_backend_find(error, options->device, &h->backend, &h->index, h->note, sizeof h->note);
  if (status) return status;
  status = h->backend->open(error, h->index, &device, &h->device);
  if (!status || !h->note[0] || h->backend == &xattn_backend_cpu) return status;
  (void)snprintf(h->note, sizeof h->note, "auto took the CPU: %.120s", error->text);
  h->backend = &xattn_backend_cpu;
  return h->backend->open(error, h->index, &device, &h->device);
}

xattn_status xattn_create(const xattn_handle_options *options, xattn_handle **handle) {
  xattn_error *error = xattn_thread_error();
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  *handle = NULL;
  xattn_handle_options own = {.size = sizeof own};
  xattn_status status =
      options ? xattn_read_sized(error, "options", options, &own, sizeof own) : XATTN_OK;
  if (status) return status;
  if (own.math != XATTN_MATH_DEFAULT && own.math != XATTN_MATH_TF32)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "options.math: %d is unknown", (int)own.math);
  if (own.threads < 0 || own.threads > MAX_THREADS)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "options.threads: %d is not in 0 to %d",
                      own.threads, MAX_THREADS);

  xattn_handle *h = calloc(1, sizeof *h);
  if (!h) return xattn_fail(error, XATTN_ERROR_MEMORY, "handle: out of memory");
  status = open_device(error, &own, h);
  if (!status) {
    xattn_rates_find(h, &own);
    h->rates = h->first_rates;
  } else {
    free(h);
    return status;
  }
  *handle = h;
  return XATTN_OK;
}

void xattn_destroy(xattn_handle *handle) {
  if (!handle) return;
  (void)handle->backend->synchronize(&handle->error, handle->device);
  xattn_memory_close(handle);
  handle->backend->close(handle->device);
  free(handle);
}

const char *xattn_last_error(const xattn_handle *handle) {
  return handle ? handle->error.text : xattn_thread_error()->text;
}

xattn_error *xattn_error_of(xattn_handle *handle) {
  return handle ? &handle->error : xattn_thread_error();
}

xattn_status xattn_synchronize(xattn_handle *handle) {
  if (!handle) return xattn_fail(xattn_thread_error(), XATTN_ERROR_ARGUMENT, "handle: is NULL");
  return handle->backend->synchronize(&handle->error, handle->device);
}

xattn_status xattn_get_info(xattn_handle *handle, xattn_handle_info *info) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_handle_info own = {.size = sizeof own};
  if (handle->backend->memory == XATTN_CPU)
    (void)snprintf(own.device, sizeof own.device, "cpu");
  else
    (void)snprintf(own.device, sizeof own.device, "%s:%d", handle->backend->name, handle->index);
  (void)snprintf(own.note, sizeof own.note, "%s", handle->note);
  handle->backend->describe(handle->device, &own);
  return xattn_write_sized(error, "info", &own, sizeof own, info);
}

xattn_status xattn_get_stats(xattn_handle *handle, xattn_stats *stats) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  return xattn_write_sized(error, "stats", &handle->stats, sizeof handle->stats, stats);
}

xattn_status xattn_handle_begin(xattn_handle *handle, bool *capturing) {
  *capturing = false;
  xattn_status status = handle->backend->begin(&handle->error, handle->device, capturing);
  handle->captured |= *capturing;
  return status;
}

xattn_status xattn_same_device(xattn_handle *handle, const char *name, const xattn_memory *memory) {
  if (memory->backend == handle->backend && memory->index == handle->index) return XATTN_OK;
  return xattn_fail(&handle->error, XATTN_ERROR_ARGUMENT,
                    "%s: lives on %s device %d, the handle is on %s device %d", name,
                    memory->backend->name, memory->index, handle->backend->name, handle->index);
}
