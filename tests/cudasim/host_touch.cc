#include "host_touch.h"

#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "device_memory.h"

namespace cudasim {

namespace {

const int most_devices = 16;
DeviceMemory *watched[most_devices];
int watched_count;
struct sigaction handler_before;

DeviceMemory *owner_of(const void *address) {
  for (int i = 0; i < watched_count; i++)
    if (watched[i]->owns((uint64_t)address)) return watched[i];
  return nullptr;
}

void pass_on(int signal, siginfo_t *info, void *context) {
  if (handler_before.sa_flags & SA_SIGINFO)
    handler_before.sa_sigaction(signal, info, context);
  else if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN)
    handler_before.sa_handler(signal);
  else
    sigaction(signal, &handler_before, nullptr); /* the access comes again and is dealt with */
}

/* Not safe as handlers go, but the process dies here in any case. */
void on_bad_access(int signal, siginfo_t *info, void *context) {
  DeviceMemory *memory = owner_of(info->si_addr);
  if (!memory) return pass_on(signal, info, context);
  std::string text = format("cudasim: host code touched device memory at %p", info->si_addr);
  if (const MemoryBlock *block = memory->near((uint64_t)info->si_addr))
    text +=
        format(", block of %zu bytes allocated by %s", block->size, to_text(block->origin).c_str());
  text += "\n";
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) _exit(1);
  struct sigaction plain = {};
  plain.sa_handler = SIG_DFL;
  sigaction(signal, &plain, nullptr); /* on return the access comes again, and kills */
}

}  // namespace

void watch_host_accesses(DeviceMemory *memory) {
  if (watched_count == most_devices) return;
  watched[watched_count++] = memory;
  if (watched_count > 1) return;
  struct sigaction mine = {};
  mine.sa_sigaction = on_bad_access;
  mine.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &mine, &handler_before);
}

}  // namespace cudasim
