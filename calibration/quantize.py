"""Post-training quantization: reads tensors, writes QuantParams onto the Graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.calibration.histogram import Histogram, HistogramTap
from edgekit.calibration.ranges import Choice, Range, check_method, choose
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Activation, Add, FullyConnected, WeightedNode
from edgekit.networks.passes import join_swishes
from edgekit.networks.quantization import (
    BIASES,
    SIGMOID_RANGES,
    SUM_SHARES,
    activation_params,
    bias_params,
    scale_owners,
    weight_params,
)
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import Network


def fixed_ranges(graph: Graph, mean: float, std: float, dtype: str = "int8") -> dict[str, Range]:
    """Ranges that need no data: the input's, which is that of its pixels, and sigmoids'."""
    ranges = {graph.input: ((0 - mean) / std, (255 - mean) / std)}
    for node in graph.nodes:
        if isinstance(node, Activation) and node.kind == "sigmoid":
            ranges[node.name] = SIGMOID_RANGES[dtype]
    return ranges


def collect(
    graph: Graph,
    batches: Iterable[NDArray[np.float32]],
    *,
    skip: Iterable[str] = (),
    device: str = "cpu",
) -> dict[str, Histogram]:
    """Runs calibration photos through the float network and keeps a histogram per tensor.

    Tensors that have their scale from another have none: nothing is chosen for them. Nor is
    anything for classes.

    Args:
        graph: a prepared network (`edgekit.networks.passes.prepare`).
        batches: network inputs, float32 NHWC.
        skip: tensors that need none.
        device: torch device.

    Raises:
        EdgekitError: a weight or a tensor holds NaN or infinity.
    """
    for name, array in graph.weights.items():
        if not np.isfinite(array).all():
            raise EdgekitError(
                f"the weight '{name}' holds NaN or infinity",
                cause="the file that it came from is damaged, or its training diverged",
            )
    skipped = frozenset(skip) | scale_owners(graph).keys() | graph.class_tensors
    seen = {node.name for node in graph.nodes} - skipped
    network = place(Network(join_swishes(graph, seen)), device).eval()
    tap = HistogramTap(skipped)
    with torch.inference_mode():
        for batch in batches:
            photos = torch.from_numpy(batch).permute(0, 3, 1, 2).to(device)
            try:
                network.run(photos, tap)
            except FloatingPointError as error:
                raise EdgekitError(
                    f"the tensor '{error}' holds NaN or infinity",
                    cause="its values overflow float32: the weights before it are far too large",
                ) from None
    return tap.histograms


def choose_all(
    histograms: Mapping[str, Histogram],
    method: str,
    ranked: Collection[str] = (),
    named: Mapping[str, str] | None = None,
) -> dict[str, Choice]:
    """Chooses a range for every histogram.

    Args:
        histograms: by tensor.
        method: of `edgekit.calibration.ranges.METHODS`, or ``auto``.
        ranked: tensors whose largest values are the answers: their ranges hold these.
        named: methods of single tensors, by tensor, in place of ``method``.

    Raises:
        UsageError: no such method, or no such tensor.
    """
    own = named or {}
    if unknown := own.keys() - histograms.keys():
        raise UsageError(
            f"no calibrated tensor '{min(unknown)}'", hint=did_you_mean(min(unknown), histograms)
        )
    for one in (method, *own.values()):
        check_method(one)
    return {
        name: choose(histogram, own.get(name, method), to_maximum=name in ranked)
        for name, histogram in histograms.items()
    }


def choose_ranges(
    histograms: Mapping[str, Histogram],
    method: str,
    ranked: Collection[str] = (),
    named: Mapping[str, str] | None = None,
) -> dict[str, Range]:
    """The ranges alone of `choose_all`."""
    choices = choose_all(histograms, method, ranked, named)
    return {name: (choice.low, choice.high) for name, choice in choices.items()}


def quantize(
    graph: Graph,
    ranges: Mapping[str, Range],
    dtype: str = "int8",
    kernels: Mapping[str, QuantParams] | None = None,
) -> Graph:
    """Puts a scheme of TFLite's with integers throughout on a prepared network.

    Args:
        graph: batch normalizations folded, activations written out.
        ranges: of the input and of every node's output, but for classes and for those that have
            their scale from another tensor (`edgekit.networks.quantization.scale_owners`).
        dtype: of the activations.
        kernels: parameters of kernels that have some already; the others get their own.

    Raises:
        ValueError: a tensor has no range.
    """
    owners = scale_owners(graph)
    tensors = {graph.input, *(node.name for node in graph.nodes)} - graph.class_tensors
    missing = tensors - owners.keys() - ranges.keys()
    if missing:
        raise ValueError(f"no range for {sorted(missing)[:3]}")
    quant: dict[str, QuantParams] = {
        name: activation_params(low, high, dtype)
        for name, (low, high) in wide_enough(graph, ranges).items()
    }
    quant |= {name: quant[owner] for name, owner in owners.items()}
    quant |= kernels or {}
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            input_scale, kernel = quant[node.inputs[0]].scale[0], f"{node.name}/kernel"
            if kernel not in quant:
                quant[kernel] = kernel_params(graph, node, input_scale, BIASES[dtype])
            quant[f"{node.name}/bias"] = bias_params(input_scale, quant[kernel], BIASES[dtype])
    return replace(graph, quant=quant)


def wide_enough(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Widens the ranges of a sum's terms to a share of the sum's own that XNNPACK takes.

    The branch of a block that has learned nothing is zero, or next to it. XNNPACK leaves the sum to
    a slower kernel then, and with it the whole network falls into parts. A term's steps that are
    far below the sum's are lost in its rounding, whatever they are.
    """
    wide, owners = dict(ranges), scale_owners(graph)
    for node in reversed(graph.nodes):  # a sum may be a term of a later one
        if not isinstance(node, Add) or node.name not in wide:
            continue
        least = 2 * SUM_SHARES[0] * _span(wide[node.name])
        for name in {owners.get(name, name) for name in node.inputs} & wide.keys():
            low, high = wide[name]
            if (more := least - _span(wide[name])) > 0:
                wide[name] = (min(low, 0.0) - more / 2, max(high, 0.0) + more / 2)
    return wide


def _span(values: Range) -> float:
    return max(values[1], 0.0) - min(values[0], 0.0)


def kernel_params(
    graph: Graph, node: WeightedNode, input_scale: float, bias_dtype: str = "int32"
) -> QuantParams:
    """The parameters of a node's kernel, beside a bias that it leaves room for."""
    weights = graph.node_weights(node)
    return weight_params(
        weights["kernel"],
        weights["bias"],
        input_scale,
        # Some accelerators take no per-channel fully connected layer.
        per_tensor=isinstance(node, FullyConnected),
        bias_dtype=bias_dtype,
    )
