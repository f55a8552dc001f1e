"""The OpenVINO writer: walks a Graph and builds the same network of opset13 operators, NCHW.

The Graph decides everything: its scales become FakeQuantize operators where an 8-bit kernel
reads, its weights are stored on their integer grid. What has no `QuantParams` stays float. Kernels
are fitted to 16-bit sums (`edgekit.calibration.pair_sums`), so that the answers are the same with
and without VNNI.

Only kernels read rounded values. Rounding every tensor, as TFLite does, keeps the CPU plugin from
fusing swish and the residual sum into its convolutions: 10.1 ms instead of 7.4 for V2-B0, with
the same answers. Rounding what sums and products read too is no faster.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.calibration.pair_sums import fit_pairs
from edgekit.converters.input_record import own_normalization
from edgekit.converters.openvino import maps
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, Node, SpatialNode, activation_of, row_of
from edgekit.networks.passes import swishes
from edgekit.networks.quantization import INT8_MAX, INT8_MIN, integers, read_by_kernels, reals
from edgekit.system.extras import import_optional
from edgekit.system.paths import StrPath
from edgekit.tasks.registry import find_task

#: Types of the input: bytes of RGB photos, NHWC, or normalised values, NCHW.
IO_TYPES = ("uint8", "float32")
LEVELS = INT8_MAX - INT8_MIN + 1
#: From a kernel's layout in the Graph to OpenVINO's.
Layout = Callable[[Array], Array]
#: Names that OpenVINO gives, such as "stem/Constant_471".
_COUNTED = re.compile(r"((?:^|/)[A-Z][A-Za-z]*)_\d+$")


def openvino() -> Any:
    """Imports OpenVINO.

    Raises:
        MissingToolError: it is not installed.
    """
    return import_optional("openvino", "openvino")


def convert(graph: Graph, *, io: str = "uint8", preprocessing: Preprocessing) -> Any:
    """Builds a prepared network (`edgekit.networks.passes.prepare`) as an `openvino.Model`.

    Args:
        graph: float, or quantized when it has `QuantParams`, or mixed when some nodes have none.
        io: ``uint8``: the input is the bytes of an RGB photo, u8 [1, height, width, 3] NHWC, and
            the model normalises them; or ``float32``: normalised, f32 [1, 3, height, width] NCHW.
        preprocessing: of the weights. A quantized network normalises as its input's scale and
            zero point say, whatever the mean and std here.

    Returns:
        The model: batch 1, output f32 [1, classes], or of maps [1, classes, height, width], or
        classes, i32, or u8 behind a resize, or of several outputs the rows of each, f32
        [1, rows, columns], in the Graph's order; operators and tensors with the Graph's names, the
        record and the labels in its rt_info (see `describe`).

    Raises:
        UsageError: the type does not exist, or the network's normalization is not known.
        MissingToolError: OpenVINO is not installed.
    """
    if io not in IO_TYPES:
        raise UsageError(f"unknown input type '{io}'", hint=did_you_mean(io, IO_TYPES))
    ov = openvino()
    if graph.quant and graph.input not in graph.quant:
        raise UsageError(f"the input of {graph.name} has no scale", cause="it was kept in float")
    record = own_normalization(graph, preprocessing)
    model = _Walk(fit_pairs(graph)).model()
    if io == "uint8":
        model = normalize_inside(ov, model, record)
    labels = find_task(preprocessing.task).describe(graph, preprocessing.labels).labels
    describe(model, record, labels=labels, quantizer="ours" if graph.quant else None)
    name_operators(model)
    return model


def save(model: Any, path: StrPath, *, half: bool = False) -> None:
    """Writes a model as ``path`` (.xml) and the weights beside it (.bin); both whole or not at all.

    Args:
        model: of `convert` or of `edgekit.converters.openvino.nncf.quantize_nncf`.
        path: ends in ``.xml``.
        half: stores float constants as float16; they are computed with as float32 on a CPU.

    Raises:
        UsageError: the path ends otherwise.
        EdgekitError: OpenVINO could not write it.
    """
    path = Path(path)
    if path.suffix != ".xml":
        raise UsageError(f"{path} is no name for an OpenVINO model", hint="end it in .xml")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        temporary = Path(folder) / path.name
        try:
            openvino().save_model(model, temporary, compress_to_fp16=half)
        except RuntimeError as error:
            raise EdgekitError(f"OpenVINO could not write {path}", cause=str(error)) from error
        # The weights first: a .xml without them is the one state that nobody may see.
        for suffix in (".bin", ".xml"):
            os.replace(temporary.with_suffix(suffix), path.with_suffix(suffix))


#: How photos become square, in the words of OpenVINO's Model API.
RESIZE_TYPES = {"crop": "crop", "pad": "fit_to_window_letterbox", "stretch": "standard"}


def describe(
    model: Any,
    preprocessing: Preprocessing,
    *,
    labels: Sequence[str] = (),
    quantizer: str | None = None,
) -> None:
    """Writes what a user of the file needs into the model's rt_info.

    ``edgekit/preprocessing`` (JSON, without the labels), ``edgekit/labels`` (JSON),
    ``edgekit/quantizer``; and for a classifier the ``model_info`` that OpenVINO's Model API and
    DL Streamer read (dlstreamer.github.io/dev_guide/model_info_xml.html): there labels are apart
    by spaces, and channels are reversed since frames come as BGR.

    Args:
        model: changed in place.
        preprocessing: how a photo becomes normalised values; what is written is the record of the
            model's own input (`Preprocessing.of_input`).
        labels: of the classes; nothing for an embedding.
        quantizer: ``ours`` or ``nncf``; None where it is float.
    """
    takes_bytes = model.input().get_element_type().get_type_name() == "u8"
    own = preprocessing.of_input(*(("uint8", "NHWC") if takes_bytes else ("float32", "NCHW")))
    record = {k: v for k, v in own.to_dict().items() if k != "labels"}
    said = {"preprocessing": json.dumps(record), "quantizer": quantizer}
    said["labels"] = json.dumps(list(labels), ensure_ascii=False) if labels else None
    for key, value in said.items():
        if value is not None:
            model.set_rt_info(value, ["edgekit", key])
    model_type = find_task(preprocessing.task).model_type
    if not labels or not model_type:
        return
    info = {
        "model_type": model_type,
        "labels": " ".join("_".join(label.split()) for label in labels),
        "resize_type": RESIZE_TYPES[preprocessing.fit],
        "reverse_input_channels": "True",
    }
    if not takes_bytes:
        info["mean_values"] = " ".join(map(str, preprocessing.mean))
        info["scale_values"] = " ".join(map(str, preprocessing.std))
    for key, value in info.items():
        model.set_rt_info(value, ["model_info", key])


def name_operators(model: Any) -> None:
    """Names by their place what OpenVINO named by a count of its own, over all models so far.

    Equal models give equal files so.
    """
    for place, operator in enumerate(model.get_ordered_ops()):
        name = _COUNTED.sub(rf"\1_{place}", operator.get_friendly_name())
        operator.set_friendly_name(name)


def normalize_inside(ov: Any, model: Any, record: Preprocessing) -> Any:
    """The same model with the bytes of an RGB photo as its input."""
    processor = ov.preprocess.PrePostProcessor(model)
    image = processor.input()
    image.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    image.model().set_layout(ov.Layout("NCHW"))
    steps = image.preprocess().convert_element_type(ov.Type.f32)
    steps = steps.mean(_brief(record.mean))
    if set(record.std) != {1.0}:
        steps.scale(_brief(record.std))
    return processor.build()


def _brief(values: Sequence[float]) -> float | list[float]:
    """One number where all are equal: what the CPU plugin takes for an input's zero point."""
    return float(values[0]) if len(set(values)) == 1 else list(map(float, values))


class _Walk:
    """Builds the operators of a Graph in its order."""

    def __init__(self, graph: Graph) -> None:
        from openvino import opset13

        self.ops: Any = opset13
        self.graph = graph
        self.swishes = swishes(graph)
        self.rounded = read_by_kernels(graph)
        self.values: dict[str, Any] = {}

    def model(self) -> Any:
        graph = self.graph
        height, width, channels = graph.shapes[graph.input]
        image = self.ops.parameter([1, channels, height, width], np.float32, name=graph.input)
        image.output(0).set_names({graph.input})
        self.values[graph.input] = self._round(graph.input, image)
        for node in graph.nodes:
            if node.name in self.swishes.values():
                continue
            inputs = [self.values.get(name) for name in node.inputs]
            result = row_of(OPERATORS, node, "OpenVINO operator", nodes.ENDS_TFLITE)(
                self, node, inputs
            )
            result.set_friendly_name(node.name)
            result.output(0).set_names({node.name})
            self.values[node.name] = self._round(node.name, result)
        results = [
            self.ops.result(self.values[name], name=f"{name}/result") for name in graph.outputs
        ]
        return openvino().Model(results, [image], graph.name)

    def _round(self, name: str, value: Any) -> Any:
        """The values that a tensor's integers stand for, where an 8-bit kernel reads it."""
        if name not in self.rounded:
            return value
        params = self.graph.quant[name]
        scale, zero_point = params.scale[0], params.zero_point[0]
        low, high = (np.float32((end - zero_point) * scale) for end in (INT8_MIN, INT8_MAX))
        return self.ops.fake_quantize(
            value, low, high, low, high, LEVELS, name=f"{name}/fake_quantize"
        )

    def convolve(self, node: SpatialNode, x: Any, operator: Any, layout: Layout) -> Any:
        """A convolution with its bias and activation."""
        pads = [node.pads(side) for side in self.graph.shapes[node.inputs[0]][:2]]
        before, after = zip(*pads, strict=True)
        strides, dilations = [node.stride] * 2, [node.dilation] * 2
        x = operator(x, self.kernel(node, layout), strides, before, after, dilations)
        x.set_friendly_name(f"{node.name}/convolution")
        return self.activate(node, self.ops.add(x, self.bias(node, (1, -1, 1, 1))))

    def activate(self, node: Node, x: Any) -> Any:
        """The activation that is fused into a node."""
        match activation_of(node):
            case "linear":
                return x
            case "relu":
                return self.ops.relu(x)
            case "relu6":
                return self.ops.clamp(x, 0.0, 6.0)
        raise TypeError(f"no OpenVINO operator for {activation_of(node)}")

    def kernel(self, node: Node, layout: Layout) -> Any:
        """The kernel as a constant, or as integers with their scales, which is NNCF's form."""
        name = f"{node.name}/kernel"
        values, params = self.graph.weights[name], self.graph.quant.get(name)
        if params is None:
            return self.ops.constant(np.ascontiguousarray(layout(values)), name=name)
        steps = np.ascontiguousarray(layout(integers(values, params)).astype(np.int8))
        scale = np.asarray(params.scale, np.float32).reshape(-1, *[1] * (steps.ndim - 1))
        real = self.ops.convert(self.ops.constant(steps, name=name), "f32")
        scales = self.ops.constant(scale, name=f"{name}/scale")
        return self.ops.multiply(real, scales, name=f"{name}/real")

    def bias(self, node: Node, shape: tuple[int, ...]) -> Any:
        """The bias as a constant of a shape."""
        name = f"{node.name}/bias"
        values, params = self.graph.weights[name], self.graph.quant.get(name)
        values = values if params is None else reals(values, params)
        return self.ops.constant(values.reshape(shape), name=name)


def _convolution(walk: _Walk, node: nodes.Conv2D, inputs: list[Any]) -> Any:
    return walk.convolve(node, inputs[0], walk.ops.convolution, _oihw)


def _depthwise(walk: _Walk, node: nodes.DepthwiseConv2D, inputs: list[Any]) -> Any:
    return walk.convolve(node, inputs[0], walk.ops.group_convolution, _g11hw)


def _dense(walk: _Walk, node: nodes.FullyConnected, inputs: list[Any]) -> Any:
    product = walk.ops.matmul(inputs[0], walk.kernel(node, np.transpose), False, True)
    return walk.ops.add(product, walk.bias(node, (1, -1)))


def _activation(walk: _Walk, node: nodes.Activation, inputs: list[Any]) -> Any:
    if node.kind != "sigmoid":
        raise TypeError(f"no OpenVINO operator for {node}")
    return walk.ops.sigmoid(inputs[0])


def _product(walk: _Walk, node: nodes.Mul, inputs: list[Any]) -> Any:
    is_swish = node.name in walk.swishes
    return walk.ops.swish(inputs[0]) if is_swish else walk.ops.multiply(*inputs)


def _mean(walk: _Walk, node: nodes.Mean, inputs: list[Any]) -> Any:
    return walk.ops.reduce_mean(inputs[0], np.array([2, 3]), node.keep_dims)


def _pool(walk: _Walk, node: nodes.AveragePool2D, inputs: list[Any]) -> Any:
    kernel = list(node.kernel)
    return walk.ops.avg_pool(inputs[0], kernel, [0, 0], [0, 0], kernel, exclude_pad=True)


OPERATORS: dict[type[Node], Callable[[_Walk, Any, list[Any]], Any]] = {
    nodes.Conv2D: _convolution,
    nodes.DepthwiseConv2D: _depthwise,
    nodes.FullyConnected: _dense,
    nodes.Activation: _activation,
    nodes.Add: lambda walk, node, inputs: walk.activate(node, walk.ops.add(*inputs)),
    nodes.Mul: _product,
    nodes.Mean: _mean,
    nodes.AveragePool2D: _pool,
    nodes.MaxPool2D: maps.max_pool,
    nodes.Flatten: lambda walk, node, inputs: walk.ops.squeeze(inputs[0], np.array([2, 3])),
    nodes.Rows: maps.rows,
    nodes.Concat: maps.concat,
    nodes.Resize: maps.resize,
    nodes.Tile: maps.tile,
    nodes.ArgMax: maps.arg_max,
}


def _oihw(kernel: Array) -> Array:
    return kernel.transpose(3, 2, 0, 1)


def _g11hw(kernel: Array) -> Array:
    return kernel.transpose(2, 0, 1)[:, None, None]
