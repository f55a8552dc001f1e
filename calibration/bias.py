"""Bias correction: takes out of every layer the mean error that quantization brought into it.

Most activations of a swish network are small, lie within one step of their grid and round the
same way, so their errors add up to a shift of the next layer's output instead of cancelling. The
bias of that layer can take the shift out, layer after layer (Nagel et al. 2019, arXiv 1906.04721,
section 4.2, with photos instead of statistics).
"""

from __future__ import annotations

from torch import Tensor

from edgekit.calibration.layerwise import Advance, Layer, repair_layers
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array

#: Share of an average channel's weight that is added to every channel's, against division by 0.
RIDGE = 1e-3
#: Rows and columns of a map that are read, about.
SIDE = 14


def correct_biases(
    graph: Graph,
    quantized: Graph,
    inputs: Array,
    *,
    device: str = "cpu",
    advance: Advance | None = None,
) -> Graph:
    """Corrects the biases of a quantized network against its float self.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`).
        quantized: the same network with `QuantParams`.
        inputs: network inputs, float32 NHWC, of `layerwise.photos_for` photos; no labels.
        device: torch device.
        advance: told about progress.

    Returns:
        The quantized network with other biases; nothing else changes.
    """

    def repair(layer: Layer) -> tuple[Array, Tensor]:
        shift = mean_error(layer)
        bias = quantized.weights[f"{layer.node.name}/bias"] - shift.cpu().numpy()
        return bias, layer.found.sub_(of_channels(shift, layer.found))

    return repair_layers(graph, quantized, inputs, repair, device=device, advance=advance)


def mean_error(layer: Layer) -> Tensor:
    """The constant per channel that takes most of a layer's error out, in the least squares sense.

    Of large maps a part of the rows and columns is read: neighbours tell the same.

    Returns:
        [C].
    """
    wanted, found = thinned(layer.wanted), thinned(layer.found)
    error, slope = found - wanted, layer.slope(wanted)
    axes = [axis for axis in range(error.dim()) if axis != 1]
    if slope is None:
        return error.mean(axes)
    weight = slope.square()
    # Where the activation is flat nearly everywhere, a few values would decide: do little.
    doubt = RIDGE * weight.mean() * weight[:, 0].numel()
    return (error * weight).sum(axes) / (weight.sum(axes) + doubt)


def thinned(maps: Tensor) -> Tensor:
    """About `SIDE` rows and columns of NCHW maps; vectors as they are."""
    if maps.dim() < 4:
        return maps
    down, right = (max(1, side // SIDE) for side in maps.shape[2:])
    return maps[:, :, ::down, ::right]


def of_channels(values: Tensor, like: Tensor) -> Tensor:
    """Values of the channels, [C], in a shape that is broadcast over a tensor [n, C, …]."""
    return values.view(1, -1, *(1,) * (like.dim() - 2))
