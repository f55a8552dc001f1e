"""Weights of Google's own detectors: a checkpoint with moving averages, and Keras' file."""

import numpy as np
import pytest
import torch
from google_detectors import network, variables
from places import SHARED
from prerequisites import needs
from state_dicts import assert_same

from edgekit.converters.weights import automl
from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.naming import Request
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.torch_network import Network
from edgekit.options.decoder import with_decoder_options

ORACLE = SHARED / "oracle" / "detection" / "tf1_efficientdet_d0_narrow"


@pytest.fixture
def spec():
    """Google's narrow D0: a quarter as wide, half as deep."""
    return scale_spec(
        with_decoder_options(find_spec("d0"), decoder="16,2,2"), width=0.25, depth=0.5
    )


@needs("shared", ORACLE.is_dir())
@pytest.mark.parametrize(
    "file",
    ["weights.h5", pytest.param("model.index", marks=[needs("tensorflow"), pytest.mark.slow])],
)
def test_every_map_is_the_originals(spec, file):
    loaded = load_weights(ORACLE / file, spec, resolution=128)
    assert (loaded.source, loaded.graph.classes, loaded.fresh_head) == ("automl", 3, False)
    with np.load(ORACLE / "reference.npz") as stored:
        tensors = dict(stored)
    values = {}
    with torch.inference_mode():
        x = torch.from_numpy(tensors.pop("input_nhwc")).permute(0, 3, 1, 2)
        Network(loaded.graph).eval().run(x, lambda name, value: values.setdefault(name, value))
    assert len(tensors) == 10
    for name, expected in tensors.items():
        found = values[name].permute(0, 2, 3, 1).numpy()
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max(), name
    assert spec_of(loaded.graph).anchors == find_spec("d0").anchors
    averaged = any("moving averages (EMA)" in note for note in loaded.notes)
    assert averaged == (file == "model.index")


@needs("shared", ORACLE.is_dir())
@needs("tensorflow")
def test_raw_weights_are_read_where_they_are_wanted(spec):
    shadow, raw = (
        load_weights(ORACLE / "model", spec, resolution=32, ema=ema).graph.weights
        for ema in (True, False)
    )
    for name, array in shadow.items():  # how the oracle made them
        np.testing.assert_allclose(raw[name], 0.9 * array + 0.01, rtol=1e-5, atol=1e-6)


def opened(found):
    shapes = {name: np.shape(array) for name, array in found.items()}
    file = WeightFile(ORACLE, "tf1", shapes, lambda name: found[name])
    return automl.SOURCE.view(file)


def test_the_weights_of_a_sum_are_one_tensor_in_the_order_of_their_numbers():
    _, graph = network()
    file = opened(variables(graph))
    name = "fpn_cells/cell_1/fnode4/WSM"
    assert file.shapes[name] == (3,)
    assert f"{name}_1" not in file.shapes
    np.testing.assert_array_equal(file.read(name), graph.weights["bifpn2_p4_sum/weights"])


@pytest.mark.parametrize("fusion", ["fast", "sum"])
def test_a_plan_names_every_variable_and_finds_the_detector(fusion):
    spec, graph = network(fusion=fusion)
    file = opened(variables(graph))
    plan = automl.SOURCE.plan(file, Request(spec, build_graph(spec, resolution=32, seed=None)))
    assert set(plan.names) == set(graph.weights)
    assert set(plan.names.values()) == set(file.shapes)
    assert plan.spec.decoder == spec.decoder
    assert file.shapes[plan.names["class_p3/kernel"]] == (1, 1, 16, 9 * 3)


def test_some_averages_alone_are_refused():
    spec, graph = network()
    found = variables(graph)
    first = "box_net/box-predict/bias"
    found[f"{first}/ExponentialMovingAverage"] = found[first]
    with pytest.raises(UsageError, match="moving averages of some weights only"):
        automl.SOURCE.plan(
            opened(found), Request(spec, build_graph(spec, resolution=32, seed=None))
        )


def test_layers_of_layers_in_a_file_of_keras_are_told_apart(tmp_path):
    import h5py

    spec, graph = network()
    with h5py.File(tmp_path / "w.h5", "w") as file:
        found = variables(graph)
        file.attrs["layer_names"] = sorted({name.partition("/")[0] for name in found})
        for name, array in found.items():
            file[f"{name.partition('/')[0]}/{name}:0"] = array
    loaded = load_weights(tmp_path / "w.h5", spec, resolution=32)
    assert loaded.source == "automl"
    assert_same(loaded.graph, graph)
