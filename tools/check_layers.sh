#!/bin/sh
# The rules of docs/ARCHITECTURE.md about who may include what. Each line of output is a breach.
set -eu
cd "$(dirname "$0")/.."

# breach FILES PATTERN RULE: no include in FILES may match PATTERN.
found=0
breach() {
  # shellcheck disable=SC2086
  if grep -nE "^#include [<\"]$2" $1 /dev/null; then
    echo "check-layers: $3" >&2
    found=1
  fi
}

breach "include/xattn.h" '(cuda|cublas|omp|jansson|stdio)' 'include/xattn.h uses nothing but stddef.h and stdint.h'
breach "$(echo apps/*.c apps/*.h examples/*.c)" '(\.\./|src/|cpu/|io/|backend|plan|run\.h|objects|check\.h|call\.h|error\.h|tensor\.h|jansson)' 'apps/ and examples/ use the public header alone'
breach "$(echo src/*.c src/*.h src/io/*)" '(cpu/|cuda|omp\.h)' 'src/ reaches a backend through backend.h alone'
breach "$(echo src/cpu/*)" '(io/|plan|run\.h|objects|check\.h|call\.h)' 'src/cpu/ uses backend.h alone'
breach "$(echo cuda/*.c cuda/*.h cuda/*.cu cuda/*.cuh)" '(cpu/|io/|plan|run\.h|objects|check\.h|call\.h)' 'cuda/ uses backend.h alone, and what handles host tensors'
breach "$(echo cuda/kernels.h cuda/*.cu cuda/*.cuh)" '(backend|device\.h|lane|cublas)' 'kernels know numbers and pointers, no devices'
breach "$(echo tests/cudasim/*.cc tests/cudasim/*.h)" '(xattn|backend|\.\./)' 'the simulator knows CUDA, not xattn'
breach "$(echo src/io/*)" '(backend|plan|run\.h|objects|check\.h|call\.h)' 'src/io/ knows files and tensors, not handles'
breach "$(echo src/plan*.c src/plan.h)" '(run\.h|objects|call\.h|check\.h)' 'the planner is pure: it knows numbers, no handles'
breach "tests/oracle.c tests/oracle.h" '(cpu/|backend|plan|run\.h|error\.h|tensor\.h)' 'the oracle shares no code with src/'
exit $found
