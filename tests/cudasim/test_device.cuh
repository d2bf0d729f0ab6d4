/* Arrays on the device and a check of every call, for the simulator's own tests. */
#ifndef CUDASIM_TEST_DEVICE_CUH
#define CUDASIM_TEST_DEVICE_CUH

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

/* The simulator's account of the first fault; "" without one, or on a real GPU. */
inline const char *fault_text() {
  using Fault = const char *(*)();
  static const Fault fault = reinterpret_cast<Fault>(dlsym(RTLD_DEFAULT, "cudasim_fault"));
  return fault ? fault() : "";
}

/* What the simulator may refuse instead of running it, if it says this name; else null. */
inline const char *&may_refuse() {
  static const char *name = nullptr;
  return name;
}
constexpr int kRefused = 5, kFailed = 3; /* exit statuses */

/* Ends the process, which is a child that runs one test (or rows until one faults). */
inline void cuda_ok(cudaError_t error, const char *call, const char *file, int line) {
  if (error == cudaSuccess) return;
  if (may_refuse() && strstr(fault_text(), "unknown") && strstr(fault_text(), may_refuse()))
    _exit(kRefused);
  printf("%s:%d: %s: %s\n  %s\n", file, line, call, cudaGetErrorString(error), fault_text());
  fflush(stdout);
  _exit(kFailed);
}
#define CUDA_OK(call) cuda_ok((call), #call, __FILE__, __LINE__)

template <class T>
class Array {
 public:
  explicit Array(size_t count) : count_(count) {
    CUDA_OK(cudaMalloc(reinterpret_cast<void **>(&data_), count * sizeof(T)));
  }
  explicit Array(const std::vector<T> &values) : Array(values.size()) {
    set(values);
  }
  ~Array() {
    cudaFree(data_);
  }
  Array(const Array &) = delete;
  Array &operator=(const Array &) = delete;

  void set(const std::vector<T> &values) {
    CUDA_OK(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  /* Waits for the kernels before it. */
  std::vector<T> get() const {
    std::vector<T> values(count_);
    CUDA_OK(cudaDeviceSynchronize());
    CUDA_OK(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }
  T *data() const {
    return data_;
  }
  size_t count() const {
    return count_;
  }

 private:
  T *data_ = nullptr;
  size_t count_;
};

#endif
