# Finds CUDA 13: CUDA_HOME, else nvcc on PATH, else /usr/local/cuda, else what tools/cuda_toolkit.sh
# has put below $(BUILD). Reading this downloads nothing: what cannot do without CUDA, unlike all and
# demo, asks for $(CUDA_STAMP). CUDA=0 leaves CUDA out.
#
#   CUDA_FOUND   yes when a toolkit is there     CUDA_HOME, NVCC, CUDA_INCLUDE, CUDA_LIB   where
#   CUDA_STAMP   the file whose rule gets a toolkit; empty when one is installed, or CUDA=0. An
#                order-only prerequisite of what uses CUDA
CUDA_ARCHS := 80 86 89 90 100 120

# One download serves the builds that a target starts in folders of their own.
CUDA_LOCAL ?= $(abspath $(BUILD))/cuda-toolkit
export CUDA_LOCAL

# $(call cuda_at,DIR): DIR, if the compiler and cuBLAS of CUDA 13 are there.
cuda_at = $(and $(wildcard $(1)/bin/nvcc),$(wildcard $(1)/include/cublas_v2.h),$(filter 13%, \
  $(shell sed -n 's/^.define CUDART_VERSION *//p' $(1)/include/cuda_runtime_api.h 2>/dev/null)),$(1))
cuda_on_path = $(patsubst %/bin/nvcc,%,$(shell readlink -f "$$(command -v nvcc)"))

ifneq ($(CUDA),0)
cuda_given := $(CUDA_HOME)
cuda_home := $(or $(call cuda_at,$(cuda_given)),$(call cuda_at,$(cuda_on_path)), \
  $(call cuda_at,/usr/local/cuda),$(call cuda_at,$(CUDA_LOCAL)))
CUDA_FOUND := $(if $(cuda_home),yes)
override CUDA_HOME := $(or $(cuda_home),$(CUDA_LOCAL))
CUDA_STAMP := $(if $(filter $(CUDA_LOCAL),$(CUDA_HOME)),$(CUDA_LOCAL)/wheels)
$(if $(filter-out $(CUDA_HOME),$(cuda_given)), \
  $(warning CUDA_HOME is $(cuda_given), where CUDA 13 with nvcc and cuBLAS is not; taking $(CUDA_HOME)))
NVCC := $(CUDA_HOME)/bin/nvcc
CUDA_INCLUDE := $(CUDA_HOME)/include
CUDA_LIB := $(CUDA_HOME)/$(if $(wildcard $(CUDA_HOME)/lib64),lib64,lib)
endif

$(CUDA_LOCAL)/wheels: tools/cuda_toolkit.sh | $(BUILD)/.setup-cuda $(BUILD)/.setup-python
	@tools/cuda_toolkit.sh $(CUDA_LOCAL)
