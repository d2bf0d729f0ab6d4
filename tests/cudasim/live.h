/* What the program has not given back. */
#ifndef CUDASIM_LIVE_H
#define CUDASIM_LIVE_H

#include <cstddef>
#include <map>

#include "origin.h"

namespace cudasim {

size_t live_graphs(); /* executables too */
/* Handles of libcublas, which tells. */
std::map<const void *, Origin> &cublas_origins();

}  // namespace cudasim

#endif
