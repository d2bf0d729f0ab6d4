"""Writes the results of gpu-check, OUT.md and OUT.json, from what its steps left in a folder:

    facts.tsv   name, value           steps.tsv   step, outcome, seconds, note
    bench.json  of gpu-bench          torch.json  of torch_sdpa.py          (either may be missing)

usage: report.py FOLDER OUT"""
import json
import os
import sys

BACKENDS = ("math", "flash", "efficient", "cudnn")
UNSUPPORTED = ("No available kernel", "No viable backend")  # what PyTorch says of a case that a backend does not take


def read_rows(path):
    """Lines of fields between tabs."""
    try:
        with open(path, errors="replace") as file:
            return [line.rstrip("\n").split("\t") for line in file]
    except OSError:
        return []


def read_json(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def table(heads, rows, words=1):
    """Markdown; the first `words` columns are text, the others numbers."""
    lines = ["| " + " | ".join(heads) + " |",
             "|" + "---|" * words + "---:|" * (len(heads) - words)]
    return lines + ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
                    for row in rows]


def per_second(amount, timing, unit):
    """Amount a second by the median, in `unit`; None where there is no time."""
    ms = (timing or {}).get("median_ms")
    return amount / ms * 1e3 / unit if ms else None


def number(value, digits=3):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 10 ** digits else f"{value:.{digits}g}"


def percent(part, whole):
    return f"{100 * part / whole:.0f}" if part is not None and whole else ""


def times(timing, scale=1e3):
    """median (min, p99) in µs."""
    if not timing:
        return ""
    return "{} ({}, {})".format(*(number(timing[key] * scale, 4)
                                  for key in ("median_ms", "min_ms", "p99_ms")))


def median_us(timing):
    return number(timing["median_ms"] * 1e3, 4) if timing else ""


# ---- the tables

def ceilings(bench):
    rows = []
    copy = bench.get("copy")
    if copy:
        rows.append(("copy on the device, read and written", f"{copy['bytes'] / 2**20:,.0f} MiB",
                     number(per_second(copy["bytes"], copy.get("warm"), 1e9), 4) + " GB/s"))
    for gemm in bench.get("gemm", []):
        rows.append((f"cuBLAS product, {gemm['mode']}", f"{gemm['n']}³",
                     number(per_second(gemm["flops"], gemm.get("warm"), 1e12), 4) + " TFLOP/s"))
    return table(("ceiling", "size", "rate"), rows, 2)


def rates(bench):
    """GB/s of the copy, FLOP/s by mode."""
    copy = bench.get("copy") or {}
    return (per_second(copy.get("bytes", 0), copy.get("warm"), 1),
            {g["mode"]: per_second(g["flops"], g.get("warm"), 1) for g in bench.get("gemm", [])})


def case_rows(bench, resident):
    copy, gemm = rates(bench)
    rows = []
    for c in bench.get("cases", []):
        if c["resident"] != resident:
            continue
        warm, cold = c.get("warm"), c.get("cold")
        rows.append((c["case"], c["mode"], c["launches"], times(warm), times(cold),
                     median_us(c.get("graph")), number(c["enqueue_us"]),
                     number(per_second(c["flops"], warm, 1e12)),
                     percent(per_second(c["flops"], warm, 1), gemm.get(c["mode"])),
                     percent(per_second(c["least_bytes"], cold, 1), copy)))
    return table(("case", "mode", "launches", "warm µs", "cold µs", "graph µs", "host µs",
                  "TFLOP/s", "% of product", "% of copy"), rows, 2)


def softmax_rows(bench):
    copy, _ = rates(bench)
    rows = []
    for s in bench.get("softmax", []):
        cold = per_second(s["bytes"], s.get("cold"), 1)
        rows.append((f"{s['in']} → {s['out']}", s["n"], s["rows"], times(s.get("cold")),
                     number(None if cold is None else cold / 1e9, 4), percent(cold, copy)))
    return table(("dtypes", "keys", "rows", "cold µs", "GB/s", "% of copy"), rows)


def torch_rows(bench, torch, resident, kind):
    """xattn beside every backend of PyTorch: medians of one kind, and the ratio to the best backend."""
    found = {(r["case"], r["mode"], r["backend"]): r for r in torch.get("rows", [])
             if "failed" in r or r["resident"] == resident}
    rows = []
    for c in bench.get("cases", []):
        if c["resident"] != resident:
            continue
        theirs = [found.get((c["case"], c["mode"], backend), {}).get(kind) for backend in BACKENDS]
        mine, best = c.get(kind), min((t["median_ms"] for t in theirs if t), default=None)
        if not mine and best is None:
            continue
        ratio = f"{mine['median_ms'] / best:.2f}" if mine and best else ""
        rows.append([c["case"], c["mode"], median_us(mine)]
                    + [median_us(t) or "—" for t in theirs] + [ratio])
    return table(("case", "mode", "xattn", *BACKENDS, "xattn / best"), rows, 2)


def error_rows(torch):
    found, order = {}, []
    for r in torch.get("xattn", []) + torch.get("rows", []):
        key = (r["case"], r["mode"])
        if key not in order:
            order.append(key)
        if "error" in r:
            name = r.get("backend", "xattn")
            found[key + (name,)] = max(r["error"], found.get(key + (name,), 0))
    return table(("case", "mode", "xattn", *BACKENDS),
                 [[*key] + [f"{found[key + (name,)]:.2g}" if key + (name,) in found else "—"
                            for name in ("xattn", *BACKENDS)] for key in order], 2)


# ---- the page

def page(facts, steps, bench, torch):
    bad = [step for step in steps if step[1] == "failed"]
    name, runtime = facts.get("GPU", "a GPU"), bench.get("device", {}).get("name")
    lines = [f"# xattn on {name}{f' ({runtime})' if runtime not in (None, name) else ''}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    for name, value in bench.get("device", {}).items():
        lines.append(f"- CUDA says, {name.replace('_', ' ')}: {value}")
    lines += [f"- {name} of PyTorch: {value}" for name, value in torch.get("about", {}).items()]
    lines += ["", "## Outcome", "",
              f"**{len(bad)} of {len(steps)} steps failed.**" if bad else
              f"No step of {len(steps)} failed.", ""]
    lines += table(("step", "outcome", "note", "s"),
                   [(name, outcome, note, seconds) for name, outcome, seconds, note in steps], 3)
    problems = bench.get("problems", []) + torch.get("problems", [])
    if problems:
        lines += ["", "What the benchmarks complained about:", ""] + [f"- {p}" for p in problems]
    if bench:
        lines += ["", "## What the card can do", ""] + ceilings(bench)
        lines += ["", "## Forwards", "",
                  "Microseconds by events on the handle's stream: median (min, p99). Warm: one run behind "
                  "another. Cold: before each run twice the second-level cache was written. Graph: the call "
                  "captured and replayed, warm. Host: what enqueuing one call takes. TFLOP/s and % of product: "
                  "of the plan's operations, warm, against cuBLAS's large product of that mode. % of copy: "
                  "every input read once and every output written once, cold, against the large copy.",
                  "", "### Context met for the first time", ""] + case_rows(bench, False)
        lines += ["", "### Context resident", ""] + case_rows(bench, True)
        lines += ["", "## Scale-softmax alone", ""] + softmax_rows(bench)
    if torch:
        lines += ["", "## Beside PyTorch", "",
                  "Medians in microseconds, PyTorch eager with each backend of scaled_dot_product_attention "
                  "forced in turn (—: it does not take the case). Where a call is shorter than what the host "
                  "needs to enqueue it, warm times are the host's; the graphs are not."]
        for resident, head in ((False, "first time"), (True, "resident")):
            for kind in ("warm", "cold", "graph"):
                lines += ["", f"### {head}, {kind}", ""] + torch_rows(bench, torch, resident, kind)
        refused = [f"- {r['case']}, {r['mode']}, {r['backend']}: {r['failed']}"
                   for r in torch.get("rows", [])
                   if "failed" in r and not r["failed"].startswith(UNSUPPORTED)]
        lines += ["", "Failed for other reasons than that:", ""] + refused if refused else []
        lines += ["", "### ‖result − float64‖ / ‖float64‖", ""] + error_rows(torch)
    return "\n".join(lines) + "\n"


def write(path, text):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def main(folder, out):
    facts = {row[0]: row[1] for row in read_rows(os.path.join(folder, "facts.tsv")) if len(row) > 1}
    steps = [(row + [""] * 4)[:4] for row in read_rows(os.path.join(folder, "steps.tsv"))]
    bench = read_json(os.path.join(folder, "bench.json"))
    torch = read_json(os.path.join(folder, "torch.json"))
    names = ("step", "outcome", "seconds", "note")
    write(out + ".json", json.dumps({"facts": facts, "steps": [dict(zip(names, s)) for s in steps],
                                     "bench": bench, "torch": torch}, indent=1) + "\n")
    write(out + ".md", page(facts, steps, bench, torch))


if __name__ == "__main__":
    main(*sys.argv[1:])
