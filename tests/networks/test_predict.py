"""Prediction: every photo, in order, in batches of any size."""

import numpy as np
import torch

from edgekit.data.batches import eval_batches
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.predict import predict, to_input, without_normalizations
from edgekit.networks.torch_network import Network

SPEC = SPECS["b0"]
PREPROCESSING = Preprocessing(32, SPEC.mean, SPEC.std, tuple("abcdefghij"), crop_fraction=1.0)


def test_batches_change_nothing():
    network = Network(build_graph(SPEC, classes=10, resolution=32))
    photos = SyntheticPhotos(7, 0, "val", 32)
    seen = []
    whole = predict(network, photos, PREPROCESSING, batch_size=7)
    parts = predict(
        network, photos, PREPROCESSING, batch_size=3, advance=lambda *now: seen.append(now)
    )
    assert whole.shape == (7, 10)
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert seen == [(3, 7), (6, 7), (7, 7)]
    assert not network.training


def test_answers_are_those_of_the_network_with_its_normalizations():
    network = Network(build_graph(SPEC, classes=10, resolution=32)).train()
    photos = SyntheticPhotos(4, 0, "val", 32)
    ((pixels, _),) = eval_batches(photos, PREPROCESSING, 4)
    inputs = to_input(pixels, PREPROCESSING, "cpu")
    with torch.no_grad():
        network(inputs)  # the statistics are no longer those of the start
        wanted = network.eval()(inputs)
    plain = without_normalizations(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in plain.modules())
    got = predict(network, photos, PREPROCESSING)
    np.testing.assert_allclose(got, wanted, atol=1e-4 * float(wanted.std()))


def test_inputs_are_the_records_normalization():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    got = to_input(pixels, PREPROCESSING, "cpu")
    expected = torch.from_numpy(PREPROCESSING.normalize(pixels)).permute(0, 3, 1, 2)
    torch.testing.assert_close(got, expected)
    assert got.is_contiguous(memory_format=torch.channels_last)
