"""The quantized network in float arithmetic: every tensor rounded to its 8-bit grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from edgekit.calibration.affine import INT8_MAX, INT8_MIN, reals
from edgekit.calibration.mixed import is_float
from edgekit.graph import AveragePool2D, Graph
from edgekit.network import Network

#: Rounds values in steps, less the zero point, to whole steps; in place.
Rounding = Callable[[Tensor], Tensor]


def roundings(graph: Graph) -> dict[str, Rounding]:
    """The roundings of a quantized Graph that are not to the nearest integer, ties to even.

    Returns:
        By tensor: what integer AVERAGE_POOL_2Ds write. Ties, which windows of four have in every
        fourth place, all go one way there: a bias that no mean behind it takes out.
    """
    return {
        node.name: partial(
            round_mean_,
            zero_point=graph.quant[node.name].zero_point[0],
            count=math.prod(node.kernel),
        )
        for node in graph.nodes
        if isinstance(node, AveragePool2D) and not is_float(graph, node)
    }


def round_mean_(means: Tensor, zero_point: int, count: int) -> Tensor:
    """Rounds means of ``count`` integers, less the zero point, as AVERAGE_POOL_2D does.

    TFLite divides the sum of the integers themselves and rounds ties away from their zero
    (``AveragePool`` in tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h).
    """
    sums = means.add_(zero_point).mul_(count).round_()
    signs = sums.sign()
    # Exact for windows of up to 2**16 positions: all terms are integers below 2**24.
    return sums.abs_().add_(count // 2).div_(count).floor_().mul_(signs).sub_(zero_point)


class Simulation(nn.Module):
    """Executes a quantized Graph with fake quantization, for inference.

    Sums are those of float arithmetic, so results differ from an integer kernel's by about
    one step on the last layer.

    Args:
        graph: with `QuantParams` on every tensor and weight, or, where it is mixed
            (`edgekit.calibration.mixed`), on those that are not float.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        rounded = {
            name: reals(array, graph.quant[name]) if name in graph.quant else array
            for name, array in graph.weights.items()
        }
        #: What runs between the roundings, with the weights' rounded values.
        self.network = Network(replace(graph, weights=rounded))
        self.quant = graph.quant
        self.roundings = roundings(graph)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised photos, float [n, 3, height, width], to logits, float [n, classes]."""
        logits: Tensor = self.network.run(x, self.round)
        return logits

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
        steps = tensor.div_(scale)
        steps = self.roundings.get(name, Tensor.round_)(steps)
        return steps.clamp_(INT8_MIN - zero_point, INT8_MAX - zero_point).mul_(scale)
