/* cuBLAS's handles: stream, workspace, modes. The GEMMs are in cublas_gemm.cc. */
#include "cublas.h"

#include "internal.h"

namespace cudasim {

std::map<cublasHandle_t, std::shared_ptr<Handle>> &cublas_handles() {
  static auto *all = new std::map<cublasHandle_t, std::shared_ptr<Handle>>;
  return *all;
}

cublasStatus_t with_handle(Origin origin, Kind kind, cublasHandle_t handle,
                           const std::function<cublasStatus_t(Handle &)> &body) {
  const cudasim_internal_statuses statuses = {CUBLAS_STATUS_EXECUTION_FAILED,
                                              CUBLAS_STATUS_EXECUTION_FAILED,
                                              CUBLAS_STATUS_EXECUTION_FAILED};
  return cublasStatus_t(cudasim_internal_call(origin, kind, statuses, [&]() -> int {
    const auto found = cublas_handles().find(handle);
    if (found == cublas_handles().end()) return CUBLAS_STATUS_NOT_INITIALIZED;
    const std::shared_ptr<Handle> held = found->second;
    return body(*held);
  }));
}

cublasStatus_t refuse(const char *function, cublasStatus_t status, const std::string &why) {
  cudasim_internal_explain(function, why.c_str());
  return status;
}

namespace {

const size_t workspace_alignment = 256;

/* Numbers, not pointers, as in handles.h. */
cublasHandle_t next_handle() {
  static uintptr_t last = uintptr_t(9) << 40;
  return cublasHandle_t(last += 16);
}

cublasStatus_t set_workspace(Handle &handle, void *workspace, size_t bytes) {
  const char *name = "cublasSetWorkspace";
  if ((uintptr_t)workspace % workspace_alignment)
    return refuse(name, CUBLAS_STATUS_INVALID_VALUE, "not aligned to 256 bytes");
  if (bytes && !cudasim_internal_is_device_memory(workspace, bytes))
    return refuse(name, CUBLAS_STATUS_INVALID_VALUE, "not device memory that is there");
  handle.workspace = bytes ? workspace : nullptr;
  handle.workspace_bytes = bytes;
  handle.default_workspace = false;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle) {
  const cudasim_internal_statuses statuses = {
      CUBLAS_STATUS_NOT_INITIALIZED, CUBLAS_STATUS_ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED};
  return cublasStatus_t(cudasim_internal_call(HERE, Kind::fallible, statuses, [&]() -> int {
    if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
    cudasim_internal_forbid_while_capturing(); /* it allocates */
    const cublasHandle_t created = next_handle();
    cublas_handles()[created] = std::make_shared<Handle>(cudasim_internal_current_device());
    cudasim_internal_handle(created, true);
    *handle = created;
    return CUBLAS_STATUS_SUCCESS;
  }));
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  return with_handle(HERE, Kind::release, handle, [&](Handle &) {
    cudasim_internal_forbid_while_capturing(); /* it frees */
    cublas_handles().erase(handle);
    cudasim_internal_handle(handle, false);
    return CUBLAS_STATUS_SUCCESS;
  });
}

/* The workspace that the program gave is forgotten: cuBLAS documents it, programs overlook it. */
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return with_handle(HERE, Kind::plain, handle, [&](Handle &own) {
    cudasim_internal_check_stream(stream);
    own = Handle(own.device, stream, own.math, own.pointers);
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t *stream) {
  return with_handle(HERE, Kind::plain, handle, [&](Handle &own) {
    *stream = own.stream;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes) {
  return with_handle(HERE, Kind::plain, handle,
                     [&](Handle &own) { return set_workspace(own, workspace, bytes); });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return with_handle(HERE, Kind::plain, handle, [&](Handle &own) {
    const int base = mode & ~CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    if (base < CUBLAS_DEFAULT_MATH || base > CUBLAS_TF32_TENSOR_OP_MATH)
      return CUBLAS_STATUS_INVALID_VALUE;
    own.math = mode;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t *mode) {
  return with_handle(HERE, Kind::plain, handle, [&](Handle &own) {
    *mode = own.math;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  return with_handle(HERE, Kind::plain, handle, [&](Handle &own) {
    if (mode != CUBLAS_POINTER_MODE_HOST && mode != CUBLAS_POINTER_MODE_DEVICE)
      return CUBLAS_STATUS_INVALID_VALUE;
    own.pointers = mode;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t *mode) {
  return with_handle(HERE, Kind::plain, handle, [&](Handle &own) {
    *mode = own.pointers;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int *version) {
  if (!version) return CUBLAS_STATUS_INVALID_VALUE;
  *version = 10000 * CUBLAS_VER_MAJOR + 100 * CUBLAS_VER_MINOR + CUBLAS_VER_PATCH;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value) {
  if (!value || type < MAJOR_VERSION || type > PATCH_LEVEL) return CUBLAS_STATUS_INVALID_VALUE;
  *value = type == MAJOR_VERSION   ? CUBLAS_VER_MAJOR
           : type == MINOR_VERSION ? CUBLAS_VER_MINOR
                                   : CUBLAS_VER_PATCH;
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
