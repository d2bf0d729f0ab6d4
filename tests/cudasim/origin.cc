#include "origin.h"

#include <dlfcn.h>

#include <cstring>

#include "fault.h"

namespace cudasim {

std::string to_text(const Origin &origin) {
  Dl_info place;
  if (!origin.caller || !dladdr(origin.caller, &place) || !place.dli_fname) return origin.function;
  const char *slash = strrchr(place.dli_fname, '/');
  const char *file = slash ? slash + 1 : place.dli_fname;
  const char *symbol = place.dli_sname ? place.dli_sname : "";
  const void *start = place.dli_sname ? place.dli_saddr : place.dli_fbase;
  const size_t offset = size_t((const char *)origin.caller - (const char *)start);
  return format("%s from %s(%s+0x%zx)", origin.function, file, symbol, offset);
}

}  // namespace cudasim
