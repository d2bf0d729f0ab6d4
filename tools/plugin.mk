# The CUDA backend: libxattn_cuda.so, for GPUs, and the same sources as the simulator runs them.
#
#   $(PLUGIN)       machine code for every architecture of CUDA_ARCHS, and PTX of the newest for later ones
#   $(SIM_PLUGIN)   PTX alone, uncompressed, with line numbers
PLUGIN := $(BUILD)/libxattn_cuda.so
SIM_PLUGIN := $(BUILD)/cudasim/libxattn_cuda.so

CUDA_C := $(wildcard cuda/*.c)
CUDA_CU := $(wildcard cuda/*.cu)
CUDA_HOST_OBJ := $(CUDA_C:%.c=$(BUILD)/%.o) $(patsubst %,$(BUILD)/src/%.o,error pack convert tensor)

NEWEST = $(lastword $(CUDA_ARCHS))
GENCODE = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
  -gencode arch=compute_$(NEWEST),code=compute_$(NEWEST)
SIM_GENCODE = -gencode arch=compute_90,code=compute_90 --no-compress -lineinfo
NVCC_FLAGS = -O3 -std=c++17 -ccbin $(CXX) -Iinclude -Werror all-warnings -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra

$(BUILD)/cuda/%.o: cuda/%.c $(BUILD)/.flags | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	@mkdir -p $(@D)
	$(call say,CC,$@)$(COMPILE) $(LIB_FLAGS) -iquote cuda -isystem $(CUDA_INCLUDE) -MMD -MP -c $< -o $@

$(BUILD)/cuda/%.gpu.o: cuda/%.cu $(BUILD)/.flags | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	@mkdir -p $(@D)
	$(call say,NVCC,$@)$(NVCC) $(NVCC_FLAGS) $(GENCODE) --threads 2 -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/cuda/%.sim.o: cuda/%.cu $(BUILD)/.flags | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	@mkdir -p $(@D)
	$(call say,NVCC,$@)$(NVCC) $(NVCC_FLAGS) $(SIM_GENCODE) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

# Nothing but the table is exported. libcublas wants libcublasLt when it runs, not to link.
LINK_PLUGIN = $(CC) -shared -Wl,-soname,libxattn_cuda.so -Wl,--version-script=cuda/exports.map \
  -Wl,-z,defs -Wl,--allow-shlib-undefined -o $@ $^ $(LDFLAGS) $(CFLAGS) \
  -L$(CUDA_LIB) -Wl,-rpath,$(CUDA_LIB) -lcudart -lcublas -lpthread -lstdc++ -lm

$(PLUGIN): $(CUDA_HOST_OBJ) $(CUDA_CU:%.cu=$(BUILD)/%.gpu.o)
	$(call say,LINK,$@)$(LINK_PLUGIN)
$(SIM_PLUGIN): $(CUDA_HOST_OBJ) $(CUDA_CU:%.cu=$(BUILD)/%.sim.o)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(LINK_PLUGIN)

-include $(wildcard $(BUILD)/cuda/*.d)

# ---- make cuda-audit: registers, spills, occupancy and machine code of every kernel against cuda/audit.txt
NVDISASM := $(abspath $(BUILD))/nvdisasm/nvidia/cu13/bin/nvdisasm
$(NVDISASM): | $(BUILD)/.setup-python
	@rm -rf $(BUILD)/nvdisasm
	$(call say,PIP,$@)python3 -m venv $(BUILD)/nvdisasm/venv && $(BUILD)/nvdisasm/venv/bin/pip install --quiet \
	  --disable-pip-version-check --no-deps --only-binary :all: --target $(BUILD)/nvdisasm nvidia-cuda-nvdisasm==13.2.51
AUDIT = python3 tools/cuda_audit.py --nvcc $(NVCC) --nvdisasm $(NVDISASM) --flags '$(NVCC_FLAGS)' \
  --archs '$(CUDA_ARCHS)' --table cuda/audit.txt --work $(BUILD)/audit
.PHONY: cuda-audit cuda-audit-update
cuda-audit: $(NVDISASM) | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	$(AUDIT) --check $(CUDA_CU)
cuda-audit-update: $(NVDISASM) | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	$(AUDIT) --update $(CUDA_CU)

# ---- make test-mutants: the CUDA backend broken on purpose; each mutant must be noticed. NAMES="a b" runs some.
.PHONY: test-mutants mutant-build mutant-test
test-mutants: export MUTANTS_BUILD = $(MAKE) -s BUILD=build mutant-build
test-mutants: export MUTANTS_TEST = $(MAKE) -s BUILD=build mutant-test
test-mutants: export MUTANTS_SUITES = gemm softmax exact memory cuda-tensors cuda-copy cuda-quiet cuda-streams \
  cuda-threads cuda-graphs cuda-capture-errors cuda-memory cuda-devices cuda-process cuda-faults half softmax-types \
  cuda-tf32 cuda-softmax
test-mutants: $(BUILD)/.setup-test | $(CUDA_STAMP) $(BUILD)/.setup-cuda
	tests/mutants/run.sh $(BUILD)/mutants $(NAMES)

# In the copy: what the suites need, and the suite that CK_RUN_SUITE names, in both orders of streams.
mutant-build: $(BUILD)/tests/run $(BUILD)/tests/run-cuda $(SIM_LIBS) $(SIM_PLUGIN)
mutant-test:
	case $$CK_RUN_SUITE in cuda-*) \
	  $(ON_SIMULATOR) $(BUILD)/tests/run-cuda && $(ON_SIMULATOR) CUDASIM_ORDER=early CK_INCLUDE_TAGS=order $(BUILD)/tests/run-cuda ;; \
	  *) $(ON_SIMULATOR) XATTN_TEST_DEVICE=cuda CUDASIM_L2_BYTES=8388608 $(BUILD)/tests/run ;; esac
