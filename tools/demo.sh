#!/bin/sh
# The article's example, as a user would run it: files in, file out; then the check of the result.
# usage: demo.sh BUILD [OPTION...]   options of xattn run, such as --device; XATTN is another command for the program
set -eu
build=$1
shift
mkdir -p "$build/demo"
"$build/make-inputs" "$build/demo"
set -- run "$@" --weights "$build/demo/weights.safetensors" --query "$build/demo/x.npy" \
  --context "$build/demo/y.npy" --out "$build/demo/out.npy"
echo "\$ xattn $*"
# shellcheck disable=SC2086
${XATTN:-"$build/xattn"} "$@"
"$build/check-result" "$build/demo"
