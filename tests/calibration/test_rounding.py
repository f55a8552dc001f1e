"""Learned rounding moves integers by one at most, and never for the worse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow
from torch.nn import functional as F

from edgekit.calibration.bias import correct_biases
from edgekit.calibration.layerwise import Layer
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.rounding import Rounding, _sample, learn_rounding
from edgekit.calibration.simulate import Simulation
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import Conv2D, DepthwiseConv2D
from edgekit.networks.passes import prepare
from edgekit.networks.quantization import integers
from edgekit.networks.torch_network import Network

SIZE, CLASSES = 32, 6
INPUTS = np.random.default_rng(0).uniform(-1, 1, (24, SIZE, SIZE, 3)).astype(np.float32)
FRESH = np.random.default_rng(1).uniform(-1, 1, (24, SIZE, SIZE, 3)).astype(np.float32)


def coarse(graph, bits):
    """The quantized network, its kernels with fewer bits: rounding is what is wrong with it."""
    fixed = fixed_ranges(graph, 127, 128)
    ranges = choose_ranges(collect(graph, [INPUTS], skip=fixed), "minmax")
    quantized = quantize(graph, {**ranges, **fixed})
    wider = 2 ** (8 - bits)
    quant = {
        name: replace(params, scale=tuple(scale * wider for scale in params.scale))
        if name.endswith("/kernel")
        else params
        for name, params in quantized.quant.items()
    }
    return replace(quantized, quant=quant)


def error(graph, quantized):
    """Mean squared error of the logits on photos that were not learned from."""
    batch = torch.from_numpy(FRESH).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted, found = Network(graph).eval()(batch), Simulation(quantized).eval()(batch)
    return float((found - wanted).square().mean() / wanted.var())


@pytest.mark.slow  # learns; the kernels themselves are below
@pytest.mark.parametrize("name", ["lite0", pytest.param("b0", marks=pytest.mark.slow)])
def test_coarse_kernels_lose_less(name):
    graph = prepare(build_graph(narrow(name), classes=CLASSES, resolution=SIZE, seed=2))
    bare = coarse(graph, bits=4)
    learned = learn_rounding(graph, bare, INPUTS, Rounding(steps=80, batch=256))
    assert error(graph, learned) < 0.8 * error(graph, correct_biases(graph, bare, INPUTS))
    assert learned.quant == bare.quant
    moved = 0
    for name, array in bare.weights.items():
        if name.endswith("/kernel"):
            nearest = integers(array, bare.quant[name])
            found = integers(learned.weights[name], bare.quant[name])
            assert np.abs(found - nearest).max() <= 1
            # What it gives lies on the grid: the file rounds it once more.
            grid = found * np.array(bare.quant[name].scale)
            np.testing.assert_allclose(learned.weights[name], grid, rtol=1e-5, atol=1e-7)
            moved += (found != nearest).sum()
    assert moved > 1000


def test_the_same_seed_gives_the_same_integers():
    graph = prepare(build_graph(narrow("lite0"), classes=CLASSES, resolution=SIZE, seed=2))
    bare = coarse(graph, bits=4)
    one, two = (
        learn_rounding(graph, bare, INPUTS[:8], Rounding(steps=3, batch=64), seed=5)
        for _ in range(2)
    )
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
def test_patches_are_what_the_kernel_sees(side, padding, depthwise, kernel, stride):
    shape = {"inputs": ("x",), "kernel": kernel, "stride": stride, "padding": padding}
    node = DepthwiseConv2D(name="y", **shape) if depthwise else Conv2D(name="y", filters=5, **shape)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, side, side, generator=generator)
    weight = torch.randn(*((4, 1) if depthwise else (5, 4)), kernel, kernel, generator=generator)
    (top, bottom), (left, right) = (node.pads(length) for length in x.shape[2:])
    padded = F.pad(x, (left, right, top, bottom))
    y = F.conv2d(padded, weight, stride=stride, groups=4 if depthwise else 1)
    out = -(-side // stride)
    y = y[..., :out, :out]
    patches, wanted, weights = _sample(
        Layer(node, x, y, y, lambda wanted: None, None), 1000, generator
    )
    flat = weight.flatten(1)
    found = (patches * flat).sum(2) if depthwise else patches @ flat.t()
    assert len(wanted) == 2 * out * out
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert (weights == 1).all()
