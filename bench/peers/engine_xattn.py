"""xattn, through its C interface."""
import os
from ctypes import pointer

import numpy

import xattn_ctypes

STEPS = 448  # of a decoder over one context: the longest text of Whisper
DTYPES = {"F32": 1, "F16": 2, "BF16": 3}


def bits_of_bf16(array):
    """Of what is BF16 already."""
    return (array.view(numpy.uint32) >> 16).astype(numpy.uint16)


class Xattn:
    def __init__(self, case, arrays, resident, threads, library):
        self.handle = xattn_ctypes.Handle(library, "cpu", threads)
        kind = os.environ.get("XATTN_PEERS_DTYPE", "F32")
        layer = self.handle.create_layer(case.H, arrays["wq"], arrays["wk"], arrays["wv"],
                                         arrays["wo"], DTYPES[kind])
        self.x, self.y = arrays["x"], arrays["y"]  # alive as long as the views of them
        if kind == "BF16":
            self.x, self.y = bits_of_bf16(self.x), bits_of_bf16(self.y)
        self.out = numpy.empty(case.out_shape, self.x.dtype)
        x, y, out = (pointer(xattn_ctypes.tensor(array)) for array in (self.x, self.y, self.out))
        if resident:
            dtype = os.environ.get("XATTN_PEERS_CONTEXT", "F32")
            context = self.handle.make_context(layer, self.y, expected_uses=STEPS,
                                               expected_queries=case.Nq,
                                               context_dtype=DTYPES[dtype])
            self.call = self.handle.library.xattn_forward
            self.arguments = (self.handle.handle, layer, x, context, None, out)
            plan = self.handle.plan(layer, self.x, context=context)
        else:
            self.call = self.handle.library.xattn_forward_once
            self.arguments = (self.handle.handle, layer, x, y, None, out)
            plan = self.handle.plan(layer, self.x, y=self.y)
        kept = f"; context in {dtype}" if resident else ""
        self.note = f"plan {plan}; {self.handle.detail()}{kept}"

    def forward(self):
        if self.call(*self.arguments) != 0:
            raise RuntimeError(self.handle.library.xattn_last_error(self.handle.handle).decode())

    def result(self):
        if self.out.dtype == numpy.float32:
            return self.out
        return (self.out.astype(numpy.uint32) << 16).view(numpy.float32)

    def close(self):
        self.handle.close()
