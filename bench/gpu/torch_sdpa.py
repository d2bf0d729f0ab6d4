"""Times PyTorch on the cases of gpu-bench, each backend of scaled_dot_product_attention forced in turn, by the
same protocol (clock.c), and compares its results and xattn's with float64."""
import argparse
import json
import os
import statistics
import sys
import time
import warnings
import zlib

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import linear, scaled_dot_product_attention

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
import cases
import xattn_torch

DEVICE = "cuda"
WARM_UPS, FEWEST_RUNS, MOST_RUNS = 3, 10, 1000
BACKENDS = {"math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
# The dtype, and the most that ‖result - float64‖ may be of ‖float64‖: 8 roundings of an operand; in F32 what
# sums of thousands of products may lose.
MODES = {"F32": (torch.float32, 1e-5), "TF32": (torch.float32, 8 * 2**-11),
         "F16": (torch.float16, 8 * 2**-11), "BF16": (torch.bfloat16, 8 * 2**-8)}


class Clock:
    """Warm: one run behind another. Cold: before each, a buffer of twice the second-level cache is written."""

    def __init__(self, seconds):
        self.seconds = seconds
        cache = torch.cuda.get_device_properties(0).L2_cache_size or 64 << 20
        self.flush = torch.empty(2 * cache, dtype=torch.uint8, device=DEVICE)

    def _run(self, call, cold, runs):
        pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
                 for _ in range(runs)]
        for number, (begin, end) in enumerate(pairs):
            if cold:
                self.flush.fill_(number & 0xFF)
            begin.record()
            call()
            end.record()
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) for begin, end in pairs]

    def time(self, call, cold=False):
        self._run(call, cold, WARM_UPS)
        start = time.monotonic()
        self._run(call, cold, WARM_UPS)
        one = (time.monotonic() - start) / WARM_UPS
        runs = min(MOST_RUNS, max(FEWEST_RUNS, int(self.seconds / one)))
        ms = sorted(self._run(call, cold, runs))
        return {"runs": runs, "median_ms": statistics.median(ms), "min_ms": ms[0],
                "p99_ms": ms[(99 * runs + 99) // 100 - 1]}

    def enqueue_us(self, call):
        """Microseconds of the host for one call with nothing before it."""
        times = []
        for _ in range(21):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
            torch.cuda.synchronize()
        return statistics.median(times) * 1e6

    def graph(self, call):
        """The call captured once and replayed; None where it cannot be."""
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                call()
            return self.time(graph.replay)
        except RuntimeError:
            torch.cuda.synchronize()
            return None


def make_data(case, dtype):
    """Streams as after a LayerNorm, weights as nn.Linear starts them, rounded to the dtype."""
    generator = torch.Generator().manual_seed(zlib.crc32(case.name.encode()))

    def weight(rows, columns):
        return (2 * torch.rand(rows, columns, generator=generator) - 1) * columns ** -0.5

    data = {"x": torch.randn(case.B, case.Nq, case.Dq, generator=generator),
            "y": torch.randn(case.B, case.Nk, case.Dc, generator=generator),
            "wq": weight(case.inner, case.Dq), "wk": weight(case.inner, case.Dc),
            "wv": weight(case.inner, case.Dc)}
    if case.Do:
        data["wo"] = weight(case.Do, case.inner)
    return {name: tensor.to(DEVICE, dtype) for name, tensor in data.items()}


def heads(case, rows):
    return rows.unflatten(2, (case.H, case.Dh)).transpose(1, 2)


def forward(case, d, cached=None):
    q = heads(case, linear(d["x"], d["wq"]))
    k, v = cached or (heads(case, linear(d["y"], d["wk"])), heads(case, linear(d["y"], d["wv"])))
    out = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return linear(out, d["wo"]) if case.Do else out


def exact(case, data):
    """In float64, an item at a time so that the scores of large cases fit."""
    d = {name: tensor.double() for name, tensor in data.items()}
    parts = []
    for item in range(case.B):
        q, k, v = (heads(case, (d[s][item:item + 1] @ d[w].T))
                   for s, w in (("x", "wq"), ("y", "wk"), ("y", "wv")))
        p = torch.softmax(q @ k.transpose(2, 3) * case.scale, -1)
        out = (p @ v).transpose(1, 2).flatten(2)
        parts.append(out @ d["wo"].T if case.Do else out)
    return torch.cat(parts)


class Run:
    def __init__(self, options):
        self.options, self.clock = options, Clock(options.seconds)
        self.end = time.monotonic() + options.limit
        self.rows, self.checks, self.problems = [], [], []

    def problem(self, text):
        print(f"torch_sdpa: {text}", file=sys.stderr)
        self.problems.append(text)

    def error(self, what, mode, result, wanted):
        error = float((result.double() - wanted).norm() / wanted.norm())
        if not error <= MODES[mode][1]:
            self.problem(f"{what}: is off by {error:.3g}, at most {MODES[mode][1]:.3g} expected")
        return error

    def time_backend(self, case, mode, backend, data, wanted):
        def row(resident):
            cached = None
            if resident:
                cached = tuple(heads(case, linear(data["y"], data[w])) for w in ("wk", "wv"))
            call = lambda: forward(case, data, cached)
            what = f"{case.name}, {mode}, torch {backend}{', resident' if resident else ''}"
            found = {"case": case.name, "mode": mode, "backend": backend, "resident": resident}
            found["error"] = self.error(what, mode, call(), wanted)
            found["warm"], found["cold"] = self.clock.time(call), self.clock.time(call, cold=True)
            found["enqueue_us"] = self.clock.enqueue_us(call)
            if found["warm"]["median_ms"] < self.options.graph_below:
                found["graph"] = self.clock.graph(call)
            return found

        try:
            with sdpa_kernel(BACKENDS[backend]):
                self.rows += [row(False), row(True)]
        except RuntimeError as problem:
            text = str(problem).strip().splitlines()[0]
            self.rows.append({"case": case.name, "mode": mode, "backend": backend, "failed": text})

    def check_xattn(self, case, mode, data, wanted):
        """xattn on the same tensors, in this process."""
        try:
            with xattn_torch.Layer(self.options.library, case, mode, data) as layer:
                for resident in (False, True):
                    what = f"{case.name}, {mode}, xattn{', resident' if resident else ''}"
                    result = layer.forward(data["x"], data["y"], wanted.shape, resident)
                    self.checks.append({"case": case.name, "mode": mode, "resident": resident,
                                        "error": self.error(what, mode, result, wanted)})
        except (OSError, RuntimeError) as problem:
            self.problem(f"{case.name}, {mode}, xattn: {problem}")

    def measure(self, case):
        for mode, (dtype, _) in MODES.items():
            if time.monotonic() > self.end:
                self.problem(f"{case.name}, {mode}: left out, the {self.options.limit:g} s are up")
                continue
            torch.backends.cuda.matmul.allow_tf32 = mode == "TF32"
            data = make_data(case, dtype)
            wanted = exact(case, data)
            if self.options.library:
                self.check_xattn(case, mode, data, wanted)
            for backend in BACKENDS:
                self.time_backend(case, mode, backend, data, wanted)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="bench/shapes/cases.txt", help="(%(default)s)")
    parser.add_argument("--library", help="libxattn.so, whose results are compared too")
    parser.add_argument("--out", default="torch.json", help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.1, help="for one measurement (%(default)s)")
    parser.add_argument("--limit", type=float, default=75, help="for everything (%(default)s)")
    parser.add_argument("--graph-below", type=float, default=1, metavar="MS",
                        help="calls that take longer are not replayed as graphs (%(default)s)")
    run = Run(parser.parse_args())
    warnings.simplefilter("ignore")  # why a backend does not take a case, at length
    for case in cases.read_cases(run.options.cases):
        run.measure(case)
    about = {"torch": torch.__version__, "cuda": torch.version.cuda,
             "cudnn": torch.backends.cudnn.version(), "device": torch.cuda.get_device_name(0)}
    with open(run.options.out + ".new", "w") as file:
        json.dump({"about": about, "rows": run.rows, "xattn": run.checks,
                   "problems": run.problems}, file, indent=1)
    os.replace(run.options.out + ".new", run.options.out)
    return 1 if run.problems else 0


if __name__ == "__main__":
    sys.exit(main())
