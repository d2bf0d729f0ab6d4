#ifndef CUDASIM_MEMORY_API_H
#define CUDASIM_MEMORY_API_H

#include <cstddef>

namespace cudasim {

class Stream;

/* What cudaMallocAsync and cudaMallocFromPoolAsync do. */
void allocate_in_order(void **address, size_t bytes, Stream &stream);

}  // namespace cudasim

#endif
