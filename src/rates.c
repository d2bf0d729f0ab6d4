#include "rates.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What rates hang on: the device, what computes on it, the threads, and how F32 is multiplied. */
static void key_of(const xattn_handle *handle, char key[XATTN_RATES_KEY]) {
  xattn_handle_info info = {.size = sizeof info};
  handle->backend->describe(handle->device, &info);
  (void)snprintf(key, XATTN_RATES_KEY, "%s; %s; threads %d; %s", handle->backend->name, info.detail,
                 info.threads, handle->math == XATTN_MATH_TF32 ? "TF32" : "F32");
}

bool xattn_rates_sane(const xattn_rates *r) {
  const double rates[] = {r->flops, r->flops_half, r->operands, r->stream, r->softmax, r->launch};
  for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
    if (!isfinite(rates[i]) || rates[i] <= 0.0) return false;
  return true;
}

void xattn_rates_find(xattn_handle *handle, const xattn_handle_options *options) {
  char path[XATTN_RATES_PATH], key[XATTN_RATES_KEY];
  handle->math = options->math;
  handle->first_rates = handle->backend->rates(handle->device);
  key_of(handle, key);
  if (xattn_rates_path(path)) (void)xattn_rates_read(path, key, &handle->first_rates);
}

xattn_status xattn_get_rates(xattn_handle *handle, xattn_rates *rates) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  return xattn_write_sized(error, "rates", &handle->rates, sizeof handle->rates, rates);
}

/* What was chosen by other rates is forgotten. */
static void use(xattn_handle *handle, const xattn_rates *rates) {
  handle->rates = *rates;
  handle->choices.count = handle->choices.next = 0;
}

xattn_status xattn_set_rates(xattn_handle *handle, const xattn_rates *rates) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  if (!rates) {
    use(handle, &handle->first_rates);
    return XATTN_OK;
  }
  xattn_rates own;
  xattn_status status = xattn_read_sized(error, "rates", rates, &own, sizeof own);
  if (status) return status;
  if (!xattn_rates_sane(&own))
    return xattn_fail(error, XATTN_ERROR_ARGUMENT,
                      "rates: flops %g, flops_half %g, operands %g, stream %g, softmax %g, launch "
                      "%g; each must be above 0",
                      own.flops, own.flops_half, own.operands, own.stream, own.softmax, own.launch);
  own.size = sizeof own;
  memset(own.source, 0, sizeof own.source);
  (void)snprintf(own.source, sizeof own.source, "caller");
  use(handle, &own);
  return XATTN_OK;
}

xattn_status xattn_calibrate(xattn_handle *handle, int save) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  xattn_rates measured = {.size = sizeof measured, .source = "calibrated"};
  xattn_status status = xattn_rates_measure(handle, &measured);
  if (status) return status;
  use(handle, &measured);
  if (!save) return XATTN_OK;
  char path[XATTN_RATES_PATH], key[XATTN_RATES_KEY];
  if (!xattn_rates_path(path))
    return xattn_fail(
        error, XATTN_ERROR_ARGUMENT,
        "save: no place for rates: XATTN_RATES is \"builtin\", or none of XATTN_RATES, "
        "XDG_CACHE_HOME and HOME is set");
  key_of(handle, key);
  return xattn_rates_write(error, path, key, &measured);
}
