#!/bin/sh
# Fuzzes the file readers for some seconds, from seeds of both kinds. usage: fuzz.sh BUILD SECONDS
set -eu
build=$1
seconds=$2
mkdir -p "$build/fuzz/corpus"
clang -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
  -Iinclude -iquote src -iquote tests -o "$build/fuzz/files" tests/fuzz_files.c \
  src/io/*.c src/error.c src/tensor.c src/convert.c -ljansson -lm
"$build/make-inputs" "$build/fuzz"
head -c 4096 "$build/fuzz/weights.safetensors" >"$build/fuzz/corpus/cut.safetensors"
head -c 4096 "$build/fuzz/x.npy" >"$build/fuzz/corpus/cut.npy"
# Small but whole files of both kinds.
printf '\220\0\0\0\0\0\0\0%-144s' '{"query.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"k":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}}' >"$build/fuzz/corpus/whole.safetensors"
printf '12345678' >>"$build/fuzz/corpus/whole.safetensors"
printf '\223NUMPY\1\0\66\0%-53s\n12345678' "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}" >"$build/fuzz/corpus/whole.npy"
"$build/fuzz/files" -max_total_time="$seconds" -max_len=8192 -print_final_stats=1 "$build/fuzz/corpus"
