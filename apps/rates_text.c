#include "rates_text.h"

#include <stdio.h>
#include <string.h>

#include "report.h"

const rate_row rate_rows[RATE_ROWS] = {
    {"products", "GFLOP/s", "flops", 1e9, offsetof(xattn_rates, flops)},
    {"products, 16 bits", "GFLOP/s", "flops_half", 1e9, offsetof(xattn_rates, flops_half)},
    {"their operands", "GB/s", "operands", 1e9, offsetof(xattn_rates, operands)},
    {"copies", "GB/s", "stream", 1e9, offsetof(xattn_rates, stream)},
    {"softmax", "10^9 elements/s", "softmax", 1e9, offsetof(xattn_rates, softmax)},
    {"one launch", "us", "launch", 1e-6, offsetof(xattn_rates, launch)},
};

static double field_of(const rate_row *row, const xattn_rates *rates) {
  double value;
  memcpy(&value, (const char *)rates + row->offset, sizeof value);
  return value;
}

double rate_in_unit(const rate_row *row, const xattn_rates *rates) {
  return field_of(row, rates) / row->per_unit;
}

void print_rates(const xattn_rates *rates) {
  printf("rates    ");
  for (size_t i = 0; i < RATE_ROWS; i++)
    printf("%s%s %.4g %s", i ? "; " : "", rate_rows[i].what, rate_in_unit(&rate_rows[i], rates),
           rate_rows[i].unit);
  printf("\n         from: ");
  print_safe(stdout, rates->source);
  putchar('\n');
}

void print_rates_json(const xattn_rates *rates) {
  putchar('{');
  for (size_t i = 0; i < RATE_ROWS; i++)
    printf("\"%s\":%.9g,", rate_rows[i].name, field_of(&rate_rows[i], rates));
  printf("\"source\":");
  print_json_string(stdout, rates->source);
  putchar('}');
}
