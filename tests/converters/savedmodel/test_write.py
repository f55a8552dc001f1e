"""SavedModels: TensorFlow loads them, and answers as the network does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from detector_graph import SIDE as DETECTOR_SIDE
from detector_graph import prepared
from map_graphs import CASES, aspp, unet
from prerequisites import needs

from edgekit.converters.savedmodel.operators import Walk
from edgekit.converters.savedmodel.write import INPUT, SIGNATURE, read_record, write_savedmodel
from edgekit.converters.weights.export import export_weights
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.photos import preprocessing_of
from edgekit.networks.torch_network import Network

pytestmark = [needs("tensorflow"), pytest.mark.slow]  # TensorFlow takes seconds to import
SIDE = 32
HOW = Preprocessing(SIDE, (120.0, 110.0, 100.0), (60.0, 61.0, 62.0), ("a", "b", "c"))


def photos(side):
    return np.random.default_rng(1).integers(0, 256, (2, side, side, 3)).astype(np.float32)


def assert_alike(graph, how, folder):
    import tensorflow as tf

    fed = photos(graph.resolution)
    x = (fed - np.float32(how.mean)) / np.float32(how.std)
    with torch.inference_mode():
        wanted = Network(graph).eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    loaded = tf.saved_model.load(str(folder))
    found = loaded.signatures[SIGNATURE](**{INPUT: tf.constant(fed)})
    assert set(found) == set(graph.outputs)
    arrays = [found[name].numpy() for name in graph.outputs]
    joined = np.concatenate(arrays, -1) if len(arrays) > 1 else arrays[0]
    if joined.ndim == 4:
        joined = joined.transpose(0, 3, 1, 2)
    assert joined.shape == wanted.shape
    assert np.abs(joined - wanted).max() <= 2e-3 * max(np.ptp(wanted), 1e-6)
    return loaded


@pytest.mark.parametrize(
    "name", ["b0", "lite0", "v2-b0", "mobilenet-v3-large", "resnet-18", "mobilenet-v1"]
)
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_a_classifier_answers_alike(tmp_path, name, padding):
    spec = replace(find_spec(name), padding=padding)
    graph = build_graph(spec, classes=3, resolution=SIDE, seed=1)
    how = preprocessing_of(spec, SIDE, ("a", "b", "c"))
    done = export_weights(graph, how, "savedmodel", tmp_path)
    loaded = assert_alike(graph, how, done.files[0])
    assert len(loaded.weights_) > 20  # variables, which can be trained further
    assert read_record(tmp_path) == how


@pytest.mark.parametrize(
    "graph", [unet("logits", SIDE), aspp("logits", SIDE), unet("classes", SIDE)], ids=str
)
def test_a_segmenter_answers_alike(tmp_path, graph):
    how = replace(HOW, task="segmentation", labels=())
    assert_alike(graph, how, write_savedmodel(graph, how, tmp_path))


@pytest.mark.parametrize("name", CASES)
def test_every_operator_answers_alike(name):
    import tensorflow as tf

    graph = CASES[name]()
    x = np.random.default_rng(2).normal(size=(2, *graph.shapes[graph.input])).astype(np.float32)
    with torch.inference_mode():
        wanted = Network(graph).eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    (found,) = Walk(tf, graph, graph.weights).run(tf.constant(x))
    array = found.numpy()
    assert found.shape[1:] == graph.shapes[graph.output]
    array = array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
    assert np.allclose(array, wanted, atol=1e-4)


def test_a_detector_gives_its_rows(tmp_path):
    graph = prepared()
    how = replace(HOW, resolution=DETECTOR_SIDE, labels=())
    assert_alike(graph, how, write_savedmodel(graph, how, tmp_path))
