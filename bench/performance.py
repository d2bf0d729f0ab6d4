"""Prints what `xattn bench --json` measured as the Markdown of docs/PERFORMANCE.md: a line with the machine, and of each
case the operations and bytes of the form picked, the time that they need at the machine's measured rates, and the time
that they take.

usage: xattn bench --json >bench.json; python3 bench/performance.py bench.json..."""
import json
import sys

HEADS = ("case", "form", "GFLOP", "MB", "floor ms", "measured ms", "x floor", "% of FMA peak")


def number(value, digits=3):
    """So many digits that count, and never an exponent."""
    return f"{value:.0f}" if value >= 10 ** (digits - 1) else f"{value:#.{digits}g}"


def machine(about):
    roof, rates = about["roof"], about["rates"]
    gflops, gbytes = (lambda rate: number(rate / 1e9) + " GFLOP/s"), (lambda rate: number(rate / 1e9) + " GB/s")
    where = f"{about['cpu']}, {about['cores']} cores; {about['device']}: {about['detail']}, threads: {about['threads']}"
    if roof["from_rates"]:
        return f"{where}. Products {gflops(rates['flops'])}; memory {gbytes(rates['stream'])}."
    return (f"{where}. Multiply-adds {gflops(roof['fma'])} ({roof['instructions']}), products "
            f"{gflops(rates['flops'])}; memory read {gbytes(roof['read'])}, copied {gbytes(roof['copy'])}.")


def table(cases):
    lines = ["| " + " | ".join(HEADS) + " |", "|---|---|" + "---:|" * (len(HEADS) - 2)]
    for c in cases:
        cells = (c["case"], c["plan"], number(c["gflop_done"]), number(c["bytes"] / 1e6), number(c["ms_floor"]),
                 number(c["ms"]["median"]), f"{c['x_floor']:.2f}", f"{c['percent_fma']:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(paths):
    if not paths:
        sys.exit(__doc__)
    for path in paths:
        with open(path) as file:
            bench = json.load(file)
        print("\n".join([machine(bench["machine"]), ""] + table(bench["cases"])) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
