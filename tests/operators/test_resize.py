"""Resizes in torch against published numbers, and the places of nearest pixels everywhere."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from places import SHARED
from prerequisites import needs

from edgekit.converters.resizes import divides_alike
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import ArgMax, Resize, Tile, nearest_places
from edgekit.networks.torch_network import Network

ORACLE = SHARED / "oracle" / "segmentation" / "losses_metrics_ops.npz"
PUBLISHED = {
    "nearest_x2": ("nearest", (10, 12)),
    "nearest_to_9x13": ("nearest", (9, 13)),
    "bilinear_x2_half_pixel": ("bilinear-half-pixel", (10, 12)),
    "bilinear_to_7x11_half_pixel": ("bilinear-half-pixel", (7, 11)),
    "bilinear_x2_align_corners": ("bilinear-corners", (10, 12)),
    "bilinear_x4_align_corners": ("bilinear-corners", (20, 24)),
    "bilinear_x16_align_corners": ("bilinear-corners", (80, 96)),
}
SIDES = (1, 2, 3, 7, 8, 13, 14, 21, 26, 28, 30, 33, 39, 65)
RESIZED = (1, 2, 4, 13, 16, 22, 25, 27, 44, 46, 55, 66, 69, 128, 257, 513)


def network(node: Any, height: int, width: int, channels: int) -> Network:
    shapes = {"x": (height, width, channels), node.name: (*node.size, channels)}
    return Network(Graph("one", "x", (node,), shapes, {})).eval()


@needs("shared", ORACLE.exists())
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_resize_is_the_published_one(name):
    method, size = PUBLISHED[name]
    with np.load(ORACLE) as stored:
        x, wanted = stored["resize/input"], stored[f"resize/{name}"]
    node = Resize(name="y", inputs=("x",), size=size, method=method)
    found = network(node, *x.shape[2:], x.shape[1])(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


@needs("shared", ORACLE.exists())
def test_a_tile_is_the_published_resize_of_one_pixel():
    with np.load(ORACLE) as stored:
        x, wanted = stored["resize/input"], stored["resize/1x1_to_6x6"]
    pixel = torch.from_numpy(x).mean((2, 3), keepdim=True)
    node = Tile(name="y", inputs=("x",), size=(6, 6))
    found = network(node, 1, 1, x.shape[1])(pixel).numpy()
    assert found.shape == wanted.shape
    np.testing.assert_array_equal(found, np.broadcast_to(pixel.numpy(), found.shape))


@pytest.mark.parametrize("before", SIDES)
def test_nearest_pixels_are_torch_s(before):
    line = torch.arange(before, dtype=torch.float32).reshape(1, 1, before, 1)
    for after in RESIZED:
        found = torch.nn.functional.interpolate(line, (after, 1))[0, 0, :, 0].numpy()
        np.testing.assert_array_equal(found, nearest_places(before, after), f"to {after}")


def test_classes_are_resized_as_floats_are():
    classes = torch.randint(0, 9, (2, 1, 26, 14))
    node = Resize(name="y", inputs=("x",), size=(44, 46))
    both = [network(node, 26, 14, 1)(x) for x in (classes, classes.float())]
    assert both[0].dtype == torch.int64
    assert torch.equal(both[0].float(), both[1])


def test_of_equal_channels_the_first_is_the_highest():
    node = ArgMax(name="y", inputs=("x",))
    graph = Graph("one", "x", (node,), {"x": (2, 2, 4), "y": (2, 2)}, {})
    x = torch.tensor([1.0, 3.0, 3.0, 2.0]).reshape(1, 4, 1, 1).expand(1, 4, 2, 2)
    assert Network(graph).eval()(x).tolist() == [[[1, 1], [1, 1]]]


def test_a_decoder_s_sides_have_the_same_pixels_everywhere():
    for side in range(1, 300):
        for after in (2 * side, 2 * side - 1):
            assert divides_alike(side, after)
            wanted = np.arange(after) * side // after
            np.testing.assert_array_equal(nearest_places(side, after), wanted)


def by_onnx(before: int, after: int) -> np.ndarray:
    from map_formats import in_onnx

    return in_onnx(_line(before, after))


def by_openvino(before: int, after: int) -> np.ndarray:
    from map_formats import in_openvino

    return in_openvino(_line(before, after))


def _line(before: int, after: int) -> Graph:
    """A network of square maps whose rows are resized alone."""
    node = Resize(name="y", inputs=("x",), size=(after, before))
    return Graph("one", "x", (node,), {"x": (before, before, 3), "y": (after, before, 3)}, {})


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(by_onnx, marks=needs("onnxruntime")),
        pytest.param(by_openvino, marks=needs("openvino")),
    ],
)
def test_where_a_division_finds_other_pixels_they_are_gathered(run):
    from map_formats import in_torch

    pairs = [pair for pair in itertools.product(SIDES, RESIZED) if not divides_alike(*pair)]
    assert (14, 16) in pairs
    assert (14, 128) in pairs
    for before, after in [*pairs[:12], (14, 27), (33, 513)]:
        wanted = in_torch(_line(before, after))
        np.testing.assert_array_equal(run(before, after), wanted, f"{before} to {after}")
