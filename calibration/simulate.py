"""The quantized network in float arithmetic: every tensor rounded to its 8-bit grid."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from edgekit.calibration.affine import INT8_MAX, INT8_MIN, reals
from edgekit.graph import Graph
from edgekit.network import Network


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

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised photos, float [n, 3, height, width], to logits, float [n, classes]."""
        logits: Tensor = self.network(x, self.round)
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
        steps = tensor.div_(scale).round_()
        return steps.clamp_(INT8_MIN - zero_point, INT8_MAX - zero_point).mul_(scale)
