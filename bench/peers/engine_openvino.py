"""openvino, in two forms: the ONNX graph, and its own ScaledDotProductAttention operator.
In BF16 it takes and gives float32 and rounds inside, as its users have it."""
import os

import numpy
import openvino
from openvino import opset13

import onnx_graph


class OpenVino:
    note = "ONNX graph of plain operators"

    def __init__(self, case, arrays, resident, threads, library):
        bf16 = os.environ.get("XATTN_PEERS_DTYPE") == "BF16"
        compiled = openvino.Core().compile_model(self.model(case, arrays, resident), "CPU", {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads})
        self.request = compiled.create_infer_request()
        # Tensors that share the arrays' memory, so that a run copies nothing.
        self.inputs = onnx_graph.inputs(case, arrays, resident)
        for name, array in self.inputs.items():
            self.request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        self.out = numpy.empty(case.out_shape, numpy.float32)
        self.request.set_output_tensor(openvino.Tensor(self.out, shared_memory=True))

    def model(self, case, arrays, resident):
        return openvino.Core().read_model(onnx_graph.build(case, arrays, resident, contrib=False))

    def forward(self):
        self.request.infer(share_outputs=True)

    def result(self):
        return self.out

    def close(self):
        pass


class OpenVinoAttention(OpenVino):
    note = "ScaledDotProductAttention"

    def model(self, case, arrays, resident):
        nodes = {name: opset13.parameter(array.shape, numpy.float32, name=name)
                 for name, array in onnx_graph.inputs(case, arrays, resident).items()}
        for name, node in nodes.items():
            node.output(0).get_tensor().set_names({name})

        def linear(rows, weight):
            return opset13.matmul(rows, opset13.constant(weight), False, True)

        def heads(rows, length):
            split = opset13.reshape(rows, [case.B, length, case.H, case.Dh], False)
            return opset13.transpose(split, [0, 2, 1, 3])

        q = heads(linear(nodes["x"], arrays["wq"]), case.Nq)
        if resident:
            k, v = nodes["k"], nodes["v"]
        else:
            k, v = (heads(linear(nodes["y"], arrays[w]), case.Nk) for w in ("wk", "wv"))
        mixed = opset13.transpose(opset13.scaled_dot_product_attention(q, k, v), [0, 2, 1, 3])
        out = opset13.reshape(mixed, [case.B, case.Nq, case.inner], False)
        if case.Do:
            out = linear(out, arrays["wo"])
        return openvino.Model([out], list(nodes.values()), case.name)
