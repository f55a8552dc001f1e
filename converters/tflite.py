"""The TFLite writer: executes a Graph with ``tf.nn`` ops, and TensorFlow's converter writes it.

The Graph decides everything: fake-quantization nodes carry its scales into the file, weights
stand on their integer grid already, and the converter only fuses and serialises. What
has no `QuantParams` becomes float: a node, or the whole file.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.calibration.affine import INT8_MAX, INT8_MIN, WEIGHT_MAX, reals
from edgekit.calibration.mixed import is_mixed
from edgekit.converters.tflite_mixed import finish
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.graph import (
    Activation,
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Flatten,
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

#: Schemes that a float network can be written in, each with the types of input and output that it
#: has: what TensorFlow's converter makes of the weights, and of calibration photos, by itself.
FLOAT_SCHEMES = {
    "fp32": ("float32",),
    "fp16": ("float32",),
    "w8-dynamic": ("float32",),
    "w8a16-static": ("float32", "int16"),
}


def convert(
    graph: Graph,
    *,
    io: str = "float32",
    scheme: str = "fp32",
    batches: Sequence[NDArray[np.float32]] = (),
) -> bytes:
    """Writes a prepared network (`edgekit.passes.prepare`) as a TFLite flatbuffer.

    Args:
        graph: float, or quantized when it has `QuantParams`, or mixed when some nodes have none
            (`edgekit.calibration.mixed`): those are then the float operators of the file.
        io: type of input and output: ``uint8``, ``int8`` or ``float32`` of a quantized or mixed
            network, ``float32`` or ``int16`` of ``w8a16-static``, else ``float32``.
        scheme: of a float network: ``fp32``, ``fp16`` (halved weights, computed in float32),
            ``w8-dynamic`` (int8 weights, and activations quantized as they come), or
            ``w8a16-static`` (int8 weights, int16 activations, int64 biases). A quantized network
            has its own.
        batches: for ``w8a16-static``, network inputs of calibration photos, float32 NHWC; the
            largest value that each tensor takes on them is the end of its range, which costs
            nothing where there are 65,535 steps. Others read none.

    Returns:
        The file's contents: batch 1, NHWC input, logits out.

    Raises:
        UsageError: the type or the scheme does not exist, or does not fit the network; or the
            photos are missing or do not fit.
        EdgekitError: TensorFlow's converter failed, or did not keep to the network.
    """
    _check(graph, io, scheme)
    tf = _tensorflow()
    module = _module(tf, graph)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.run.get_concrete_function()], module
    )
    mixed = is_mixed(graph)
    converter.inference_input_type = converter.inference_output_type = getattr(tf, io)
    if graph.quant or scheme != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if scheme == "w8a16-static":
        sixteen = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [sixteen]
        converter.representative_dataset = partial(_photos, graph, batches)
    # Else the converter gives scales of its own to float weights and to what it knows the range of.
    converter._experimental_low_bit_qat = mixed
    try:
        with _quiet():
            contents = bytes(converter.convert())
    except EdgekitError:
        raise
    except Exception as error:  # the converter raises whatever its C++ side raised
        raise EdgekitError(
            f"TensorFlow's converter could not write {graph.name}", cause=str(error)[:500]
        ) from error
    return finish(contents, graph) if mixed else contents


def _check(graph: Graph, io: str, scheme: str) -> None:
    """Refuses what `convert` cannot write."""
    known = (*IO_TYPES, "int16")
    if io not in known:
        raise UsageError(f"unknown input and output type '{io}'", hint=did_you_mean(io, known))
    if scheme not in FLOAT_SCHEMES:
        raise UsageError(f"unknown scheme '{scheme}'", hint=did_you_mean(scheme, FLOAT_SCHEMES))
    if graph.quant and scheme != "fp32":
        raise UsageError(f"a quantized network cannot be written as {scheme}")
    allowed = IO_TYPES if graph.quant else FLOAT_SCHEMES[scheme]
    if io not in allowed:
        kind = "quantized" if graph.quant else "float" if scheme == "fp32" else scheme
        raise UsageError(
            f"a {kind} network has no {io} input", hint=f"it may have {' or '.join(allowed)}"
        )
    ends = {graph.input, graph.output}
    if graph.quant and io != "float32" and (bare := ends - graph.quant.keys()):
        raise UsageError(f"a network with a float '{min(bare)}' has no {io} input and output")


def _photos(graph: Graph, batches: Sequence[NDArray[np.float32]]) -> Iterator[list[Any]]:
    """Photos one at a time, as the converter's calibration takes them."""
    photo = None
    for photo in chain.from_iterable(batches):
        if photo.shape != graph.shapes[graph.input]:
            raise UsageError(
                f"a calibration photo is {list(photo.shape)}",
                cause=f"the network's input is {list(graph.shapes[graph.input])}",
            )
        yield [np.ascontiguousarray(photo[None], np.float32)]
    if photo is None:
        raise UsageError("16-bit activations need calibration photos", hint="give `batches`")


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
        case AveragePool2D():
            return tf.nn.avg_pool2d(x, node.kernel, node.kernel, "VALID")
        case Flatten():
            return tf.squeeze(x, (1, 2))
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
