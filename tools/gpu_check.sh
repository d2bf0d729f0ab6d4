#!/bin/sh
# make gpu-check: builds for the GPU of this machine and finds out there what only a GPU can tell
# (bench/gpu/README.md). A step that fails or cannot be done is written down, and the others go on.
# Exit status: 0, 1 if a step failed, 2 if there is no GPU.
#
#   GPU_CHECK_SECONDS   for everything (480)           GPU_CHECK_OUT     folder of the results (bench/results)
#   GPU_CHECK_JOBS      of make (all cores)            GPU_CHECK_BENCH   options of gpu-bench
#   GPU_CHECK_COMMIT    where there is no .git         GPU_CHECK_TORCH   options of torch_sdpa.py
set -u
cd "$(dirname "$0")/.." || exit 1
start=$(date +%s)
end=$((start + ${GPU_CHECK_SECONDS:-480} - 5))

# ---- the GPU: the first that CUDA may see, numbered as nvidia-smi does
gpu=${CUDA_VISIBLE_DEVICES:-0}
gpu=${gpu%%,*}
export CUDA_VISIBLE_DEVICES="$gpu" CUDA_DEVICE_ORDER=PCI_BUS_ID
ask() {
  timeout 20 nvidia-smi -i "$gpu" "--query-gpu=$1" --format=csv,noheader 2>/dev/null | head -n 1
}
command -v nvidia-smi >/dev/null || { echo "gpu-check: no GPU here: nvidia-smi is not installed"; exit 2; }
capability=$(ask compute_cap)
case $capability in
  [0-9]*.[0-9]) arch=$(echo "$capability" | tr -d .) ;;
  *) echo "gpu-check: no GPU here: nvidia-smi finds no device $gpu"; exit 2 ;;
esac
name=$(ask name)

build=build-gpu-$arch
work=$build/gpu-check
slug=$(echo "$name" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' - | sed 's/^-//; s/-$//')
out=${GPU_CHECK_OUT:-bench/results}/gpu-$slug-$(date -u +%F)
rm -rf "$work"
mkdir -p "$work" "$(dirname "$out")" || exit 1
: >"$work/steps.tsv"

# ---- what is written down
note() { # STEP OUTCOME SECONDS TEXT; the outcome is fine, failed or skipped
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$work/steps.tsv"
  echo "gpu-check: $1: $2${4:+ ($4)}"
}
fact() { printf '%s\t%s\n' "$1" "$2" >>"$work/facts.tsv"; }
checksum() { sha256sum | cut -d' ' -f1; }

# The line of a log that says most: a summary, an error, else its last.
gist() {
  line=$(grep -aE 'ERROR SUMMARY|RACECHECK SUMMARY|^[0-9]+%: Checks|\*\*\* |cannot find|error:' "$1" | tail -n 1)
  [ -n "$line" ] || line=$(grep -av '^ *$' "$1" | tail -n 1)
  printf %s "$line" | tr '\t' ' ' | sed 's/^=* *//' | cut -c1-200
}

# step NAME SECONDS COMMAND...: runs it no longer than that, nor than the time there is; its output goes to NAME.log.
step() {
  step=$1 most=$2
  shift 2
  now=$(date +%s)
  left=$((end - now))
  [ "$most" -le "$left" ] || most=$left
  [ "$most" -gt 0 ] || { note "$step" failed 0 'no time was left'; return 1; }
  timeout -k 5 "$most" "$@" >"$work/$step.log" 2>&1 &
  echo $! >"$work/$step.pid" # a signal interrupts `wait`, not a command
  wait $!
  code=$?
  rm -f "$work/$step.pid"
  ! grep -q 'Checks: 0,' "$work/$step.log" || code=1 # a suite of that name there is no more
  outcome=failed
  [ $code -ne 0 ] || outcome=fine
  ! grep -q 'Device not supported' "$work/$step.log" || outcome=skipped # by compute-sanitizer, on some virtual machines
  text=$(gist "$work/$step.log")
  case $code in
    0) ;;
    124 | 137) text="not done after $most s; $text" ;;
    *) text="exit status $code; $text" ;;
  esac
  note "$step" $outcome $(($(date +%s) - now)) "$text"
  [ $code -eq 0 ]
}

# The file is written whatever happened, also without Python, and when the run is broken off.
finish() {
  trap - EXIT INT TERM HUP
  fact 'clocks at the end, SM and memory' "$(ask clocks.sm,clocks.mem)"
  if ! python3 bench/gpu/report.py "$work" "$out"; then
    { echo "# xattn on $name"; cat "$work/facts.tsv" "$work/steps.tsv" | sed 's/^/- /; s/\t/: /g'; } >"$out.md.new"
    mv "$out.md.new" "$out.md"
  fi
  echo "gpu-check: written to $out.md; the logs are in $work"
  ! grep -q "$(printf '\tfailed\t')" "$work/steps.tsv" || exit 1
  exit 0
}
trap finish EXIT
break_off() {
  trap - INT TERM HUP
  for file in "$work"/*.pid; do [ ! -e "$file" ] || kill "$(cat "$file")"; done
  note run failed 0 'broken off'
  exit 1
}
trap break_off INT TERM HUP

# ---- packages. What cannot be installed may be there under no package's name: the build will tell.
for group in build test; do
  timeout 120 tools/setup.sh "$group" >"$work/packages.log" 2>&1 && continue
  note "packages-$group" skipped 0 "not all installed: $(gist "$work/packages.log")"
  touch "$build/.setup-$group"
done
compiler=${CC:-cc}
if grep -q '^packages-build' "$work/steps.tsv"; then # what the Makefile would write once they are installed
  { echo "ARCH := $($compiler -dumpmachine | cut -d- -f1)"
    echo "MULTIARCH := $($compiler -print-multiarch)"
  } >"$build/machine-$(basename "${compiler%% *}").mk"
fi

# ---- the build, for this GPU alone
making() { echo "${MAKE:-make} --no-print-directory BUILD=$build CUDA_ARCHS=$arch"; }
jobs=${GPU_CHECK_JOBS:-$(nproc)}
toolkit=$($(making) -s gpu-check-toolkit 2>/dev/null | tail -n 1)
# shellcheck disable=SC2046
step build 200 $(making) -j"$jobs" gpu-check-build
# shellcheck disable=SC2046
step build-suite 100 $(making) -j"$jobs" "$build/tests/run"
if $(making) -n "$build/tests/run-cuda" >/dev/null 2>&1; then
  # shellcheck disable=SC2046
  step build-suite-cuda 60 $(making) -j"$jobs" "$build/tests/run-cuda"
fi
XATTN_CUDA_PLUGIN=${XATTN_CUDA_PLUGIN:-$PWD/$build/libxattn_cuda.so}
export XATTN_CUDA_PLUGIN

fact GPU "$name"
fact 'compute capability' "$capability"
fact driver "$(ask driver_version)"
fact memory "$(ask memory.total)"
fact 'clocks at most, SM and memory' "$(ask clocks.max.sm,clocks.max.mem)"
fact 'clocks before, SM and memory' "$(ask clocks.sm,clocks.mem)"
fact 'power limit' "$(ask power.limit)"
fact 'processes on it before' \
  "$(nvidia-smi -i "$gpu" --query-compute-apps=pid --format=csv,noheader 2>/dev/null | grep -c '[0-9]')"
fact toolkit "$("$toolkit/bin/nvcc" --version 2>/dev/null | sed -n 's/^.*\(release.*\)/nvcc \1/p') ($toolkit)"
fact processor "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
fact kernel "$(uname -sr)"
fact date "$(date -u +%FT%TZ)"
dirty=$(git status --porcelain 2>/dev/null)
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo "${GPU_CHECK_COMMIT:-unknown}")
fact commit "$commit${dirty:+ and uncommitted changes}"
fact 'kernels, sha256 of cuda/kernels.h *.cu *.cuh' "$(cat cuda/kernels.h cuda/*.cu cuda/*.cuh | checksum)"
fact "plugin, sha256 of $XATTN_CUDA_PLUGIN" "$(checksum <"$XATTN_CUDA_PLUGIN")"

# ---- tests
export XATTN_TEST_DEVICE=cuda CK_DEFAULT_TIMEOUT=60 # a test's child opens the GPU first
for suite in run run-cuda; do
  [ -x "$build/tests/$suite" ] || { note "tests-$suite" skipped 0 'is not built'; continue; }
  step "tests-$suite" 120 "$build/tests/$suite"
done

# ---- times, while nothing else runs. Each program ends by itself, in time to write what it has.
limit() { # SECONDS, or what is left
  left=$((end - $(date +%s) - 15))
  [ "$1" -lt "$left" ] || set -- "$left"
  [ "$1" -gt 0 ] || set -- 1
  echo "--limit $1"
}
if [ -x "$build/gpu-bench" ]; then
  # shellcheck disable=SC2086,SC2046
  step bench 170 "$build/gpu-bench" $(limit 150) --out "$work/bench.json" ${GPU_CHECK_BENCH:-}
else
  note bench skipped 0 'is not built'
fi
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
  library=
  [ ! -e "$build/libxattn.so" ] || library="--library $build/libxattn.so"
  # shellcheck disable=SC2086,SC2046
  step torch 110 python3 bench/gpu/torch_sdpa.py $(limit 75) --out "$work/torch.json" $library ${GPU_CHECK_TORCH:-}
else
  note torch skipped 0 'python3 has no torch that sees a GPU'
fi

# ---- compute-sanitizer on the suites that launch every kernel, the four tools side by side; one process each
sanitizer=$(command -v compute-sanitizer || command -v "$toolkit/bin/compute-sanitizer" ||
  command -v "$toolkit/compute-sanitizer/compute-sanitizer")
[ -n "$sanitizer" ] || note sanitizer skipped 0 'compute-sanitizer is not installed'
for suite in run:softmax run:exact run:gemm run-cuda:cuda-tensors run-cuda:cuda-copy; do
  program=$build/tests/${suite%:*}
  if [ -z "$sanitizer" ] || [ ! -x "$program" ]; then continue; fi
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool-${suite#*:}" 90 env CK_FORK=no "CK_RUN_SUITE=${suite#*:}" \
      "$sanitizer" --tool $tool --error-exitcode 99 "$program" &
  done
  wait
done
