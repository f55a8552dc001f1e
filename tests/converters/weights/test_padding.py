"""Padding from statistics: whichever a network saw in training is found again."""

import numpy as np
import pytest
import torch
from PIL import Image
from places import SHARED
from prerequisites import needs

from edgekit.converters.weights import padding
from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.padding import guess_padding, with_padding
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.passes import prepare
from edgekit.networks.torch_network import Network


def noise(seed):
    return np.random.default_rng(seed).normal(0.5, 1, (24, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def graph():
    return build_graph(SPECS["b0"], classes=2, resolution=64, seed=1)


@pytest.mark.parametrize("used", ["same", "symmetric"])
def test_the_padding_of_the_training_is_found(graph, used):
    network = Network(with_padding(graph, used), bn_momentum=1).train()
    network.drop_connect = False
    with torch.no_grad():
        network(torch.from_numpy(noise(1)).permute(0, 3, 1, 2))
    other = "symmetric" if used == "same" else "same"
    trained = with_padding(network.to_graph(), other)  # what the file says does not count
    guess = guess_padding(trained, noise(2))
    assert guess.padding == used
    assert guess.layers == 49


@pytest.mark.parametrize(
    ("agreeing", "expected"), [(10, "same"), (7, "same"), (5, None), (3, "symmetric")]
)
def test_layers_that_do_not_agree_decide_nothing(graph, agreeing, expected, monkeypatch):
    def surprises(graph, inputs):
        symmetric = spec_of(graph).padding == "symmetric"
        return np.where(np.arange(10) < agreeing, symmetric, not symmetric).astype(float)

    monkeypatch.setattr(padding, "_surprises", surprises)
    assert guess_padding(graph, noise(1)).padding == expected


def test_a_folded_network_remembers_nothing(graph):
    guess = guess_padding(prepare(graph), noise(1))
    assert (guess.padding, guess.layers) == (None, 0)


@pytest.mark.slow  # of random weights: test_the_padding_of_the_training_is_found
@needs("shared", SHARED.is_dir())
def test_real_weights_on_their_own_photos():
    file = SHARED / "weights" / "efficientnet-lite0_flowers5_timm.safetensors"
    graph = load_weights(file, SPECS["lite0"]).graph
    photos = sorted((SHARED / "data" / "flowers" / "val").glob("*/*.jpg"))[::20]
    how = Preprocessing(160, spec_of(graph).mean, spec_of(graph).std, ())
    pixels = np.stack([how.pixels(Image.open(path)) for path in photos])
    assert guess_padding(graph, how.normalize(pixels)).padding == "same"
