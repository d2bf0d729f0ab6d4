#!/usr/bin/env bash
# Breaks the CUDA backend in the ways of tests/mutants/list, one at a time in a copy of the tree, and runs
# the suites on the simulator: each mutant must be killed, by a failing test, a fault or a test that
# does not end. usage: run.sh SCRATCH [NAME...]   (all mutants, or those named)
#
# Three variables say how, for the copy: MUTANTS_BUILD, MUTANTS_TEST (runs the suite named in CK_RUN_SUITE) and
# MUTANTS_SUITES.
set -euo pipefail
build_command=${MUTANTS_BUILD:-make -s BUILD=build build/tests/run build/tests/run-cuda \
  build/cudasim/libxattn_cuda.so cudasim}
test_command=${MUTANTS_TEST:-XATTN_TEST_DEVICE=cuda CUDASIM_L2_BYTES=8388608 build/tests/run &&
  build/tests/run-cuda && CUDASIM_ORDER=early CK_INCLUDE_TAGS=order build/tests/run-cuda}
suites=${MUTANTS_SUITES:-api exact gemm load memory errors cuda-tensors cuda-copy cuda-streams cuda-memory
  cuda-devices cuda-quiet cuda-threads cuda-graphs cuda-capture-errors cuda-process half
  softmax-types cuda-tf32 cuda-softmax cuda-counters cuda-faults softmax layer steady attention}
scratch=$1
shift
list=tests/mutants/list
tree=$scratch/tree
log=$scratch/log
mkdir -p "$tree"
ulimit -c 0
exec 9>"$scratch/lock"
flock --nonblock 9 || { echo "mutants: another run is at work in $scratch"; exit 1; }

# Files that differ are copied, so that what was built of the others stays; this also undoes a mutant
# that an interrupted run left behind.
copy_tree() {
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ -f "$file" ] || continue
    cmp -s "$file" "$tree/$file" || { mkdir -p "$tree/$(dirname "$file")" && cp "$file" "$tree/$file"; }
    printf '%s\n' "$file"
  done | sort >"$scratch/files"
  (cd "$tree" && find . -path ./build -prune -o -type f -print | sed 's|^\./||') | sort |
    comm -13 "$scratch/files" - | (cd "$tree" && xargs -r -d '\n' rm -f)
}

build() { (cd "$tree" && timeout 900 bash -c "$build_command") >"$log" 2>&1; }

# run_suite SUITE SECONDS
run_suite() {
  (cd "$tree" && CK_RUN_SUITE=$1 timeout -k 5 "$2" bash -c "$test_command") >"$log" 2>&1
}

# The lines of one mutant: "name file [suite]", then its sed script, indented.
script_of() {
  awk -v name="$1" '/^[^ #]/ { found = $1 == name } /^ / && found' "$list"
}

copy_tree
build || { cat "$log"; echo "mutants: the tree itself does not build"; exit 1; }
declare -A limit
for suite in $suites; do
  start=$SECONDS
  if ! run_suite "$suite" 900 || ! grep -q 'Checks: [1-9]' "$log"; then
    tail -n 30 "$log"
    echo "mutants: without a mutant, suite $suite fails or has no test"
    exit 1
  fi
  limit[$suite]=$((4 * (SECONDS - start) + 20))
done

killed=0 survived=0 broken=0
while read -r name file suite_of_its_own; do
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  script_of "$name" >"$scratch/script"
  start=$SECONDS
  cp "$tree/$file" "$scratch/original"
  sed -E -f "$scratch/script" "$scratch/original" >"$tree/$file"
  verdict=survived
  if cmp -s "$scratch/original" "$tree/$file"; then
    verdict="broken: the script changes nothing in $file"
  elif ! build; then
    verdict="broken: does not compile ($(grep -m1 -E 'error|Error' "$log" || tail -n 1 "$log"))"
  else
    for suite in $suite_of_its_own $suites; do
      code=0
      run_suite "$suite" "${limit[$suite]:-60}" || code=$?
      [ $code -ne 0 ] || continue
      verdict="killed by $suite$([ $code -ne 124 ] || echo ", which does not end")"
      break
    done
  fi
  cp "$scratch/original" "$tree/$file"
  case $verdict in
    killed*) killed=$((killed + 1)) ;;
    survived) survived=$((survived + 1)) ;;
    *) broken=$((broken + 1)) ;;
  esac
  printf '%-28s %s (%d s)\n' "$name" "$verdict" $((SECONDS - start))
done < <(grep -E '^[^ #]' "$list")

echo "mutants: $killed killed, $survived survived, $broken broken"
[ $((survived + broken)) -eq 0 ] && [ "$killed" -gt 0 ]
