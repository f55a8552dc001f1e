"""Files of one operator each, with random weights, scales and zero points."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tiny_tflite import TinyModel

ACTIVATIONS = schema.ActivationFunctionType


class Blank(TinyModel):
    """A model without any tensor or operator."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []

    def activation(self, name: str, shape: list[int], dtype: str = "INT8", scale: float = 0) -> str:
        """Adds a tensor with a random scale (or a given one) and zero point."""
        info = np.iinfo(dtype.lower())
        zero = int(self.rng.choice([info.min, info.max, self.rng.integers(info.min, info.max)]))
        self.add(name, shape, dtype, scale or self.scale(), zero)
        return name

    def add_as(self, name: str, shape: list[int], other: str) -> None:
        """Adds an int8 tensor with the scale and zero point of another."""
        params: Any = self.tensor(other).quantization
        self.add(name, shape, "INT8", params.scale[0], params.zeroPoint[0])

    def scale(self) -> float:
        """A scale between 0.005 and 0.5, as float32."""
        return float(np.float32(np.exp(self.rng.uniform(np.log(0.005), np.log(0.5)))))

    def weights(self, shape: tuple[int, ...], axis: int | None) -> None:
        """Adds ``kernel`` and, with a scale to match, ``bias``."""
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        self.add("kernel", None, "INT8", self.scale() / 30, 0, values, axis)
        count = shape[0] if axis is None else shape[axis]
        bias = self.rng.integers(-20000, 20000, count).astype(np.int32)
        self.add("bias", None, "INT32", 1, 0, bias, axis=None if axis is None else 0)
        scale = self.tensor("x").quantization.scale[0]
        q = self.tensor("bias").quantization
        q.scale = [scale * s for s in self.tensor("kernel").quantization.scale]
        q.zeroPoint = [0] * len(q.scale)

    def finish(self, inputs: list[str], output: str) -> bytes:
        self.graph.inputs = [self.index(name) for name in inputs]
        self.graph.outputs = [self.index(output)]
        return self.pack()


def convolution(
    seed: int, side=9, channels=7, filters=11, kernel=3, stride=2, act="NONE", pad=0, dilation=1
):
    b = Blank(seed)
    out = -(-side // stride) if pad == 0 else (side - kernel) // stride + 1
    b.activation("x", [1, side, side, channels])
    b.weights((filters, kernel, kernel, channels), 0)
    spread = b.tensor("x").quantization.scale[0] * b.tensor("kernel").quantization.scale[0]
    wide = spread * 127 * kernel * np.sqrt(channels)
    b.activation("y", [1, out, out, filters], scale=float(np.float32(wide)))
    options = {"padding": pad, "strideW": stride, "strideH": stride}
    options |= {"dilationWFactor": dilation, "dilationHFactor": dilation}
    options["fusedActivationFunction"] = getattr(ACTIVATIONS, act)
    b.add_op("CONV_2D", 3, ["x", "kernel", "bias"], "y", "Conv2DOptions", **options)
    return b.finish(["x"], "y")


def depthwise(seed: int, side=9, channels=19, kernel=3, stride=1, act="NONE", pad=0, dilation=1):
    b = Blank(seed)
    out = -(-side // stride) if pad == 0 else (side - kernel) // stride + 1
    b.activation("x", [1, side, side, channels])
    b.weights((1, kernel, kernel, channels), 3)
    spread = b.tensor("x").quantization.scale[0] * b.tensor("kernel").quantization.scale[0]
    b.activation("y", [1, out, out, channels], scale=float(np.float32(spread * 127 * kernel)))
    options = {"padding": pad, "strideW": stride, "strideH": stride, "depthMultiplier": 1}
    options |= {"dilationWFactor": dilation, "dilationHFactor": dilation}
    options["fusedActivationFunction"] = getattr(ACTIVATIONS, act)
    inputs = ["x", "kernel", "bias"]
    b.add_op("DEPTHWISE_CONV_2D", 3, inputs, "y", "DepthwiseConv2DOptions", **options)
    return b.finish(["x"], "y")


def fully_connected(seed: int, length=70, units=13, act="NONE"):
    b = Blank(seed)
    b.activation("x", [1, length])
    b.weights((units, length), None)
    spread = b.tensor("x").quantization.scale[0] * b.tensor("kernel").quantization.scale[0]
    b.activation("y", [1, units], scale=float(np.float32(spread * 127 * np.sqrt(length))))
    options = {"fusedActivationFunction": getattr(ACTIVATIONS, act)}
    inputs = ["x", "kernel", "bias"]
    b.add_op("FULLY_CONNECTED", 4, inputs, "y", "FullyConnectedOptions", **options)
    return b.finish(["x"], "y")


def binary(name: str, seed: int, a=(1, 5, 5, 21), b=(1, 5, 5, 21), act="NONE"):
    m = Blank(seed)
    m.activation("a", list(a))
    m.activation("b", list(b))
    sa, sb = (m.tensor(n).quantization.scale[0] for n in "ab")
    wide = sa + sb if name == "ADD" else sa * sb * 100
    m.activation("y", list(a), scale=float(np.float32(wide)))
    options = {"fusedActivationFunction": getattr(ACTIVATIONS, act)}
    m.add_op(name, 2, ["a", "b"], "y", f"{name.capitalize()}Options", **options)
    return m.finish(["a", "b"], "y")


def sum_of_ties(seed: int, act="NONE"):
    """Of scales that are simple fractions of the output's: every second sum is a tie, or nearly."""
    b = Blank(seed)
    out = b.scale()
    share = (0.5, 0.625, 0.3, 0.25, 2.5)[seed % 5]
    b.activation("a", [1, 5, 5, 21], scale=float(np.float32(out * share)))
    b.activation("b", [1, 5, 5, 21], scale=float(np.float32(out * abs(1 - share))))
    b.activation("y", [1, 5, 5, 21], scale=out)
    options = {"fusedActivationFunction": getattr(ACTIVATIONS, act)}
    b.add_op("ADD", 2, ["a", "b"], "y", "AddOptions", **options)
    return b.finish(["a", "b"], "y")


def concatenation_of_rows(seed: int):
    b = Blank(seed)
    b.activation("x0", [1, 45, 7])
    b.add_as("x1", [1, 12, 7], "x0")
    b.add_as("x2", [1, 3, 7], "x0")
    b.add_as("y", [1, 60, 7], "x0")
    b.add_op("CONCATENATION", 2, ["x0", "x1", "x2"], "y", "ConcatenationOptions", axis=1)
    return b.finish(["x0", "x1", "x2"], "y")


def concatenation(seed: int):
    b = Blank(seed)
    b.activation("x0", [1, 5, 4, 3])
    b.add_as("x1", [1, 5, 4, 8], "x0")
    b.add_as("x2", [1, 5, 4, 21], "x0")
    b.add_as("y", [1, 5, 4, 32], "x0")
    b.add_op("CONCATENATION", 2, ["x0", "x1", "x2"], "y", "ConcatenationOptions", axis=3)
    return b.finish(["x0", "x1", "x2"], "y")


def resize(name: str, seed: int, before=(9, 6), after=(13, 17), corners=False, half=False):
    b = Blank(seed)
    b.activation("x", [1, *before, 21])
    b.add("size", None, "INT32", 0, 0, np.array(after, np.int32))
    b.add_as("y", [1, *after, 21], "x")
    words = "".join(word.capitalize() for word in name.split("_"))
    flags = {"alignCorners": corners, "halfPixelCenters": half}
    b.add_op(name, 3 if half else 2, ["x", "size"], "y", f"{words}Options", **flags)
    return b.finish(["x"], "y")


def tile(seed: int):
    b = Blank(seed)
    b.activation("x", [1, 1, 1, 67], "UINT8")
    b.add("repeats", None, "INT32", 0, 0, np.array([1, 5, 4, 1], np.int32))
    x: Any = b.tensor("x").quantization
    b.add("y", [1, 5, 4, 67], "UINT8", x.scale[0], x.zeroPoint[0])
    b.add_op("TILE", 1, ["x", "repeats"], "y", "TileOptions")
    return b.finish(["x"], "y")


def arg_max(seed: int, channels=300):
    b = Blank(seed)
    b.activation("x", [1, 5, 6, channels])
    b.add("axis", None, "INT32", 0, 0, np.array([3], np.int32))
    b.add("y", [1, 5, 6], "INT32", 0, 0)
    kind = schema.TensorType.INT32
    b.add_op("ARG_MAX", 2, ["x", "axis"], "y", "ArgMaxOptions", outputType=kind)
    return b.finish(["x"], "y")


def cast(seed: int):
    b = Blank(seed)
    b.add("x", [1, 9, 9, 7], "INT32", 0, 0)
    b.add("y", [1, 9, 9, 7], "UINT8", 0, 0)
    kinds = {"inDataType": schema.TensorType.INT32, "outDataType": schema.TensorType.UINT8}
    b.add_op("CAST", 1, ["x"], "y", "CastOptions", **kinds)
    return b.finish(["x"], "y")


def logistic(seed: int):
    b = Blank(seed)
    b.activation("x", [1, 4, 4, 67])
    b.add("y", [1, 4, 4, 67], "INT8", 1 / 256, -128)
    b.add_op("LOGISTIC", 2, ["x"], "y")
    return b.finish(["x"], "y")


def mean(seed: int, side=7, channels=21, keep=True, same=False):
    b = Blank(seed)
    b.activation("x", [1, side, side, channels])
    b.add("axes", None, "INT32", 0, 0, np.array([1, 2], np.int32))
    shape = [1, 1, 1, channels] if keep else [1, channels]
    x = b.tensor("x").quantization
    b.activation("y", shape, scale=x.scale[0] * (1 if same else 0.3))
    if same:
        b.tensor("y").quantization.zeroPoint = list(x.zeroPoint)
    b.add_op("MEAN", 2, ["x", "axes"], "y", "ReducerOptions", keepDims=keep)
    return b.finish(["x"], "y")


def pool(name: str, seed: int, kernel=(2, 2), side=8, stride=None, pad=1, act="NONE"):
    b = Blank(seed)
    strides = (stride, stride) if stride else kernel
    rows, columns = (
        -(-side // s) if pad == 0 else (side - k) // s + 1
        for k, s in zip(kernel, strides, strict=True)
    )
    b.activation("x", [1, side, side, 21])
    b.add_as("y", [1, rows, columns, 21], "x")
    options = {"padding": pad, "filterHeight": kernel[0], "filterWidth": kernel[1]}
    options |= {"strideH": strides[0], "strideW": strides[1]}
    options["fusedActivationFunction"] = getattr(ACTIVATIONS, act)
    b.add_op(name, 2, ["x"], "y", "Pool2DOptions", **options)
    return b.finish(["x"], "y")


def reshape(seed: int):
    b = Blank(seed)
    b.activation("x", [1, 3, 2, 35])
    b.add("shape", None, "INT32", 0, 0, np.array([1, 210], np.int32))
    b.add_as("y", [1, 210], "x")
    b.add_op("RESHAPE", 1, ["x", "shape"], "y")
    return b.finish(["x"], "y")


def pad(seed: int):
    b = Blank(seed)
    b.activation("x", [1, 5, 6, 3])
    b.add("pads", None, "INT32", 0, 0, np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))
    b.add_as("y", [1, 8, 7, 3], "x")
    b.add_op("PAD", 2, ["x", "pads"], "y", "PadOptions")
    return b.finish(["x"], "y")


def pad_with(seed: int):
    b = Blank(seed)
    b.activation("x", [1, 5, 6, 3])
    b.add("pads", None, "INT32", 0, 0, np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))
    x: Any = b.tensor("x").quantization
    value = np.array((-128, 127, 5)[seed % 3], np.int8)
    b.add("value", None, "INT8", x.scale[0], x.zeroPoint[0], value)
    b.add_as("y", [1, 8, 7, 3], "x")
    b.add_op("PADV2", 2, ["x", "pads", "value"], "y", "PadV2Options")
    return b.finish(["x"], "y")


def dequantize(seed: int, shape=(1, 5, 5, 21)):
    b = Blank(seed)
    b.activation("x", list(shape))
    b.add("y", list(shape), "FLOAT32", 0, 0)
    b.add_op("DEQUANTIZE", 2, ["x"], "y", "DequantizeOptions")
    return b.finish(["x"], "y")


def quantize(seed: int, source="UINT8", target="INT8", same=True, channels=17):
    b = Blank(seed)
    b.activation("x", [1, 3, 3, channels], source)
    x: Any = b.tensor("x").quantization
    b.activation("y", [1, 3, 3, channels], target, scale=x.scale[0] if same else 0)
    if same:
        shift = {"UINT8": 128, "INT8": 0}
        zero = x.zeroPoint[0] - shift[source] + shift[target]
        b.tensor("y").quantization.zeroPoint = [zero]
    b.add_op("QUANTIZE", 2, ["x"], "y", "QuantizeOptions")
    return b.finish(["x"], "y")
