"""What a comparison writes: the machine it ran on, a Markdown page, a JSON file."""
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
from importlib import metadata

import worker


def cpu_model():
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def cpu_slug():
    return re.sub(r"[^a-z0-9]+", "-", cpu_model().lower()).strip("-")


def memory_gib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def git_commit():
    def git(*words):
        return subprocess.run(("git",) + words, capture_output=True, text=True).stdout.strip()

    changed = " and uncommitted changes" if git("status", "--porcelain", "-uno") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed


def machine(command_line, xattn_version, xattn_detail):
    packages = sorted({package for _, _, _, needs in worker.ENGINES.values() for package in needs})
    return {
        "processor": cpu_model(), "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory_gib():.1f} GiB", "kernel": platform.platform(),
        "xattn": f"{xattn_version} ({xattn_detail})",
        "peers": ", ".join(f"{package} {metadata.version(package)}" for package in packages)
                 + f", Python {platform.python_version()}",
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": git_commit(), "command": command_line,
        "load before": "%.2f %.2f %.2f" % os.getloadavg(),
    }


def milliseconds(samples):
    return f"{statistics.median(samples) * 1e3:.3f} ({min(samples) * 1e3:.3f})"


def family_best(results):
    """{name: (engine, result)}: of the forms that one peer comes in, the one of least median."""
    best = {}
    for engine, result in results.items():
        name = worker.ENGINES[engine][0]
        if "samples" not in result:
            continue
        if name not in best or (statistics.median(result["samples"])
                                < statistics.median(best[name][1]["samples"])):
            best[name] = (engine, result)
    return best


def ratio(mine, theirs):
    return f"{statistics.median(mine['samples']) / statistics.median(theirs['samples']):.2f}"


def table(rows):
    """Markdown rows for [(case, results)]: times and ratios."""
    names = list(dict.fromkeys(worker.ENGINES[engine][0] for engine in rows[0][1]))
    lines = ["| case | B Nq Nk Dq Dc H Dh Do | " + " | ".join(names)
             + " | xattn / best peer | xattn / torch |",
             "|---|---|" + "---:|" * (len(names) + 2)]
    for case, results in rows:
        best = family_best(results)
        cells = [milliseconds(best[name][1]["samples"])
                 + (f" {best[name][0].split('-')[1]}" if "-" in best[name][0] else "")
                 if name in best else "failed" for name in names]
        mine = best.get("xattn", (None, None))[1]
        peers = [result for name, (_, result) in best.items() if name != "xattn"]
        fastest = min(peers, key=lambda r: statistics.median(r["samples"]), default=None)
        torch = best.get("torch", (None, None))[1]
        cells += [ratio(mine, other) if mine and other else "" for other in (fastest, torch)]
        shape = f"{case.B} {case.Nq} {case.Nk} {case.Dq} {case.Dc} {case.H} {case.Dh} {case.Do}"
        lines.append(f"| {case.name} | {shape} | " + " | ".join(cells) + " |")
    return lines


def errors(rows):
    engines = list(rows[0][1])
    lines = ["| case | " + " | ".join(engines) + " |", "|---|" + "---:|" * len(engines)]
    for case, results in rows:
        cells = [f"{results[e]['error']:.2g}" if "error" in results[e] else "failed"
                 for e in engines]
        lines.append(f"| {case.name} | " + " | ".join(cells) + " |")
    return lines


def write(out, about, options, once, resident):
    """out.md and out.json from [(case, {engine: result})] of both tables."""
    plans = [f"- {case.name}{kind}: {results['xattn']['note']}"
             for kind, rows in (("", once), (" (resident)", resident))
             for case, results in rows if "note" in results["xattn"]]
    page = ["# xattn and its peers", ""]
    page += [f"- {name}: {value}" for name, value in about.items()]
    page += ["", f"{options.dtype}. Milliseconds of one forward, projections included: median (min) of "
             f"{options.rounds} rounds, {options.threads} threads. Below 13 ms the mean of "
             f"several in a row (see README.md). Ratios are of medians; below 1, "
             f"xattn is faster. A word behind a time tells which form of that peer was the "
             f"faster one.", "", "## Context met for the first time", ""]
    page += table(once)
    if resident:
        page += ["", "## Context resident", "", "The keys and values are ready before the clock "
                 "starts: xattn_context, and for the peers K and V as inputs.", ""]
        page += table(resident)
    page += ["", "## Largest absolute error against float64", ""] + errors(once)
    if resident:
        page += ["", "With the context resident:", ""] + errors(resident)
    page += ["", "## Plans of xattn", ""] + plans
    with open(out + ".md", "w") as file:
        file.write("\n".join(page) + "\n")
    with open(out + ".json", "w") as file:
        json.dump({"machine": about, "options": vars(options),
                   "once": [{"case": vars(case), "engines": results} for case, results in once],
                   "resident": [{"case": vars(case), "engines": results}
                                for case, results in resident]}, file, indent=1)
        file.write("\n")
