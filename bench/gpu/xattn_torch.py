"""libxattn on the tensors of PyTorch, in its memory and on its stream."""
import ctypes
from ctypes import byref, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_void_p

import torch
from xattn_ctypes import Sized, Tensor, TensorPointer

DTYPES = {torch.float32: 1, torch.float16: 2, torch.bfloat16: 3}
DEVICES = {"cpu": 1, "cuda": 2}
TF32 = 1


class HandleOptions(Sized):
    _fields_ = [("size", c_size_t), ("device", c_char_p), ("threads", c_int32), ("math", c_int)]


class LayerWeights(Sized):
    _fields_ = [("size", c_size_t), ("heads", c_int64), ("kv_heads", c_int64), ("scale", c_float),
                ("dtype", c_int), ("query_weight", TensorPointer), ("key_weight", TensorPointer),
                ("value_weight", TensorPointer), ("out_weight", TensorPointer),
                ("query_bias", TensorPointer), ("key_bias", TensorPointer),
                ("value_bias", TensorPointer), ("out_bias", TensorPointer)]


def view(tensor):
    """The caller keeps the tensor alive."""
    result = Tensor(data=tensor.data_ptr(), rank=tensor.dim(), dtype=DTYPES[tensor.dtype],
                    device_type=DEVICES[tensor.device.type], device_index=tensor.device.index or 0)
    for axis in range(tensor.dim()):
        result.shape[axis] = tensor.shape[axis]
        result.strides[axis] = tensor.stride(axis)
    return result


class Layer:
    """A handle and one layer of it; both are given back at the end of a `with`."""

    def __init__(self, library, case, mode, data):
        self.library = ctypes.CDLL(library)
        for name in ("xattn_status_name", "xattn_last_error"):
            getattr(self.library, name).restype = c_char_p
        self.handle, self.layer, self.context = c_void_p(), c_void_p(), c_void_p()
        device = data["x"].device.type.encode()
        options = HandleOptions(device=device, math=TF32 if mode == "TF32" else 0)
        self._call("xattn_create", byref(options), byref(self.handle))
        if device == b"cuda":
            stream = c_void_p(torch.cuda.current_stream().cuda_stream)
            self._call("xattn_cuda_set_stream", self.handle, stream)
        host = {name: data[name].float().cpu() for name in ("wq", "wk", "wv", "wo") if name in data}
        names = {"wq": "query_weight", "wk": "key_weight", "wv": "value_weight", "wo": "out_weight"}
        views = {names[name]: ctypes.pointer(view(tensor)) for name, tensor in host.items()}
        weights = LayerWeights(heads=case.H, dtype=DTYPES[data["x"].dtype], **views)
        self._call("xattn_layer_create", self.handle, byref(weights), byref(self.layer))

    def _call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name}: {self.library.xattn_status_name(status).decode()}: "
                               f"{self.library.xattn_last_error(self.handle).decode()}")

    def forward(self, x, y, shape, resident):
        out = torch.full(shape, float("nan"), dtype=x.dtype, device=x.device)
        if resident:
            self._call("xattn_context_create", self.handle, self.layer, byref(view(y)), None,
                       byref(self.context))
            self._call("xattn_forward", self.handle, self.layer, byref(view(x)), self.context, None,
                       byref(view(out)))
        else:
            self._call("xattn_forward_once", self.handle, self.layer, byref(view(x)), byref(view(y)),
                       None, byref(view(out)))
        self._call("xattn_synchronize", self.handle)
        return out

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.library.xattn_context_destroy(self.context)
        self.library.xattn_layer_destroy(self.layer)
        self.library.xattn_destroy(self.handle)
