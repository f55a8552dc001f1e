"""TensorFlow's converter on a Graph: what edgekit's own TFLite writer is held against.

The Graph is executed with ``tf.nn`` operators, fake-quantization nodes carry its scales into the
file, and the converter fuses and serialises.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import (
    Activation,
    Add,
    ArgMax,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    Flatten,
    FullyConnected,
    Mean,
    Mul,
    Node,
    Resize,
    SpatialNode,
    Tile,
)
from edgekit.networks.quantization import INT8_MAX, INT8_MIN, WEIGHT_MAX, is_mixed, reals
from edgekit.system.quiet import native_quiet


def import_tensorflow() -> Any:
    """Imports TensorFlow without its start-up lines.

    Raises:
        ImportError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
    tf.get_logger().setLevel("ERROR")
    return tf


def convert(
    graph: Graph,
    *,
    io: str = "float32",
    scheme: str = "fp32",
    batches: Sequence[NDArray[np.float32]] = (),
    per_channel: bool = False,
) -> bytes:
    """Writes a prepared network as a TFLite flatbuffer.

    Args:
        graph: float, or quantized with int8 activations, in whole or in part.
        io: type of input and output.
        scheme: of a float network: ``fp32``, ``fp16``, ``w8-dynamic`` or ``w8a16-static``.
        batches: for the last, network inputs from which the converter takes its ranges.
        per_channel: whether it gives a fully connected layer a scale for each channel, where the
            Graph does not decide that.
    """
    tf = import_tensorflow()
    module = make_module(tf, graph)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.run.get_concrete_function()], module
    )
    converter.inference_input_type = converter.inference_output_type = getattr(tf, io)
    if graph.quant or scheme != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if scheme == "w8a16-static":
        sixteen = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [sixteen]
        photos = [photo[None] for batch in batches for photo in batch]
        converter.representative_dataset = lambda: ([photo] for photo in photos)
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel
    # Else the converter gives scales of its own to float weights and to what it knows the range of.
    converter._experimental_low_bit_qat = is_mixed(graph)
    with native_quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


def make_module(tf: Any, graph: Graph) -> Any:
    """A tf.Module whose only function executes the Graph on one photo."""
    spec = tf.TensorSpec([1, *graph.shapes[graph.input]], tf.float32, name="image")

    class GraphModule(tf.Module):  # type: ignore[misc]
        @tf.function(autograph=False, input_signature=[spec])  # type: ignore[untyped-decorator]
        def run(self, image: Any) -> dict[str, Any]:
            return {graph.output: _execute(tf, graph, image)}

    return GraphModule()


def _execute(tf: Any, graph: Graph, image: Any) -> Any:
    values = {graph.input: _round(tf, image, graph.quant.get(graph.input))}
    for node in graph.nodes:
        with tf.name_scope(node.name):
            inputs = [values[name] for name in node.inputs]
            result = _run(tf, graph, node, inputs)
            values[node.name] = _round(tf, result, graph.quant.get(node.name))
    return values[graph.output]


def _run(tf: Any, graph: Graph, node: Node, inputs: list[Any]) -> Any:
    x = inputs[0]
    match node:
        case Conv2D():
            x, padding = _pad(tf, graph, node, x)
            kernel = _kernel(tf, graph, node)
            x = tf.nn.conv2d(x, kernel, node.stride, padding, dilations=node.dilation)
            return _activations(tf)[node.activation](x + _bias(graph, node))
        case DepthwiseConv2D():
            kernel = tf.reshape(_kernel(tf, graph, node), (node.kernel, node.kernel, -1, 1))
            strides = [1, node.stride, node.stride, 1]
            x, padding = _pad(tf, graph, node, x)
            dilations = (node.dilation, node.dilation)
            x = tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=dilations)
            return _activations(tf)[node.activation](x + _bias(graph, node))
        case FullyConnected():
            return tf.matmul(x, _kernel(tf, graph, node)) + _bias(graph, node)
        case Add():
            return inputs[0] + inputs[1]
        case Mul():
            return inputs[0] * inputs[1]
        case Mean():
            return tf.reduce_mean(x, (1, 2), keepdims=node.keep_dims)
        case AveragePool2D():
            return tf.nn.avg_pool2d(x, node.kernel, node.kernel, "VALID")
        case Flatten():
            return tf.squeeze(x, (1, 2))
        case Activation():
            return _activations(tf)[node.kind](x)
        case Concat():
            return tf.concat(inputs, 3)
        case Resize():
            return _resize(tf, node, x)
        case Tile():
            return tf.tile(x, (1, *node.size, 1))
        case ArgMax():
            classes = tf.argmax(x, 3, output_type=tf.int32)
            return classes[..., None] if node.keep_dims else classes
    raise TypeError(f"no TFLite operator for {type(node).__name__}")


def _resize(tf: Any, node: Resize, x: Any) -> Any:
    if node.method == "nearest":
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=node.size)
    return tf.raw_ops.ResizeBilinear(
        images=x,
        size=node.size,
        align_corners=node.method == "bilinear-corners",
        half_pixel_centers=node.method == "bilinear-half-pixel",
    )


def _pad(tf: Any, graph: Graph, node: SpatialNode, x: Any) -> tuple[Any, str]:
    """TFLite's convolutions know ``SAME``; other padding is an operator of its own."""
    sides = graph.shapes[node.inputs[0]][:2]
    pads = [node.pads(side) for side in sides]
    if pads == [replace(node, padding="same").pads(side) for side in sides]:
        return x, "SAME"
    return tf.pad(x, [(0, 0), *pads, (0, 0)]), "VALID"


def _activations(tf: Any) -> dict[str, Callable[[Any], Any]]:
    return {
        "linear": lambda x: x,
        "relu": tf.nn.relu,
        "relu6": tf.nn.relu6,
        "sigmoid": tf.sigmoid,
    }


def _kernel(tf: Any, graph: Graph, node: Node) -> Any:
    name = f"{node.name}/kernel"
    values, params = graph.weights[name], graph.quant.get(name)
    if params is None:
        return tf.constant(values)
    values = reals(values, params)
    limits = np.asarray(params.scale, np.float32) * WEIGHT_MAX
    if params.axis is None:
        return tf.quantization.fake_quant_with_min_max_args(
            values, -float(limits[0]), float(limits[0]), 8, narrow_range=True
        )
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        values, -limits, limits, 8, narrow_range=True
    )


def _bias(graph: Graph, node: Node) -> Any:
    name = f"{node.name}/bias"
    values, params = graph.weights[name], graph.quant.get(name)
    return values if params is None else reals(values, params)


def _round(tf: Any, x: Any, params: QuantParams | None) -> Any:
    if params is None:
        return x
    scale, zero_point = params.scale[0], params.zero_point[0]
    return tf.quantization.fake_quant_with_min_max_args(
        x, (INT8_MIN - zero_point) * scale, (INT8_MAX - zero_point) * scale, 8
    )
