# The interpreter's own tests: each opcode against the PTX ISA, each check seen to fire, the counters
# against theory. Beside rules.mk, from the project's Makefile; needs nvcc. Only PTX is embedded:
# ptxas checks it and is done.
CUDA_HOME ?= /usr/local/cuda
NVCC ?= $(CUDA_HOME)/bin/nvcc

SIM_TESTS := $(BUILD)/cudasim/test-opcodes $(BUILD)/cudasim/test-checks $(BUILD)/cudasim/test-counters
SIM_TEST_HEADERS := $(wildcard tests/cudasim/test_*.cuh) \
  $(patsubst %,tests/cudasim/%.h,test_rows test_numbers test_inputs counters)
# -O0 is the host's: device code is compiled as ever. The expectations want arithmetic as written.
SIM_NVCC := $(NVCC) -std=c++17 -O0 -cudart shared --no-compress -lineinfo \
  -gencode arch=compute_90,code=compute_90 -Xcompiler -fwrapv,-frounding-math,-ffp-contract=off,-Wall

$(BUILD)/cudasim/tests/%.o: tests/cudasim/%.cu $(SIM_TEST_HEADERS) tests/cudasim/tests.mk | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	@mkdir -p $(@D)
	$(call say,NVCC,$@)$(SIM_NVCC) -c $(abspath $<) -o $@
$(BUILD)/cudasim/tests/%.o: tests/cudasim/%.cc $(SIM_TEST_HEADERS) tests/cudasim/tests.mk | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	@mkdir -p $(@D)
	$(call say,CXX,$@)g++ -std=c++17 -O1 -g -Wall -fwrapv -frounding-math -ffp-contract=off \
	  -isystem $(CUDA_HOME)/include -c $< -o $@

sim_test_objects = $(patsubst tests/cudasim/%,$(BUILD)/cudasim/tests/%.o,$(basename $(wildcard $(1))))
$(BUILD)/cudasim/test-opcodes: $(call sim_test_objects,tests/cudasim/test_rows.cc tests/cudasim/test_opcodes_*.cu)
$(BUILD)/cudasim/test-checks: $(call sim_test_objects,tests/cudasim/test_checks.cu)
$(BUILD)/cudasim/test-counters: $(call sim_test_objects,tests/cudasim/test_counters.cu)
$(SIM_TESTS):
	$(call say,LINK,$@)g++ -o $@ $^ -L$(CUDA_HOME)/lib64 -lcudart -ldl

.PHONY: test-cudasim-interpreter
test-cudasim-interpreter: $(BUILD)/cudasim/libcudart.so.13 $(SIM_TESTS)
	LD_LIBRARY_PATH=$(BUILD)/cudasim $(BUILD)/cudasim/test-opcodes
	LD_LIBRARY_PATH=$(BUILD)/cudasim $(BUILD)/cudasim/test-checks
	LD_LIBRARY_PATH=$(BUILD)/cudasim $(BUILD)/cudasim/test-counters
