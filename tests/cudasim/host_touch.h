/* Host code that touches device memory dies with SIGSEGV; this says why, first. */
#ifndef CUDASIM_HOST_TOUCH_H
#define CUDASIM_HOST_TOUCH_H

namespace cudasim {

class DeviceMemory;

void watch_host_accesses(DeviceMemory *memory);

}  // namespace cudasim

#endif
