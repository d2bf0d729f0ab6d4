/* The rates that plans are weighed by: built in, from the user's cache, measured, or the caller's. */
#ifndef XATTN_RATES_H
#define XATTN_RATES_H

#include "objects.h"

/* Fills first_rates of a handle that was opened with these options: from the file, else built in. */
void xattn_rates_find(xattn_handle *handle, const xattn_handle_options *options);

/* Each is finite and above 0. */
bool xattn_rates_sane(const xattn_rates *rates);

/* ---- the file (rates_file.c): a JSON object with an object of rates for each key */

enum { XATTN_RATES_PATH = 1024, XATTN_RATES_KEY = 512 };

/* Where the file is; false: there is none to be (XATTN_RATES=builtin, or no home). */
bool xattn_rates_path(char path[XATTN_RATES_PATH]);

/* False where the file is not there, cannot be read, or has no sane entry of the key. */
bool xattn_rates_read(const char *path, const char *key, xattn_rates *rates);

/* @return XATTN_ERROR_IO, _FORMAT (what is there is not a file of rates), _MEMORY. */
xattn_status xattn_rates_write(xattn_error *error, const char *path, const char *key,
                               const xattn_rates *rates);

/* ---- measuring (calibrate.c) */

xattn_status xattn_rates_measure(xattn_handle *handle, xattn_rates *rates);

#endif
