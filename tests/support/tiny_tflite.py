"""A small int8 classifier, written by hand so that a test can break one thing in it."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SIZE, CHANNELS, CLASSES = 8, 8, 5


class TinyModel:
    """uint8 [1,8,8,3] → QUANTIZE → CONV_2D → DEPTHWISE_CONV_2D → LOGISTIC·x → MEAN → FC → uint8.

    Change the parts through `tensor`, `op` and `code`, then `pack` the file's bytes.
    """

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, b"tiny"
        self.model.operatorCodes, self.model.metadata = [], []
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

        def weights(*shape: int) -> Any:
            return rng.integers(-127, 128, shape).astype(np.int8)

        self.add("image", [1, SIZE, SIZE, 3], "UINT8", 1 / 128, 127)
        self.add("pixels", [1, SIZE, SIZE, 3], "INT8", 1 / 128, -1)
        self.add("stem_w", None, "INT8", 0.01, 0, weights(CHANNELS, 3, 3, 3), axis=0)
        self.add_bias("stem_b", "pixels", "stem_w")
        self.add("stem", [1, 4, 4, CHANNELS], "INT8", 6 / 255, -128)
        self.add("depth_w", None, "INT8", 0.02, 0, weights(1, 3, 3, CHANNELS), axis=3)
        self.add_bias("depth_b", "stem", "depth_w")
        self.add("depth", [1, 4, 4, CHANNELS], "INT8", 6 / 255, -128)
        self.add("gate", [1, 4, 4, CHANNELS], "INT8", 1 / 256, -128)
        self.add("gated", [1, 4, 4, CHANNELS], "INT8", 6 / 255, -128)
        self.add("axes", None, "INT32", 0, 0, np.array([1, 2], np.int32))
        self.add("mean", [1, CHANNELS], "INT8", 5 / 255, -128)
        self.add("head_w", None, "INT8", 0.03, 0, weights(CLASSES, CHANNELS))
        self.add_bias("head_b", "mean", "head_w")
        self.add("logits", [1, CLASSES], "INT8", 0.2, 3)
        self.add("scores", [1, CLASSES], "UINT8", 0.2, 131)

        relu6 = schema.ActivationFunctionType.RELU6
        conv = {"padding": 0, "strideW": 2, "strideH": 2, "fusedActivationFunction": relu6}
        depthwise = {
            "padding": 0,
            "strideW": 1,
            "strideH": 1,
            "depthMultiplier": 1,
            "fusedActivationFunction": relu6,
        }
        self.add_op("QUANTIZE", 1, ["image"], "pixels", "QuantizeOptions")
        self.add_op("CONV_2D", 3, ["pixels", "stem_w", "stem_b"], "stem", "Conv2DOptions", **conv)
        self.add_op(
            "DEPTHWISE_CONV_2D",
            3,
            ["stem", "depth_w", "depth_b"],
            "depth",
            "DepthwiseConv2DOptions",
            **depthwise,
        )
        self.add_op("LOGISTIC", 2, ["depth"], "gate")
        self.add_op("MUL", 2, ["depth", "gate"], "gated", "MulOptions")
        self.add_op("MEAN", 2, ["gated", "axes"], "mean", "ReducerOptions")
        head = ["mean", "head_w", "head_b"]
        self.add_op("FULLY_CONNECTED", 4, head, "logits", "FullyConnectedOptions")
        self.add_op("QUANTIZE", 2, ["logits"], "scores", "QuantizeOptions")
        self.graph.inputs, self.graph.outputs = [self.index("image")], [self.index("scores")]

    def index(self, name: str) -> int:
        return [t.name for t in self.graph.tensors].index(name.encode())

    def tensor(self, name: str) -> Any:
        return self.graph.tensors[self.index(name)]

    def op(self, name: str, nth: int = 0) -> Any:
        code = getattr(schema.BuiltinOperator, name)
        codes = self.model.operatorCodes
        found = [o for o in self.graph.operators if codes[o.opcodeIndex].builtinCode == code]
        return found[nth]

    def code(self, name: str, nth: int = 0) -> Any:
        return self.model.operatorCodes[self.op(name, nth).opcodeIndex]

    def data(self, name: str, values: Any) -> None:
        """Gives a tensor other constant values."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.tensor(name).buffer = len(self.model.buffers) - 1

    def add(
        self,
        name: str,
        shape: list[int] | None,
        kind: str,
        scale: float,
        zero_point: int,
        values: Any = None,
        axis: int | None = None,
    ) -> None:
        """Adds a tensor; a scale of 0 means not quantized, an axis means a scale per slice."""
        tensor = schema.TensorT()
        tensor.name, tensor.type = name.encode(), getattr(schema.TensorType, kind)
        tensor.shape = list(values.shape) if shape is None else shape
        tensor.buffer = 0
        if scale:
            count = 1 if axis is None else tensor.shape[axis]
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [scale * (1 + i / 7) for i in range(count)]
            tensor.quantization.zeroPoint = [zero_point] * count
            tensor.quantization.quantizedDimension = axis or 0
        self.graph.tensors.append(tensor)
        if values is not None:
            self.data(name, values)

    def add_bias(self, name: str, inputs: str, weights: str) -> None:
        """Adds an int32 bias with scale = input scale x weight scale."""
        w = self.tensor(weights)
        channels = w.shape[w.quantization.quantizedDimension]
        self.add(name, None, "INT32", 1, 0, np.arange(channels, dtype=np.int32), axis=0)
        scale = self.tensor(inputs).quantization.scale[0]
        bias = self.tensor(name).quantization
        bias.scale = [scale * s for s in w.quantization.scale]
        bias.zeroPoint = [0] * len(bias.scale)

    def add_op(
        self,
        name: str,
        version: int,
        inputs: list[str],
        output: str,
        options: str | None = None,
        **fields: Any,
    ) -> None:
        """Appends an operator with its own operator code."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs = [self.index(i) for i in inputs]
        operator.outputs = [self.index(output)]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in fields.items():
                setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)

    def pack(self) -> bytes:
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def with_classes(classes: int) -> TinyModel:
    """The model with a wider classifier."""
    tiny = TinyModel()
    rng = np.random.default_rng(0)
    tiny.tensor("head_w").shape = [classes, 8]
    tiny.data("head_w", rng.integers(-127, 128, (classes, 8)).astype(np.int8))
    tiny.tensor("head_b").shape = [classes]
    tiny.data("head_b", np.zeros(classes, np.int32))
    for name in ("logits", "scores"):
        tiny.tensor(name).shape = [1, classes]
    return tiny


def float_io() -> TinyModel:
    """The tiny model with float32 input and output around the int8 inside."""
    tiny = TinyModel()
    for name in ("image", "scores"):
        tiny.tensor(name).type = schema.TensorType.FLOAT32
        tiny.tensor(name).quantization = None
    tiny.code("QUANTIZE", 1).builtinCode = schema.BuiltinOperator.DEQUANTIZE
    tiny.code("DEQUANTIZE").deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    operator = tiny.op("DEQUANTIZE")
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    return tiny


def with_op(
    name: str, shape: list, to: list, options: str | None = None, **fields: Any
) -> TinyModel:
    """The tiny model with one more operator, from an int8 tensor of `shape` to one of `to`.

    `constant` is an int32 array that the operator reads; `int8` an int8 one; `repeat` how often
    it reads the first tensor.
    """
    tiny = TinyModel()
    tiny.add("from", shape, "INT8", 0.1, 0)
    tiny.add("to", to, "INT8", 0.1, 0)
    inputs = ["from"] * fields.pop("repeat", 1)
    for i, values in enumerate(fields.pop("constants", [])):
        values = np.asarray(values)
        kind = "INT8" if values.dtype == np.int8 else "INT32"
        tiny.add(f"constant{i}", None, kind, 0.1, 0, values if kind == "INT8" else np.int32(values))
        inputs.append(f"constant{i}")
    tiny.add_op(name, 1, inputs, "to", options, **fields)
    return tiny


def edit(change: Any) -> TinyModel:
    """The tiny model after a change."""
    tiny = TinyModel()
    change(tiny)
    return tiny


def int8_io(scale: float = 1 / 128, zero_point: int = -1) -> TinyModel:
    """Its int8 part alone, fed int8."""
    tiny = TinyModel()
    tiny.graph.operators = tiny.graph.operators[1:-1]
    tiny.graph.inputs, tiny.graph.outputs = [tiny.index("pixels")], [tiny.index("logits")]
    tiny.tensor("pixels").quantization.scale = [scale]
    tiny.tensor("pixels").quantization.zeroPoint = [zero_point]
    return tiny
