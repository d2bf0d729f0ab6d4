/* What the machine can do at most, beside which bench puts what a case does. */
#ifndef XATTN_APPS_ROOF_H
#define XATTN_APPS_ROOF_H

#include <stdbool.h>
#include <xattn.h>

#include "memory.h"
#include "peak.h"

typedef struct roof_rates {
  peak_rate fma;
  memory_rates memory;
  xattn_rates rates; /* as xattn_calibrate measures them */
  bool
      from_rates; /* fma and memory are `flops` and `stream` of the rates: the device is not the host */
} roof_rates;

/* Measures with the handle's threads, in about a second. The handle's own rates, by which it plans, stay.
 * Returns an exit code, having complained if it is not 0. */
int roof_measure(xattn_handle *handle, const xattn_handle_info *device, roof_rates *roof);

/* A line for people. */
void print_roof(const roof_rates *roof);

/* Prints `"roof":{...},"rates":{...}`, members of a JSON object. */
void print_roof_json(const roof_rates *roof);

#endif
