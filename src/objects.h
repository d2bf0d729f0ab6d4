/* What is behind the opaque types of xattn.h. */
#ifndef XATTN_OBJECTS_H
#define XATTN_OBJECTS_H

#include "plan.h"

/* Device memory and who frees it. */
typedef struct xattn_memory {
  const xattn_backend *backend;
  int32_t index;
  float *data;
} xattn_memory;

struct xattn_handle {
  const xattn_backend *backend;
  int32_t index;
  xattn_device *device;
  xattn_memory workspace;
  xattn_stats stats;
  char note[160];
  xattn_error error;
};

struct xattn_layer {
  uint64_t id;                     /* no other layer of this process has it, before or after */
  xattn_memory memory;             /* all weights, one after another */
  float *weight[XATTN_SLOT_COUNT]; /* by slot WQ .. BO; NULL where the layer has none */
  xattn_layer_info info;
};

struct xattn_context {
  xattn_memory memory;  /* K, then V, then the key lengths */
  uint64_t layer;       /* id of the layer it was made for */
  int64_t batch;        /* as the caller sees it */
  int64_t stored_batch; /* 1 if every item is the same */
  int64_t keys;
  float *k, *v;           /* [stored_batch, keys, Hkv·Dh], [stored_batch, keys, Hkv·Dv] */
  const int32_t *lengths; /* [batch], or NULL */
};

/* Allocates on the handle's device and counts it. */
xattn_status xattn_memory_new(xattn_handle *handle, size_t bytes, xattn_memory *memory);
void xattn_memory_free(xattn_memory *memory);

/* The error that a call on this handle fills; the thread's own where handle is NULL. */
xattn_error *xattn_error_of(xattn_handle *handle);

/* Refuses a missing handle, and an object that lives on another device than the handle's. */
xattn_status xattn_same_device(xattn_handle *handle, const char *name, const xattn_memory *memory);

/* Makes the handle's workspace at least this large. */
xattn_status xattn_workspace(xattn_handle *handle, int64_t bytes);

#endif
