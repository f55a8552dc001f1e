"""Keras' names, and its input layers as a mean and a std in pixel units."""

import json
import zipfile

import h5py
import numpy as np
import pytest
from narrow import narrow
from state_dicts import to_tensorflow, write_hdf5

from edgekit.converters.weights.keras_applications import NAMES, NAMES_V2
from edgekit.converters.weights.load import load_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN, IMAGENET_STD, SPECS

EXAMPLES = [
    (NAMES, "b0", "stem/kernel", "stem_conv/kernel"),
    (NAMES, "b0", "block1a_depthwise/kernel", "block1a_dwconv/kernel"),
    (NAMES, "b0", "block1a_depthwise/mean", "block1a_bn/moving_mean"),
    (NAMES, "b0", "block2b_expand/gamma", "block2b_expand_bn/gamma"),
    (NAMES, "b0", "block2b_se_reduce/bias", "block2b_se_reduce/bias"),
    (NAMES, "b0", "block7a_project/kernel", "block7a_project_conv/kernel"),
    (NAMES, "b0", "head/variance", "top_bn/moving_variance"),
    (NAMES, "b0", "logits/bias", "predictions/bias"),
    (NAMES_V2, "v2-b0", "block1a_project/kernel", "block1a_project_conv/kernel"),
    (NAMES_V2, "v2-b0", "block2a_expand/kernel", "block2a_expand_conv/kernel"),
    (NAMES_V2, "v2-b0", "block4a_depthwise/kernel", "block4a_dwconv2/kernel"),
]


@pytest.mark.parametrize(("names", "model", "ours", "theirs"), EXAMPLES)
def test_names(names, model, ours, theirs):
    table = names.of(build_graph(SPECS[model], resolution=32, seed=None))
    assert table[ours] == theirs
    assert len(set(table.values())) == len(table)


#: What is read of a file does not depend on how wide and deep its network is.
SMALL = {name: narrow(name) for name in ("b0", "v2-b0")}


def write(path, model, names, normalization=None, *, suffix=":0"):
    """A legacy file, whose layers carry their names."""
    graph = build_graph(SMALL[model], classes=2, resolution=32, seed=1)
    variables = to_tensorflow(graph, names.of(graph))
    for key, value in (normalization or {}).items():
        variables[f"normalization_3/{key}"] = np.asarray(value, np.float32)
    return write_hdf5(path, {name + suffix: array for name, array in variables.items()})


@pytest.mark.parametrize(
    ("mean", "variance", "expected"),
    [
        # The published files hold ImageNet's std where the layer expects its square.
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], (IMAGENET_MEAN, IMAGENET_STD)),
        ([0, 0, 0], [1, 1, 1], ((0.0,) * 3, (255.0,) * 3)),
        ([0.5, 0.5, 0.5], [0.25, 0.04, 0.01], ((127.5,) * 3, (127.5, 51.0, 25.5))),
    ],
    ids=["imagenet", "identity", "adapted"],
)
def test_v1s_normalization_in_pixel_units(mean, variance, expected, tmp_path):
    record = {"mean": mean, "variance": variance, "count": 0}
    spec = spec_of(load_weights(write(tmp_path / "w.h5", "b0", NAMES, record), SMALL["b0"]).graph)
    np.testing.assert_allclose((spec.mean, spec.std), expected, atol=1e-3)
    assert (spec.padding, spec.epsilon) == ("same", 1e-3)


def test_v2s_constants_are_the_variants_own(tmp_path):
    loaded = load_weights(write(tmp_path / "w.h5", "v2-b0", NAMES_V2), SMALL["v2-b0"])
    assert spec_of(loaded.graph) == SMALL["v2-b0"]
    assert loaded.notes == ()


@pytest.mark.parametrize(
    ("layers", "mean", "why"),
    [
        # A legacy file lists its layers, but not those of a model inside the model.
        (("input_1", "rescaling", "normalization"), IMAGENET_MEAN, "those of keras.applications"),
        (("input_1",), (127.5,) * 3, "it lists no Rescaling"),
        ((), IMAGENET_MEAN, "those of keras.applications"),
    ],
)
def test_a_list_of_layers_says_whether_pixels_are_scaled(layers, mean, why, tmp_path):
    path = write(tmp_path / "w.h5", "v2-b0", NAMES_V2)
    with h5py.File(path, "r+") as file:
        for layer in layers:
            file.create_group(layer)
    loaded = load_weights(path, SMALL["v2-b0"])
    assert spec_of(loaded.graph).mean == mean
    assert why in loaded.assumptions[0]


def rescaling(scale, offset=0.0):
    return {"class_name": "Rescaling", "config": {"scale": scale, "offset": offset}}


STEM = {"class_name": "Conv2D", "config": {"name": "stem_conv"}}
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
NORMALIZATION = {
    "class_name": "Normalization",
    "config": {"mean": [list(MEAN)], "variance": [list(STD**2)]},
}


@pytest.mark.parametrize(
    ("layers", "mean", "std"),
    [
        ([rescaling(1 / 128, -1)], (128.0,) * 3, (128.0,) * 3),
        ([rescaling(1 / 255), NORMALIZATION], IMAGENET_MEAN, IMAGENET_STD),
        ([], (127.5,) * 3, (127.5,) * 3),  # include_preprocessing=False: pixels over -1 to 1
        ([rescaling([1 / 255] * 3), STEM, rescaling(7)], (0.0,) * 3, (255.0,) * 3),
        (
            [{"class_name": "Functional", "config": {"layers": [rescaling(1 / 255)]}}],
            (0.0,) * 3,
            (255.0,) * 3,
        ),
    ],
    ids=["v2-s", "v2-b0", "none", "after-the-stem", "nested"],
)
def test_a_keras_files_input_layers(layers, mean, std, tmp_path):
    write(tmp_path / "inner", "v2-b0", NAMES_V2)
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": [*layers, STEM]}}))
        archive.write(tmp_path / "inner", "model.weights.h5")
    spec = spec_of(load_weights(tmp_path / "w.keras", SMALL["v2-b0"]).graph)
    np.testing.assert_allclose((spec.mean, spec.std), (mean, std), atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"config": {"layers": [{"class_name": "Rescaling", "config": {}}]}},
        {"config": {"layers": [rescaling(0)]}},
        {"config": {"layers": [rescaling("dark")]}},
        {"config": {"layers": 7}},
    ],
)
def test_input_layers_that_cannot_be_read_are_refused(config, tmp_path):
    write(tmp_path / "inner", "v2-b0", NAMES_V2)
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.write(tmp_path / "inner", "model.weights.h5")
    with pytest.raises(UsageError, match="input layers"):
        load_weights(tmp_path / "w.keras", SMALL["v2-b0"])


@pytest.mark.parametrize(
    "record", [{"mean": [0.5], "variance": [0.2]}, {"mean": [0] * 3, "variance": [0] * 3}]
)
def test_a_normalization_that_is_not_of_photos_is_refused(record, tmp_path):
    with pytest.raises(UsageError, match="preprocessing"):
        load_weights(write(tmp_path / "w.h5", "b0", NAMES, record), SMALL["b0"])
