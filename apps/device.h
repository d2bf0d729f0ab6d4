/* Opening the device that --device and --threads ask for. */
#ifndef XATTN_APPS_DEVICE_H
#define XATTN_APPS_DEVICE_H

#include <xattn.h>

#include "options.h"

typedef struct device_arguments {
  const char *name;
  int64_t threads;
} device_arguments;

/* Rows of an option table for `arguments`, the same in every subcommand. */
#define DEVICE_OPTIONS(arguments)                                                                 \
  {.name = "device",                                                                              \
   .kind = OPTION_TEXT,                                                                           \
   .value = "NAME",                                                                               \
   .preset = "auto",                                                                              \
   .to.text = &(arguments)->name,                                                                 \
   .help = "auto, cpu, cuda or cuda:N"},                                                          \
  {                                                                                               \
    .name = "threads", .kind = OPTION_INT, .value = "N", .preset = "0", .least = 0, .most = 4096, \
    .to.integer = &(arguments)->threads, .help = "CPU threads; 0: as OpenMP decides"              \
  }

/* Opens the device and reads its info. Returns an exit code, having complained if it is not 0. */
int open_device(const device_arguments *arguments, xattn_handle **handle, xattn_handle_info *info);

/* Prints device, detail, note and threads, a line each, for people. */
void print_device(const xattn_handle_info *info);

/* Prints `"device":...,"detail":...,"note":...,"threads":...`, members of a JSON object. */
void print_device_json(const xattn_handle_info *info);

/* Moves a dense tensor of malloc'ed host memory to the handle's device, if that has memory of its own: its
 * host memory is freed. On failure the tensor stays as it is. */
xattn_status move_to_device(xattn_handle *handle, xattn_tensor *tensor);

/* Frees its memory, wherever it is. */
void free_tensor(xattn_handle *handle, xattn_tensor *tensor);

#endif
