#include "device.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

void print_device_json(const xattn_handle_info *info) {
  printf("\"device\":");
  print_json_string(stdout, info->device);
  printf(",\"detail\":");
  print_json_string(stdout, info->detail);
  printf(",\"note\":");
  print_json_string(stdout, info->note);
  printf(",\"threads\":%d", (int)info->threads);
}

xattn_status move_to_device(xattn_handle *handle, xattn_tensor *tensor) {
  xattn_handle_info info = {.size = sizeof info};
  xattn_status status = xattn_get_info(handle, &info);
  static const char cuda[] = "cuda:";
  if (status || strncmp(info.device, cuda, strlen(cuda)) != 0) return status;
  xattn_tensor moved = *tensor;
  moved.device_type = XATTN_CUDA;
  moved.device_index = (int32_t)strtol(info.device + strlen(cuda), NULL, 10);
  size_t bytes = xattn_dtype_size(tensor->dtype);
  for (int32_t i = 0; i < tensor->rank; i++) bytes *= (size_t)tensor->shape[i];
  status = xattn_device_alloc(handle, bytes, &moved.data);
  if (!status) status = xattn_tensor_copy(handle, tensor, &moved);
  if (status) {
    (void)xattn_device_free(handle, moved.data);
    return status;
  }
  free(tensor->data);
  *tensor = moved;
  return XATTN_OK;
}

void free_tensor(xattn_handle *handle, xattn_tensor *tensor) {
  if (tensor->device_type == XATTN_CUDA)
    (void)xattn_device_free(handle, tensor->data);
  else
    free(tensor->data);
  tensor->data = NULL;
}
