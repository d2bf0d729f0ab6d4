#!/bin/sh
# The article's example, as a user would run it: files in, file out; then the check of the result.
set -eu
build=$1
mkdir -p "$build/demo"
"$build/make-inputs" "$build/demo"
set -- run --weights "$build/demo/weights.safetensors" --query "$build/demo/x.npy" \
  --context "$build/demo/y.npy" --out "$build/demo/out.npy" --repeat 15
echo "\$ xattn $*"
"$build/xattn" "$@"
"$build/check-result" "$build/demo"
