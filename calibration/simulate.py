"""The quantized network in float arithmetic: every tensor rounded to its grid of integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Node, row_of
from edgekit.networks.quantization import (
    INT8_MAX,
    INT8_MIN,
    LIMITS,
    SMALLEST_SCALE,
    is_float,
    reals,
)
from edgekit.networks.schemes import W8_DYNAMIC, scheme_of_node
from edgekit.networks.torch_network import Network

#: Values between pixels count as ties within half of its inverse.
TIE = 2**12

#: Rounds values in steps, less the zero point, to whole steps; in place.
Rounding = Callable[[Tensor], Tensor]


def roundings(graph: Graph) -> dict[str, Rounding]:
    """How each node that computes on integers rounds what it writes, by tensor."""
    return {
        node.name: row_of(ROUNDINGS, node, "rounding")(graph, node)
        for node in graph.nodes
        if not is_float(graph, node)
    }


def _nearest(graph: Graph, node: Node) -> Rounding:
    """To the nearest integer, ties to even."""
    return Tensor.round_


def _round_pool(graph: Graph, node: nodes.AveragePool2D) -> Rounding:
    """As AVERAGE_POOL_2D does: ties, which windows of four have in every fourth place, go one way.

    That is a bias that no mean behind it takes out.
    """
    zero_point = graph.quant[node.name].zero_point[0]
    return partial(round_mean_, zero_point=zero_point, count=math.prod(node.kernel))


ROUNDINGS: dict[type[Node], Callable[[Graph, Any], Rounding]] = {
    **dict.fromkeys((nodes.Conv2D, nodes.DepthwiseConv2D, nodes.FullyConnected), _nearest),
    **dict.fromkeys((nodes.Activation, nodes.Add, nodes.Mul, nodes.Mean, nodes.Flatten), _nearest),
    **dict.fromkeys((nodes.MaxPool2D, nodes.Rows), _nearest),
    **dict.fromkeys((nodes.Concat, nodes.Tile, nodes.ArgMax), _nearest),
    nodes.DetectionPostProcess: _nearest,  # it is float, and has no steps to round to
    nodes.Resize: lambda graph, node: round_between_,  # of a nearest one, they are integers
    nodes.AveragePool2D: _round_pool,
}


def round_between_(steps: Tensor) -> Tensor:
    """Rounds values between pixels to integers, ties up, as XNNPACK's RESIZE_BILINEAR does.

    Its weights are multiples of 2**-11 (``xnn_s8_ibilinear`` in src/s8-ibilinear). A resize by a
    power of two has many ties, which float32 misses by less than 2**-12.
    """
    return steps.mul_(TIE).round_().div_(TIE).add_(0.5).floor_()


def round_mean_(means: Tensor, zero_point: int, count: int) -> Tensor:
    """Rounds means of ``count`` integers, less the zero point, as AVERAGE_POOL_2D does.

    TFLite divides the sum of the integers themselves and rounds ties away from their zero
    (``AveragePool`` in tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h).
    """
    sums = means.add_(zero_point).mul_(count).round_()
    signs = sums.sign()
    # Exact where all terms are integers below 2**24: for windows of up to 2**16 positions in int8,
    # and of up to 2**9 in int16.
    return sums.abs_().add_(count // 2).div_(count).floor_().mul_(signs).sub_(zero_point)


def round_by_photo(x: Tensor) -> Tensor:
    """Rounds each photo's values to int8, asymmetrically, over the range that they take.

    What LiteRT's hybrid kernels, which have int8 weights and float activations, do to what they
    read (``AsymmetricQuantizeFloats`` in lite/kernels/internal/reference/portable_tensor_utils.cc,
    called for each photo by ``EvalHybridPerChannel`` in lite/kernels/conv.cc).

    Args:
        x: [n, …].

    Returns:
        The reals that the integers stand for.
    """
    flat = x.flatten(1)
    low, high = flat.amin(1).clamp_max_(0), flat.amax(1).clamp_min_(0)
    scale = ((high - low) / (INT8_MAX - INT8_MIN)).clamp_min_(SMALLEST_SCALE)
    zero_point = (INT8_MIN - low / scale).round_()
    scale, zero_point = (v.view(-1, *(1,) * (x.dim() - 1)) for v in (scale, zero_point))
    steps = (x / scale).add_(zero_point).round_().clamp_(INT8_MIN, INT8_MAX)
    return steps.sub_(zero_point).mul_(scale)


class _Rounded(Network):
    """A network with rounded weights, whose layers with float inputs round those at each run."""

    def __init__(self, graph: Graph) -> None:
        rounded = {
            name: reals(array, graph.quant[name]) if name in graph.quant else array
            for name, array in graph.weights.items()
        }
        super().__init__(replace(graph, weights=rounded))
        self.dynamic = {
            node.name for node in graph.nodes if scheme_of_node(graph, node) == W8_DYNAMIC
        }

    def run_node(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """Computes one node's output from its inputs, NCHW."""
        if node.name in self.dynamic:
            inputs = [round_by_photo(inputs[0])]
        return super().run_node(node, inputs)


class Simulation(nn.Module):
    """Executes a quantized Graph with fake quantization, for inference.

    Sums are those of float arithmetic, so results differ from an integer kernel's by about
    one step on the last layer.

    Args:
        graph: of any scheme (`edgekit.networks.schemes`). What has no `QuantParams` is float; what
            a layer with a quantized kernel reads without them is rounded photo by photo.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        #: What runs between the roundings, with the weights' rounded values.
        self.network: Network = _Rounded(graph)
        self.quant = graph.quant
        self.roundings = roundings(graph)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised photos, float [n, 3, height, width], to what `Network` gives."""
        outputs: Tensor = self.network.run(x, self.round)
        return outputs

    def round(self, name: str, tensor: Tensor) -> Tensor:
        """Rounds the tensor ``name`` to its integers; gives the reals that they stand for.

        A tensor without `QuantParams` stays as it is.
        """
        return self.round_(name, tensor.clone())

    def round_(self, name: str, tensor: Tensor) -> Tensor:
        """As `round`, in place: twice as fast."""
        params = self.quant.get(name)
        if params is None:
            return tensor
        # Four passes in place: several times faster than torch's own fake-quantize on a CPU.
        scale, zero_point = params.scale[0], params.zero_point[0]
        low, high = LIMITS[params.dtype]
        steps = tensor.div_(scale)
        steps = self.roundings.get(name, Tensor.round_)(steps)
        return steps.clamp_(low - zero_point, high - zero_point).mul_(scale)
