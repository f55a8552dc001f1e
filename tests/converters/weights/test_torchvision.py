"""torchvision's names, and what its published weights expect of their input."""

import numpy as np
import pytest
from narrow import narrow
from safetensors.numpy import save_file
from state_dicts import assert_same, to_torch

from edgekit.converters.weights import torchvision
from edgekit.converters.weights.load import load_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import SPECS

# ours to torchvision's, looked up in its state dicts
EXAMPLES = {
    "b0": {
        "stem/kernel": "features.0.0.weight",
        "stem/gamma": "features.0.1.weight",
        "block1a_depthwise/kernel": "features.1.0.block.0.0.weight",
        "block1a_se_reduce/bias": "features.1.0.block.1.fc1.bias",
        "block1a_project/mean": "features.1.0.block.2.1.running_mean",
        "block2b_expand/kernel": "features.2.1.block.0.0.weight",
        "block2b_se_expand/kernel": "features.2.1.block.2.fc2.weight",
        "block7a_project/beta": "features.7.0.block.3.1.bias",
        "head/kernel": "features.8.0.weight",
        "logits/kernel": "classifier.1.weight",
    },
    "v2-s": {
        "block1b_project/kernel": "features.1.1.block.0.0.weight",
        "block2a_expand/gamma": "features.2.0.block.0.1.weight",
        "block2a_project/kernel": "features.2.0.block.1.0.weight",
        "head/kernel": "features.7.0.weight",
    },
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_names(name):
    names = torchvision.NAMES.of(build_graph(SPECS[name], resolution=32, seed=None))
    for ours, theirs in EXAMPLES[name].items():
        assert names[ours] == theirs
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize(
    ("name", "epsilon", "crop", "interpolation", "mean"),
    [
        ("b0", 1e-5, 224 / 256, "bicubic", 123.675),
        ("b5", 1e-3, 1.0, "bicubic", 123.675),
        ("v2-s", 1e-3, 1.0, "bilinear", 123.675),
        ("v2-l", 1e-3, 1.0, "bicubic", 127.5),
    ],
)
def test_a_state_dict_comes_back_with_its_preprocessing(
    name, epsilon, crop, interpolation, mean, tmp_path
):
    variant = narrow(name, depth=SPECS[name].depth)  # every layer has a name, whatever its width
    graph = build_graph(variant, classes=3, resolution=32, seed=4)
    save_file(to_torch(graph, torchvision.NAMES), tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", variant, resolution=32)
    assert loaded.source == "torchvision"
    assert loaded.notes == ()
    assert_same(loaded.graph, graph)
    spec = spec_of(loaded.graph)
    assert (spec.padding, spec.epsilon) == ("symmetric", epsilon)
    assert (spec.crop, spec.interpolation, spec.mean[0]) == (crop, interpolation, mean)


def test_weights_that_were_published_later(tmp_path):
    graph = build_graph(SPECS["b1"], classes=3, resolution=32)
    state = to_torch(graph, torchvision.NAMES) | {"n_averaged": np.array(4)}
    save_file(state, tmp_path / "efficientnet_b1-c27df63c.pth")
    spec = spec_of(load_weights(tmp_path / "efficientnet_b1-c27df63c.pth", SPECS["b1"]).graph)
    assert (spec.interpolation, spec.crop) == ("bilinear", 240 / 255)


def test_a_variant_that_it_does_not_have_is_refused(tmp_path):
    graph = build_graph(SPECS["b0"], classes=3, resolution=32)
    save_file(to_torch(graph, torchvision.NAMES), tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="torchvision has no lite0"):
        load_weights(tmp_path / "w.safetensors", SPECS["lite0"])
