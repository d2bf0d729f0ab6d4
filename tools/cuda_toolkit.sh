#!/bin/sh
# Puts NVIDIA's CUDA toolkit, as far as xattn is compiled and linked with it, into a folder, from the
# wheels on PyPI: no root, nothing outside the folder. usage: cuda_toolkit.sh DIR
set -eu
dir=$1
wheels="nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cublas==13.0.2.14"

# The list of wheels is written last: it marks a folder that is complete and up to date.
if [ "$(cat "$dir/wheels" 2>/dev/null)" = "$wheels" ]; then
  touch "$dir/wheels"
  exit 0
fi

echo "cuda: no toolkit found, downloading CUDA 13.0 from PyPI into $dir (0.5 GB, 0.3 GB stay); CUDA=0 does without"
new=$dir.new
rm -rf "$new"
mkdir -p "$new/tmp"
python3 -m venv "$new/venv"
# shellcheck disable=SC2086
TMPDIR=$new/tmp "$new/venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps \
  --no-compile --no-cache-dir --only-binary :all: --target "$new/site" $wheels

# The wheels lack the names that a linker looks for. What nobody links with goes; libcublasLt, which
# libcublas loads when it runs, stays where there is a driver to run on.
toolkit=$new/site/nvidia/cu13
lib=$toolkit/lib
ln -s lib "$toolkit/lib64"
ln -s libcudart.so.13 "$lib/libcudart.so"
ln -s libcublas.so.13 "$lib/libcublas.so"
rm -f "$lib"/libnvvm.* "$lib"/libnvblas.*
[ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || rm -f "$lib"/libcublasLt.*
echo "$wheels" >"$toolkit/wheels"

rm -rf "$dir"
mv "$toolkit" "$dir"
rm -rf "$new"
echo "cuda: $("$dir/bin/nvcc" --version | sed -n 's/^.*release/nvcc/p') is in $dir"
