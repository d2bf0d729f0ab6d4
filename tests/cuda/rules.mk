# The tests of what only the CUDA backend has: build/tests/run-cuda. It calls the CUDA runtime itself, and
# runs on the simulator as on a GPU.
CUDA_TEST_SRC := $(wildcard tests/cuda/*.c)
CUDA_TEST_OBJ := $(CUDA_TEST_SRC:%.c=$(BUILD)/%.o)
CUDA_TEST_SHARED := $(patsubst %,$(BUILD)/tests/%.o,support oracle support_device support_typed support_rules)
CUDA_TEST_INCLUDES := -iquote src -iquote tests -iquote tests/cudasim -iquote cuda -isystem $(CUDA_INCLUDE)

$(CUDA_TEST_OBJ): | $(BUILD)/.setup-test $(CUDA_STAMP)
$(BUILD)/tests/cuda/%.o: tests/cuda/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$@)$(COMPILE) $(CUDA_TEST_INCLUDES) -MMD -MP -c $< -o $@

# dlsym looks for the simulator's functions among the libraries of the program.
$(BUILD)/tests/run-cuda: $(CUDA_TEST_OBJ) $(CUDA_TEST_SHARED) $(LIB_A)
	$(call say,LINK,$@)$(CC) -o $@ $^ $(LDFLAGS) $(CFLAGS) -L$(CUDA_LIB) -Wl,-rpath,$(CUDA_LIB) \
	  -lcudart $(LIBS) $(CHECK_LIBS)

# Where CUDA leaves the order of two streams open the simulator runs one or the other first: what depends on
# order (the suites with that tag) is run both ways. ON_SIMULATOR is in the Makefile.
.PHONY: test-cuda-only
test-cuda-only: $(BUILD)/tests/run-cuda $(SIM_LIBS) $(SIM_PLUGIN)
	$(ON_SIMULATOR) $(BUILD)/tests/run-cuda
	$(ON_SIMULATOR) CUDASIM_ORDER=early CK_INCLUDE_TAGS=order $(BUILD)/tests/run-cuda

-include $(wildcard $(BUILD)/tests/cuda/*.d)
