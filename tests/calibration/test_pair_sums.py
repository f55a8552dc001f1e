"""Kernels that fit sums of two products in 16 bits, and biases that go with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import quantized

from edgekit.calibration import pair_sums
from edgekit.calibration.pair_sums import (
    LARGEST_PAIR,
    correct_shift,
    fit_pairs,
    largest_pairs,
    mean_inputs,
)
from edgekit.calibration.simulate import Simulation
from edgekit.networks.nodes import Conv2D, DepthwiseConv2D, FullyConnected
from edgekit.networks.quantization import integers

PHOTOS = np.random.default_rng(5).integers(0, 256, (8, 48, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def graph():
    return quantized("lite0")[1]


def kernels(graph, kinds=(Conv2D, FullyConnected)):
    return {
        f"{node.name}/kernel": integers(
            graph.weights[f"{node.name}/kernel"], graph.quant[f"{node.name}/kernel"]
        )
        for node in graph.nodes
        if isinstance(node, kinds)
    }


def saturates(steps):
    """Whether two neighbouring products with some bytes leave 16 bits: all of 0 and 255."""
    rows = steps.reshape(-1, *steps.shape[-2:])
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2), (0, 0)))
    sums = np.stack([a * rows[:, ::2] + b * rows[:, 1::2] for a in (0, 255) for b in (0, 255)])
    return bool(((sums > 32767) | (sums < -32768)).any())


def test_no_bytes_make_a_fitted_kernel_saturate(graph):
    before, after = (kernels(g) for g in (graph, fit_pairs(graph)))
    assert sum(map(saturates, before.values())) > len(before) / 2
    assert not any(map(saturates, after.values()))


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ([100, 29, 7], 129),
        ([-100, -29, -127], 129),
        ([100, -100, 127], 127),
        ([1, 100, 28, 0], 101),  # neighbours of different pairs do not meet
    ],
)
def test_a_pair_is_two_neighbouring_inputs(channels, expected):
    steps = np.array(channels, np.int32)[:, None]
    assert largest_pairs(steps).tolist() == [expected]
    assert (
        largest_pairs(np.broadcast_to(steps, (3, 3, len(channels), 2))).tolist() == [expected] * 2
    )


def test_a_pair_may_reach_into_the_next_tap():
    steps = np.array([[1, 2, 100], [29, 3, 4]], np.int32)[None, ..., None]  # two taps of three
    assert largest_pairs(steps).tolist() == [100]
    assert largest_pairs(steps, across_taps=True).tolist() == [129]


def test_kernels_of_an_odd_number_of_channels_fit_across_taps_too(graph):
    stem = f"{graph.nodes[0].name}/kernel"
    fitted = fit_pairs(graph, across_taps=True)
    assert largest_pairs(kernels(fitted)[stem], across_taps=True).max() <= LARGEST_PAIR
    assert largest_pairs(kernels(graph)[stem], across_taps=True).max() > LARGEST_PAIR


def test_what_fits_is_left_as_it_is(graph):
    fitted = fit_pairs(graph)
    assert fit_pairs(fitted).quant == fitted.quant
    for name, steps in kernels(graph).items():
        before, after = (np.array(g.quant[name].scale) for g in (graph, fitted))
        beyond = largest_pairs(steps) > LARGEST_PAIR
        np.testing.assert_array_equal(after > before, beyond)
        assert (after < 2.02 * before).all()
    for name in kernels(graph, (DepthwiseConv2D,)):
        assert fitted.quant[name] == graph.quant[name]
    floating = replace(graph, quant={})
    assert fit_pairs(floating) == floating


def test_a_kernel_with_one_scale_gets_one_for_each_channel(graph):
    params = graph.quant["logits/kernel"]
    one = replace(params, scale=(max(params.scale),), zero_point=(0,), axis=None)
    weights = dict(graph.weights)
    weights["logits/kernel"] = np.abs(weights["logits/kernel"])
    single = replace(graph, weights=weights, quant={**graph.quant, "logits/kernel": one})
    fitted = fit_pairs(single).quant["logits/kernel"]
    assert fitted.axis == 1
    assert len(fitted.scale) == graph.classes
    assert not saturates(integers(weights["logits/kernel"], fitted))


def test_corrected_biases_bring_the_means_back(graph):
    fitted = fit_pairs(graph)
    means = mean_inputs(graph, [PHOTOS[:4], PHOTOS[4:]])
    corrected = correct_shift(graph, fitted, means)
    for layer in ("block1a_project", "block2a_project"):
        outputs = [mean_inputs(g, [PHOTOS])[layer] for g in (graph, fitted, corrected)]
        plain, repaired = (np.abs(outputs[0] - one).mean() for one in outputs[1:])
        assert repaired < 0.4 * plain
    assert corrected.quant == fitted.quant


def test_means_are_those_of_the_simulation(graph):
    params = graph.quant[graph.input]
    inputs = (PHOTOS.astype(np.float32) - 128 - params.zero_point[0]) * params.scale[0]
    with torch.inference_mode():
        wanted = Simulation(graph).eval()(torch.from_numpy(inputs).permute(0, 3, 1, 2)).mean(0)
    found = mean_inputs(graph, [PHOTOS[:3], PHOTOS[3:]])
    np.testing.assert_allclose(found[graph.output], wanted.numpy(), rtol=1e-4, atol=1e-5)
    assert found[graph.input].shape == (3,)


def test_means_are_of_photos_of_the_whole_list(graph):
    """Not of the first ones, which may be of one class."""
    dark = np.zeros((pair_sums.PHOTOS, *PHOTOS.shape[1:]), np.uint8)
    alone, both = (
        mean_inputs(graph, batches)[graph.input] for batches in ([dark], [dark, dark + 255])
    )
    assert (both > alone).all()
