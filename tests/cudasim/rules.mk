# The simulator of CUDA, for tests: stand-ins for libcudart, libcublas and libcuda (README.md).
# The including Makefile sets BUILD; CUDA_HOME holds NVIDIA's headers and, for tests, its link libraries;
# CUDA_STAMP, if set, is made when those are there.
CUDA_HOME ?= /usr/local/cuda
CUDA_LIB ?= $(CUDA_HOME)/lib64

SIM := tests/cudasim
SIM_BUILD := $(BUILD)/cudasim
SIM_LIBS := $(SIM_BUILD)/libcudart.so.13 $(SIM_BUILD)/libcublas.so.13 $(SIM_BUILD)/libcuda.so.1

SIM_CXX ?= g++
SIM_OPENBLAS ?= openblas-openmp
SIM_MULTIARCH := $(shell $(SIM_CXX) -print-multiarch)
SIM_FLAGS := -std=c++17 -O2 -g -Wall -Wextra -Werror -fPIC -iquote $(SIM) \
  -isystem $(CUDA_HOME)/include -isystem /usr/include/$(SIM_MULTIARCH)/$(SIM_OPENBLAS)

# Which source belongs to which library; fault.cc to two of them.
SIM_SRC := $(filter-out $(SIM)/test_%,$(wildcard $(SIM)/*.cc))
SIM_CUBLAS_SRC := $(wildcard $(SIM)/cublas*.cc) $(SIM)/gemm.cc
SIM_CUDA_SRC := $(SIM)/driver.cc
SIM_CUDART_SRC := $(filter-out $(SIM_CUBLAS_SRC) $(SIM_CUDA_SRC),$(SIM_SRC))
sim_objects = $(patsubst $(SIM)/%.cc,$(SIM_BUILD)/%.o,$(1))

$(SIM_BUILD)/%.o: $(SIM)/%.cc $(SIM)/rules.mk | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	@mkdir -p $(@D)
	$(call say,CXX,$@)$(SIM_CXX) $(SIM_FLAGS) -MMD -MP -c $< -o $@

# Symbol versions as NVIDIA's libraries have them: a program linked with those finds them here.
$(SIM_BUILD)/libcudart.map: $(SIM)/rules.mk
	@mkdir -p $(@D)
	@echo 'libcudart.so.13 { global: cuda*; __cuda*; cudasim_*; local: *; };' >$@
$(SIM_BUILD)/libcublas.map: $(SIM)/rules.mk
	@mkdir -p $(@D)
	@echo 'libcublas.so.13 { global: cublas*; local: *; };' >$@
$(SIM_BUILD)/libcuda.map: $(SIM)/rules.mk
	@mkdir -p $(@D)
	@echo '{ global: cu*; local: *; };' >$@

# nodelete: the handlers for signals and forks stay when a program closes the library that brought these in.
sim_link = $(SIM_CXX) -shared -Wl,-z,defs -Wl,-z,nodelete -Wl,-soname,$(@F) -Wl,--version-script=$(1) -o $@ $(2)

$(SIM_BUILD)/libcudart.so.13: $(call sim_objects,$(SIM_CUDART_SRC)) $(SIM_BUILD)/libcudart.map
	$(call say,LINK,$@)$(call sim_link,$(SIM_BUILD)/libcudart.map,$(filter %.o,$^) -ldl -lpthread)

$(SIM_BUILD)/libcublas.so.13: $(call sim_objects,$(SIM_CUBLAS_SRC) $(SIM)/fault.cc) \
    $(SIM_BUILD)/libcublas.map $(SIM_BUILD)/libcudart.so.13
	$(call say,LINK,$@)$(call sim_link,$(SIM_BUILD)/libcublas.map,$(filter %.o %.so.13,$^) \
	  -L/usr/lib/$(SIM_MULTIARCH)/$(SIM_OPENBLAS) -lopenblas)

$(SIM_BUILD)/libcuda.so.1: $(call sim_objects,$(SIM_CUDA_SRC)) $(SIM_BUILD)/libcuda.map
	$(call say,LINK,$@)$(call sim_link,$(SIM_BUILD)/libcuda.map,$(filter %.o,$^) -ldl -lpthread)

.PHONY: cudasim
cudasim: $(SIM_LIBS)

# The runtime's own test: linked with NVIDIA's libraries, as a program would be, run on the stand-ins.
SIM_TEST_LINK := -L$(CUDA_LIB) -lcublas -lcudart -Wl,--allow-shlib-undefined
$(BUILD)/cudasim/test-runtime: $(wildcard $(SIM)/test_runtime*.c) $(SIM)/test_runtime.h \
    $(SIM)/cudasim.h $(SIM)/counters.h | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -iquote $(SIM) \
	  -isystem $(CUDA_HOME)/include $(filter %.c,$^) -o $@ $(SIM_TEST_LINK) -ldl -lpthread -lm

# Launches need a kernel, so nvcc.
NVCC ?= $(CUDA_HOME)/bin/nvcc
$(BUILD)/cudasim/test-launch: $(SIM)/test_launch.cu | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	@mkdir -p $(@D)
	$(call say,NVCC,$@)$(NVCC) -std=c++17 -cudart shared --no-compress -lineinfo \
	  -gencode arch=compute_80,code=[sm_80,compute_80] -o $@ $<

.PHONY: test-cudasim-runtime
test-cudasim-runtime: $(SIM_LIBS) $(BUILD)/cudasim/test-runtime $(BUILD)/cudasim/test-launch
	LD_LIBRARY_PATH=$(SIM_BUILD) $(BUILD)/cudasim/test-runtime
	LD_LIBRARY_PATH=$(SIM_BUILD) $(BUILD)/cudasim/test-launch

-include $(wildcard $(SIM_BUILD)/*.d)
