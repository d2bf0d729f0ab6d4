#!/usr/bin/env python3
"""What the compiler made of the CUDA kernels, for each architecture, without a GPU.

Compiles every .cu with warnings as errors and reads ptxas' figures, the launch bounds in the PTX and
the instructions in the machine code. A kernel may not touch local memory (spills, a stack, LDL and
STL), must have launch bounds, and must load 16 bytes at once where its name promises it. The figures
stand in a table, cuda/audit.txt: --update writes it, --check fails where a kernel got worse.
"""
import argparse
import collections
import concurrent.futures
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

SIZES = {"float": 4, "__half": 2, "__nv_bfloat16": 2}


def wide_accesses(name):
    """How many 16-byte global loads and stores a kernel must have at the least, on any architecture:
    softmax_*<In, Out, V> moves V elements at once, softmax_*<In, Out, V, E> E / V times in a row."""
    found = re.match(r"softmax_\w+<(\w+), (\w+), (\d+)(?:, (\d+))?>", name)
    if not found:
        return 0, 0
    width = int(found[3])
    times = int(found[4] or width) // width
    return tuple(times if SIZES[side] * width == 16 else 0 for side in (found[1], found[2]))


def dynamic_shared(name):
    """Dynamic shared memory of the largest launch, in bytes, which the compiler does not know."""
    if not name.startswith("softmax_block<"):
        return 0
    header = pathlib.Path("cuda/kernels.h").read_text()
    return 4 * eval(re.search(r"XATTN_SOFTMAX_SHARED = ([-+*() \d]+)", header)[1])


# Of one multiprocessor (CUDA programming guide, compute capabilities; cuda_occupancy.h): warps, blocks
# and bytes of shared memory. All have 65,536 registers in 4 parts, give them to a warp in units of
# 256, give shared memory in units of 128 bytes and keep 1,024 of each block's for themselves.
LIMITS = {
    80: (64, 32, 164 << 10), 86: (48, 16, 100 << 10), 89: (48, 24, 100 << 10),
    90: (64, 32, 228 << 10), 100: (64, 32, 228 << 10), 120: (48, 24, 100 << 10),
}

LOAD16 = re.compile(r"\b(LDG|LDGSTS)\.[\w.]*\b(128|256)\b")
STORE16 = re.compile(r"\bSTG\.[\w.]*\b(128|256)\b")
LOCAL = re.compile(r"\b(LDL|STL)\b")


class Figures(NamedTuple):
    threads: int
    registers: int
    shared: int
    occupancy: int  # per cent
    loads16: int
    stores16: int


def up(n, unit):
    return -(-n // unit) * unit


def occupancy(arch, threads, registers, shared):
    """Per cent of a multiprocessor's warps that blocks of this kind can fill."""
    max_warps, max_blocks, max_shared = LIMITS[arch]
    warps = up(threads, 32) // 32
    in_a_part = 65536 // 4 // up(32 * max(registers, 1), 256)
    blocks = min(max_blocks, max_warps // warps, 4 * in_a_part // warps,
                 max_shared // up(shared + 1024, 128))
    return 100 * blocks * warps // max_warps


def run(command):
    """The command's output, stdout and stderr; a failure ends the audit."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        names = subprocess.run(["c++filt"], input=done.stdout, capture_output=True, text=True)
        sys.exit(f"{' '.join(command)}\n{names.stdout}")
    return done.stdout


def demangled(symbols):
    """Names without parameters, return types and unnamed namespaces: softmax<float, 4>."""
    names = subprocess.run(["c++filt", "-p"], input="\n".join(symbols), capture_output=True,
                           text=True, check=True).stdout
    return dict(zip(symbols, names.replace("(anonymous namespace)::", "").splitlines()))


def audit_one(args, source, arch):
    """({kernel: Figures}, [(kernel, complaint)]) of one file compiled for one architecture."""
    folder = args.work / f"{source.stem}.sm_{arch}"
    folder.mkdir(parents=True, exist_ok=True)
    cubin = folder / "cubin"
    printed = run([args.nvcc, *args.flags.split(), f"-arch=sm_{arch}", "-cubin", "-o", str(cubin),
                   "--keep", "--keep-dir", str(folder), "-Werror", "all-warnings",
                   "-Xptxas", "-v,-Werror", str(source)])
    ptx = (folder / f"{source.stem}.ptx").read_text()
    # Text before the first kernel goes; then name and text take turns.
    parts = re.split(r"Compiling entry function '(\w+)'.*\n", printed)[1:]
    told = dict(zip(parts[::2], parts[1::2]))
    parts = re.split(r"^\.text\.(\w+):$", run([args.nvdisasm, "-c", str(cubin)]), flags=re.M)[1:]
    code = dict(zip(parts[::2], parts[1::2]))
    bounds = dict(re.findall(r"\.entry (\w+)\([^{]*?\.maxntid ([\d, ]+)", ptx))

    figures, complaints = {}, []
    names = demangled(list(told))
    for symbol, text in told.items():
        name = names[symbol]

        def complain(what):
            complaints.append((name, what))

        def number(pattern):
            found = re.search(pattern, text)
            return int(found[1]) if found else 0

        threads = 1
        for extent in bounds.get(symbol, "1024").split(","):
            threads *= int(extent)
        if symbol not in bounds:
            complain("no __launch_bounds__")
        for what in ("stack frame", "spill stores", "spill loads"):
            if bytes_of := number(rf"(\d+) bytes {what}"):
                complain(f"{bytes_of} bytes {what}")
        if local := len(LOCAL.findall(code[symbol])):
            complain(f"{local} accesses to local memory")
        registers, shared = number(r"Used (\d+) registers"), number(r"(\d+) bytes smem")
        shared += dynamic_shared(name)
        if shared > 48 << 10:
            complain(f"{shared} bytes of shared memory, of which a block has 49152 unasked")
        loads16, stores16 = len(LOAD16.findall(code[symbol])), len(STORE16.findall(code[symbol]))
        least_loads, least_stores = wide_accesses(name)
        if loads16 < least_loads:
            complain(f"{loads16} loads of 16 bytes, {least_loads} expected")
        if stores16 < least_stores:
            complain(f"{stores16} stores of 16 bytes, {least_stores} expected")
        share = occupancy(arch, threads, registers, shared)
        figures[name] = Figures(threads, registers, shared, share, loads16, stores16)
    return figures, complaints


def audit_all(args):
    """({(kernel, architecture): Figures}, {(kernel, complaint): [architecture]}) of everything, two
    compilers at once."""
    found, complaints = {}, collections.defaultdict(list)
    jobs = [(source, arch) for source in args.sources for arch in args.archs]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda job: audit_one(args, *job), jobs)
        for (source, arch), (figures, complained) in zip(jobs, results):
            for name, value in figures.items():
                if (name, arch) in found:
                    complained.append((name, f"a second kernel of this name is in {source}"))
                found[name, arch] = value
            for complaint in complained:
                complaints[complaint].append(arch)
    return found, complaints


COLUMNS = "{:<6} {:>7} {:>9} {:>6} {:>9} {:>7} {:>8}  {}\n"


def table_text(found, compiler):
    text = (
        "# What the compiler made of each kernel: make cuda-audit-update writes, make cuda-audit compares.\n"
        f"# Compiler: {compiler}\n"
        "# threads: launch bounds. shared: bytes a block. occupancy: warps that fit, per cent of the most.\n"
        "# load16, store16: instructions that move 16 bytes or more. No kernel has spills or a stack.\n"
    )
    text += COLUMNS.format("# arch", *Figures._fields[:4], "load16", "store16", "kernel")
    for (name, arch), f in sorted(found.items()):
        text += COLUMNS.format(f"sm_{arch}", f.threads, f.registers, f.shared, f"{f.occupancy}%",
                               f.loads16, f.stores16, name)
    return text


def read_table(path):
    """({(kernel, architecture): Figures}, compiler) of a table; nothing where there is none."""
    rows, compiler = {}, ""
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("# Compiler: "):
            compiler = line.removeprefix("# Compiler: ")
        elif not line.startswith("#"):
            arch, *numbers, name = line.split(maxsplit=7)
            rows[name, int(arch[3:])] = Figures(*(int(n.rstrip("%")) for n in numbers))
    return rows, compiler


def worse(found, table):
    """((kernel, complaint), architecture) of what got worse since the table was written."""
    for key in sorted(found.keys() | table.keys()):
        name, arch = key
        if key not in table:
            yield (name, "not in the table"), arch
        elif key not in found:
            yield (name, "in the table, but no longer there"), arch
        else:
            now, then = found[key], table[key]
            if now.registers > then.registers:
                yield (name, f"{now.registers} registers, {then.registers} in the table"), arch
            if now.occupancy < then.occupancy:
                yield (name, f"occupancy {now.occupancy}%, {then.occupancy}% in the table"), arch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="compare with the table")
    mode.add_argument("--update", action="store_true", help="write the table")
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--nvdisasm", default="nvdisasm")
    parser.add_argument("--flags", default="", help="of the library's build, for nvcc")
    parser.add_argument("--archs", type=lambda text: sorted(map(int, text.split())),
                        default=sorted(LIMITS))
    parser.add_argument("--table", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for what is compiled")
    parser.add_argument("sources", nargs="+", type=pathlib.Path)
    args = parser.parse_args()

    compiler = re.search(r"release.*", run([args.nvcc, "--version"]))[0]
    found, complaints = audit_all(args)
    table, table_compiler = read_table(args.table)
    if args.check and table and compiler != table_compiler:
        print(f"cuda-audit: this is {compiler}; the table, of {table_compiler}, is not compared")
    elif args.check:
        for complaint, arch in worse(found, table):
            complaints[complaint].append(arch)
    for (name, what), archs in complaints.items():
        print(f"sm_{','.join(map(str, archs))}: {name}: {what}", file=sys.stderr)
    if complaints:
        sys.exit("cuda-audit: failed" + "; what is meant: make cuda-audit-update" * args.check)
    if args.update:
        args.table.write_text(table_text(found, compiler))
    elif table != found and compiler == table_compiler:
        print("cuda-audit: some figures are better than the table; make cuda-audit-update")
    print(f"cuda-audit: {len(found)} kernels for {len(args.archs)} architectures, fine")


if __name__ == "__main__":
    main()
