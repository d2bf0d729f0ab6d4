/* What a cuBLAS handle holds, and how a call of the library goes. */
#ifndef CUDASIM_CUBLAS_H
#define CUDASIM_CUBLAS_H

#include <cublas_v2.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "call.h"
#include "origin.h"

namespace cudasim {

struct Handle {
  explicit Handle(int on, cudaStream_t with = nullptr, cublasMath_t how = CUBLAS_DEFAULT_MATH,
                  cublasPointerMode_t where = CUBLAS_POINTER_MODE_HOST)
      : device(on), stream(with), math(how), pointers(where) {
  }
  int device;
  cudaStream_t stream;
  cublasMath_t math;
  cublasPointerMode_t pointers;
  bool default_workspace = true; /* until the program gives one, and after every cublasSetStream */
  void *workspace = nullptr;
  size_t workspace_bytes = 0;
};

std::map<cublasHandle_t, std::shared_ptr<Handle>> &cublas_handles();

/* A call that needs a handle: refused without one. */
cublasStatus_t with_handle(Origin origin, Kind kind, cublasHandle_t handle,
                           const std::function<cublasStatus_t(Handle &)> &body);

/* Returns the status; says why with CUDASIM_EXPLAIN=1. */
cublasStatus_t refuse(const char *function, cublasStatus_t status, const std::string &why);

}  // namespace cudasim

#endif
