/* Rates of a device for people, in units that they read, and as JSON. */
#ifndef XATTN_APPS_RATES_TEXT_H
#define XATTN_APPS_RATES_TEXT_H

#include <stddef.h>
#include <xattn.h>

typedef struct rate_row {
  const char *what, *unit;
  const char *name; /* the field's */
  double per_unit;  /* of the field, one unit */
  size_t offset;
} rate_row;

enum { RATE_ROWS = 6 };
extern const rate_row rate_rows[RATE_ROWS];

/* In the row's unit. */
double rate_in_unit(const rate_row *row, const xattn_rates *rates);

/* The rates and their source, two lines. */
void print_rates(const xattn_rates *rates);

/* An object, each rate in the unit of its field. */
void print_rates_json(const xattn_rates *rates);

#endif
