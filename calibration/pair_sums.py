"""Fits 8-bit kernels to processors that add two products in 16 bits.

x86 processors without VNNI multiply bytes by weights with an instruction that adds the products of
two neighbouring input channels in 16 bits, and saturates (PMADDUBSW, Intel 64 and IA-32
Architectures Software Developer's Manual, volume 2B). The sum fits whatever the bytes are where the
positive weights of the two are at most 128 together, and the negative ones likewise. A channel that
has a larger pair is given a larger scale, by as little as is needed.

A coarser grid moves the means of what the channel gives, and that costs more than its noise:
Lite0 on flowers loses a KL divergence of 0.0023 by it, and 0.0006 with corrected biases. Limiting
every weight to 64, as NNCF does, costs 0.0082 and 0.0014.

Depthwise kernels have no neighbours: theirs are exact as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.data.selection import evenly
from edgekit.networks import nodes
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import WITHOUT_KERNEL, Array, Node
from edgekit.networks.quantization import INT8_MIN, bias_params, integers, reals

#: The largest sum of two weights of one sign: 32,767, the end of int16, over a byte's 255.
LARGEST_PAIR = 128
#: By how much a scale is raised at least, so that roundings do not hold it in its place.
SMALLEST_RAISE = 1.002
#: Photos whose means are taken: with 8, 16, 32 and 64 of them, Lite0's divergence from fp32 on
#: flowers is 0.00054, 0.00050, 0.00053 and 0.00058.
PHOTOS = 16


def fit_kernels(
    graph: Graph,
    calibration: Callable[[], Iterable[NDArray[np.uint8]]],
    *,
    across_taps: bool = False,
) -> Graph:
    """The network with kernels that every processor computes alike, and biases to go with them.

    Args:
        graph: quantized, or mixed; a float one stays as it is.
        calibration: photos, uint8 batches [n, height, width, 3].
        across_taps: as for `fit_pairs`.
    """
    fitted = fit_pairs(graph, across_taps=across_taps)
    if fitted.quant == graph.quant or graph.input not in graph.quant:
        return fitted
    return correct_shift(graph, fitted, mean_inputs(graph, calibration()))


def fit_pairs(graph: Graph, *, across_taps: bool = False) -> Graph:
    """Raises the scales of the kernels whose pairs of products might not fit in 16 bits.

    Args:
        graph: quantized, or mixed; a float one stays as it is.
        across_taps: where a tap has an odd number of channels, its last one is added to the first
            of the next tap, as ONNX Runtime does it, and not to a zero, as OpenVINO does.

    Returns:
        The same weights with other `QuantParams`. What fits already is not changed.
    """
    quant = dict(graph.quant)
    for node in graph.nodes:
        kernel, bias = f"{node.name}/kernel", f"{node.name}/bias"
        fit = FITS.get(type(node))
        if fit is None or kernel not in quant:
            continue
        fitted = fit(graph.weights[kernel], quant[kernel], across_taps)
        if fitted != quant[kernel]:
            quant[kernel] = fitted
            quant[bias] = bias_params(quant[node.inputs[0]].scale[0], fitted)
    return replace(graph, quant=quant)


def largest_pairs(steps: NDArray[np.int32], across_taps: bool = False) -> NDArray[np.int64]:
    """The largest sum of two neighbouring weights of one sign, by output channel.

    Args:
        steps: a kernel's integers; the last axes are input and output channels.
        across_taps: as for `fit_pairs`.
    """
    inputs, outputs = steps.shape[-2:]
    rows = steps.reshape(-1, steps[..., 0].size if across_taps else inputs, outputs)
    if rows.shape[1] % 2:  # the last channel is next to a zero
        rows = np.pad(rows, ((0, 0), (0, 1), (0, 0)))
    signs = np.stack([rows.clip(min=0), -rows.clip(max=0)])
    sums: NDArray[np.int64] = (signs[:, :, ::2] + signs[:, :, 1::2]).max((0, 1, 2)).astype(np.int64)
    return sums


def _fitted(kernel: Array, params: QuantParams, across_taps: bool) -> QuantParams:
    filters = kernel.shape[-1]
    scale = np.broadcast_to(np.array(params.scale, np.float64), filters).copy()
    fitted = params
    while True:
        sums = largest_pairs(integers(kernel, fitted), across_taps)
        if not (beyond := sums > LARGEST_PAIR).any():
            return fitted
        raised = np.maximum(sums / LARGEST_PAIR, SMALLEST_RAISE)
        scale[beyond] *= raised[beyond]
        scales = tuple(float(value) for value in scale.astype(np.float32))
        fitted = QuantParams(scales, (0,) * filters, axis=kernel.ndim - 1)


FITS: dict[type[Node], Callable[[Array, QuantParams, bool], QuantParams]] = {
    nodes.Conv2D: _fitted,
    nodes.FullyConnected: _fitted,
}
UNSUPPORTED = WITHOUT_KERNEL | {nodes.DepthwiseConv2D: "its channels are not summed: it is exact"}


def mean_inputs(graph: Graph, batches: Iterable[NDArray[np.uint8]]) -> dict[str, Array]:
    """The mean of every tensor over photos and positions, by channel.

    Args:
        graph: quantized, its input too.
        batches: photos, uint8 [n, height, width, 3]; `PHOTOS` of all are taken, evenly spread.

    Returns:
        float32 [channels] by tensor.
    """
    import torch
    from torch import Tensor

    from edgekit.calibration.simulate import Simulation

    simulation = Simulation(graph).eval()
    params = graph.quant[graph.input]
    means: dict[str, Tensor] = {}
    photos = np.concatenate(list(batches))
    photos = photos[evenly(len(photos), PHOTOS)]

    def add(name: str, tensor: Tensor) -> Tensor:
        if name in graph.class_tensors:
            return tensor
        tensor = simulation.round(name, tensor)
        means[name] = tensor.flatten(2).mean((0, 2)) if tensor.dim() == 4 else tensor.mean(0)
        return tensor

    with torch.inference_mode():
        steps = photos.astype(np.float32) + np.float32(INT8_MIN - params.zero_point[0])
        inputs = torch.from_numpy(steps * np.float32(params.scale[0])).permute(0, 3, 1, 2)
        simulation.network.run(inputs, add)
    return {name: mean.numpy() for name, mean in means.items()}


def correct_shift(graph: Graph, fitted: Graph, means: Mapping[str, Array]) -> Graph:
    """Takes the shift that other scales bring out of the biases.

    Args:
        graph: the quantized network.
        fitted: the same after `fit_pairs`.
        means: of the tensors, from `mean_inputs`.

    Returns:
        ``fitted`` with other biases.
    """
    weights = dict(fitted.weights)
    for node in graph.nodes:
        kernel, bias = f"{node.name}/kernel", f"{node.name}/bias"
        if fitted.quant.get(kernel) == graph.quant.get(kernel):
            continue
        error = reals(weights[kernel], fitted.quant[kernel]) - reals(
            weights[kernel], graph.quant[kernel]
        )
        # At a border some taps read padding; the means are those of all places.
        shift = means[node.inputs[0]] @ error.reshape(-1, *error.shape[-2:]).sum(0)
        weights[bias] = (weights[bias] - shift).astype(np.float32)
    return replace(fitted, weights=weights)
