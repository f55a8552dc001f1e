"""NNCF's training in 8 bits: an int8 file like any other, that training makes no worse.

NNCF compiles C++ for it, three quarters of a minute, and again whenever torch lies in another
folder than the last time: what trains here is slow.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from narrow import narrow
from prerequisites import needs
from tiny_openvino import float_graph

from edgekit.converters.openvino import file as openvino_file
from edgekit.converters.openvino.nncf import quantize_nncf
from edgekit.converters.openvino.nncf_qat import train_nncf
from edgekit.converters.openvino.write import convert, openvino, save
from edgekit.data.batches import eval_batches
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.passes import prepare
from edgekit.training.checkpoint import CHECKPOINT
from edgekit.training.job import TrainingJob
from edgekit.training.recipe import QatRecipe, Recipe
from edgekit.training.trainer import Trainer

pytestmark = needs("nncf")
SIDE, LABELS = 32, tuple("abcdefghij")


def record(side=SIDE):
    return Preprocessing(side, (127.0,) * 3, (128.0,) * 3, LABELS, 1.0)


def shapes(count, split="train", side=SIDE):
    return SyntheticPhotos(count, 0, split, side)


def pixels_of(photos):
    return [pixels for pixels, _ in eval_batches(photos, record(photos.load(0).width), 16)]


@functools.cache
def network():
    """A network of three blocks whose logits differ from photo to photo."""
    spec = narrow("b0", stages=SPECS["b0"].stages[:3])
    graph = prepare(build_graph(spec, classes=len(LABELS), resolution=SIDE, seed=2))
    grown = {
        name: values * np.float32(1.7 if name.endswith("kernel") else 1)
        for name, values in graph.weights.items()
    }
    return replace(graph, weights=grown)


def made(graph, folder, *, epochs=0, photos=None, io="uint8", **recipe):
    photos = shapes(16) if photos is None else photos
    side = graph.shapes[graph.input][0]
    recipe = {"batch_size": 8, "ema_decay": 0.9, "min_crop_area": 0.9, **recipe}
    return train_nncf(
        TrainingJob(graph, photos, None, record(side), QatRecipe(epochs=epochs, **recipe)),
        pixels_of(photos),
        io=io,
        folder=folder,
    )


@pytest.fixture(scope="module")
def source():
    """Its float model."""
    return convert(network(), preprocessing=record())


@pytest.fixture(scope="module")
def quantized(source):
    """Quantized without training, by NNCF's other way."""
    return quantize_nncf(source, pixels_of(shapes(16)))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return made(network(), tmp_path_factory.mktemp("untrained"))


def run(model, photos):
    compiled = openvino().compile_model(model, "CPU")
    return np.concatenate([compiled(p[None])[0].copy() for batch in photos for p in batch])


@pytest.mark.slow
def test_it_gives_the_file_of_the_other_way(tmp_path):
    for name in ("one", "two"):
        save(made(network(), tmp_path, epochs=1), tmp_path / f"{name}.xml")
    for suffix in (".xml", ".bin"):
        first, second = (tmp_path / (name + suffix) for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    read = openvino_file.read(tmp_path / "one.xml")
    assert (read.quantizer, read.labels, read.scheme) == ("nncf", LABELS, "w8a8-mixed")
    assert read.preprocessing == record().of_input("uint8")
    assert not (tmp_path / CHECKPOINT).exists()


@pytest.mark.slow
def test_without_training_it_is_as_near_to_the_float_model_as_quantize_nncf(
    source, quantized, untrained
):
    photos = pixels_of(shapes(16))
    expected = run(source, photos)
    other, own = (np.abs(run(model, photos) - expected).mean() for model in (quantized, untrained))
    assert 0 < own < 1.5 * other


def precisions(model):
    """How many kernels run in which type."""
    operators = openvino().compile_model(model, "CPU").get_runtime_model().get_ops()
    told = [operator.get_rt_info() for operator in operators]
    return Counter(
        info["runtimePrecision"].astype(str)
        for info in told
        if info["layerType"].astype(str) in ("Convolution", "FullyConnected")
    )


@pytest.mark.slow
def test_as_many_kernels_run_in_8_bits_as_those_of_quantize_nncf(quantized, untrained):
    """Both leave squeeze and excitation in float, as NNCF's own rules say."""
    own = precisions(untrained)
    assert own == precisions(quantized)
    assert own["u8"] + own["i8"] > own.total() / 2


def test_training_needs_photos(tmp_path):
    with pytest.raises(UsageError, match="calibration photos"):
        train_nncf(
            TrainingJob(float_graph(), shapes(8), None, record(), QatRecipe(epochs=1)),
            [],
            io="uint8",
            folder=tmp_path,
        )


@pytest.mark.slow
def test_training_does_not_lose_against_quantizing(tmp_path):
    side = 64
    start = build_graph(narrow("b0"), classes=len(LABELS), resolution=side, seed=0)
    photos, val = shapes(640, side=side), shapes(200, "val", side)
    recipe = Recipe(
        epochs=20, learning_rate=6e-3, ema_decay=0.9, min_crop_area=0.7, drop_connect=False
    )
    (tmp_path / "float").mkdir()
    job = TrainingJob(start, photos, None, record(side), recipe)
    trained, _ = Trainer(job, tmp_path / "float").run()
    graph = prepare(trained)
    calibration = pixels_of(photos.subset(range(64)))
    source = convert(graph, preprocessing=record(side))
    other = quantize_nncf(source, calibration)
    own = made(graph, tmp_path, epochs=2, photos=photos, batch_size=32, min_crop_area=0.7)
    top1 = {
        name: float((run(model, pixels_of(val)).argmax(1) == val.labels).mean())
        for name, model in (("float", source), ("quantized", other), ("trained", own))
    }
    assert top1["float"] > 0.2, "nothing to lose"
    assert top1["trained"] >= top1["quantized"] - 0.01, top1
