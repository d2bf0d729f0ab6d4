#!/bin/sh
# Installs below a scratch folder and builds a program against it the ways a user would: pkg-config
# (shared and static) and, where CMake is there, find_package. usage: test_install.sh MAKE BUILD
set -eu
make=$1
build=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0

"$make" -s install BUILD="$build" PREFIX="$scratch/usr" >/dev/null
export PKG_CONFIG_PATH="$scratch/usr/lib/pkgconfig" LD_LIBRARY_PATH="$scratch/usr/lib"
"$build/make-inputs" "$scratch"

# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Werror -O2 -o "$scratch/shared" examples/simple.c \
  $(pkg-config --cflags --libs xattn)
"$scratch/shared" "$scratch/weights.safetensors"
count=$((count + 1))
# shellcheck disable=SC2046
cc -std=c11 -O2 -o "$scratch/static" examples/reuse.c $(pkg-config --cflags xattn) \
  "$scratch/usr/lib/libxattn.a" $(pkg-config --static --libs xattn | sed 's/-lxattn//')
"$scratch/static"
count=$((count + 1))

if command -v c++ >/dev/null; then
  printf '#include <xattn_cuda.h>\nint main() { return xattn_version()[0] ? 0 : 1; }\n' >"$scratch/user.cc"
  # shellcheck disable=SC2046
  c++ -std=c++11 -Wall -Wextra -pedantic -Werror -o "$scratch/user" "$scratch/user.cc" \
    $(pkg-config --cflags --libs xattn)
  "$scratch/user"
  count=$((count + 1))
fi

# Only what the header declares may be seen from outside.
foreign=$(nm -D --defined-only "$scratch/usr/lib/libxattn.so" | awk '{print $3}' |
  while read -r name; do grep -qw "$name" include/xattn.h include/xattn_cuda.h || echo "$name"; done)
[ -z "$foreign" ] || { echo "libxattn.so exports what no header declares: $foreign" >&2; exit 1; }
count=$((count + 1))

if command -v cmake >/dev/null; then
  mkdir "$scratch/project"
  cp examples/simple.c "$scratch/project"
  cat >"$scratch/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.16)
project(user C)
find_package(xattn 0.1 REQUIRED)
add_executable(simple simple.c)
target_link_libraries(simple xattn::xattn)
END
  cmake -S "$scratch/project" -B "$scratch/project/build" -DCMAKE_PREFIX_PATH="$scratch/usr" >/dev/null
  cmake --build "$scratch/project/build" >/dev/null
  "$scratch/project/build/simple" "$scratch/weights.safetensors"
  count=$((count + 1))
fi
"$scratch/usr/bin/xattn" --version >/dev/null

# The CUDA plugin is found beside the shared library, and in ../lib of the program. The one that was
# installed holds machine code for GPUs; that of the simulator takes its place.
if [ -f "$build/cudasim/libxattn_cuda.so" ]; then
  cp "$build/cudasim/libxattn_cuda.so" "$scratch/usr/lib/"
  simulator=$(cd "$build/cudasim" && pwd)
  printf 'tiny 1 2 3 4 5 1 4\n' >"$scratch/cases.txt"
  LD_LIBRARY_PATH="$simulator" "$scratch/usr/bin/xattn" bench --device cuda --seconds 0 \
    --cases "$scratch/cases.txt" >"$scratch/bench.txt"
  grep -q 'cuda:0' "$scratch/bench.txt"
  LD_LIBRARY_PATH="$scratch/usr/lib:$simulator" "$scratch/shared" "$scratch/weights.safetensors"
  count=$((count + 2))
fi
"$make" -s uninstall BUILD="$build" PREFIX="$scratch/usr"
[ -z "$(find "$scratch/usr" ! -type d)" ] || { find "$scratch/usr" ! -type d >&2; exit 1; }
count=$((count + 2))
echo "$count passed, 0 failed"
