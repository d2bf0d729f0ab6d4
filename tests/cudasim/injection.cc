/* Calls counted by name, and the n-th fallible one made to fail. */
#include <cstring>
#include <map>
#include <string>

#include "call.h"
#include "cudasim.h"
#include "settings.h"

namespace cudasim {

namespace {
std::map<std::string, unsigned long long> &counts() {
  static auto *all = new std::map<std::string, unsigned long long>;
  return *all;
}
long long fallible_calls;

long long &failing_call() {
  static long long n = setting("CUDASIM_FAIL_AT", 0);
  return n;
}
}  // namespace

void count_call(const char *name) {
  counts()[name]++;
}

bool failure_is_due() {
  return ++fallible_calls == failing_call();
}

}  // namespace cudasim

extern "C" {

void cudasim_fail_at(long long n) {
  std::lock_guard<std::mutex> hold(cudasim::big_lock);
  cudasim::fallible_calls = 0;
  cudasim::failing_call() = n;
}

long long cudasim_fallible_calls(void) {
  std::lock_guard<std::mutex> hold(cudasim::big_lock);
  return cudasim::fallible_calls;
}

unsigned long long cudasim_calls(const char *name) {
  std::lock_guard<std::mutex> hold(cudasim::big_lock);
  const auto found = cudasim::counts().find(name);
  return found == cudasim::counts().end() ? 0 : found->second;
}

}  // extern "C"
