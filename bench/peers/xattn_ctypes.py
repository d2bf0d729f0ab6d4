"""libxattn through ctypes: the structs of include/xattn.h and the calls that are used here."""
import ctypes
from ctypes import c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint64
from ctypes import c_void_p

import numpy

MAX_RANK = 8
CPU = 1
DTYPES = {"float32": 1, "float16": 2, "float64": 4, "int32": 9,
          "uint16": 3}  # numpy has no BF16: these are its bits


class Tensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("shape", c_int64 * MAX_RANK), ("strides", c_int64 * MAX_RANK),
                ("rank", c_int32), ("dtype", c_int), ("device_type", c_int),
                ("device_index", c_int32)]


TensorPointer = ctypes.POINTER(Tensor)


class Sized(ctypes.Structure):
    """A struct that begins with its own size."""

    def __init__(self, **fields):
        super().__init__(size=ctypes.sizeof(self), **fields)


class HandleOptions(Sized):
    _fields_ = [("size", c_size_t), ("device", c_char_p), ("threads", c_int32),
                ("math", c_int)]


class HandleInfo(Sized):
    _fields_ = [("size", c_size_t), ("device", c_char * 32), ("detail", c_char * 160),
                ("note", c_char * 160), ("threads", c_int32), ("reserved", c_int32)]


class LayerWeights(Sized):
    _fields_ = [("size", c_size_t), ("heads", c_int64), ("kv_heads", c_int64), ("scale", c_float),
                ("dtype", c_int), ("query_weight", TensorPointer), ("key_weight", TensorPointer),
                ("value_weight", TensorPointer), ("out_weight", TensorPointer),
                ("query_bias", TensorPointer), ("key_bias", TensorPointer),
                ("value_bias", TensorPointer), ("out_bias", TensorPointer)]


class LoadOptions(Sized):
    _fields_ = [("size", c_size_t), ("prefix", c_char_p), ("heads", c_int64),
                ("kv_heads", c_int64), ("scale", c_float), ("dtype", c_int)]


class Options(Sized):
    _fields_ = [("size", c_size_t), ("plan", c_char_p), ("key_lengths", TensorPointer),
                ("expected_uses", c_int64), ("expected_queries", c_int64),
                ("context_capacity", c_int64), ("context_dtype", c_int)]


class PlanInfo(Sized):
    _fields_ = [("size", c_size_t), ("name", c_char * 32), ("flops", c_double),
                ("flops_direct", c_double), ("workspace_bytes", c_uint64), ("text", c_char * 1024),
                ("bytes", c_double), ("seconds", c_double), ("launches", c_int64)]


def tensor(array):
    """A view of a numpy array of any strides; the caller keeps the array alive."""
    view = Tensor(data=array.ctypes.data, rank=array.ndim, dtype=DTYPES[array.dtype.name],
                  device_type=CPU)
    for axis in range(array.ndim):
        view.shape[axis] = array.shape[axis]
        view.strides[axis] = array.strides[axis] // array.itemsize
    return view


class Handle:
    """One xattn_handle, and what was made with it; all of it is given back on close."""

    def __init__(self, library, device="cpu", threads=0):
        self.library = ctypes.CDLL(library)
        for name in ("xattn_version", "xattn_status_name", "xattn_last_error"):
            getattr(self.library, name).restype = c_char_p
        self.handle = c_void_p()
        self.layers, self.contexts = [], []
        options = HandleOptions(device=device.encode(), threads=threads)
        self.call("xattn_create", ctypes.byref(options), ctypes.byref(self.handle))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            raise RuntimeError(f"{name}: {self.library.xattn_status_name(status).decode()}: "
                               f"{self.library.xattn_last_error(self.handle).decode()}")

    def version(self):
        return self.library.xattn_version().decode()

    def detail(self):
        """The kernels, in the library's words."""
        info = HandleInfo()
        self.call("xattn_get_info", self.handle, ctypes.byref(info))
        return info.detail.decode()

    def create_layer(self, heads, query, key, value, out=None, dtype=0):
        """A layer from float32 arrays, without biases; dtype 0: of F32."""
        views = {name: ctypes.pointer(tensor(array)) for name, array in
                 (("query_weight", query), ("key_weight", key), ("value_weight", value),
                  ("out_weight", out)) if array is not None}
        return self._keep_layer("xattn_layer_create",
                                ctypes.byref(LayerWeights(heads=heads, dtype=dtype, **views)))

    def load_layer(self, path, prefix=None, heads=0):
        options = LoadOptions(prefix=prefix.encode() if prefix else None, heads=heads)
        return self._keep_layer("xattn_layer_load", path.encode(), ctypes.byref(options))

    def _keep_layer(self, name, *arguments):
        layer = c_void_p()
        self.call(name, self.handle, *arguments, ctypes.byref(layer))
        self.layers.append(layer)
        return layer

    def make_context(self, layer, y, key_lengths=None, **options):
        context = c_void_p()
        self.call("xattn_context_create", self.handle, layer, ctypes.byref(tensor(y)),
                  _with_lengths(key_lengths, **options), ctypes.byref(context))
        self.contexts.append(context)
        return context

    def forward_once(self, layer, x, y, out_shape, key_lengths=None):
        out = numpy.empty(out_shape, numpy.float32)
        self.call("xattn_forward_once", self.handle, layer, ctypes.byref(tensor(x)),
                  ctypes.byref(tensor(y)), _with_lengths(key_lengths), ctypes.byref(tensor(out)))
        self.call("xattn_synchronize", self.handle)
        return out

    def forward(self, layer, x, context, out_shape):
        out = numpy.empty(out_shape, numpy.float32)
        self.call("xattn_forward", self.handle, layer, ctypes.byref(tensor(x)), context, None,
                  ctypes.byref(tensor(out)))
        self.call("xattn_synchronize", self.handle)
        return out

    def plan(self, layer, x, y=None, context=None):
        """The name of the plan that a call would take: y for forward_once, context for forward."""
        info = PlanInfo()
        self.call("xattn_plan", self.handle, layer, ctypes.byref(tensor(x)),
                  None if y is None else ctypes.byref(tensor(y)), context, None,
                  ctypes.byref(info))
        return info.name.decode()

    def close(self):
        for context in self.contexts:
            self.library.xattn_context_destroy(context)
        for layer in self.layers:
            self.library.xattn_layer_destroy(layer)
        self.library.xattn_destroy(self.handle)


def _with_lengths(key_lengths, **options):
    options = Options(**options)
    if key_lengths is not None:
        options.key_lengths = ctypes.pointer(tensor(key_lengths))
    return ctypes.byref(options)
