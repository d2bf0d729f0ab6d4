"""Reads the model.bin of CTranslate2, binary version 6, float weights only.

The file is little-endian and has no alignment:

    u32 version   string spec name   u32 spec revision
    u32 number of variables, then for each
        string name   u8 rank   u32 shape[rank]   u8 dtype   u32 bytes   the bytes, row-major
    u32 number of aliases, then for each
        string alias   string name of the variable it stands for

A string is a u16 length that counts its closing NUL, then that many bytes.
"""
import struct

import numpy

# The order of CTranslate2's DataType enum; 5, bfloat16, has no numpy dtype.
DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


class _Reader:
    def __init__(self, data):
        self.data = data
        self.offset = 0

    def take(self, count):
        piece = self.data[self.offset:self.offset + count]
        if len(piece) != count:
            raise ValueError(f"model.bin ends at {len(self.data)}, inside a field")
        self.offset += count
        return piece

    def number(self, code):
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def string(self):
        text = self.take(self.number("H"))
        if text[-1:] != b"\0":
            raise ValueError(f"a string before byte {self.offset} has no closing NUL")
        return text[:-1].decode("utf-8")


def read_model(data):
    """The variables of a model.bin given as bytes: {name: array}, in the file's own dtypes."""
    reader = _Reader(data)
    version = reader.number("I")
    if version != 6:
        raise ValueError(f"model.bin has binary version {version}, this reader knows 6")
    reader.string()
    reader.number("I")
    variables = {}
    for _ in range(reader.number("I")):
        name = reader.string()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        code = reader.number("B")
        payload = reader.take(reader.number("I"))
        if code not in DTYPES:
            raise ValueError(f"{name} has dtype number {code}, which this reader does not know")
        variables[name] = numpy.frombuffer(payload, DTYPES[code]).reshape(shape)
    for _ in range(reader.number("I")):
        alias = reader.string()
        variables[alias] = variables[reader.string()]
    if reader.offset != len(data):
        raise ValueError(f"model.bin has {len(data) - reader.offset} bytes after its last alias")
    return variables


def float_weight(variables, name):
    """A weight as stored. Quantised ones (integers and a `_scale` beside them) are refused."""
    weight = variables[name]
    if weight.dtype.kind != "f" or name + "_scale" in variables:
        raise ValueError(f"{name} is quantised ({weight.dtype}); a float model is needed")
    return weight
