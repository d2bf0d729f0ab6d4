#include "fork.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_bool forked;

static void note_fork(void) {
  atomic_store(&forked, true);
}

static void watch(void) {
  (void)pthread_atfork(NULL, NULL, note_fork);
}

void xattn_fork_watch(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, watch);
}

bool xattn_forked(void) {
  return atomic_load(&forked);
}

xattn_status xattn_fork_check(xattn_error *error) {
  if (!xattn_forked()) return XATTN_OK;
  return xattn_fail(
      error, XATTN_ERROR_UNAVAILABLE,
      "cuda: this process is a fork of one that had used CUDA, which does not work in "
      "it; start a new process, or fork before the first handle");
}
