#include "roof.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "rates_text.h"
#include "report.h"

/* The rates that plans are picked by come back: a bench shows the picks that other programs get. */
static int measure_rates(xattn_handle *handle, xattn_rates *rates) {
  *rates = (xattn_rates){.size = sizeof *rates};
  xattn_status status = xattn_calibrate(handle, false);
  if (!status) status = xattn_get_rates(handle, rates);
  if (!status) status = xattn_set_rates(handle, NULL);
  if (status) complain_status(NULL, handle, status);
  return status ? EXIT_FAILED : EXIT_FINE;
}

/* A peak is the best that is seen: on a shared machine a thread may be without its core throughout one measurement. */
static void raise_peak(peak_rate *peak, int threads) {
  const peak_rate now = peak_measure(threads);
  if (now.flops > peak->flops) *peak = now;
}

int roof_measure(xattn_handle *handle, const xattn_handle_info *device, roof_rates *roof) {
  roof->from_rates = strcmp(device->device, "cpu") != 0;
  roof->fma = (peak_rate){0};
  if (!roof->from_rates) raise_peak(&roof->fma, device->threads);
  int code = measure_rates(handle, &roof->rates);
  if (code) return code;
  if (roof->from_rates) {
    roof->fma = (peak_rate){roof->rates.flops, "products"};
    roof->memory = (memory_rates){roof->rates.stream, roof->rates.stream};
    return EXIT_FINE;
  }
  raise_peak(&roof->fma, device->threads);
  if (!memory_measure(device->threads, &roof->memory)) {
    complain(NULL, "no memory to measure how fast it is");
    return EXIT_FAILED;
  }
  raise_peak(&roof->fma, device->threads);
  return EXIT_FINE;
}

void print_roof(const roof_rates *roof) {
  if (roof->from_rates)
    printf("roof     products %.4g GFLOP/s; memory %.4g GB/s: rates as of xattn calibrate\n",
           roof->rates.flops * 1e-9, roof->rates.stream * 1e-9);
  else
    printf(
        "roof     multiply-adds %.4g GFLOP/s (%s), products %.4g GFLOP/s; memory read %.4g GB/s, "
        "copied %.4g GB/s\n",
        roof->fma.flops * 1e-9, roof->fma.instructions, roof->rates.flops * 1e-9,
        roof->memory.read * 1e-9, roof->memory.copy * 1e-9);
}

void print_roof_json(const roof_rates *roof) {
  printf(
      "\"roof\":{\"fma\":%.9g,\"instructions\":\"%s\",\"read\":%.9g,\"copy\":%.9g,"
      "\"from_rates\":%s},\"rates\":",
      roof->fma.flops, roof->fma.instructions, roof->memory.read, roof->memory.copy,
      roof->from_rates ? "true" : "false");
  print_rates_json(&roof->rates);
}
