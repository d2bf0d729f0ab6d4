# make gpu-check: everything that only a GPU can tell, in one command (README.md). tools/gpu_check.sh builds into a
# folder of its own, for the GPU that is there, and calls back here for the benchmark program.
GPU_BENCH := $(BUILD)/gpu-bench
GPU_BENCH_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/gpu/*.c))

$(BUILD)/bench/gpu/%.o: bench/gpu/%.c $(BUILD)/.flags | $(CUDA_STAMP)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(COMPILE) -isystem $(CUDA_INCLUDE) -MMD -MP -c $< -o $@

$(GPU_BENCH): $(GPU_BENCH_OBJ) $(patsubst %,$(BUILD)/apps/%.o,cases report utf8 random timing) $(LIB_A)
	$(call say,LINK,$@)$(CC) -o $@ $^ $(LDFLAGS) $(CFLAGS) -L$(CUDA_LIB) -Wl,-rpath,$(CUDA_LIB) \
	  -Wl,--allow-shlib-undefined -lcudart -lcublas $(LIBS)

.PHONY: gpu-check gpu-check-build gpu-check-toolkit
gpu-check:
	@tools/gpu_check.sh
# For the script, which gives BUILD and CUDA_ARCHS.
gpu-check-build: $(LIB_A) $(BUILD)/libxattn.so $(PLUGIN) $(GPU_BENCH)
gpu-check-toolkit:
	@echo $(CUDA_HOME)

-include $(wildcard $(BUILD)/bench/gpu/*.d)
