/* Device memory of a handle: its pool of workspace, and what the caller asks for. */
#include <stdlib.h>

#include "objects.h"

xattn_status xattn_memory_new(xattn_handle *handle, size_t bytes, xattn_memory *memory) {
  *memory = (xattn_memory){0};
  xattn_status status = handle->backend->allocate(&handle->error, handle->device, bytes, memory);
  if (status) return status;
  memory->backend = handle->backend;
  memory->index = handle->index;
  handle->stats.allocations++;
  handle->stats.allocated_bytes += bytes;
  return XATTN_OK;
}

void xattn_memory_free(xattn_memory *memory) {
  if (memory->backend && memory->data) memory->backend->release(memory);
  *memory = (xattn_memory){0};
}

/* Puts memory on the handle's list; on failure it stays the caller's. */
static xattn_status hold(xattn_handle *handle, const xattn_memory *memory) {
  xattn_held *held = malloc(sizeof *held);
  if (!held) return xattn_fail(&handle->error, XATTN_ERROR_MEMORY, "handle: out of memory");
  *held = (xattn_held){.memory = *memory, .next = handle->held};
  handle->held = held;
  return XATTN_OK;
}

/* A graph may hold the pool's address: then the old pool stays until the handle goes. */
static xattn_status grow_pool(xattn_handle *handle, uint64_t bytes) {
  xattn_memory larger;
  xattn_status status = xattn_memory_new(handle, bytes, &larger);
  if (!status && handle->captured && handle->pool.data) status = hold(handle, &handle->pool);
  if (status) {
    xattn_memory_free(&larger);
    return status;
  }
  if (!handle->captured) xattn_memory_free(&handle->pool);
  handle->pool = larger;
  handle->stats.workspace_bytes = bytes;
  return XATTN_OK;
}

xattn_status xattn_workspace(xattn_handle *handle, int64_t bytes, char **workspace) {
  uint64_t wanted = (uint64_t)bytes;
  if (handle->callers) {
    *workspace = handle->callers;
    if (wanted <= handle->callers_bytes) return XATTN_OK;
    return xattn_fail(&handle->error, XATTN_ERROR_MEMORY,
                      "workspace: the call needs %llu bytes, the caller's has %llu",
                      (unsigned long long)wanted, (unsigned long long)handle->callers_bytes);
  }
  xattn_status status =
      wanted <= handle->stats.workspace_bytes ? XATTN_OK : grow_pool(handle, wanted);
  *workspace = handle->pool.data;
  return status;
}

xattn_status xattn_reserve(xattn_handle *handle, size_t bytes) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  if (bytes > INT64_MAX / 2)
    return xattn_fail(error, XATTN_ERROR_MEMORY, "bytes: %zu is more than memory can be", bytes);
  if (bytes <= handle->stats.workspace_bytes) return XATTN_OK;
  bool capturing;
  xattn_status status = xattn_handle_begin(handle, &capturing);
  return status ? status : grow_pool(handle, bytes);
}

xattn_status xattn_set_workspace(xattn_handle *handle, void *workspace, size_t bytes) {
  xattn_error *error = xattn_error_of(handle);
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  if (!workspace != !bytes)
    return xattn_fail(error, XATTN_ERROR_ARGUMENT, "workspace: %s with %zu bytes",
                      workspace ? "an address" : "NULL", bytes);
  if ((uintptr_t)workspace % XATTN_ALIGNMENT)
    return xattn_fail(error, XATTN_ERROR_LAYOUT, "workspace: %#llx is not aligned to %d bytes",
                      (unsigned long long)(uintptr_t)workspace, XATTN_ALIGNMENT);
  handle->callers = workspace;
  handle->callers_bytes = bytes;
  return XATTN_OK;
}

xattn_status xattn_device_alloc(xattn_handle *handle, size_t bytes, void **memory) {
  xattn_error *error = xattn_error_of(handle);
  if (!memory) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "memory: is NULL");
  *memory = NULL;
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  bool capturing;
  xattn_memory made;
  xattn_status status = xattn_handle_begin(handle, &capturing);
  if (!status) status = xattn_memory_new(handle, bytes ? bytes : 1, &made);
  if (status) return status;
  status = hold(handle, &made);
  if (status) {
    xattn_memory_free(&made);
    return status;
  }
  *memory = made.data;
  return XATTN_OK;
}

xattn_status xattn_device_free(xattn_handle *handle, void *memory) {
  xattn_error *error = xattn_error_of(handle);
  if (!memory) return XATTN_OK;
  if (!handle) return xattn_fail(error, XATTN_ERROR_ARGUMENT, "handle: is NULL");
  for (xattn_held **at = &handle->held; *at; at = &(*at)->next) {
    xattn_held *found = *at;
    if (found->memory.data != memory) continue;
    *at = found->next;
    xattn_memory_free(&found->memory);
    free(found);
    return XATTN_OK;
  }
  return xattn_fail(error, XATTN_ERROR_ARGUMENT, "memory: %#llx is not from this handle",
                    (unsigned long long)(uintptr_t)memory);
}

void xattn_memory_close(xattn_handle *handle) {
  xattn_memory_free(&handle->pool);
  while (handle->held) {
    xattn_held *next = handle->held->next;
    xattn_memory_free(&handle->held->memory);
    free(handle->held);
    handle->held = next;
  }
}
