"""The ends of a segmentation network: other classes, smaller logits, numbers of classes."""

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.quantize import choose_ranges, collect, quantize
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.graph import Graph
from edgekit.networks.passes import prepare
from edgekit.networks.segmentation.decoders import DeepLab, UNet
from edgekit.networks.segmentation.outputs import OUTPUTS, replace_logits, with_output
from edgekit.networks.torch_network import Network

SIDE = 32
DECODERS = {
    "unet": UNet((8, 8, 4, 4, 4)),
    "small unet": UNet((8, 8)),
    "deeplab": DeepLab(8, skip=4),
}


@pytest.fixture(scope="module", params=DECODERS)
def graph(request):
    spec = narrow("lite0").with_decoder(DECODERS[request.param])
    return build_graph(spec, classes=5, resolution=SIDE, seed=3)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)


def run(graph, pixels):
    with torch.inference_mode():
        return Network(graph).eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()


def test_other_classes_are_drawn_and_nothing_else_changes(graph):
    other = replace_logits(graph, 7, seed=1)
    assert (graph.classes, other.classes) == (5, 7)
    assert other.shapes[other.output] == (SIDE, SIDE, 7)
    assert other.weights["logits/kernel"].shape[-1] == 7
    changed = {name for name, a in other.weights.items() if a is not graph.weights[name]}
    assert changed == {"logits/kernel", "logits/bias"}
    again = replace_logits(graph, 7, seed=1)
    assert (again.weights["logits/kernel"] == other.weights["logits/kernel"]).all()
    assert (
        replace_logits(graph, 7).weights["logits/kernel"] != again.weights["logits/kernel"]
    ).any()


def test_only_a_network_for_segmentation_has_logits_of_pixels():
    with pytest.raises(TypeError, match="no network for segmentation"):
        replace_logits(build_graph(narrow("lite0"), classes=2, resolution=32), 3)


def test_classes_are_the_highest_logits(graph, pixels):
    logits = run(graph, pixels)
    ending = with_output(prepare(graph), "classes")
    assert ending.shapes[ending.output] == (SIDE, SIDE)
    np.testing.assert_array_equal(run(ending, pixels), logits.argmax(1))
    assert ending.classes == 5


def test_small_logits_are_those_before_the_last_resize(graph, pixels):
    small = with_output(graph, "logits-small")
    assert small.output == "logits"
    with torch.inference_mode():
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        np.testing.assert_array_equal(
            run(small, pixels), Network(graph).eval().run(x, until="logits")
        )
    assert small.weights.keys() == graph.weights.keys()


def test_fused_classes_are_those_of_small_logits_by_the_nearest_pixel(graph, pixels):
    ending = with_output(graph, "classes-fused")
    small = run(with_output(graph, "logits-small"), pixels).argmax(1)
    factor = SIDE // small.shape[1]
    expected = small.repeat(factor, 1).repeat(factor, 2)
    found = run(ending, pixels).reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)
    assert ending.classes == 5
    if factor == 1:
        assert ending.nodes == with_output(graph, "classes").nodes


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_quantized_network_takes_every_end_and_its_file_too(graph, pixels, output, tmp_path):
    ready = prepare(graph)
    quantized = quantize(ready, choose_ranges(collect(ready, [pixels]), "mse"))
    ending = with_output(quantized, output)
    assert set(ending.quant) <= set(ending.shapes) | set(ending.weights)
    assert ending.output not in ending.class_tensors or ending.output not in ending.quant
    if "logits" in output:
        assert ending.output in ending.quant
    ending.save(tmp_path / "g")
    assert Graph.load(tmp_path / "g").nodes == ending.nodes


def test_what_has_no_such_end_is_refused(graph):
    with pytest.raises(UsageError, match="unknown output 'class'"):
        with_output(graph, "class")
    with pytest.raises(TypeError, match="ends with classes already"):
        with_output(with_output(graph, "classes"), "classes")
