/* Reading the arrays of a run into memory of their own, so that no time of a forward contains the
 * first reading of a mapped file. */
#ifndef XATTN_APPS_INPUT_H
#define XATTN_APPS_INPUT_H

#include <xattn.h>

/* Reads a stream of features of rank 2 or 3, converted to F32. Returns an exit code, having
 * complained if it is not 0. tensor->data is the caller's to free, also after a failure. */
int read_stream(const char *path, xattn_tensor *tensor);

/* Reads key lengths (rank 1, I32 or I64), converted to I32; for the rest as read_stream. */
int read_lengths(const char *path, xattn_tensor *tensor);

#endif
