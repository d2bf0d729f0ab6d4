#include "fault.h"

#include <cstdarg>
#include <cstdio>

namespace cudasim {

std::string format(const char *text, ...) {
  va_list arguments, again;
  va_start(arguments, text);
  va_copy(again, arguments);
  int n = std::vsnprintf(nullptr, 0, text, arguments);
  va_end(arguments);
  std::string result(n > 0 ? n : 0, '\0');
  if (n > 0) std::vsnprintf(&result[0], n + 1, text, again);
  va_end(again);
  return result;
}

}  // namespace cudasim
