# xattn. The commands: make demo, test, check, bench, test-asan, test-arm, test-long, test-real,
# test-torch, peers, install. Each installs the Debian packages it lacks (tools/setup.sh) and says so.
#
#   BUILD=DIR             where everything built goes      (build)
#   CC, CFLAGS, LDFLAGS   as usual; PREFIX, DESTDIR        for install

BUILD ?= build
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g

# One short line a file; V=1 shows the commands.
comma := ,
blank := $() $()
say = $(if $(V),,@echo "  $(1)  $(2)"; )

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

version = $(shell sed -n 's/^.define XATTN_VERSION_$(1) //p' include/xattn.h)
MAJOR := $(call version,MAJOR)
VERSION := $(MAJOR).$(call version,MINOR).$(call version,PATCH)

# ---- set-up: first the packages that a build needs, then what the compiler says of the machine. Make
# starts again once it has made the file that it includes.
SETUP := $(BUILD)/machine-$(notdir $(firstword $(CC))).mk
ifeq ($(filter clean uninstall gpu-check,$(MAKECMDGOALS)),)
include $(SETUP)
endif
$(SETUP): tools/setup.sh tools/packages
	@mkdir -p $(BUILD)
	@tools/setup.sh build
	@echo "ARCH := $$($(CC) -dumpmachine | cut -d- -f1)" >$@
	@echo "MULTIARCH := $$($(CC) -print-multiarch)" >>$@

# Other groups of packages have a stamp each.
$(BUILD)/.setup-%: tools/setup.sh tools/packages
	@mkdir -p $(BUILD)
	@tools/setup.sh $* $(BUILD)/packages-$*
	@touch $@

# ---- flags
WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wpointer-arith -Werror
# -std=c11 keeps floating point as written; only the kernels, and what measures the machine, may contract a·b + c.
COMPILE = $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -Iinclude $(CFLAGS)
LIB_FLAGS = -iquote src -DXATTN_BUILD -fPIC -fvisibility=hidden -fopenmp
LIBS = -ljansson -fopenmp -lpthread -ldl -lm

# ---- sources
ISAS := base
ifeq ($(ARCH),x86_64)
ISAS += avx2 avx512
else ifeq ($(ARCH),aarch64)
ISAS += neon
endif
# The floats in a register, and how many registers there are (src/cpu/lanes.h). GCC spills where it moves the loads of
# a tile's step ahead of its sums, as it does on ARM alone.
KERNEL_base := -DXATTN_LANES=4 -DXATTN_REGISTERS=16
KERNEL_avx2 := -DXATTN_LANES=8 -DXATTN_REGISTERS=16 -mavx2 -mfma -mf16c
KERNEL_avx512 := -DXATTN_LANES=16 -DXATTN_REGISTERS=32 -mavx512f -mavx512dq -mavx512vl -mavx2 -mfma
KERNEL_neon := -DXATTN_LANES=4 -DXATTN_REGISTERS=32 -DXATTN_NEON -fno-schedule-insns

KERNELS := softmax_row softmax_columns tile tile_f64 few abreast widen narrow
LIB_SRC := $(filter-out $(patsubst %,src/cpu/%.c,$(KERNELS) tile_bf16),$(wildcard src/*.c src/io/*.c src/cpu/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) \
  $(foreach k,$(KERNELS),$(foreach i,$(ISAS),$(BUILD)/src/cpu/$(k).$(i).o))
# Of those that have avx512, some have dot products of BF16 besides.
ifneq ($(filter avx512,$(ISAS)),)
LIB_OBJ += $(BUILD)/src/cpu/tile_bf16.avx512.o
$(BUILD)/src/cpu/tile_bf16.avx512.o: EXTRA = -mavx512bf16
endif
APP_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard apps/*.c))
SUPPORT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support*.c tests/oracle.c))
TEST_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/test_*.c) tests/main.c)

CASES_OBJ := $(patsubst %,$(BUILD)/apps/%.o,cases report utf8)
$(BUILD)/tests/oracle.o: EXTRA = -O3 -fopenmp
$(BUILD)/apps/peak.o $(BUILD)/apps/memory.o: EXTRA = -O3 -ffp-contract=fast -fopenmp

include tools/cuda.mk
include tools/plugin.mk
include tests/cudasim/rules.mk
include tests/cudasim/tests.mk

LIB_A := $(BUILD)/libxattn.a
LIB_SO := $(BUILD)/libxattn.so.$(VERSION)
PROGRAM := $(BUILD)/xattn

.PHONY: all lib
all: lib $(PROGRAM) $(if $(CUDA_FOUND),$(PLUGIN))
	@echo "xattn $(VERSION): kernels $(ISAS), CUDA $(CUDA_SAYS)"
CUDA_SAYS = $(if $(CUDA_FOUND),for sm_$(subst $(blank),$(comma) sm_,$(strip $(CUDA_ARCHS))) ($(CUDA_HOME)),off ($(if $(filter 0,$(CUDA)),CUDA=0,no CUDA 13 toolkit is installed)))
lib: $(LIB_A) $(BUILD)/libxattn.so

# ---- building; objects are made again when the flags change
FLAGS_NOW := $(CC) $(CFLAGS) $(LDFLAGS) $(WARNINGS)
$(BUILD)/.flags: FORCE $(SETUP)
	@mkdir -p $(BUILD)
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' >$@
FORCE:

$(BUILD)/src/%.o: src/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$@)$(COMPILE) $(LIB_FLAGS) -MMD -MP -c $< -o $@

define kernel_rule
$(BUILD)/src/cpu/%.$(1).o: src/cpu/%.c $(BUILD)/.flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)$$(COMPILE) $$(LIB_FLAGS) -O3 -ffp-contract=fast $$(KERNEL_$(1)) $$(EXTRA) -DXATTN_ISA=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call kernel_rule,$(isa))))

$(BUILD)/apps/%.o: apps/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$@)$(COMPILE) $(EXTRA) -MMD -MP -c $< -o $@

$(BUILD)/tests/%.o: tests/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$@)$(COMPILE) -iquote src -iquote tests $(EXTRA) -MMD -MP -c $< -o $@

$(BUILD)/examples/%.o: examples/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$@)$(COMPILE) -MMD -MP -c $< -o $@

$(LIB_A): $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^

$(LIB_SO): $(LIB_OBJ)
	$(call say,LINK,$@)$(CC) -shared -Wl,-soname,libxattn.so.$(MAJOR) -Wl,-z,defs -o $@ $^ $(LDFLAGS) $(CFLAGS) $(LIBS)

$(BUILD)/libxattn.so: $(LIB_SO)
	@ln -sf $(notdir $<) $(BUILD)/libxattn.so.$(MAJOR)
	@ln -sf $(notdir $<) $@

$(PROGRAM): $(APP_OBJ) $(LIB_A)
	$(call say,LINK,$@)$(CC) -o $@ $^ $(LDFLAGS) $(CFLAGS) $(LIBS)

$(BUILD)/make-inputs: $(BUILD)/tests/make_inputs.o $(BUILD)/tests/support_files.o $(LIB_A)
	$(call say,LINK,$@)$(CC) -o $@ $^ $(LDFLAGS) $(CFLAGS) $(LIBS)

$(BUILD)/check-result: $(BUILD)/tests/check_result.o $(BUILD)/tests/oracle.o $(LIB_A)
	$(call say,LINK,$@)$(CC) -o $@ $^ $(LDFLAGS) $(CFLAGS) $(LIBS)

$(BUILD)/example-%: $(BUILD)/examples/%.o $(LIB_A)
	$(call say,LINK,$@)$(CC) -o $@ $^ $(LDFLAGS) $(CFLAGS) $(LIBS)

# ---- the demonstration: the article's example on real files, checked against the oracle
.PHONY: demo
demo: all $(BUILD)/make-inputs $(BUILD)/check-result
	@tools/demo.sh $(BUILD) --repeat 15

# ---- tests
CHECK_LIBS = $(shell pkg-config --libs check 2>/dev/null || echo -lcheck)
$(TEST_OBJ): | $(BUILD)/.setup-test
$(BUILD)/tests/run: $(TEST_OBJ) $(SUPPORT_OBJ) $(CASES_OBJ) $(LIB_A)
	$(call say,LINK,$@)$(CC) -o $@ $^ $(LDFLAGS) $(CFLAGS) $(LIBS) $(CHECK_LIBS)

# Packages first, one group after another; then two at once, first what is built and then what runs. Threads that wait do
# not spin while others run.
.PHONY: test tests-built tests-run unit-test program-test
test: $(BUILD)/.setup-test $(if $(filter 0,$(CUDA)),,$(BUILD)/.setup-cuda $(CUDA_STAMP))
	@$(MAKE) --no-print-directory --jobs=2 tests-built
	@OMP_WAIT_POLICY=passive $(MAKE) --no-print-directory --jobs=2 --output-sync tests-run
tests-run: unit-test $(if $(filter 0,$(CUDA)),,test-cuda) test-isa $(if $(filter 0,$(CUDA)),,test-cudasim test-cuda-only) program-test
tests-built: all $(BUILD)/tests/run $(patsubst %,$(BUILD)/%,make-inputs check-result example-simple example-reuse) \
  $(if $(filter 0,$(CUDA)),,cudasim $(SIM_PLUGIN) $(SIM_TESTS) \
    $(patsubst %,$(BUILD)/%,cudasim/test-runtime cudasim/test-launch tests/run-cuda))

# What a run prints is kept: as many tests run on CUDA as on the CPU.
logged = $(1) >$(2) 2>&1 || { cat $(2); exit 1; }; cat $(2)
unit-test: $(BUILD)/tests/run
	@$(call logged,$(BUILD)/tests/run,$(BUILD)/tests/cpu.log)

program-test: all $(BUILD)/make-inputs $(BUILD)/example-simple $(BUILD)/example-reuse
	$(BUILD)/make-inputs $(BUILD)/tests
	$(BUILD)/example-simple $(BUILD)/tests/weights.safetensors
	$(BUILD)/example-reuse
	tests/test_install.sh $(MAKE) $(BUILD)
	tests/test_cli.sh $(PROGRAM) $(BUILD)/make-inputs

# ---- CUDA without a GPU: every suite, and those of CUDA alone (tests/cuda), on the simulator (tests/cudasim). The
# small cache makes the planner cut scores into several chunks.
ON_SIMULATOR = LD_LIBRARY_PATH=$(SIM_BUILD) XATTN_CUDA_PLUGIN=$(abspath $(SIM_PLUGIN)) CUDASIM_LEAKS=1 \
  CK_TIMEOUT_MULTIPLIER=4 XATTN_RATES=builtin
.PHONY: test-cudasim test-cuda test-cuda-1 test-cuda-2
test-cudasim: test-cudasim-runtime test-cudasim-interpreter
test-cuda-1 test-cuda-2: test-cuda-%: $(BUILD)/tests/run $(SIM_LIBS) $(SIM_PLUGIN)
	@echo "half of the suites with device=cuda, on the simulator"
	@$(call logged,$(ON_SIMULATOR) XATTN_TEST_DEVICE=cuda CUDASIM_L2_BYTES=8388608 $(BUILD)/tests/run $*/2,$(BUILD)/tests/cuda-$*.log)
checks_in = $$(sed -n 's/.*Checks: \([0-9]*\).*/\1/p' $(1) | awk '{ n += $$1 } END { print n }')
test-cuda: test-cuda-1 test-cuda-2 unit-test $(PROGRAM) $(BUILD)/make-inputs $(BUILD)/check-result
	@test $(call checks_in,$(BUILD)/tests/cpu.log) = $(call checks_in,$(BUILD)/tests/cuda-[12].log) || \
	  { echo "fewer tests ran on CUDA than on the CPU"; exit 1; }
	$(ON_SIMULATOR) tools/demo.sh $(BUILD) --device cuda

-include $(wildcard $(BUILD)/src/*.d $(BUILD)/src/*/*.d $(BUILD)/apps/*.d $(BUILD)/tests/*.d $(BUILD)/examples/*.d)
include tests/cuda/rules.mk
include bench/gpu/rules.mk
include tools/targets.mk
