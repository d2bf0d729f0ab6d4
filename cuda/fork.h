/* CUDA does not survive a fork: a child of a process that has used it may not call it, not even to free. */
#ifndef XATTN_CUDA_FORK_H
#define XATTN_CUDA_FORK_H

#include "backend.h"

/* From the first call on, forks are noticed. */
void xattn_fork_watch(void);
bool xattn_forked(void);
xattn_status xattn_fork_check(xattn_error *error);

#endif
