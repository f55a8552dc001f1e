"""Learned rounding: which way each weight rounds is learned, layer by layer, and with it the bias.

The nearest integer is the best for a weight alone, not for the sum that it is part of, and not on
the inputs that a quantized network really gives it. Source: AdaRound, Nagel et al. 2020
(arXiv 2004.10568), section 3: the soft rounding h(V) of equations 23 and 24, the regulariser of
equation 24 with its falling exponent, and asymmetric reconstruction (equation 25), in which each
layer sees what the repaired layers before it give. The activation enters by the squared slope
(`edgekit.calibration.layerwise`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.calibration.bias import mean_error, of_channels
from edgekit.calibration.layerwise import Advance, Layer, Rerun, repair_layers
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Array, DepthwiseConv2D, SpatialNode
from edgekit.networks.quantization import WEIGHT_MAX
from edgekit.networks.torch_network import from_torch, to_torch

#: The stretch of the soft rounding, so that it reaches 0 and 1 (section 3.2).
GAMMA, ZETA = -0.1, 1.1


@dataclass(frozen=True)
class Rounding:
    """How the rounding is learned.

    Attributes:
        steps: of Adam, per layer.
        positions: of the output map, over all photos, from which a layer learns.
        batch: positions per step.
        rate: of Adam, for the variables behind the rounding.
        weight: of the regulariser, beside a loss that starts at 1.
        exponent: of the regulariser, at the start and at the end.
        free: share of the steps before the regulariser acts.
    """

    steps: int = 200
    positions: int = 8192
    batch: int = 512
    rate: float = 0.03
    weight: float = 1.0
    exponent: tuple[float, float] = (20.0, 2.0)
    free: float = 0.2


def learn_rounding(
    graph: Graph,
    quantized: Graph,
    inputs: Array,
    settings: Rounding | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    advance: Advance | None = None,
) -> Graph:
    """Learns the rounding of every kernel of a quantized network, and its biases.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`).
        quantized: the same network with `QuantParams`.
        inputs: network inputs, float32 NHWC, of `layerwise.photos_for` photos; no labels.
        settings: steps and rates.
        seed: of the positions and batches.
        device: torch device.
        advance: told about progress.

    Returns:
        The quantized network with kernels on their grid and other biases; each kernel's integers
        differ from the nearest ones by at most 1.
    """
    chosen = settings or Rounding()
    generator = torch.Generator().manual_seed(seed)

    def repair(layer: Layer, rerun: Rerun) -> tuple[dict[str, Array], Tensor]:
        name = layer.node.name
        kernel = torch.from_numpy(np.array(quantized.weights[f"{name}/kernel"], np.float32))
        kernel = to_torch(layer.node, kernel).to(layer.found.device)
        scale = _scale(quantized.quant[f"{name}/kernel"], kernel)
        rounded = _learn(layer, kernel / scale, scale, chosen, generator) * scale
        module = layer.module
        cast(Tensor, module.kernel).data.copy_(rounded)
        found = rerun()
        # The part of the error that is the same everywhere is the bias's.
        shift = mean_error(replace(layer, found=found))
        found = found.sub_(of_channels(shift, found))
        bias = quantized.weights[f"{name}/bias"] - shift.cpu().numpy()
        array = np.ascontiguousarray(from_torch(layer.node, rounded).cpu().numpy())
        return {"kernel": array, "bias": bias}, found

    return repair_layers(graph, quantized, inputs, repair, device=device, advance=advance)


def _scale(params: QuantParams, kernel: Tensor) -> Tensor:
    """The scales so that they divide a kernel in torch's layout, output channel first."""
    scale = torch.tensor(params.scale, dtype=torch.float32, device=kernel.device)
    return scale.reshape(-1, *(1,) * (kernel.dim() - 1))


def _learn(
    layer: Layer, steps: Tensor, scale: Tensor, settings: Rounding, generator: torch.Generator
) -> Tensor:
    """The integers of a kernel, float, in torch's layout.

    Args:
        layer: the layer.
        steps: its kernel in integer steps, not rounded.
        scale: that makes reals of them.
        settings: how to learn.
        generator: of positions and batches.
    """
    patches, wanted, weight = _sample(layer, settings.positions, generator)
    shape = steps.shape
    flat = steps.flatten(1)
    grid = scale.reshape(-1, 1)
    floor = flat.floor()
    share = ((flat - floor).clamp(1e-4, 1 - 1e-4) - GAMMA) / (ZETA - GAMMA)
    v = torch.logit(share).requires_grad_()
    bias = cast(Tensor, layer.module.bias).detach().clone().requires_grad_()
    spread = wanted.std(0).mean().clamp_min(1e-6)
    optimizer = torch.optim.Adam(
        [{"params": [v], "lr": settings.rate}, {"params": [bias], "lr": 1e-3 * float(spread)}]
    )

    def output(rows: Tensor, integers: Tensor) -> Tensor:
        kernel = integers.clamp(-WEIGHT_MAX, WEIGHT_MAX) * grid
        if rows.dim() == 3:  # depthwise: [n, C, k * k]
            return (rows * kernel).sum(2) + bias
        return rows @ kernel.t() + bias

    with torch.no_grad():
        nearest = weight * (output(patches, flat.round()) - wanted).square()
        unit = nearest.mean().clamp_min(1e-12)
    for step in range(settings.steps):
        some = torch.randint(len(patches), (settings.batch,), generator=generator)
        soft = (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
        error = output(patches[some], floor + soft) - wanted[some]
        loss = (weight[some] * error.square()).mean() / unit
        progress = step / settings.steps
        if progress >= settings.free:
            first, last = settings.exponent
            settled = (progress - settings.free) / (1 - settings.free)
            exponent = first + (last - first) * settled
            loss = loss + settings.weight * (1 - (2 * soft - 1).abs().pow(exponent)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        learned = floor + (v >= 0)
        after = (weight * (output(patches, learned) - wanted).square()).mean()
        # A layer that did not gain keeps its nearest integers.
        best = learned if after < nearest.mean() else flat.round()
        return best.clamp(-WEIGHT_MAX, WEIGHT_MAX).reshape(shape)


def _sample(layer: Layer, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """What the kernel sees at random places of the output, and what it should make of it.

    Returns:
        Patches, [n, k * k * C] in the order of torch's kernels or for a depthwise layer
        [n, C, k * k]; wanted outputs, [n, filters]; weights of their squared errors, likewise.
    """
    node, x, y = layer.node, layer.inputs, layer.wanted
    if not isinstance(node, SpatialNode):
        return x, y, _weight(layer, y)
    photos, _, height, width = y.shape
    n = min(count, photos * height * width)
    at = torch.randperm(photos * height * width, generator=generator)[:n]
    photo, row, column = at // (height * width), at // width % height, at % width
    (top, bottom), (left, right) = (node.pads(side) for side in x.shape[2:])
    x = F.pad(x, (left, right, top, bottom))
    columns = [
        x[photo, :, row * node.stride + dy, column * node.stride + dx]
        for dy in range(0, node.reach, node.dilation)
        for dx in range(0, node.reach, node.dilation)
    ]
    patches = torch.stack(columns, 2)  # [n, C, k * k]
    if not isinstance(node, DepthwiseConv2D):
        patches = patches.flatten(1)
    wanted = y[photo, :, row, column]
    return patches, wanted, _weight(layer, wanted)


def _weight(layer: Layer, wanted: Tensor) -> Tensor:
    slope = layer.slope(wanted)
    return torch.ones_like(wanted) if slope is None else slope.square()
