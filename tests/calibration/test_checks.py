"""What is damaged or odd is named, and still gives a file of numbers that runs."""

import numpy as np
import pytest
from narrow import narrow

from edgekit.calibration.checks import check_photos, check_tensors, listed
from edgekit.calibration.quantize import choose_all, collect, fixed_ranges, quantize
from edgekit.calibration.ranges import METHODS
from edgekit.converters.tflite.checks import check_int8
from edgekit.converters.tflite.file import read
from edgekit.converters.tflite.write import convert
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.runtimes.litert import LiteRT

SIZE = 32


def prepared(name):
    spec = narrow(name)
    graph = prepare(build_graph(spec, classes=5, resolution=SIZE, seed=1))
    return absorb_normalization(graph, spec.mean, spec.std, "common-zero")


def pixels(count=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.uint8)


def run(graph, mean, std, photos, tmp_path=None, method="balanced"):
    """Quantizes, where there is a folder writes and runs, and returns the warnings."""
    fixed = fixed_ranges(graph, mean, std)
    fed = ((photos - np.float32(mean)) / np.float32(std)).astype(np.float32)
    histograms = collect(graph, [fed], skip=fixed)
    choices = choose_all(histograms, method)
    ranges = {name: (choice.low, choice.high) for name, choice in choices.items()}
    quantized = quantize(graph, ranges | fixed)
    for params in quantized.quant.values():
        assert np.isfinite(params.scale).all()
        assert min(params.scale) > 0
    if tmp_path is not None:
        write_and_run(quantized, tmp_path / "model.tflite")
    return check_tensors(graph, histograms, choices)


def write_and_run(quantized, path):
    path.write_bytes(convert(quantized, io="uint8"))
    model = read(path)
    assert not [f for f in check_int8(model) if f.severity == "error"]
    for tensor in model.tensors:
        assert tensor.scale is None or np.isfinite(tensor.scale)
    assert np.isfinite(LiteRT(path).run(pixels(3, seed=9))).all()


def changed(graph, name, index, value):
    array = graph.weights[name].copy()
    array[index] = value
    return graph.with_weights({**graph.weights, name: array})


@pytest.mark.parametrize("name", ["lite0", pytest.param("b0", marks=pytest.mark.slow)])
def test_a_sound_network_is_not_warned_of(name):
    assert run(*prepared(name), pixels()) == []


def test_a_dead_channel_is_named(tmp_path):
    graph, mean, std = prepared("lite0")
    graph = changed(graph, "block2a_expand/kernel", (..., slice(3, 5)), 0)
    graph = changed(graph, "block2a_expand/bias", slice(3, 5), 0)
    warnings = run(graph, mean, std, pixels(), tmp_path)
    count = graph.weights["block2a_expand/bias"].size
    assert warnings == [
        f"dead output channels, all of whose weights are zero: 'block2a_expand' (2 of {count})"
    ]


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_a_constant_activation_is_named(tmp_path, value):
    graph, mean, std = prepared("lite0")
    graph = changed(graph, "block2a_project/kernel", ..., 0)
    graph = changed(graph, "block2a_project/bias", ..., value)
    constant = run(graph, mean, std, pixels(), tmp_path)[0]
    assert constant.startswith("constant on every calibration photo: 'block2a_project'")
    assert f"({value:g})" in constant


@pytest.mark.parametrize("method", METHODS)
def test_an_activation_of_a_million_is_named(method, tmp_path):
    graph, mean, std = prepared("b0")
    graph = changed(graph, "block1a_project/bias", 2, 1e6)
    folder = tmp_path if method == "balanced" else None
    warnings = run(graph, mean, std, pixels(), folder, method)
    (large,) = [text for text in warnings if "beside small values" in text]
    assert "'block1a_project' reaches 1e+06" in large


@pytest.mark.slow  # black photos are the harder case
def test_one_photo_is_enough_for_a_file(tmp_path):
    run(*prepared("b0"), pixels(1), tmp_path)
    assert "only 1 calibration photo:" in check_photos(1, plain=0)[0]


def test_black_photos_are_enough_for_a_file(tmp_path):
    run(*prepared("b0"), np.zeros_like(pixels()), tmp_path)
    assert check_photos(12, plain=12) == [
        "every calibration photo is of one colour: ranges from them are too narrow for real photos"
    ]


def test_ordinary_photos_are_not_warned_of():
    assert check_photos(100, plain=0) == []
    assert "3 of 100 photos" in check_photos(100, plain=3)[0]


def test_many_names_are_counted():
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefgh")) == "a, b, c, d, e and 3 more"
