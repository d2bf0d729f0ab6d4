"""The cases, their data, and their results in float64."""
import dataclasses
import zlib

import numpy


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    B: int   # batch
    Nq: int  # queries
    Nk: int  # context rows
    Dq: int  # width of x
    Dc: int  # width of y
    H: int   # heads
    Dh: int  # width of a head
    Do: int = 0  # width of the output projection; 0: there is none

    @property
    def inner(self):
        return self.H * self.Dh

    @property
    def scale(self):
        return self.Dh ** -0.5

    @property
    def out_shape(self):
        return (self.B, self.Nq, self.Do or self.inner)


def read_cases(path):
    """Lines `name B Nq Nk Dq Dc H Dh [Do]`; # begins a comment."""
    cases = []
    with open(path) as file:
        for number, line in enumerate(file, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            if len(words) not in (8, 9):
                raise SystemExit(f"{path}:{number}: expected name B Nq Nk Dq Dc H Dh [Do]")
            cases.append(Case(words[0], *map(int, words[1:])))
    return cases


def make_arrays(case):
    """Float32 inputs and weights, the same on every run: streams as after a LayerNorm, weights
    as nn.Linear starts them and laid out as it does, [out, in]."""
    generator = numpy.random.default_rng(zlib.crc32(case.name.encode()))

    def weight(rows, columns):
        bound = columns ** -0.5
        return generator.uniform(-bound, bound, (rows, columns)).astype(numpy.float32)

    def stream(*shape):
        return generator.standard_normal(shape, numpy.float32)

    return {"x": stream(case.B, case.Nq, case.Dq), "y": stream(case.B, case.Nk, case.Dc),
            "wq": weight(case.inner, case.Dq), "wk": weight(case.inner, case.Dc),
            "wv": weight(case.inner, case.Dc),
            "wo": weight(case.Do, case.inner) if case.Do else None}


def round_bf16(array):
    """The nearest BF16, ties to even, as float32."""
    bits = numpy.ascontiguousarray(array).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(numpy.float32)


def keys_and_values(case, arrays):
    """K and V as a decoder caches them: float32, [B, H, Nk, Dh]."""
    def project(weight):
        rows = arrays["y"] @ weight.T
        heads = rows.reshape(case.B, case.Nk, case.H, case.Dh).transpose(0, 2, 1, 3)
        return numpy.ascontiguousarray(heads)

    return project(arrays["wk"]), project(arrays["wv"])


def exact_result(case, arrays):
    """The result in float64, a head at a time so that the scores of large cases fit."""
    wide = {name: array.astype(numpy.float64) for name, array in arrays.items()
            if array is not None}
    joined = numpy.empty((case.B, case.Nq, case.inner))
    for item in range(case.B):
        q, k, v = (wide[stream][item] @ wide[weight].T
                   for stream, weight in (("x", "wq"), ("y", "wk"), ("y", "wv")))
        for head in range(case.H):
            columns = slice(head * case.Dh, (head + 1) * case.Dh)
            p = q[:, columns] @ k[:, columns].T * case.scale
            p = numpy.exp(p - p.max(-1, keepdims=True))
            joined[item, :, columns] = p / p.sum(-1, keepdims=True) @ v[:, columns]
    return joined @ wide["wo"].T if case.Do else joined
