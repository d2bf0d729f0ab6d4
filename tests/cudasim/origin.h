/* Which call made an object: the API function, and the place in the program that called it. */
#ifndef CUDASIM_ORIGIN_H
#define CUDASIM_ORIGIN_H

#include <string>

namespace cudasim {

struct Origin {
  const char *function = "";
  const void *caller = nullptr;
};

/* "cudaMalloc from libxattn_cuda.so(context_create+0x52)" */
std::string to_text(const Origin &origin);

}  // namespace cudasim

#endif
