#!/bin/bash
# Tests of the program xattn: exit codes, messages, what is on disk after a failure, JSON.
# usage: tests/test_cli.sh build/xattn build/make-inputs      (from the root of the source tree)
set -eu
export LC_ALL=C
# A build with the address sanitizer shall refuse what is too large as malloc does.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:allocator_may_return_null=1"
# What was measured on this machine earlier must not matter, and no test may write to the user's cache.
export XATTN_RATES=builtin

if [ $# -ne 2 ]; then
  echo "usage: $0 XATTN MAKE-INPUTS" >&2
  exit 2
fi
xattn=$(realpath "$1")
make_inputs=$(realpath "$2")
for program in "$xattn" "$make_inputs"; do
  if [ ! -x "$program" ]; then
    echo "$0: $program: no such program" >&2
    exit 2
  fi
done
root=$(realpath "$(dirname "$0")/..")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export XDG_CACHE_HOME="$tmp/cache"
passed=0
failed=0

# ------------------------------------------------------------------ checking

# verdict NAME STATUS: counts a check and shows the last command's output if it failed.
verdict() {
  if [ "$2" -eq 0 ]; then
    passed=$((passed + 1))
    return
  fi
  failed=$((failed + 1))
  echo "FAILED: $1"
  sed 's/^/  stdout: /' "$tmp/stdout" | head -n 20
  sed 's/^/  stderr: /' "$tmp/stderr" | head -n 20
}

# holds NAME COMMAND...: the command must succeed.
holds() {
  local name=$1 status=0
  shift
  "$@" || status=1
  verdict "$name" "$status"
}

# exits CODE NAME ARGUMENT...: runs xattn, whose exit code must be CODE.
exits() {
  local code=$1 name=$2 status=0
  shift 2
  "$xattn" "$@" >"$tmp/stdout" 2>"$tmp/stderr" || status=$?
  [ "$status" -eq "$code" ] || echo "exit code $status, expected $code" >>"$tmp/stderr"
  holds "$name: exit code $code" [ "$status" -eq "$code" ]
}

# says NAME PATTERN: the one or more lines on stderr match.
says() {
  holds "$1: says $2" grep -Eq -- "$2" "$tmp/stderr"
}

prints() {
  holds "$1: prints $2" grep -Eq -- "$2" "$tmp/stdout"
}

is_empty() {
  [ ! -s "$1" ]
}

json_on_stdout() {
  if command -v python3 >/dev/null; then
    python3 -m json.tool <"$tmp/stdout" >/dev/null
  else
    grep -Eq '^\{.*' "$tmp/stdout" && tail -n 1 "$tmp/stdout" | grep -Eq '\}$'
  fi
}

# json_holds NAME EXPRESSION: an expression of Python about the object j on stdout, and its first case c.
json_holds() {
  holds "$1: valid" json_on_stdout
  command -v python3 >/dev/null || return 0
  holds "$1: $2" python3 -c 'import json, sys
j = json.load(open(sys.argv[1]))
c = j.get("cases", [None])[0]
assert eval(sys.argv[2])' "$tmp/stdout" "$2"
}

# ------------------------------------------------------------------ making files

# le BYTES NUMBER: the number in little-endian.
le() {
  local i n=$2
  for ((i = 0; i < $1; i++)); do
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x $((n & 255)))"
    n=$((n >> 8))
  done
}

# npy DESCR SHAPE DATA: an .npy file on stdout; DATA is a format of printf.
npy() {
  local header="{'descr': '$1', 'fortran_order': False, 'shape': ($2), }" length=118
  printf '\x93NUMPY\x01\x00'
  le 2 $length
  printf "%-$((length - 1))s\n" "$header"
  # shellcheck disable=SC2059
  printf "$3"
}

# npy_zeros DESCR SHAPE BYTES
npy_zeros() {
  npy "$1" "$2" ''
  head -c "$3" /dev/zero
}

# safetensors HEADER DATA: the same for a .safetensors file.
safetensors() {
  le 8 ${#1}
  printf '%s' "$1"
  # shellcheck disable=SC2059
  printf "$2"
}

zero='\x00\x00\x00\x00'
one='\x00\x00\x80\x3f'
two='\x00\x00\x00\x40'
three='\x00\x00\x40\x40'

cd "$tmp"
: >stdout
: >stderr

# All queries score all keys 0, so the result is the mean of the values 2·y: 4 for y = 1, 3.
layer='"P.query.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},'
layer+='"P.key.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]},'
layer+='"P.value.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}'
mkdir work
cd work
safetensors "{${layer//P./}}" "$zero$zero$two" >w.safetensors
second=${layer//P./b.}
second=${second//\[8,12\]/[20,24]}
second=${second//\[4,8\]/[16,20]}
second=${second//\[0,4\]/[12,16]}
safetensors "{${layer//P./a.},$second}" "$zero$zero$two$zero$zero$three" >two.safetensors
npy '<f4' '1, 2, 1' "$one$one" >x.npy
npy '<f4' '1, 2, 1' "$one$three" >y.npy
npy '<f4' '2, 1' "$one$one" >x2.npy
npy '<f4' '2, 1' "$one$three" >y2.npy
npy '<f2' '1, 2, 1' '\x00\x3c\x00\x42' >half.npy
npy '<f8' '1, 2, 1' '\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x08\x40' >double.npy
npy '<i4' '1,' '\x01\x00\x00\x00' >short.npy
npy '<i8' '1,' '\x01\x00\x00\x00\x00\x00\x00\x00' >short64.npy
npy '<i4' '1,' '\x29\x00\x00\x00' >long.npy
npy '<i8' '1,' '\x00\x00\x00\x00\x01\x00\x00\x00' >huge.npy
npy '<i4' '3,' '\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00' >three.npy
npy '<i2' '1,' '\x01\x00' >narrow.npy
npy_zeros '<f4' '1, 2, 37' 296 >wide.npy
npy_zeros '<f4' '3, 2, 1' 24 >batch3.npy
npy_zeros '<f4' '2,' 8 >rank1.npy
npy_zeros '<i4' '1, 2, 1' 8 >integers.npy
head -c 130 x.npy >cut.npy
head -c 60 w.safetensors >cut.safetensors
printf 'no array at all, but long enough to hold a header of sixty-four bytes' >text.npy

# run WORDS...: a correct run, where later options override.
run=(run --weights w.safetensors --query x.npy --context y.npy --out o.npy)

# The last value of o.npy, as hexadecimal digits.
last_value() {
  tail -c 4 o.npy | od -An -tx4 | tr -d ' \n'
}
gives() {
  holds "$1: result $2" [ "$(last_value)" = "$2" ]
}

# ------------------------------------------------------------------ usage

for arguments in --help help -h 'help run' 'help info' 'help bench' 'help plan' 'help calibrate' \
  'run --help' 'info --help' 'bench --help' 'plan --help' 'calibrate --help' 'run -h'; do
  # shellcheck disable=SC2086 # words are meant
  exits 0 "$arguments" $arguments
  prints "$arguments" '^usage: xattn '
  holds "$arguments: quiet" is_empty "$tmp/stderr"
done
exits 0 'help wins' run --help --no-such-thing
exits 0 version --version
prints version '^xattn [0-9]+\.[0-9]+\.[0-9]+$'
exits 2 'no command'
says 'no command' '^usage: xattn '
exits 2 'unknown command' dance
says 'unknown command' '^xattn: dance: no such command'
exits 2 'help of unknown command' help dance
exits 2 'unknown option' run --dance
says 'unknown option' '^xattn run: --dance: no such option'
exits 2 'unknown letter' info -x w.safetensors
says 'unknown letter' '^xattn info: -x: no such option'
exits 2 'missing value' run --weights
says 'missing value' '^xattn run: --weights: needs a value'
exits 2 'value too many' run --json=yes
says 'value too many' "^xattn run: --json: takes no value, got 'yes'"
exits 2 'operand too many' "${run[@]}" more
says 'operand too many' '^xattn run: more: one argument too many'
for option in weights query context out; do
  words=()
  for ((i = 1; i < ${#run[@]}; i += 2)); do
    [ "${run[i]}" = "--$option" ] || words+=("${run[i]}" "${run[i + 1]}")
  done
  exits 2 "without --$option" run "${words[@]}"
  says "without --$option" "^xattn run: --$option: missing"
done
for value in '' 0 -1 ' 1' +1 0x10 1.5 1e3 many 99999999999999999999; do
  exits 2 "repeat '$value'" "${run[@]}" --repeat "$value"
  says "repeat '$value'" "^xattn run: --repeat: expected an integer from 1 to [0-9]+, got '"
done
for command in bench plan; do
  for value in '' nan inf -1 1s 0x1 1e9; do
    exits 2 "$command seconds '$value'" $command --seconds "$value"
    says "$command seconds '$value'" \
      "^xattn $command: --seconds: expected a number from 0 to [0-9]+, got '"
  done
done
exits 2 'threads' "${run[@]}" --threads -3
exits 2 'both forms' bench --json --csv
says 'both forms' '--csv: .*--json'
exits 2 'info of nothing' info
says 'info of nothing' '^xattn info: FILE: missing'
exits 2 'info of two' info w.safetensors x.npy
exits 2 'device unreadable' "${run[@]}" --device toaster
says 'device unreadable' '^xattn run: --device: .*toaster'
exits 1 'device absent' "${run[@]}" --device cuda:99
says 'device absent' '^xattn run: --device: '
exits 2 'plan unknown' "${run[@]}" --plan dance
says 'plan unknown' '^xattn run: --plan: .*dance'
holds 'usage errors write nothing' [ ! -e o.npy ]

# ------------------------------------------------------------------ run

exits 0 run "${run[@]}"
gives run 40800000
prints run '^out +\[1, 2, 1\]  o\.npy$'
holds 'run: quiet' is_empty "$tmp/stderr"
rm -f o.npy
exits 0 'run json' "${run[@]}" --json
holds 'run json: valid' json_on_stdout
prints 'run json' '^\{"out_shape":\[1, 2, 1\],"device":"[a-z0-9:]+","plan":"[^"]+","threads":[0-9]+,'
prints 'run json' '"repeat":1,"ms":\{"median":[0-9.]+,"min":[0-9.]+,"max":[0-9.]+\},"gflop_direct":'
holds 'run json: one line' [ "$(wc -l <"$tmp/stdout")" -eq 1 ]
exits 0 repeat "${run[@]}" --device cpu --threads 1 --repeat 3 --json
prints repeat '"device":"cpu",.*"threads":1,"repeat":3,'
gives repeat 40800000
exits 0 'reuse' "${run[@]}" --reuse-context --json
gives reuse 40800000
exits 0 'rank 2' "${run[@]}" --query x2.npy --context y2.npy --json
prints 'rank 2' '"out_shape":\[2, 1\]'
gives 'rank 2' 40800000
exits 0 F16 "${run[@]}" --context half.npy
gives F16 40800000
exits 0 F64 "${run[@]}" --context double.npy
gives F64 40800000
for lengths in short.npy short64.npy; do
  exits 0 "$lengths" "${run[@]}" --key-lengths $lengths
  gives "$lengths" 40000000
  exits 0 "$lengths, reuse" "${run[@]}" --key-lengths $lengths --reuse-context
  gives "$lengths, reuse" 40000000
done
exits 0 'prefix' "${run[@]}" --weights two.safetensors --prefix b
gives 'prefix' 40c00000
exits 0 'plan direct' "${run[@]}" --plan direct --json
prints 'plan direct' '"plan":"direct"'

# ------------------------------------------------------------------ failures of run

# fails CODE NAME PATTERN OPTION...: the old output stays, and nothing new is left beside it.
fails() {
  local code=$1 name=$2 pattern=$3 before
  shift 3
  printf 'old' >o.npy
  before=$(ls -A)
  exits "$code" "$name" "${run[@]}" "$@"
  says "$name" "$pattern"
  holds "$name: nothing on stdout" is_empty "$tmp/stdout"
  holds "$name: output untouched" [ "$(cat o.npy)" = old ]
  holds "$name: nothing left" [ "$(ls -A)" = "$before" ]
  rm -f o.npy
  exits "$code" "$name, no output before" "${run[@]}" "$@"
  holds "$name: no output" [ ! -e o.npy ]
}

fails 1 'weights absent' '^xattn run: none\.safetensors: .*No such file' --weights none.safetensors
fails 1 'query absent' '^xattn run: none\.npy: .*No such file' --query none.npy
fails 1 'context absent' '^xattn run: none\.npy: .*No such file' --context none.npy
fails 1 'lengths absent' '^xattn run: none\.npy: .*No such file' --key-lengths none.npy
fails 1 'weights cut' '^xattn run: cut\.safetensors: .*[0-9]+.*[0-9]+' --weights cut.safetensors
fails 1 'query cut' '^xattn run: cut\.npy: .*[0-9]+.*[0-9]+' --query cut.npy
fails 1 'query is text' '^xattn run: text\.npy: ' --query text.npy
fails 1 'weights are an array' '^xattn run: x\.npy: ' --weights x.npy
fails 1 'query is a layer' '^xattn run: w\.safetensors: holds 3 tensors, expected 1' \
  --query w.safetensors
fails 1 'query is a directory' '^xattn run: \.: ' --query .
fails 1 'query width' '^xattn run: wide\.npy: .*37.* 1' --query wide.npy
fails 1 'context width' '^xattn run: wide\.npy: .*37.* 1' --context wide.npy
fails 1 'context width, reuse' '^xattn run: wide\.npy: .*37.* 1' --context wide.npy --reuse-context
fails 1 'context batch' '^xattn run: batch3\.npy: .*3' --context batch3.npy
fails 1 'context rank' '^xattn run: y2\.npy: .*2.*' --context y2.npy
fails 1 'query rank' '^xattn run: rank1\.npy: rank is 1, shape \[2\]; expected rank 2 or 3' \
  --query rank1.npy
fails 1 'query dtype' '^xattn run: integers\.npy: dtype is I32, expected F32' --query integers.npy
fails 1 'context dtype' '^xattn run: integers\.npy: dtype is I32, expected F32' \
  --context integers.npy
fails 1 'lengths dtype' '^xattn run: narrow\.npy: dtype is I16, expected I32 or I64' \
  --key-lengths narrow.npy
fails 1 'lengths rank' '^xattn run: x\.npy: rank is 3, .*expected rank 1' --key-lengths x.npy
fails 1 'lengths count' '^xattn run: three\.npy: .*3.*1' --key-lengths three.npy
fails 1 'length above Nk' '^xattn run: long\.npy: .*41.*2' --key-lengths long.npy
fails 1 'length above Nk, reuse' '^xattn run: long\.npy: .*41.*2' --key-lengths long.npy \
  --reuse-context
fails 1 'length above I32' '^xattn run: huge\.npy: length 0 is 4294967296, expected 0 to ' \
  --key-lengths huge.npy
fails 1 'heads' '^xattn run: w\.safetensors: .*7.*1|^xattn run: w\.safetensors: .*1.*7' --heads 7
fails 1 'prefix absent' '^xattn run: w\.safetensors: .*nowhere' --prefix nowhere
fails 1 'two layers' '^xattn run: two\.safetensors: ' --weights two.safetensors

exits 1 'out in no directory' "${run[@]}" --out none/o.npy
says 'out in no directory' '^xattn run: none/o\.npy: .*No such file'
exits 1 'out is a directory' "${run[@]}" --out .
says 'out is a directory' '^xattn run: \.: is a directory'
ln y.npy link.npy
sum=$(cksum x.npy y.npy w.safetensors short.npy)
for out in x.npy ./x.npy link.npy w.safetensors short.npy; do
  exits 2 "out is an input, $out" "${run[@]}" --key-lengths short.npy --out $out
  says "out is an input, $out" "^xattn run: --out: '$out' is the input file '"
done
holds 'inputs untouched' [ "$(cksum x.npy y.npy w.safetensors short.npy)" = "$sum" ]

if [ -w /dev/full ]; then
  status=0
  "$xattn" info w.safetensors >/dev/full 2>"$tmp/stderr" || status=$?
  holds 'full disk: exit code' [ $status -eq 1 ]
  says 'full disk' '^xattn info: stdout: '
fi

# ------------------------------------------------------------------ info

exits 0 info info two.safetensors
prints info '^a\.query\.weight +\[1, 1\] +F32 +1$'
prints info '^total +6  24 bytes$'
prints info '^b +article +1 +1 +1 +1 +- +no$'
exits 0 'info json' info --json two.safetensors
holds 'info json: valid' json_on_stdout
prints 'info json' '"prefix":"b","style":"article","query_dim":1,'
exits 0 'info of an array' info wide.npy
prints 'info of an array' '^- +\[1, 2, 37\] +F32 +74$'
exits 0 'info of an array, json' info wide.npy --json
holds 'info of an array, json: valid' json_on_stdout
exits 1 'info of a cut file' info cut.safetensors
says 'info of a cut file' '^xattn info: cut\.safetensors: '
exits 1 'info of no file' info none
says 'info of no file' '^xattn info: none: .*No such file'

# Names are untrusted: a terminal must not see an escape character, nor JSON a bare quote.
safetensors '{"a\u001b[31m\"\\\u202eb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' "$one" \
  >evil.safetensors
exits 0 'evil name' info evil.safetensors
prints 'evil name' '^a\\u\{1b\}\[31m"\\\\u\{202e\}b +\[1\]'
holds 'evil name: no escape' bash -c "! grep -q \$'\\x1b' '$tmp/stdout'"
exits 0 'evil name, json' info --json evil.safetensors
holds 'evil name, json: valid' json_on_stdout
prints 'evil name, json' '"a\\u001b\[31m\\"\\\\\\u202eb"'
exits 1 'evil file name' info $'no\x1b[31msuch'
says 'evil file name' 'no\\u\{1b\}\[31msuch'

# ------------------------------------------------------------------ bench

printf '# comment\n\nsmall 1 2 3 4 5 2 3 4 # more\r\nbare\t2 3 4 5 6 1 7\n' >cases.txt
exits 0 bench bench --device cpu --cases cases.txt --seconds 0
prints bench '^cpu +.*cores$'
prints bench '^roof +multiply-adds [0-9.e+]+ GFLOP/s \([a-z0-9]+\), products [0-9.e+]+ GFLOP/s; memory read [0-9.e+]+ GB/s, copied [0-9.e+]+ GB/s$'
prints bench '^case +plan +runs +ms median +ms min +ms p99 +GFLOP/s +direct +GB/s +%FMA +%GEMM +%copy +ms floor +x floor +allocs$'
prints bench '^small +[^ ]+ +5( +[0-9.]+){11} +0$'
prints bench '^bare +[^ ]+ +5( +[0-9.]+){11} +0$'
holds 'bench: fits 140 columns' [ "$(grep -E '^(case|small|GFLOP/s|%FMA|ms floor)' "$tmp/stdout" | wc -L)" -le 140 ]
exits 0 'bench json' bench --device cpu --cases cases.txt --seconds 0.01 --json --threads 1 --roofline r.svg
prints 'bench json' '"case":"small","plan":"[^"]+","runs":[0-9]+,"ms":\{"median":'
json_holds 'bench json' 'all(j["machine"]["roof"][k] > 0 for k in ("fma", "read", "copy"))'
json_holds 'bench json' 'not j["machine"]["roof"]["from_rates"]'
json_holds 'bench json' 'j["machine"]["rates"]["source"] == "calibrated"'
# What is printed is rounded.
json_holds 'bench json' 'abs(c["bytes"] / c["ms"]["median"] * 1e-6 - c["gbytes_per_s"]) < 0.01'
json_holds 'bench json' 'abs(c["gflops_done"] * 1e11 / j["machine"]["roof"]["fma"] - c["percent_fma"]) < 0.1'
json_holds 'bench json' 'abs(c["ms_floor"] - 1e3 * max(c["gflop_done"] * 1e9 / j["machine"]["roof"]["fma"], c["bytes"] / j["machine"]["roof"]["copy"])) < 1e-6'
json_holds 'bench json' 'all(k in c for k in ("percent_gemm", "percent_copy", "x_floor", "allocations"))'
if command -v python3 >/dev/null; then
  holds 'roofline: XML with a point and a label for each case' python3 -c 'import sys
import xml.etree.ElementTree as xml
root, svg = xml.parse("r.svg").getroot(), "{http://www.w3.org/2000/svg}"
labels = [e.text for e in root.iter(svg + "text")]
points = [e.text.split(":")[0] for e in root.iter(svg + "title")]
sys.exit(sorted(points) != ["bare", "small"] or not set(points) <= set(labels))'
  holds 'bench json as Markdown' python3 -c 'import subprocess, sys
text = subprocess.run(sys.argv[1:], check=True, capture_output=True, text=True).stdout
rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
sys.exit([row[1] for row in rows] != [" case ", " small ", " bare "] or {len(row) for row in rows} != {10})' \
    python3 "$root/bench/performance.py" "$tmp/stdout"
fi
holds 'roofline: no temporary file' [ -z "$(find . -name '*.tmp')" ]
exits 0 'bench csv' bench --cases cases.txt --seconds 0 --csv --reuse-context
prints 'bench csv' '^# cpu: .*; threads: [0-9]+; GFLOP/s of multiply-adds: [0-9.]+ \([a-z0-9]+\); of products: [0-9.]+; GB/s of memory read: '
prints 'bench csv' '^case,plan,runs,ms_median,ms_min,ms_p99,gflops_done,gflops_direct,allocations,bytes,gbytes_per_s,percent_fma,percent_gemm,percent_copy,ms_floor,x_floor$'
prints 'bench csv' '^bare,[^,]+,5(,[0-9.]+){5},0(,[0-9.e+]+){7}$'

# no_picture NAME PATTERN FILE: the roofline cannot be written there, which is said before anything is measured.
no_picture() {
  local before
  before=$(ls -A)
  exits 1 "$1" bench --cases cases.txt --seconds 0 --roofline "$3"
  says "$1" "$2"
  holds "$1: nothing on stdout" is_empty "$tmp/stdout"
  holds "$1: nothing left" [ "$(ls -A)" = "$before" ]
}
no_picture 'roofline in no directory' '^xattn bench: none/r\.svg: .*No such file' none/r.svg
no_picture 'roofline is a directory' '^xattn bench: \.: is there and is not a regular file' .
no_picture 'roofline below a file' '^xattn bench: x\.npy/r\.svg: ' x.npy/r.svg
no_picture 'roofline is a device' '^xattn bench: /dev/null: is there and is not a regular file' /dev/null
exits 2 'roofline without a name' bench --cases cases.txt --roofline ''
says 'roofline without a name' '^xattn bench: --roofline: the name is empty'
printf 'old' >old.svg
exits 1 'roofline of no case' bench --cases cases.txt --plan dance --roofline old.svg
holds 'roofline of no case: file untouched' [ "$(cat old.svg)" = old ]
rm -f old.svg r.svg

exits 0 'bench only' bench --cases cases.txt --seconds 0 --csv --only bare
holds 'bench only: one row' [ "$(grep -c '^[^#]' "$tmp/stdout")" -eq 2 ]
exits 1 'bench only unknown' bench --cases cases.txt --only medium
says 'bench only unknown' "^xattn bench: --only: 'medium' is none of the 2 cases in 'cases.txt'"
exits 1 'cases absent' bench --cases none.txt
says 'cases absent' '^xattn bench: none\.txt: No such file'
exits 1 'cases are a directory' bench --cases .
says 'cases are a directory' '^xattn bench: \.: '
exits 1 'bench plan' bench --cases cases.txt --plan dance
says 'bench plan' '^xattn bench: cases\.txt:3: case small: .*dance'

# bad TEXT PATTERN: a case table that must be refused.
bad() {
  # shellcheck disable=SC2059 # escapes are meant
  printf "$1" >bad.txt
  exits 1 "cases '$1'" bench --cases bad.txt
  says "cases '$1'" "^xattn bench: bad\\.txt$2"
}
bad '' ': holds no case, expected at least 1'
bad '# nothing\n' ': holds no case, expected at least 1'
bad 'a 1 2 3 4 5 6\n' ':1: Dh is missing'
bad '\na\n' ':2: B is missing'
bad 'a 1 2 3 4 5 6 7 8 9\n' ":1: '9' is one field too many"
bad 'a 1 2 0 4 5 6 7\n' ":1: Nk is '0', expected an integer from 1 to "
bad 'a 1 -2 3 4 5 6 7\n' ":1: Nq is '-2', expected an integer from 1 to "
bad 'a 1 2 3 4 5 6 7 -1\n' ":1: Do is '-1', expected an integer from 0 to "
bad 'a 1 2 3 4 5 6 7x\n' ":1: Dh is '7x', expected an integer from 1 to "
bad 'a 1 2 3 99999999999999999999 5 6 7\n' ":1: Dq is '99999999999999999999', expected"
bad 'a 1 2 3 4 5 6 7\na 1 2 3 4 5 6 7\n' ":2: name 'a' is taken by line 1"
bad 'a,b 1 2 3 4 5 6 7\n' ":1: name 'a,b': expected "
bad 'a 1 2 3 4 5 6 7\0\n' ':1: contains a zero byte'
exits 1 'case too large' bench --device cpu --seconds 0 --cases \
  <(echo 'vast 1048576 1048576 1048576 1048576 1048576 1 1')
says 'case too large' ':1: case vast: '

# The tables that come with the program.
for table in "$root"/bench/shapes/*.txt; do
  exits 0 "$table" plan --device cpu --cases "$table" --csv
  holds "$table: every case" [ "$(grep -Evc '^ *(#|$)' "$table")" -eq "$(grep -Evc '^(#|case,)' "$tmp/stdout")" ]
done
exits 0 'cases.txt' bench --cases "$root/bench/shapes/cases.txt" --only mt --seconds 0 --json
prints 'cases.txt' '"case":"mt"'

# ------------------------------------------------------------------ plan

small=(plan --device cpu --shape "2,3,5,8,4" --heads 2)
exits 0 plan "${small[@]}" --out-dim 6
prints plan '^layer +query 8, context 4, out 6; heads 2 of 4, '
prints plan '^call +x \[2, 3, 8\], y \[2, 5, 4\], out \[2, 3, 6\]$'
prints plan '^rates +products [0-9.]+ GFLOP/s;'
prints plan '^ +from: built in$'
holds 'plan: 16 forms' \
  [ "$(grep -Ec '^[* ] (direct|[a-z-]+\+[a-z-]+)( +[0-9.]+){4}$' "$tmp/stdout")" -eq 16 ]
holds 'plan: one is picked' [ "$(grep -c '^\* ' "$tmp/stdout")" -eq 1 ]
picked=$(sed -n 's/^\* \([^ ]*\) .*/\1/p' "$tmp/stdout")
prints plan "^picked ${picked//+/\\+}: least predicted time, [0-9.]+ of "
prints plan "^plan ${picked//+/\\+}: [0-9]+ steps"
exits 0 'plan without out_weight' "${small[@]}"
prints 'plan without out_weight' '^left out: the layer has no out_weight'
prints 'plan without out_weight' '^  .*merge-y\+merge-py'
exits 0 'plan of another' "${small[@]}" --plan push+defer
prints 'plan of another' '^plan push\+defer: '
exits 1 'plan not allowed' "${small[@]}" --plan merge-y+merge-y
says 'plan not allowed' "^xattn plan: --plan: 'merge-y\+merge-y': the layer has no out_weight"
holds 'plan not allowed: nothing on stdout' is_empty "$tmp/stdout"
exits 0 'plan json' "${small[@]}" --kv-heads 1 --head-dim 3 --value-dim 5 --out-dim 6 --biases --json
json_holds 'plan json' 'len(j["cases"]) == 1 and len(c["plans"]) == 16'
json_holds 'plan json' 'j["rates"]["source"] == "built in" and j["uses"] == 0'
json_holds 'plan json' '"ms_measured" not in c["plans"][0] and "best" not in c and "within" not in j'
json_holds 'plan json' 'sorted(c["plans"], key=lambda p: p["ms_predicted"]) == c["plans"]'
json_holds 'plan json' 'c["picked"] == c["steps_of"]'
# A context that is used again and again is projected once: the more uses, the more of the time is theirs.
exits 0 'plan uses' "${small[@]}" --uses 1000 --plan direct --json
json_holds 'plan uses' 'j["uses"] == 1000 and c["steps"].count("plan direct") == 2'
json_holds 'plan uses' '[p for p in c["plans"] if p["plan"] == "direct"][0]["launches"] > 1000'
exits 0 'plan csv' "${small[@]}" --csv
prints 'plan csv' '^case,plan,picked,gflop,mbytes,launches,ms_predicted,ms_measured,runs$'
prints 'plan csv' '^shape,direct,[01],[0-9.e-]+,[0-9.e-]+,[0-9]+,[0-9.]+,,0$'
exits 0 'plan of a real layer' plan --weights two.safetensors --prefix b --shape 1,2,2 --json
json_holds 'plan of a real layer' 'c["x"] == [1, 2, 1] and c["left_out"]'
exits 0 'plan, many queries' plan --device cpu --shape 1,4096,4096,64,64 --heads 1 --out-dim 64
exits 0 'plan, one query' plan --device cpu --shape 1,1,4096,512,512 --heads 8 --json
json_holds 'plan, one query' 'c["picked"] != "direct"'

exits 0 'plan measure' "${small[@]}" --measure --seconds 0 --all --json
json_holds 'plan measure' 'all(1 <= p["runs"] <= 5 and not p["skipped"] for p in c["plans"])'
json_holds 'plan measure' 'all(p["ms_measured"] >= 0 for p in c["plans"])'
json_holds 'plan measure' 'c["ratio"] >= 1 and j["within"] == (c["ratio"] <= 1.15)'
exits 0 'plan measure, uses' "${small[@]}" --out-dim 6 --biases --kv-heads 1 --measure --seconds 0.001 --uses 3
prints 'plan measure, uses' '^measured: the (picked form is the )?fastest'
prints 'plan measure, uses' '^uses +3: '
exits 0 'plan measure, real' plan --weights w.safetensors --shape 2,3,4 --measure --seconds 0 --csv
prints 'plan measure, real' '^shape,direct,[01],.*,[0-9.]+,[1-5]$'
# A form that is far slower is skipped, and the output says so: each of 64 heads makes its own of all of y.
skip=(plan --device cpu --threads 1 --shape "1,1,512,64,64" --heads 64 --out-dim 64 --measure --seconds 0)
exits 0 'plan skips' "${skip[@]}"
prints 'plan skips' ' skipped$'
prints 'plan skips' '^skipped: predicted to take more than 20 times'
exits 0 'plan skips none' "${skip[@]}" --all
holds 'plan skips none' bash -c "! grep -q skipped '$tmp/stdout'"

printf 'small 1 2 3 4 5 2 3 4\nbare 2 3 4 5 6 1 7\n' >plans.txt
exits 0 'plan cases' plan --cases plans.txt
prints 'plan cases' '^case +picked +ms predicted of direct$'
prints 'plan cases' '^bare +[^ ]+ +[0-9.]+ +[0-9.]+$'
exits 0 'plan cases, measured' plan --cases plans.txt --measure --seconds 0
prints 'plan cases, measured' '^small +[a-z+-]+( +[0-9.]+){3} +[a-z+-]+( +[0-9.]+){2}$'
prints 'plan cases, measured' '^[0-2] of 2 cases: the picked form takes at most 1\.15 of the best'
exits 0 'plan cases, csv' plan --cases plans.txt --measure --seconds 0 --csv --only bare
prints 'plan cases, csv' '^case,picked,ms_predicted,of_direct,ms_measured,best,ms_best,ratio$'
prints 'plan cases, csv' '^bare,[^,]+,[0-9.]+,[0-9.]+,[0-9.]+,[^,]+,[0-9.]+,[0-9.]+$'
holds 'plan cases, csv: one row' [ "$(grep -c '^[^#]' "$tmp/stdout")" -eq 2 ]
prints 'plan cases, csv' '^# ratio at most 1\.15: [01] of 1; '
exits 0 'plan cases, json' plan --cases plans.txt --json
json_holds 'plan cases, json' '[c["case"] for c in j["cases"]] == ["small", "bare"]'
exits 0 'plan case' plan --cases plans.txt --case bare --plan direct
prints 'plan case' '^case +bare$'
prints 'plan case' '^plan direct: '
exits 1 'plan cases, one too large' plan --device cpu --json --cases \
  <(printf 'vast 1 1 1 1048576 1048576 1048576 1048576\nfine 1 1 1 1 1 1 1\n')
says 'plan cases, one too large' ':1: case vast: '
json_holds 'plan cases, one too large' '[c["case"] for c in j["cases"]] == ["fine"]'
exits 1 'plan of no such case' plan --cases plans.txt --only medium
says 'plan of no such case' "^xattn plan: --only: 'medium' is none of the 2 cases in 'plans.txt'"
exits 1 'plan of no file' plan --cases none.txt
says 'plan of no file' '^xattn plan: none\.txt: No such file'
exits 1 'plan of no weights' plan --weights none.safetensors --shape 1,2,3
says 'plan of no weights' '^xattn plan: none\.safetensors: .*No such file'
exits 1 'plan, heads' "${small[@]}" --kv-heads 3
says 'plan, heads' '^xattn plan: --shape: kv_heads: 3 must divide heads, which is 2'

# wrong PATTERN ARGUMENT...: a command line of plan that must be refused.
wrong() {
  local pattern=$1
  shift
  exits 2 "plan $*" plan "$@"
  says "plan $*" "^xattn plan: $pattern"
  holds "plan $*: nothing on stdout" is_empty "$tmp/stdout"
}
wrong '--shape: missing'
for shape in '' 1 1,2,3,4 1,2,3,4,5,6 "1,2,3,4,5," ",2,3,4,5" 0,2,3,4,5 1,-2,3,4,5 1,2,3,4,x '1, 2,3,4,5' \
  1,2,3,4,1048577 1,2,3,4,99999999999999999999; do
  wrong '--shape: expected B,Nq,Nk,Dq,Dc, 5 integers from 1 to 1048576, got ' --shape "$shape"
done
wrong '--shape: expected B,Nq,Nk .*, 3 integers' --weights w.safetensors --shape 1,2,3,4,5
wrong '--head-dim: missing: 3 heads do not divide Dq, which is 4' --shape 1,2,3,4,5 --heads 3
wrong "--plan: 'dance' is none of the plans" --shape 1,2,3,4,5 --plan dance
wrong '--csv: cannot go together with --json' --shape 1,2,3,4,5 --csv --json
wrong '--prefix: needs --weights' --shape 1,2,3,4,5 --prefix b
wrong '--out-dim: cannot go together with --weights' --weights w.safetensors --shape 1,2,3 --out-dim 4
wrong '--shape: cannot go together with --cases' --shape 1,2,3,4,5 --cases plans.txt
wrong '--heads: cannot go together with --case' --heads 2 --case small
wrong '--only: cannot go together with --case' --only bare --case small --cases plans.txt
wrong '--plan: shows the steps of one case' --cases plans.txt --plan direct
wrong '--heads: expected an integer from 1' --shape 1,2,3,4,5 --heads 0
wrong '--uses: expected an integer from 0' --shape 1,2,3,4,5 --uses -1
wrong 'more: one argument too many' --shape 1,2,3,4,5 more

# ------------------------------------------------------------------ calibrate

rates=$tmp/rates/here.json
calibrate=(calibrate --device cpu --threads)
exits 0 'calibrate, dry run' calibrate --device cpu --dry-run
prints 'calibrate, dry run' '^products +[0-9.e+]+ +[0-9.e+]+  GFLOP/s$'
prints 'calibrate, dry run' '^one launch +[0-9.e+-]+ +[0-9.e+-]+  us$'
prints 'calibrate, dry run' '^saved +nothing'
exits 1 'calibrate, built in' "${calibrate[@]}" 1
says 'calibrate, built in' '^xattn calibrate: .*XATTN_RATES is "builtin"'
holds 'calibrate, built in: nothing on stdout' is_empty "$tmp/stdout"
holds 'no rates yet' [ ! -e "$tmp/rates" -a ! -e "$XDG_CACHE_HOME" ]

XATTN_RATES=$rates exits 0 calibrate "${calibrate[@]}" 1 --json
json_holds calibrate 'j["builtin"]["source"] == j["before"]["source"] == "built in"'
json_holds calibrate 'j["measured"]["source"] == "calibrated" and j["threads"] == 1'
json_holds calibrate "j['file'] == '$rates'"
json_holds calibrate 'all(v > 0 for v in j["measured"].values() if not isinstance(v, str))'
holds 'calibrate: nothing else left' [ "$(ls -A "$tmp/rates")" = here.json ]
first=$(grep -A 8 'threads 1;' "$rates" | grep flops)
XATTN_RATES=$rates exits 0 'calibrate again' "${calibrate[@]}" 2
prints 'calibrate again' "^saved +$rates\$"
cp "$rates" "$tmp/stdout"
json_holds 'calibrate again, file' 'len(j) == 2'
holds 'calibrate again: entry kept' [ "$(grep -A 8 'threads 1;' "$rates" | grep flops)" = "$first" ]
XATTN_RATES=$rates exits 0 'calibrate, before' "${calibrate[@]}" 1 --dry-run
prints 'calibrate, before' "^before +$rates\$"
prints 'calibrate, before' '^ +built in +before +measured$'
XATTN_RATES=$rates exits 0 'calibrate, before, json' "${calibrate[@]}" 1 --dry-run --json
json_holds 'calibrate, before, json' "j['before']['source'] == '$rates' and j['file'] is None"
json_holds 'calibrate, before, json' 'j["builtin"]["source"] == "built in"'

# The next program finds them, and other threads do not.
XATTN_RATES=$rates exits 0 'rates found' "${small[@]}" --threads 1
prints 'rates found' "^ +from: $rates\$"
XATTN_RATES=$rates exits 0 'rates of others' "${small[@]}" --threads 3
prints 'rates of others' '^ +from: built in$'
XATTN_RATES='' exits 0 'calibrate, cache' "${calibrate[@]}" 1
prints 'calibrate, cache' "^saved +$XDG_CACHE_HOME/xattn/rates\\.json\$"
XATTN_RATES='' exits 0 'rates in the cache' "${small[@]}" --threads 1
prints 'rates in the cache' "^ +from: $XDG_CACHE_HOME/xattn/rates\\.json\$"
exits 0 'rates built in' "${small[@]}" --threads 1
prints 'rates built in' '^ +from: built in$'

# What an entry says decides: where operations alone take time, the fewest are picked. Other members stay.
key=$(sed -n 's/^ "\(.*threads 1.*\)": {$/\1/p' "$rates")
cat >"$tmp/mine.json" <<END
{"mine": 7, "$key": {"flops": 1e6, "flops_half": 1e6,
  "operands": 1e18, "stream": 1e18, "softmax": 1e18, "launch": 1e-18}}
END
XATTN_RATES=$tmp/mine.json exits 0 'rates of mine' "${small[@]}" --threads 1 --out-dim 6 --json
json_holds 'rates of mine' 'min(p["gflop"] for p in c["plans"]) == c["plans"][0]["gflop"]'
json_holds 'rates of mine' 'j["rates"]["flops"] == 1e6'
XATTN_RATES=$tmp/mine.json exits 0 'calibrate mine' "${calibrate[@]}" 1
cp "$tmp/mine.json" "$tmp/stdout"
json_holds 'calibrate mine, file' 'j["mine"] == 7 and len(j) == 2'

for text in 'no JSON' '[1, 2]' ''; do
  printf '%s' "$text" >"$tmp/other"
  XATTN_RATES=$tmp/other exits 1 "calibrate over '$text'" "${calibrate[@]}" 1
  says "calibrate over '$text'" "^xattn calibrate: $tmp/other: is no file of rates: "
  holds "calibrate over '$text': unchanged" [ "$(cat "$tmp/other")" = "$text" ]
  XATTN_RATES=$tmp/other exits 0 "plan with '$text'" "${small[@]}" --threads 1
  prints "plan with '$text'" '^ +from: built in$'
done
XATTN_RATES=$tmp/other/rates.json exits 1 'calibrate below a file' "${calibrate[@]}" 1
says 'calibrate below a file' "^xattn calibrate: $tmp/other"
exits 2 'calibrate more' calibrate more
exits 2 'calibrate threads' calibrate --threads -1
exits 2 'calibrate device' calibrate --device toaster
says 'calibrate device' '^xattn calibrate: --device: .*toaster'

# ------------------------------------------------------------------ the article's size

mkdir big
"$make_inputs" big
exits 0 'article' run --weights big/weights.safetensors --query big/x.npy --context big/y.npy \
  --out big/o.npy --repeat 2 --json
holds 'article: valid' json_on_stdout
prints 'article' '"out_shape":\[1, 1024, 1024\]'
size=$(stat -c %s big/o.npy)
holds 'article: size of the output' \
  [ $((size - 1024 * 1024 * 4)) -ge 64 -a $((size - 1024 * 1024 * 4)) -le 128 ]
exits 1 'article, swapped' run --weights big/weights.safetensors --query big/y.npy \
  --context big/x.npy --out big/p.npy
says 'article, swapped' '^xattn run: big/x\.npy: y: .*512.*1024'
holds 'article, swapped: no output' [ ! -e big/p.npy ]

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
