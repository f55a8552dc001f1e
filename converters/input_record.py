"""The normalization that a written file's input wants, which need not be that of the weights."""

from __future__ import annotations

from dataclasses import replace

from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.networks.quantization import INT8_MIN


def own_normalization(graph: Graph, preprocessing: Preprocessing) -> Preprocessing:
    """The record with the normalization that the network's input really has.

    Quantization leaves the input (pixel - mean) / std with one mean and one std, and puts what
    else the weights expect into the first layer (`edgekit.networks.passes.absorb_normalization`).

    Args:
        graph: a prepared network, float or quantized.
        preprocessing: of the weights.
    """
    if graph.input not in graph.quant:
        return preprocessing
    params = graph.quant[graph.input]
    # An input's integer is pixel - 128 (`edgekit.calibration.quantize.fixed_ranges`).
    mean, std = float(params.zero_point[0] - INT8_MIN), 1 / params.scale[0]
    return replace(preprocessing, mean=(mean,) * 3, std=(std,) * 3)
