"""Cross attention as an ONNX model, for onnxruntime and openvino."""
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

CONTRIB = "com.microsoft"


class _Graph:
    """Nodes and constants, collected one by one; every call gives the name of its result."""

    def __init__(self):
        self.nodes = []
        self.constants = []

    def constant(self, array):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def add(self, operator, *inputs, domain="", **attributes):
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def linear(self, rows, weight):
        return self.add("MatMul", rows, self.constant(weight.T))

    def reshape(self, rows, *shape):
        return self.add("Reshape", rows, self.constant(numpy.array(shape, numpy.int64)))


def build(case, arrays, resident, contrib):
    """The model as bytes. Inputs x and y; with `resident`, x and the ready k and v in place of
    y, [B, H, Nk, Dh]. With `contrib`, onnxruntime's MultiHeadAttention does the middle part."""
    g = _Graph()

    def heads(rows, length):
        split = g.reshape(rows, case.B, length, case.H, case.Dh)
        return g.add("Transpose", split, perm=[0, 2, 1, 3])

    q = g.linear("x", arrays["wq"])
    k, v = ("k", "v") if resident else (g.linear("y", arrays["wk"]), g.linear("y", arrays["wv"]))
    if contrib:
        joined = g.add("MultiHeadAttention", q, k, v, domain=CONTRIB, num_heads=case.H,
                       scale=case.scale)
    else:
        # The scale goes to Q, the smallest place for it.
        q = g.add("Mul", heads(q, case.Nq), g.constant(numpy.float32(case.scale)))
        if not resident:
            k, v = heads(k, case.Nk), heads(v, case.Nk)
        scores = g.add("MatMul", q, g.add("Transpose", k, perm=[0, 1, 3, 2]))
        mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), v)
        joined = g.reshape(g.add("Transpose", mixed, perm=[0, 2, 1, 3]),
                           case.B, case.Nq, case.inner)
    g.nodes.append(helper.make_node(
        "Identity", [g.linear(joined, arrays["wo"]) if case.Do else joined], ["out"]))

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [value("x", arrays["x"].shape)]
    if resident:
        inputs += [value(name, (case.B, case.H, case.Nk, case.Dh)) for name in "kv"]
    else:
        inputs += [value("y", arrays["y"].shape)]
    graph = helper.make_graph(g.nodes, case.name, inputs, [value("out", case.out_shape)],
                              g.constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)])
    return model.SerializeToString()


def inputs(case, arrays, resident):
    """The arrays that feed the model: {name: array}."""
    import cases
    if not resident:
        return {"x": arrays["x"], "y": arrays["y"]}
    k, v = cases.keys_and_values(case, arrays)
    return {"x": arrays["x"], "k": k, "v": v}
