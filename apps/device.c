#include "device.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "report.h"

int open_device(const device_arguments *arguments, xattn_handle **handle, xattn_handle_info *info) {
  xattn_handle_options options = {
      .size = sizeof options, .device = arguments->name, .threads = (int32_t)arguments->threads};
  xattn_status status = xattn_create(&options, handle);
  if (status) {
    bool named = strncmp(xattn_last_error(NULL), "device:", strlen("device:")) == 0;
    complain_status(named ? "--device" : NULL, NULL, status);
    return status == XATTN_ERROR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
  }
  *info = (xattn_handle_info){.size = sizeof *info};
  status = xattn_get_info(*handle, info);
  if (status) {
    complain_status("--device", *handle, status);
    return EXIT_FAILED;
  }
  return EXIT_FINE;
}

void print_device(const xattn_handle_info *info) {
  printf("device   %s: ", info->device);
  print_safe(stdout, info->detail);
  if (*info->note) {
    printf("\n         ");
    print_safe(stdout, info->note);
  }
  printf("\nthreads  %d\n", (int)info->threads);
}
