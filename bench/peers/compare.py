"""Times xattn beside PyTorch, onnxruntime and openvino on the same work, and checks them all."""
import argparse
import datetime
import multiprocessing
import os
import random
import shlex
import sys
import time

import numpy

import cases
import report
import worker
import xattn_ctypes

# Read by the BLAS and OpenMP libraries when they are loaded, so set before the workers start.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Of the largest output: far above float32 rounding, far below any real mistake; with a context of 16 bits, or all of it,
# above its rounding, 2^-11 or 2^-8.
WRONG = {"F32": 1e-4, "F16": 1e-3, "BF16": 1e-2}

# Seconds of a turn: shorter forwards follow one another, as those of a decoder do.
TURN = 0.02


class Engine:
    """The parent's end of a worker."""

    def __init__(self, context, name, options):
        self.pipe, far_end = context.Pipe()
        self.process = context.Process(target=worker.serve, daemon=True, args=(
            far_end, name, options.threads, os.path.abspath(options.library)))
        self.process.start()
        far_end.close()  # so that a worker that dies ends the wait for its answer

    def ask(self, command, *arguments):
        try:
            self.pipe.send((command, arguments))
            state, value = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(5)  # for its exit status
            raise RuntimeError(f"the worker died, exit status {self.process.exitcode}") from None
        if state != "ok":
            raise RuntimeError(value)
        return value

    def quit(self):
        try:
            self.pipe.send(("quit", ()))
        except OSError:
            pass  # it died before
        self.process.join()


def load(engine, name, case, arrays, exact, resident, dtype):
    """Loads one engine and checks its result; the beginning of its entry in the report."""
    try:
        result, note = engine.ask("load", case, arrays, resident)
    except RuntimeError as problem:
        print(f"{case.name}: {name} failed:\n{problem}", file=sys.stderr)
        return {"failed": str(problem)}
    error = float(numpy.abs(result - exact).max())
    if not error <= WRONG[dtype] * numpy.abs(exact).max():
        print(f"{case.name}: {name} is wrong by {error:.3g}", file=sys.stderr)
        return {"failed": "wrong result", "error": error, "note": note}
    seconds = min(engine.ask("run", 1) for _ in range(3))
    calls = max(1, round(TURN / seconds))
    return {"error": error, "note": note, "calls in a turn": calls, "samples": []}


def measure(engines, case, options, resident=False):
    """{engine: result}. A round is one turn of each engine, in an order shuffled anew, so that
    no engine always runs behind the same neighbour."""
    arrays = cases.make_arrays(case)
    if options.dtype == "BF16":
        arrays = {name: array if array is None else cases.round_bf16(array)
                  for name, array in arrays.items()}
    exact = cases.exact_result(case, arrays)
    results = {name: load(engine, name, case, arrays, exact, resident,
                          options.context_dtype if resident and name == "xattn"
                          else options.dtype)
               for name, engine in engines.items()}
    running = [name for name in engines if "samples" in results[name]]
    order = random.Random(0)
    for number in range(-options.warmups, options.rounds):
        order.shuffle(running)
        for name in running:
            # The threads of the engine before spin for a while after their work; let them sleep.
            time.sleep(options.pause / 1e3)
            seconds = engines[name].ask("run", results[name]["calls in a turn"])
            if number >= 0:
                results[name]["samples"].append(seconds)
    for name, result in results.items():
        text = report.milliseconds(result["samples"]) + " ms" if "samples" in result else "failed"
        print(f"{case.name}{' (resident)' if resident else ''}: {name}: {text}", flush=True)
    return results


def parse_arguments():
    today = datetime.date.today().isoformat()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", default="build/libxattn.so", help="(%(default)s)")
    parser.add_argument("--cases", default="bench/shapes/cases.txt", help="(%(default)s)")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="only the case of this name; may be repeated")
    parser.add_argument("--resident", action="append", metavar="NAME",
                        help="cases timed with the context resident too (whisper_dec)")
    parser.add_argument("--dtype", choices=["F32", "BF16"], default="F32",
                        help="of inputs, weights and outputs (%(default)s)")
    parser.add_argument("--context-dtype", choices=["F32", "F16", "BF16"], default="F32",
                        help="in which xattn stores what is resident (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of each engine (%(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="(%(default)s)")
    parser.add_argument("--warmups", type=int, default=3, help="untimed rounds (%(default)s)")
    parser.add_argument("--pause", type=float, default=20, metavar="MS",
                        help="before each turn (%(default)s)")
    parser.add_argument("--out", metavar="PATH",
                        default=f"bench/results/peers-{report.cpu_slug()}-{today}",
                        help="written with .md and .json at its end (%(default)s)")
    options = parser.parse_args()
    options.resident = options.resident or ["whisper_dec"]
    if options.dtype == "BF16":
        options.context_dtype = "BF16"
    options.out = options.out[:-3] if options.out.endswith(".md") else options.out
    options.out = options.out[:-5] if options.out.endswith(".json") else options.out
    return options


def main():
    options = parse_arguments()
    chosen = cases.read_cases(options.cases)
    if options.only:
        missing = set(options.only) - {case.name for case in chosen}
        if missing:
            raise SystemExit(f"no case named {', '.join(sorted(missing))} in {options.cases}")
        chosen = [case for case in chosen if case.name in options.only]

    if not os.path.exists(options.library):
        raise SystemExit(f"{options.library} is not there: build it first (make)")
    for name in THREAD_VARIABLES:
        os.environ[name] = str(options.threads)
    os.environ["XATTN_PEERS_DTYPE"] = options.dtype  # for the processes of the engines
    os.environ["XATTN_PEERS_CONTEXT"] = options.context_dtype  # for the process of engine_xattn
    with xattn_ctypes.Handle(options.library, "cpu", options.threads) as handle:
        command_line = shlex.join(["python"] + sys.argv)
        about = report.machine(command_line, handle.version(), handle.detail())

    context = multiprocessing.get_context("spawn")
    names = worker.BF16_ENGINES if options.dtype == "BF16" else worker.ENGINES
    engines = {name: Engine(context, name, options) for name in names}
    try:
        once = [(case, measure(engines, case, options)) for case in chosen]
        resident = [(case, measure(engines, case, options, resident=True)) for case in chosen
                    if case.name in options.resident]
    finally:
        for engine in engines.values():
            engine.quit()
    about["load after"] = "%.2f %.2f %.2f" % os.getloadavg()

    os.makedirs(os.path.dirname(options.out) or ".", exist_ok=True)
    report.write(options.out, about, options, once, resident)
    print(f"written: {options.out}.md and {options.out}.json")
    good = all("samples" in result for _, results in once + resident
               for result in results.values())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
