/* What is behind the opaque types of xattn.h. */
#ifndef XATTN_OBJECTS_H
#define XATTN_OBJECTS_H

#include "choices.h"
#include "plan.h"

/* Memory that lives until it is given back, or its handle goes. */
typedef struct xattn_held {
  xattn_memory memory;
  struct xattn_held *next;
} xattn_held;

struct xattn_handle {
  const xattn_backend *backend;
  int32_t index;
  xattn_device *device;
  xattn_memory pool; /* of workspace */
  void *callers;     /* workspace of the caller in its place, or NULL */
  uint64_t callers_bytes;
  xattn_held *held; /* the caller's allocations, and pools that captured graphs may use */
  bool captured;    /* a call was captured: the pool's address is in a graph */
  xattn_stats stats;
  xattn_choices choices; /* by the rates in use */
  xattn_math math;
  xattn_rates rates, first_rates; /* in use, and those of the creation */
  char note[160];
  xattn_error error;
};

struct xattn_layer {
  uint64_t id;                    /* no other layer of this process has it, before or after */
  xattn_memory memory;            /* all weights, one after another */
  void *weight[XATTN_SLOT_COUNT]; /* by slot WQ .. BO; NULL where the layer has none */
  xattn_layer_info info;
  struct xattn_merged *merged; /* products of its weights, made when a plan first wants them */
  struct xattn_packed *packed; /* the weights in the backend's order, likewise */
};

struct xattn_context {
  xattn_memory memory;
  uint64_t layer;       /* id of the layer it was made for */
  int64_t batch;        /* as the caller sees it */
  int64_t stored_batch; /* 1 if every item is the same */
  int64_t keys;         /* of the longest item */
  xattn_form form;
  xattn_store store;   /* what is kept */
  xattn_layout layout; /* where it lies in memory */
  int32_t *lengths;    /* [batch] in host memory, or NULL: all have `keys` */
};

/* Allocates on the handle's device and counts it. */
xattn_status xattn_memory_new(xattn_handle *handle, size_t bytes, xattn_memory *memory);
void xattn_memory_free(xattn_memory *memory);

/* At least so many bytes of workspace, the caller's or the pool's. */
xattn_status xattn_workspace(xattn_handle *handle, int64_t bytes, char **workspace);

/* Gives back the pool and what is kept. */
void xattn_memory_close(xattn_handle *handle);

/* Asks the backend whether work may be enqueued, and notes a capture. */
xattn_status xattn_handle_begin(xattn_handle *handle, bool *capturing);

/* The error that a call on this handle fills; the thread's own where handle is NULL. */
xattn_error *xattn_error_of(xattn_handle *handle);

/* Refuses a missing handle, and an object that lives on another device than the handle's. */
xattn_status xattn_same_device(xattn_handle *handle, const char *name, const xattn_memory *memory);

#endif
