#!/bin/sh
# With a BLAS that computes wrong results the program refuses to start, says so, and writes nothing.
# usage: test_broken_blas.sh XATTN BROKEN-BLAS.so DIR-OF-MAKE-INPUTS
set -eu
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
status=0
LD_PRELOAD=$2 "$1" run --weights "$3/weights.safetensors" --query "$3/x.npy" --context "$3/y.npy" \
  --out "$out/out.npy" >"$out/stdout" 2>"$out/stderr" || status=$?
if [ "$status" -ne 1 ] || [ -e "$out/out.npy" ] || ! grep -q 'computes a wrong .* product' "$out/stderr"; then
  echo "FAILED: exit status $status; $(cat "$out/stderr")" >&2
  exit 1
fi
echo "1 passed, 0 failed"
