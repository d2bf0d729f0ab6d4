/* fork(): the child of a process that used CUDA gets cudaErrorInitializationError from every call, as
 * NVIDIA's driver has it. Loading the libraries is no use, a first call is. The driver stand-in keeps a
 * flag of its own: either library asks the other, if it is loaded. */
#include <dlfcn.h>
#include <pthread.h>

#include "call.h"

namespace cudasim {

namespace {
bool used, used_before_fork;

void before_fork() {
  big_lock.lock();
}
void after_fork_in_parent() {
  big_lock.unlock();
}
void after_fork_in_child() {
  used_before_fork = used_before_fork || used;
  big_lock.unlock();
}

__attribute__((constructor)) void watch_forks() {
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

bool driver_says_so() {
  void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (!driver) return false;
  auto *ask = (int (*)())dlsym(driver, "cudasim_driver_forked_after_use");
  const bool forked = ask && ask();
  dlclose(driver);
  return forked;
}
}  // namespace

void note_use() {
  used = true;
}

bool forked_after_use() {
  if (used_before_fork) return true;
  return !used && driver_says_so(); /* a process that uses CUDA by now has asked */
}

}  // namespace cudasim

extern "C" int cudasim_runtime_forked_after_use(void) {
  return cudasim::used_before_fork;
}
