"""What the comparisons share: running the program, judging an error, counting, .safetensors."""
import argparse
import json
import os
import struct
import subprocess

import numpy


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--program", default="build/xattn", help="the xattn program (%(default)s)")
    parser.add_argument("--device", default="cpu", help="as in xattn run (%(default)s)")
    parser.add_argument("--plan", default="auto", help="as in xattn run (%(default)s)")
    return parser


class Checks:
    """Counts checks and prints a line for each."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def record(self, name, good, detail):
        self.passed += bool(good)
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}: {detail}", flush=True)

    def compare(self, name, got, plain, exact):
        """The error may be twice that of a plain float32 implementation (the worst of the results
        in `plain`), plus 2 ulp of the largest output: another order of summation is no fault, a
        lower precision is one."""
        if isinstance(got, str):
            self.record(name, False, got)
            return
        if got.shape != exact.shape:
            self.record(name, False, f"shape {got.shape}, expected {exact.shape}")
            return
        error = numpy.abs(got.astype(numpy.float64) - exact).max()
        plain_error = max(numpy.abs(one.astype(numpy.float64) - exact).max() for one in plain)
        ulp = float(numpy.spacing(numpy.float32(numpy.abs(exact).max())))
        good = error <= 2 * plain_error + 2 * ulp  # false for NaN, as it must be
        self.record(name, good, f"error {error:.3g}, plain float32 {plain_error:.3g}")

    def finish(self):
        """Prints the closing line; the exit status of the whole test."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 0 if self.passed and not self.failed else 1


class Program:
    """`xattn run` with .npy files in a folder of its own."""

    def __init__(self, arguments, folder):
        if not os.access(arguments.program, os.X_OK):
            raise SystemExit(f"{arguments.program} is not there: build it first (make)")
        self.program = arguments.program
        self.common = ["--device", arguments.device, "--plan", arguments.plan]
        self.folder = folder

    def run(self, weights, x, y, heads=1, prefix=None, reuse=False):
        """The result as an array, or a text that says what went wrong."""
        query, context, out = (os.path.join(self.folder, name)
                               for name in ("x.npy", "y.npy", "out.npy"))
        numpy.save(query, x)
        numpy.save(context, y)
        if os.path.exists(out):
            os.remove(out)  # so that no result of an earlier run can be taken for this one's
        command = [self.program, "run", "--weights", weights, "--heads", str(heads),
                   "--query", query, "--context", context, "--out", out, "--json"] + self.common
        if prefix is not None:
            command += ["--prefix", prefix]
        if reuse:
            command += ["--reuse-context"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return f"exit status {done.returncode}: {done.stderr.strip()}"
        try:
            result = numpy.load(out)
            shape = json.loads(done.stdout)["out_shape"]
        except (OSError, ValueError, KeyError) as problem:
            return f"{problem!r}; stdout was: {done.stdout.strip()}"
        if shape != list(result.shape):
            return f"--json says out_shape {shape}, the file has {list(result.shape)}"
        return result


SAFETENSORS_NAMES = {"float16": "F16", "float32": "F32", "float64": "F64"}


def write_safetensors(path, tensors):
    """u64 length of the JSON header, the header, the data; offsets count from the data's start."""
    header, offset = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": SAFETENSORS_NAMES[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data of most writers starts at a multiple of 8
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(array.tobytes())
