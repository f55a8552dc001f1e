"""The TFLite writer: executes a Graph with ``tf.nn`` ops, and TensorFlow's converter writes it.

The Graph decides everything: fake-quantization nodes carry its scales into the file, weights
stand on their integer grid already, and the converter only fuses and serialises. A Graph
without `QuantParams` becomes a float file.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.calibration.affine import INT8_MAX, INT8_MIN, WEIGHT_MAX, reals
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.graph import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Mean,
    Mul,
    Node,
    QuantParams,
    SpatialNode,
)
from edgekit.options import IO_TYPES
from edgekit.quiet import native_quiet

#: Schemes of a float network's weights: what TensorFlow's converter makes of them by itself.
FLOAT_SCHEMES = ("fp32", "fp16", "w8-dynamic")


def convert(graph: Graph, *, io: str = "float32", scheme: str = "fp32") -> bytes:
    """Writes a prepared network (`edgekit.passes.prepare`) as a TFLite flatbuffer.

    Args:
        graph: float, or quantized when it has `QuantParams`.
        io: type of input and output; a float network takes only ``float32``.
        scheme: of a float network's weights: ``fp32``, ``fp16`` (halved, computed in float32),
            or ``w8-dynamic`` (int8, with activations quantized as they come). A quantized network
            has its own.

    Returns:
        The file's contents: batch 1, NHWC input, logits out.

    Raises:
        UsageError: the type or the scheme does not exist, or does not fit the network.
        EdgekitError: TensorFlow's converter failed.
    """
    if io not in IO_TYPES:
        raise UsageError(f"unknown input and output type '{io}'", hint=did_you_mean(io, IO_TYPES))
    if not graph.quant and io != "float32":
        raise UsageError(f"a float network has no {io} input", hint="--io float32")
    if scheme not in FLOAT_SCHEMES:
        raise UsageError(f"unknown scheme '{scheme}'", hint=did_you_mean(scheme, FLOAT_SCHEMES))
    if graph.quant and scheme != "fp32":
        raise UsageError(f"a quantized network cannot be written as {scheme}")
    tf = _tensorflow()
    module = _module(tf, graph)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.run.get_concrete_function()], module
    )
    if scheme != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if graph.quant:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, io)
    try:
        with _quiet():
            return bytes(converter.convert())
    except Exception as error:  # the converter raises whatever its C++ side raised
        raise EdgekitError(
            f"TensorFlow's converter could not write {graph.name}", cause=str(error)[:500]
        ) from error


def _tensorflow() -> Any:
    """Imports TensorFlow without its start-up lines; it only writes files, so it needs no GPU."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet():
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
    tf.get_logger().setLevel("ERROR")
    return tf


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TensorFlow's lines and warnings off the terminal."""
    with native_quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _module(tf: Any, graph: Graph) -> Any:
    """A tf.Module whose only function executes the Graph on one photo."""
    shape = [1, *graph.shapes[graph.input]]

    class GraphModule(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])  # type: ignore[untyped-decorator]
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
            x = tf.nn.conv2d(x, _kernel(tf, graph, node), node.stride, padding)
            return _activations(tf)[node.activation](x + _bias(graph, node))
        case DepthwiseConv2D():
            kernel = tf.reshape(_kernel(tf, graph, node), (node.kernel, node.kernel, -1, 1))
            strides = [1, node.stride, node.stride, 1]
            x, padding = _pad(tf, graph, node, x)
            x = tf.nn.depthwise_conv2d(x, kernel, strides, padding)
            return _activations(tf)[node.activation](x + _bias(graph, node))
        case FullyConnected():
            return tf.matmul(x, _kernel(tf, graph, node)) + _bias(graph, node)
        case Add():
            return inputs[0] + inputs[1]
        case Mul():
            return inputs[0] * inputs[1]
        case Mean():
            return tf.reduce_mean(x, (1, 2), keepdims=node.keep_dims)
        case Activation():
            return _activations(tf)[node.kind](x)
    raise TypeError(f"no TFLite operator for {type(node).__name__}")


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
