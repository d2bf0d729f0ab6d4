"""xattn, through its C interface."""
import os
from ctypes import pointer

import numpy

import xattn_ctypes

STEPS = 448  # of a decoder over one context: the longest text of Whisper
DTYPES = {"F32": 1, "F16": 2, "BF16": 3}


class Xattn:
    def __init__(self, case, arrays, resident, threads, library):
        self.handle = xattn_ctypes.Handle(library, "cpu", threads)
        layer = self.handle.create_layer(case.H, arrays["wq"], arrays["wk"], arrays["wv"],
                                         arrays["wo"])
        self.x, self.y = arrays["x"], arrays["y"]  # alive as long as the views of them
        self.out = numpy.empty(case.out_shape, numpy.float32)
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
        return self.out

    def close(self):
        self.handle.close()
