"""One engine in a process of its own, which the parent talks to through a pipe."""
import importlib
import time
import traceback

# engine: what compares under one name, the module and class that run it, the packages it needs
ENGINES = {
    "xattn": ("xattn", "engine_xattn", "Xattn", []),
    "torch": ("torch", "engine_torch", "Torch", ["torch"]),
    "onnxruntime-graph": ("onnxruntime", "engine_onnxruntime", "OnnxRuntime",
                          ["onnxruntime", "onnx"]),
    "onnxruntime-mha": ("onnxruntime", "engine_onnxruntime", "OnnxRuntimeContrib",
                        ["onnxruntime", "onnx"]),
    "openvino-graph": ("openvino", "engine_openvino", "OpenVino", ["openvino", "onnx"]),
    "openvino-sdpa": ("openvino", "engine_openvino", "OpenVinoAttention", ["openvino", "onnx"]),
}

# Of these some compute in BF16 too.
BF16_ENGINES = ["xattn", "torch", "openvino-graph", "openvino-sdpa"]


def serve(pipe, name, threads, library):
    """Answers (command, arguments) with ("ok", value) or ("failed", text) until told to quit."""
    engine = None

    def load(case, arrays, resident):
        nonlocal engine
        if engine is not None:
            engine.close()
            engine = None
        _, module, kind, _ = ENGINES[name]
        engine = getattr(importlib.import_module(module), kind)(case, arrays, resident, threads,
                                                                library)
        engine.forward()
        return engine.result(), engine.note

    def run(calls):
        if calls > 1:
            engine.forward()  # those after it find caches and threads as they left them
        start = time.perf_counter()
        for _ in range(calls):
            engine.forward()
        return (time.perf_counter() - start) / calls

    commands = {"load": load, "run": run}
    while True:
        command, arguments = pipe.recv()
        if command == "quit":
            return
        try:
            pipe.send(("ok", commands[command](*arguments)))
        except Exception:
            pipe.send(("failed", traceback.format_exc()))
