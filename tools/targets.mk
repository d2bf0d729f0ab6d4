# What is done with a build: checks, longer tests, benchmarks, installation.

# ---- make check: format, layers, static analysis
SOURCES = $(wildcard include/*.h src/*.[ch] src/*/*.[ch] apps/*.[ch] tests/*.[ch] examples/*.c \
  cuda/*.[ch] cuda/*.cu cuda/*.cuh bench/gpu/*.[ch] tests/cuda/*.[ch] tests/cudasim/*.[ch] tests/cudasim/*.cc tests/cudasim/*.cu tests/cudasim/*.cuh)
LINTED = $(filter-out src/cpu/tile_bf16.c,$(wildcard src/*.c src/io/*.c src/cpu/*.c apps/*.c)) $(if $(CUDA_FOUND),$(CUDA_C))
LINT_FLAGS = -std=c11 -D_GNU_SOURCE -Iinclude -iquote src $(if $(CUDA_FOUND),-isystem $(CUDA_INCLUDE))
LINT_BASE = $(KERNEL_base) -DXATTN_ISA=base

.PHONY: check check-format check-layers check-tidy check-cppcheck check-shell check-man
check: $(SETUP) $(BUILD)/.setup-check check-format check-layers check-shell check-man check-cppcheck check-tidy
	@echo "check: fine"
check-format:
	clang-format --dry-run -Werror $(SOURCES)
check-layers:
	tools/check_layers.sh
check-shell:
	shellcheck tools/*.sh tests/*.sh tests/*/run.sh bench/peers/run.sh .ci/run
check-man:
	test -z "$$(groff -man -mdoc -ww -Tutf8 docs/xattn.1 2>&1 >/dev/null)"
check-cppcheck:
	cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -Iinclude -Isrc \
	  --enable=warning,portability,performance --suppress=missingIncludeSystem --suppress=ctuuninitvar \
	  $(KERNEL_base) -DXATTN_ISA=base src apps $(CUDA_C)
# One file at a time, two at once; the flags stand in .clang-tidy.
check-tidy:
	printf '%s\n' $(LINTED) | xargs -P 2 -I{} clang-tidy --quiet --warnings-as-errors='*' {} -- $(LINT_FLAGS) $(LINT_BASE)
	$(if $(filter avx512,$(ISAS)),clang-tidy --quiet --warnings-as-errors='*' src/cpu/tile_bf16.c -- \
	  $(LINT_FLAGS) $(KERNEL_avx512) -mavx512bf16 -DXATTN_ISA=avx512)

.PHONY: format
format:
	clang-format -i $(SOURCES)

# ---- longer tests
SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
.PHONY: test-asan test-valgrind test-long test-isa test-arm fuzz
# The simulator stands in for libraries that have no sanitizers either: that of the ordinary build serves.
test-asan: $(if $(filter 0,$(CUDA)),,cudasim)
	OMP_NUM_THREADS=2 ASAN_OPTIONS=allocator_may_return_null=1 CK_TIMEOUT_MULTIPLIER=4 \
	  $(MAKE) BUILD=$(BUILD)-asan SIM_BUILD=$(BUILD)/cudasim CFLAGS="-O1 -g $(SANITIZERS)" lib $(BUILD)-asan/xattn \
	  $(BUILD)-asan/make-inputs unit-test $(if $(filter 0,$(CUDA)),,test-cuda test-cuda-only)
	tests/test_cli.sh $(BUILD)-asan/xattn $(BUILD)-asan/make-inputs

# Valgrind runs one thread at a time, slowly: the suites of large layers and of threads (steady) are left out. Without
# forks, so that leaks are looked for once, at the end.
test-valgrind: $(BUILD)/tests/run $(BUILD)/.setup-asan
	for suite in api errors plan convert files npy statedict load gemm softmax exact attention; do \
	  CK_FORK=no CK_RUN_SUITE=$$suite OMP_NUM_THREADS=2 valgrind -q --error-exitcode=1 \
	    --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	    $(BUILD)/tests/run || exit 1; done

# The suites that touch kernels, once per instruction set of this processor, or of the one that RUN emulates.
ISA_SUITES = gemm softmax-types attention half layer forms "context types"
ISA_TESTS = $(ISAS:%=test-isa-%) $(if $(filter avx512,$(ISAS)),test-isa-avx512bf16)
.PHONY: $(ISA_TESTS)
test-isa: $(ISA_TESTS)
$(ISA_TESTS): test-isa-%: $(BUILD)/tests/run
	@echo "$*: exact $(subst ",,$(ISA_SUITES))"
	@export XATTN_CPU_ISA=$* OMP_WAIT_POLICY=passive; log=$(BUILD)/isa-$*.log; \
	CK_RUN_SUITE=exact $(RUN) $< >$$log 2>&1 || \
	  { grep -q 'is not available here' $$log && { echo "$*: not on this processor"; exit 0; }; cat $$log; exit 1; }; \
	for suite in $(ISA_SUITES); do CK_RUN_SUITE=$$suite $(RUN) $< || exit 1; done

# ARM: made by a cross compiler, run by qemu-user as an early processor of 64 bits, so that nothing newer is needed. That is
# slow: XATTN_TEST_SHORT leaves out large tests. The demonstration's inputs and check are this machine's.
ARM_LIBS = $(BUILD)/packages-arm/usr/lib/aarch64-linux-gnu
RUN_ARM = qemu-aarch64 -cpu cortex-a72 -L /usr/aarch64-linux-gnu
FOR_ARM = BUILD=$(BUILD)-arm64 CUDA=0 CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar \
  LDFLAGS="-L$(ARM_LIBS) -Wl,-rpath,$(abspath $(ARM_LIBS))" RUN="$(RUN_ARM)" \
  ISA_SUITES='gemm softmax attention layer forms contexts "context types" "context rules"'
test-arm: export OMP_NUM_THREADS = 2
test-arm: $(BUILD)/.setup-arm $(BUILD)/make-inputs $(BUILD)/check-result
	$(MAKE) $(FOR_ARM) all
	CK_TIMEOUT_MULTIPLIER=8 XATTN_TEST_SHORT=1 $(MAKE) --jobs=2 --output-sync $(FOR_ARM) test-isa
	XATTN="$(RUN_ARM) $(BUILD)-arm64/xattn" tools/demo.sh $(BUILD)

fuzz: $(BUILD)/.setup-fuzz
	tools/fuzz.sh $(BUILD) $(or $(SECONDS),60)

test-long: test test-asan test-valgrind test-arm fuzz test-mutants
	XATTN_TEST_LONG=1 CK_RUN_SUITE=cases $(BUILD)/tests/run

# ---- comparisons with other programs, in Python environments below build/
.PHONY: test-real test-torch peers
test-real: all $(BUILD)/.setup-python
	tests/real/run.sh --program $(PROGRAM)
test-torch: all $(BUILD)/.setup-python
	tests/torch/run.sh --program $(PROGRAM)
peers: all $(BUILD)/.setup-python
	bench/peers/run.sh --library $(BUILD)/libxattn.so $(PEERS)

.PHONY: bench
bench: all
	$(PROGRAM) bench --cases bench/shapes/cases.txt

# ---- installation
ROOT = $(DESTDIR)$(PREFIX)
ifneq ($(words [$(DESTDIR)$(PREFIX)]),1)
$(error DESTDIR and PREFIX are "$(DESTDIR)$(PREFIX)"; blanks are not possible there)
endif
FILL = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@MAJOR@|$(MAJOR)|' -e 's|@LIBS@|$(LIBS)|'
.PHONY: install uninstall clean
install: all
	install -d $(ROOT)/include $(ROOT)/lib/pkgconfig $(ROOT)/lib/cmake/xattn $(ROOT)/bin $(ROOT)/share/man/man1
	install -m 644 include/xattn.h include/xattn_cuda.h $(ROOT)/include/
	install -m 644 $(LIB_A) $(ROOT)/lib/
	install -m 755 $(LIB_SO) $(if $(CUDA_FOUND),$(PLUGIN)) $(ROOT)/lib/
	ln -sf libxattn.so.$(VERSION) $(ROOT)/lib/libxattn.so.$(MAJOR)
	ln -sf libxattn.so.$(VERSION) $(ROOT)/lib/libxattn.so
	install -m 755 $(PROGRAM) $(ROOT)/bin/
	install -m 644 docs/xattn.1 $(ROOT)/share/man/man1/
	$(FILL) packaging/xattn.pc.in >$(ROOT)/lib/pkgconfig/xattn.pc
	$(FILL) packaging/xattnConfig.cmake.in >$(ROOT)/lib/cmake/xattn/xattnConfig.cmake
	$(FILL) packaging/xattnConfigVersion.cmake.in >$(ROOT)/lib/cmake/xattn/xattnConfigVersion.cmake

uninstall:
	rm -f $(ROOT)/include/xattn.h $(ROOT)/include/xattn_cuda.h $(ROOT)/lib/libxattn.a \
	  $(ROOT)/lib/libxattn.so* $(ROOT)/lib/libxattn_cuda.so $(ROOT)/bin/xattn \
	  $(ROOT)/share/man/man1/xattn.1 $(ROOT)/lib/pkgconfig/xattn.pc
	rm -rf $(ROOT)/lib/cmake/xattn

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-arm64
