"""The ONNX writer: a Graph as ONNX operators, in float or in QDQ form.

Inside, tensors are NCHW. A tensor, a node and a weight have the names that they have in the Graph.
What is quantized is written as a pair of QuantizeLinear and DequantizeLinear with the Graph's own
scale and zero point, which runtimes fuse into integer kernels; where they do not, the pair rounds
to the same integers. Integers are stored as uint8: int8 plus 128, zero points too, so that the
reals are the same. A photo's bytes are such integers already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgekit.converters.onnx import maps
from edgekit.converters.resizes import class_dtype
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.networks import nodes
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Array, Node, SpatialNode, WeightedNode, activation_of, row_of
from edgekit.networks.quantization import INT8_MAX, INT8_MIN, integers
from edgekit.system.extras import import_optional

#: Per-channel DequantizeLinear needs 13; 17 is what ONNX 1.12 of 2022 has, with IR version 8
#: (onnx/docs/Versioning.md). Readers of either are everywhere by now.
OPSET, IR_VERSION = 17, 8
INPUT_TYPES = ("float32", "uint8")
#: How int8 weights are stored, the default first. Where an x86-64 processor has no VNNI, ONNX
#: Runtime multiplies uint8 by int8 with an instruction whose 16-bit sums saturate: V2-B0 lost 4.5
#: points of accuracy, unless kernels fit such sums (`edgekit.calibration.pair_sums`, across taps).
#: Its kernels for two uint8 are exact on every processor with any weights, but slower than those:
#: 1.8 times, with VNNI
#: (onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
WEIGHT_TYPES = ("uint8", "int8")
#: From an int8 to the uint8 that is stored for it.
SHIFT = -INT8_MIN
_RELU6_MAX = 6.0


def convert(
    graph: Graph,
    *,
    io: str = "float32",
    preprocessing: Preprocessing | None = None,
    batch: int | None = 1,
    metadata: Mapping[str, str] | None = None,
    weights: str = WEIGHT_TYPES[0],
) -> bytes:
    """Writes a prepared network (`edgekit.networks.passes.prepare`) as an ONNX model.

    Args:
        graph: float, or quantized when it has `QuantParams`, or mixed when some nodes have none
            (`edgekit.calibration.mixed`): those are then float operators.
        io: type of the input. ``float32`` takes NCHW [batch, 3, height, width], normalised as
            (pixel - mean) / std; ``uint8`` takes the photo's own bytes, RGB, NHWC
            [batch, height, width, 3].
        preprocessing: what normalises the bytes of a float network with ``io="uint8"``; nothing
            else reads it.
        batch: photos per run; None lets each run decide.
        metadata: entries of the model's ``metadata_props``.
        weights: how the kernels of a quantized network are stored: ``uint8``, which every
            processor multiplies exactly, or ``int8``, which is faster, and wrong on x86-64 without
            VNNI, unless `edgekit.calibration.pair_sums.fit_kernels` made them fit (across taps) or
            the session sets ``session.x64quantprecision`` to ``1``.

    Returns:
        The file's contents; its output is float32 logits, [batch, classes] or of maps
        [batch, classes, height, width], or classes, int64, or uint8 behind a resize; of several
        outputs the rows of each, float32 [batch, rows, columns], in the Graph's order.

    Raises:
        UsageError: the type does not exist, or bytes cannot be normalised without a
            ``preprocessing``.
        MissingToolError: the package onnx is not installed.
        EdgekitError: the model does not pass ONNX's own checker.
    """
    for what, word, known in (("input", io, INPUT_TYPES), ("weight", weights, WEIGHT_TYPES)):
        if word not in known:
            raise UsageError(f"unknown {what} type '{word}'", hint=did_you_mean(word, known))
    if batch is not None and batch < 1:
        raise UsageError(f"a batch of {batch} photos cannot be run", hint="give 1 or more")
    onnx = import_optional("onnx", "onnx")
    model = _Writer(graph, weights, batch).model(io, preprocessing, dict(metadata or {}))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EdgekitError(f"{graph.name} cannot be written as ONNX", cause=str(error)) from error
    return bytes(model.SerializeToString(deterministic=True))


class _Writer:
    """Collects operators and constants, in the order of the Graph's nodes.

    Attributes:
        integers: by Graph tensor, the uint8 tensor of its integers, where it is quantized.
        reals: by Graph tensor, the float tensor of its values, once something has read it.
    """

    def __init__(self, graph: Graph, weights: str, batch: int | None) -> None:
        self.graph, self.batch = graph, batch
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.integers: dict[str, str] = {}
        self.reals: dict[str, str] = {}

    def model(
        self,
        io: str,
        preprocessing: Preprocessing | None,
        metadata: dict[str, str],
    ) -> Any:
        """The whole model, an onnx.ModelProto."""
        from onnx import TensorProto, helper

        from edgekit.version import __version__

        graph, count = self.graph, "batch" if self.batch is None else self.batch
        height, width, channels = graph.shapes[graph.input]
        if io == "uint8":
            self._bytes_in(preprocessing)
            source = (TensorProto.UINT8, [count, height, width, channels])
        else:
            self._floats_in()
            source = (TensorProto.FLOAT, [count, channels, height, width])
        for node in graph.nodes:
            self._node(node)
        for name in graph.outputs:
            self._real(name)
        body = helper.make_graph(
            self.nodes,
            graph.name,
            [helper.make_tensor_value_info(graph.input, *source)],
            [self._output(name, count) for name in graph.outputs],
            list(self.constants.values()),
        )
        model = helper.make_model(
            body,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="edgekit",
            producer_version=__version__,
        )
        helper.set_model_props(model, metadata)
        return model

    def _output(self, name: str, count: int | str) -> Any:
        """One of the model's outputs."""
        from onnx import TensorProto, helper

        is_class = name in self.graph.class_tensors
        dtype = class_dtype(self.graph, name, *maps.CLASS_TYPES) if is_class else "float"
        shape = self.graph.shapes[name]
        result = [count, *shape[2:], *shape[:2]]  # a vector, rows, or a map in NCHW
        return helper.make_tensor_value_info(name, getattr(TensorProto, dtype.upper()), result)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Appends an operator, named after its output; returns the output."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, values: Array) -> str:
        """Stores a constant; returns its name."""
        from onnx import numpy_helper

        self.constants[name] = numpy_helper.from_array(np.array(values, order="C"), name)
        return name

    def _floats_in(self) -> None:
        name = self.graph.input
        if name in self.graph.quant:
            self.integers[name] = self._quantize(name, name)
        else:
            self.reals[name] = name

    def _bytes_in(self, preprocessing: Preprocessing | None) -> None:
        """Bytes are the integers of a quantized input already; else they are normalised."""
        name = self.graph.input
        if name in self.graph.quant:
            photo = self.add("DequantizeLinear", [name, *self._scale(name)], f"{name}/photo")
            turned = self.add("Transpose", [photo], f"{name}/nchw", perm=[0, 3, 1, 2])
            self.integers[name] = self._quantize(name, turned)
            return
        turned = self.add("Transpose", [name], f"{name}/uint8", perm=[0, 3, 1, 2])
        if preprocessing is None:
            raise UsageError(
                f"{self.graph.name} cannot take bytes",
                cause="nothing says how they are normalised",
                hint="give `preprocessing`, or io 'float32'",
            )
        value = self.add("Cast", [turned], f"{name}/float", to=1)  # TensorProto.FLOAT
        for kind, short in (("Sub", "mean"), ("Div", "std")):
            numbers = np.array(getattr(preprocessing, short), np.float32).reshape(1, 3, 1, 1)
            constant = self.constant(f"{name}/{short}", numbers)
            value = self.add(kind, [value, constant], f"{name}/{kind.lower()}")
        self.reals[name] = value

    def _scale(self, name: str) -> list[str]:
        """The constants of a quantized tensor or weight: its scale and its zero point."""
        params = self.graph.quant[name]
        shape = () if params.axis is None else (-1,)
        scale = np.array(params.scale, np.float32).reshape(shape)
        zero_point = self._stored(name, np.array(params.zero_point).reshape(shape))
        return [
            self.constant(f"{name}/scale", scale),
            self.constant(f"{name}/zero_point", zero_point),
        ]

    def _stored(self, name: str, values: Array) -> Array:
        """Integers of a tensor or weight in the type in which the file holds them."""
        if self.graph.quant[name].dtype == "int32":
            return values.astype(np.int32)
        if name in self.graph.weights and self.weights == "int8":
            return values.astype(np.int8)
        return (values.astype(np.int32) + SHIFT).astype(np.uint8)

    def _quantize(self, name: str, source: str, suffix: str = "uint8") -> str:
        """Rounds ``source`` to the integers of the Graph's tensor ``name``."""
        return self.add("QuantizeLinear", [source, *self._scale(name)], f"{name}/{suffix}")

    def rounded(self, name: str, source: str, stage: str) -> str:
        """``source`` rounded to the grid of the Graph's tensor ``name``, as reals again.

        It is as it was where the tensor is not quantized.
        """
        if name not in self.graph.quant:
            return source
        stored = self._quantize(name, source, f"{stage}/uint8")
        return self.add("DequantizeLinear", [stored, *self._scale(name)], f"{name}/{stage}")

    def _real(self, name: str) -> str:
        """The reals of a Graph's tensor; its integers are dequantized where first read."""
        if name not in self.reals:
            # The model's input has the name of the Graph's already.
            output = f"{name}/reals" if name == self.graph.input else name
            source = [self.integers[name], *self._scale(name)]
            self.reals[name] = self.add("DequantizeLinear", source, output)
        return self.reals[name]

    def _weight(self, node: WeightedNode, short: str) -> str:
        name = f"{node.name}/{short}"
        values, params = self.graph.weights[name], self.graph.quant.get(name)
        layout = LAYOUTS[type(node)] if short == "kernel" else np.asarray
        if params is None:
            return self.constant(name, layout(values))
        stored = self._stored(name, layout(integers(values, params)))
        constant = self.constant(f"{name}/{stored.dtype}", stored)
        axis = {} if params.axis is None else {"axis": 0}
        return self.add("DequantizeLinear", [constant, *self._scale(name)], name, **axis)

    def _node(self, node: Node) -> None:
        """Writes a node; its output becomes the reals, or the integers, of the Graph's tensor."""
        name, quantized = node.name, node.name in self.graph.quant
        flattens = isinstance(node, nodes.Mean) and not node.keep_dims
        output = f"{name}/raw" if quantized else f"{name}/map" if flattens else name
        write = row_of(OPERATORS, node, "ONNX operator", nodes.ENDS_TFLITE)
        value = write(self, node, [self._real(source) for source in node.inputs], output)
        if flattens:
            # A kernel fuses with what rounds right behind it.
            value = self.rounded(name, value, "map")
            value = self.add("Flatten", [value], f"{name}/flat" if quantized else name)
        if quantized:
            value = self._quantize(name, value)
        (self.integers if quantized else self.reals)[name] = value

    def add_dense(self, node: nodes.FullyConnected, inputs: list[str], output: str) -> str:
        """Appends a fully connected layer."""
        inputs = [*inputs, self._weight(node, "kernel"), self._weight(node, "bias")]
        return self.add("Gemm", inputs, output, transB=1)

    def add_convolution(
        self, node: SpatialNode, inputs: list[str], output: str, groups: int = 1
    ) -> str:
        """Appends a convolution with its activation."""
        height, width, _ = self.graph.shapes[node.inputs[0]]
        (top, bottom), (left, right) = node.pads(height), node.pads(width)
        return self.add_activated(
            "Conv",
            node,
            [*inputs, self._weight(node, "kernel"), self._weight(node, "bias")],
            output,
            kernel_shape=[node.kernel] * 2,
            strides=[node.stride] * 2,
            pads=[top, left, bottom, right],
            group=groups,
            **({"dilations": [node.dilation] * 2} if node.dilation > 1 else {}),
        )

    def add_sum(self, node: nodes.Add, inputs: list[str], output: str) -> str:
        """Appends a sum with its activation."""
        return self.add_activated("Add", node, inputs, output)

    def add_activated(
        self, kind: str, node: Node, inputs: list[str], output: str, **attributes: Any
    ) -> str:
        """Appends an operator and, behind it, the activation that is fused into a node."""
        activation = self._activation(node)
        if activation is None:
            return self.add(kind, inputs, output, **attributes)
        value = self.add(kind, inputs, f"{node.name}/linear", **attributes)
        limits = activation[1:]
        constants = [
            self.constant(f"{node.name}/{word}", np.array(limit, np.float32))
            for word, limit in zip(("low", "high"), limits, strict=False)
        ]
        return self.add(activation[0], [value, *constants], output)

    def _activation(self, node: Node) -> tuple[Any, ...] | None:
        """The operator of a fused activation, with its limits; None where there is none to do."""
        kind = activation_of(node)
        if kind == "linear" or clips(self.graph.quant.get(node.name), kind):
            return None
        if kind == "relu":
            return ("Relu",)
        if kind == "relu6":
            return ("Clip", 0.0, _RELU6_MAX)
        raise TypeError(f"'{kind}' of {node.name} is not written out")


def clips(params: QuantParams | None, activation: str) -> bool:
    """Whether rounding to ``params`` does all that a ``relu`` or ``relu6`` before it would do.

    Rounding never falls and saturates at the ends of int8. So it does where 0 is rounded to the
    lowest integer and, for ``relu6``, 6 to the highest.
    """
    if params is None or params.zero_point[0] != INT8_MIN:
        return False
    steps = np.rint(_RELU6_MAX / np.float32(params.scale[0]))
    return activation == "relu" or bool(steps >= INT8_MAX - INT8_MIN)


def _add_depthwise(
    writer: _Writer, node: nodes.DepthwiseConv2D, inputs: list[str], output: str
) -> str:
    channels = writer.graph.shapes[node.inputs[0]][-1]
    return writer.add_convolution(node, inputs, output, channels)


def _add_pool(writer: _Writer, node: nodes.AveragePool2D, inputs: list[str], output: str) -> str:
    sides = list(node.kernel)
    return writer.add("AveragePool", inputs, output, kernel_shape=sides, strides=sides)


def _add_activation(writer: _Writer, node: nodes.Activation, inputs: list[str], output: str) -> str:
    if node.kind != "sigmoid":
        raise TypeError(f"no ONNX operator for {node}")
    return writer.add("Sigmoid", inputs, output)


Write = Callable[[_Writer, Any, list[str], str], str]


def _add_plain(kind: str) -> Write:
    return lambda writer, node, inputs, output: writer.add(kind, inputs, output)


OPERATORS: dict[type[Node], Write] = {
    nodes.Conv2D: _Writer.add_convolution,
    nodes.DepthwiseConv2D: _add_depthwise,
    nodes.FullyConnected: _Writer.add_dense,
    nodes.Activation: _add_activation,
    nodes.Add: _Writer.add_sum,
    nodes.Mul: _add_plain("Mul"),
    nodes.Mean: _add_plain("GlobalAveragePool"),
    nodes.AveragePool2D: _add_pool,
    nodes.MaxPool2D: maps.add_max_pool,
    nodes.Flatten: _add_plain("Flatten"),
    nodes.Rows: maps.add_rows,
    nodes.Concat: maps.add_concat,
    nodes.Resize: maps.add_resize,
    nodes.Tile: maps.add_tile,
    nodes.ArgMax: maps.add_arg_max,
}
#: From a kernel's layout in the Graph to ONNX's.
LAYOUTS: dict[type[Node], Callable[[Array], Array]] = {
    nodes.Conv2D: lambda kernel: kernel.transpose(3, 2, 0, 1),  # HWIO to OIHW
    nodes.DepthwiseConv2D: lambda kernel: kernel.transpose(2, 0, 1)[:, None],  # HWC to C1HW
    nodes.FullyConnected: np.transpose,  # IO to OI
}
