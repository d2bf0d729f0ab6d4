"""Checks xattn on state dicts that PyTorch wrote, against PyTorch's own float32 and float64."""
import copy
import os
import sys
import tempfile

import torch
from safetensors.torch import save_file

import harness
import xattn_ctypes
from modules import ArticleDifferent, ArticleSame, Diffusers, Multihead

# name, module, heads, (B, Nq, Nk, Dq, Dc); lambdas so that only one module is alive at a time
CASES = [
    ("article, different widths", lambda: ArticleDifferent(1024, 1024, 512, 1024), 1,
     (1, 1024, 1024, 512, 1024)),
    ("article, different widths, odd", lambda: ArticleDifferent(21, 13, 5, 13), 1,
     (3, 7, 19, 5, 21)),
    ("article, same widths", lambda: ArticleSame(512, 1024), 1, (1, 1024, 1024, 512, 512)),
    ("article, same widths, odd", lambda: ArticleSame(7, 11), 1, (2, 1, 33, 7, 7)),
    ("article, one key", lambda: ArticleSame(3, 1), 1, (1, 5, 1, 3, 3)),
] + [
    (f"MultiheadAttention({width}, {heads}, kdim=vdim={context_dim}, bias={bias})",
     lambda width=width, heads=heads, context_dim=context_dim, bias=bias:
     Multihead(width, heads, context_dim, bias),
     heads, (2, 37, 101, width, context_dim or width))
    for width, heads, context_dim in [(96, 1, 40), (96, 4, 40), (384, 6, 512), (60, 12, 33),
                                      (96, 1, None), (96, 3, None), (512, 8, None)]
    for bias in (True, False)
] + [
    ("diffusers", lambda: Diffusers(320, 768, 8, 40), 8, (2, 256, 77, 320, 768)),
    ("diffusers with biases", lambda: Diffusers(64, 24, 2, 17, bias=True), 2, (1, 9, 77, 64, 24)),
]


def outputs(module, *streams, **options):
    """The module's results in float32, a list of one, and its result in float64."""
    with torch.inference_mode():
        plain = copy.deepcopy(module).float()(*streams, **options)
        exact = copy.deepcopy(module).double()(*(s.double() for s in streams), **options)
    return [plain.numpy()], exact.numpy()


def streams(sizes):
    batch, queries, keys, query_dim, context_dim = sizes
    return torch.randn(batch, queries, query_dim), torch.randn(batch, keys, context_dim)


def prefix_of(module):
    return "attn" if isinstance(module, Multihead) else None


def check_cases(checks, program, path):
    """Every module as the only layer of a file, with and without a context that stays."""
    for name, build, heads, sizes in CASES:
        module = build().eval()
        x, y = streams(sizes)
        plain, exact = outputs(module, x, y)
        save_file(module.state_dict(), path)
        for reuse in (False, True):
            got = program.run(path, x.numpy(), y.numpy(), heads, prefix_of(module), reuse)
            checks.compare(name + (", reuse-context" if reuse else ""), got, plain, exact)


def check_prefixes(checks, program, path):
    """Two layers among other weights; each is found by its prefix, with or without last dot."""
    model = torch.nn.ModuleDict({
        "norm": torch.nn.LayerNorm(24),
        "down": torch.nn.ModuleDict({"cross": Diffusers(24, 40, 3, 8)}),
        "up": torch.nn.ModuleDict({"cross": Multihead(24, 3, 40)}),
    }).eval()
    save_file(model.state_dict(), path)
    x, y = streams((2, 5, 9, 24, 40))
    for prefix, module in (("down.cross", model["down"]["cross"]),
                           ("up.cross.attn.", model["up"]["cross"])):
        got = program.run(path, x.numpy(), y.numpy(), 3, prefix)
        checks.compare(f"prefix {prefix}", got, *outputs(module, x, y))


def check_dtypes(checks, program, path):
    """State dicts in other precisions: the rounded weights are the ones that count."""
    x, y = streams((2, 11, 29, 48, 32))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        module = Multihead(48, 4, 32).to(dtype).eval()
        save_file(module.state_dict(), path)
        got = program.run(path, x.numpy(), y.numpy(), 4, "attn")
        checks.compare(f"weights in {str(dtype)[6:]}", got, *outputs(module, x, y))


def check_key_lengths(checks, library, path):
    """Keys behind a length against PyTorch's key_padding_mask. The program has no option for it,
    so this goes through the C interface, on the CPU; the keys that do not exist hold NaN there."""
    module = Multihead(64, 4, 48).eval()
    save_file(module.state_dict(), path)
    x, y = streams((3, 6, 50, 64, 48))
    lengths = torch.tensor([50, 1, 23])
    behind = torch.arange(50)[None, :] >= lengths[:, None]
    plain, exact = outputs(module, x, y, key_padding_mask=behind)
    y[behind] = float("nan")
    x, y, lengths = x.numpy(), y.numpy(), lengths.int().numpy()
    try:
        with xattn_ctypes.Handle(library) as handle:
            layer = handle.load_layer(path, "attn", heads=4)
            context = handle.make_context(layer, y, lengths)
            once = handle.forward_once(layer, x, y, exact.shape, lengths)
            kept = handle.forward(layer, x, context, exact.shape)
    except (OSError, RuntimeError) as problem:
        once = kept = str(problem)
    checks.compare("key lengths", once, plain, exact)
    checks.compare("key lengths, reuse-context", kept, plain, exact)


def main():
    parser = harness.arguments(__doc__)
    parser.add_argument("--library", default="build/libxattn.so", help="(%(default)s)")
    options = parser.parse_args()
    torch.manual_seed(0)
    checks = harness.Checks()
    with tempfile.TemporaryDirectory() as folder:
        program = harness.Program(options, folder)
        path = os.path.join(folder, "weights.safetensors")
        check_cases(checks, program, path)
        check_prefixes(checks, program, path)
        check_dtypes(checks, program, path)
        check_key_lengths(checks, options.library, path)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
