"""onnxruntime, in two forms: a graph of plain operators, and its own MultiHeadAttention."""
import onnxruntime

import onnx_graph


class OnnxRuntime:
    contrib = False
    note = "graph of plain operators"

    def __init__(self, case, arrays, resident, threads, library):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Its threads would go on spinning for 50 ms after a run and take a core from the engine
        # that is timed next. During a run they still spin.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        model = onnx_graph.build(case, arrays, resident, self.contrib)
        self.session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        # Bound inputs and output, so that a run copies and allocates nothing for them.
        self.binding = self.session.io_binding()
        for name, array in onnx_graph.inputs(case, arrays, resident).items():
            self.binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        self.out = onnxruntime.OrtValue.ortvalue_from_shape_and_type(case.out_shape, "float32")
        self.binding.bind_ortvalue_output("out", self.out)

    def forward(self):
        self.session.run_with_iobinding(self.binding)

    def result(self):
        return self.out.numpy()

    def close(self):
        pass


class OnnxRuntimeContrib(OnnxRuntime):
    contrib = True
    note = "com.microsoft MultiHeadAttention"
