"""The arithmetic of TFLite's integer schemes (source: TFLite's quantization specification).

int8 activations: per tensor, asymmetric. int16 activations: per tensor, symmetric. int8 weights:
symmetric, zero point 0, -127 … 127. Biases: scale = input scale times weight scale, in int32
beside int8 activations and in int64 beside int16 ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.networks import nodes
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Array, Node, row_of
from edgekit.networks.schemes import FP32, MIXED, scheme_of, scheme_of_node

Reals = NDArray[np.float64]

#: The integers of each type; of the int64 of biases those that LiteRT's kernels take, whose
#: rescaling (``MultiplyByQuantizedMultiplier`` of an int64, lite/kernels/internal/common.cc) is for
#: accumulators of 48 bits.
LIMITS = {
    **{name: (int(np.iinfo(name).min), int(np.iinfo(name).max)) for name in ("int8", "int16")},
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**47), 2**47 - 1),
}
INT8_MIN, INT8_MAX = LIMITS["int8"]
WEIGHT_MAX = INT8_MAX
#: The type of biases beside activations of a type.
BIASES = {"int8": "int32", "int16": "int64"}
#: The largest bias of a type: half of it is room for the accumulator that it is added to.
BIAS_MAX = {dtype: float((LIMITS[dtype][1] + 1) // 2) for dtype in BIASES.values()}
#: Numbers that are rounded at a time: in float64, L2's largest kernel takes 90 MB at once.
BLOCK = 2**16
#: The smallest scale: keeps a constant zero tensor's arithmetic finite in float32.
SMALLEST_SCALE = 1e-9
#: What XNNPACK takes of an int8 sum: scales of its terms from this share of the sum's own, below
#: that multiple of it (``VisitAddNode`` in tensorflow/lite/delegates/xnnpack/xnnpack_delegate.cc).
SUM_SHARES = (2.0**-10, 2.0**8)

#: Whether the output of an operator has the scale and the zero point of its input.
KEEPS_SCALE: dict[type[Node], bool] = {
    **dict.fromkeys((nodes.Conv2D, nodes.DepthwiseConv2D, nodes.FullyConnected), False),
    **dict.fromkeys((nodes.Activation, nodes.Add, nodes.Mul, nodes.Mean), False),
    **dict.fromkeys((nodes.AveragePool2D, nodes.MaxPool2D, nodes.Flatten, nodes.Rows), True),
    **dict.fromkeys((nodes.Resize, nodes.Tile), True),
    # A Concat gives its scale to what it reads (`scale_owners`); classes and boxes have none.
    **dict.fromkeys((nodes.Concat, nodes.ArgMax, nodes.DetectionPostProcess), False),
}
#: The range of a sigmoid: LOGISTIC's output scale must be exactly 1/256 with zero point -128 in
#: int8, and 1/32768 with zero point 0 in int16 (TFLite specification).
SIGMOID_RANGES = {"int8": (0.0, 255 / 256), "int16": (0.0, 32767 / 32768)}
#: What keeps a scale of its own in front of a Concat: the operator prescribes that of a sigmoid.
PRESCRIBED = (nodes.Activation,)


def asymmetric(low: Reals | float, high: Reals | float) -> tuple[Reals, NDArray[np.int64]]:
    """Scales and zero points of int8 that cover ``[low, high]`` and represent zero exactly."""
    low = np.minimum(np.asarray(low, np.float64), 0.0)
    high = np.maximum(np.asarray(high, np.float64), 0.0)
    scale = np.maximum((high - low) / (INT8_MAX - INT8_MIN), SMALLEST_SCALE)
    zero_point = np.clip(np.rint(INT8_MIN - low / scale), INT8_MIN, INT8_MAX)
    return scale, zero_point.astype(np.int64)


def symmetric(low: Reals | float, high: Reals | float) -> tuple[Reals, NDArray[np.int64]]:
    """Scales of int16 that cover ``[low, high]`` with the zero point 0."""
    bound = np.maximum(np.abs(np.asarray(low, np.float64)), np.abs(high))
    scale = np.maximum(bound / LIMITS["int16"][1], SMALLEST_SCALE)
    return scale, np.zeros(scale.shape, np.int64)


_GRIDS = {"int8": asymmetric, "int16": symmetric}


def activation_params(low: float, high: float, dtype: str = "int8") -> QuantParams:
    """Parameters of an activation with the range ``[low, high]``, widened to hold zero."""
    scale, zero_point = _GRIDS[dtype](low, high)
    return QuantParams((float(np.float32(scale)),), (int(zero_point),), dtype)


def weight_params(
    kernel: Array, bias: Array, input_scale: float, *, per_tensor: bool, bias_dtype: str = "int32"
) -> QuantParams:
    """Symmetric parameters of a kernel whose last axis is the output channel.

    A nearly dead channel would get a scale so small that its bias overflows int32 (the Edge
    TPU compiler then stops with ``no_integer_overflow_from_quantization``): its scale is
    raised until the bias fits.
    """
    channels = kernel.shape[-1]
    largest = np.abs(kernel.reshape(-1, channels)).max(0).astype(np.float64)
    fitting = np.abs(bias) / (BIAS_MAX[bias_dtype] * input_scale)
    scale = np.maximum(np.maximum(largest / WEIGHT_MAX, fitting), SMALLEST_SCALE)
    if per_tensor:
        scale = scale.max(keepdims=True)
    return QuantParams(
        tuple(float(value) for value in scale.astype(np.float32)),
        (0,) * len(scale),
        axis=None if per_tensor else kernel.ndim - 1,
    )


def bias_params(input_scale: float, weights: QuantParams, dtype: str = "int32") -> QuantParams:
    """Parameters of a bias: the accumulator's own scale."""
    scales = tuple(input_scale * scale for scale in weights.scale)
    return QuantParams(scales, (0,) * len(scales), dtype, axis=None if len(scales) == 1 else 0)


def integers(values: Array, params: QuantParams) -> NDArray[np.signedinteger[Any]]:
    """Rounds reals to the integers that stand for them (weights and biases).

    Returns:
        int64 where the parameters are of int64, else int32.
    """
    limit = LIMITS[params.dtype][1]
    held = np.int64 if params.dtype == "int64" else np.int32
    rows = values.reshape(-1, values.shape[-1])  # every layout has the channels last
    result: NDArray[np.signedinteger[Any]] = np.empty(rows.shape, held)
    block = max(1, BLOCK // rows.shape[1])
    for start in range(0, len(rows), block):
        steps = rows[start : start + block].astype(np.float64)
        steps /= np.asarray(params.scale)
        np.rint(steps, out=steps)
        result[start : start + block] = np.clip(steps, -limit, limit, out=steps)
    return result.reshape(values.shape)


def reals(values: Array, params: QuantParams) -> NDArray[np.float32]:
    """What the integers of ``values`` stand for, float32."""
    result: NDArray[np.float32] = (integers(values, params) * np.asarray(params.scale)).astype(
        np.float32
    )
    return result


def scale_owners(graph: Graph) -> dict[str, str]:
    """Maps each tensor that has its scale from another to the tensor that the scale is of.

    A Concat has one scale for its output and for what it reads. A tensor that nothing but one
    Concat reads, directly or through operators that keep scales, is rounded to that scale at once.
    Any other, such as a map of the encoder that is also the next block's input, keeps a scale of
    its own, and its integers are rounded again in front of the Concat.
    """
    owners: dict[str, str] = {}
    for node in graph.nodes:
        if row_of(KEEPS_SCALE, node, "scale") and node.name not in graph.class_tensors:
            (source,) = node.inputs
            owners[node.name] = owners.get(source, source)
    readers: dict[str, set[str]] = {}
    for node in graph.nodes:
        if node.name not in owners:
            for name in node.inputs:
                readers.setdefault(owners.get(name, name), set()).add(node.name)
    for node in graph.nodes:
        if isinstance(node, nodes.Concat):
            for root in {owners.get(name, name) for name in node.inputs}:
                if readers[root] == {node.name} and _may_share(graph, root, owners):
                    given = {name for name, owner in owners.items() if owner == root}
                    owners |= dict.fromkeys((root, *given), node.name)
    return owners


def _may_share(graph: Graph, root: str, owners: Mapping[str, str]) -> bool:
    """Whether a tensor's scale, and that of the tensors that have it, may be a Concat's."""
    if root == graph.input or root in {owners.get(name, name) for name in graph.outputs}:
        return False
    return not isinstance(graph.node(root), PRESCRIBED)


def float_nodes(graph: Graph) -> list[str]:
    """Names the nodes that are computed in float, in the network's order."""
    return [node.name for node in graph.nodes if is_float(graph, node)]


def is_mixed(graph: Graph) -> bool:
    """Whether the Graph is int8 in part only."""
    return scheme_of(graph) == MIXED


def read_by_kernels(graph: Graph) -> set[str]:
    """The tensors that layers with quantized kernels read."""
    return {
        name for node in graph.nodes if f"{node.name}/kernel" in graph.quant for name in node.inputs
    }


def is_float(graph: Graph, node: Node) -> bool:
    """Whether a node of a Graph is computed in float, weights and all.

    A layer with an int8 kernel whose input is float is not: its input is rounded at each run.
    """
    return scheme_of_node(graph, node) == FP32
