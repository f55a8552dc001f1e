"""The kernels of an int8 network beside other activations: in 16 bits, in float, or in both.

The kernels are those of the float network, rounded to the nearest step of the int8 network's
scales. What that has learned is left out: its kernels (`edgekit.calibration.reconstruction`) and
its biases make up for the errors of int8 activations, which are not there. With learned kernels,
EfficientNetV2-B0's divergence from fp32 in 16 bits is 0.0009 on ImageNet photos, for 0.0003. Each
scheme's own biases are corrected by `edgekit.calibration.bias`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit.calibration.histogram import Histogram
from edgekit.calibration.pair_sums import fit_pairs
from edgekit.calibration.quantize import kernel_params, quantize
from edgekit.calibration.ranges import Range
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import WeightedNode
from edgekit.networks.quantization import read_by_kernels

#: Kernels with fewer numbers stay float where activations are: they save next to nothing, and
#: TensorFlow's converter keeps them, too (``weights_min_num_elements`` of quantize_weights.cc).
FEW_WEIGHTS = 1024

#: 16-bit ranges reach so many times as far as what was seen. Other photos go beyond, logits above
#: all, and are clipped: that was nearly all of the loss of a narrow Lite0 (KL 0.0011 with exact
#: kernels; 0.0002 with twice or four times the range). It costs one of the 16 bits.
HEADROOM = 2.0


def int16_ranges(histograms: Mapping[str, Histogram]) -> dict[str, Range]:
    """The extremes that were seen, with room beyond them; nothing is gained by clipping any."""
    return {
        name: (HEADROOM * one.minimum, HEADROOM * one.maximum) for name, one in histograms.items()
    }


def with_int16_activations(graph: Graph, quantized: Graph, ranges: Mapping[str, Range]) -> Graph:
    """Makes the network of ``w8a16-static``: int8 kernels, int16 activations, int64 biases.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`).
        quantized: the same in int8, or mixed, for the scales of kernels; one that is float there
            gets its own.
        ranges: `int16_ranges`, and those that are fixed for int16
            (`edgekit.calibration.quantize.fixed_ranges`).

    Returns:
        The network with biases that are not corrected yet.
    """
    return quantize(graph, ranges, "int16", _kernels(quantized))


def with_float_activations(graph: Graph, quantized: Graph) -> Graph:
    """Makes the network of ``w8-dynamic``: int8 kernels alone, of `FEW_WEIGHTS` numbers at least.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`).
        quantized: the same in int8, or mixed, for the scales of kernels; one that is float there
            gets its own.

    Returns:
        The network with biases that are not corrected yet.
    """
    large = {
        f"{node.name}/kernel": node
        for node in graph.nodes
        if isinstance(node, WeightedNode)
        and graph.weights[f"{node.name}/kernel"].size >= FEW_WEIGHTS
    }
    known = {name: params for name, params in _kernels(quantized).items() if name in large}
    # Float biases fit beside any scale: an input's scale of 1 leaves them all the room.
    own = {
        name: kernel_params(graph, node, 1.0) for name, node in large.items() if name not in known
    }
    return replace(graph, quant=known | own)


def rounded_at_kernels(graph: Graph, quantized: Graph) -> Graph:
    """Makes the network that is rounded where int8 kernels read, and float in between.

    So OpenVINO computes an int8 file. Fewer roundings have other mean errors: with the biases of
    the network that is int8 throughout, EfficientNetV2-B0's divergence from fp32 is 0.0115 on
    ImageNet photos, and 0.0049 with its own.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`).
        quantized: the same in int8, or mixed, for the scales.

    Returns:
        The network with biases that are not corrected yet, and kernels that fit in 16-bit sums
        (`edgekit.calibration.pair_sums`).
    """
    between = {node.name for node in graph.nodes} - read_by_kernels(quantized)
    quant = {name: params for name, params in quantized.quant.items() if name not in between}
    return fit_pairs(replace(graph, quant=quant))


def _kernels(quantized: Graph) -> dict[str, QuantParams]:
    """The parameters of a quantized network's kernels."""
    names = [f"{node.name}/kernel" for node in quantized.nodes if isinstance(node, WeightedNode)]
    return {name: quantized.quant[name] for name in names if name in quantized.quant}
