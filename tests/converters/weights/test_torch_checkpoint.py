"""Torch's checkpoints: what stands around the weights, and classes that are refused."""

import argparse
import collections
import pathlib

import numpy as np
import pytest
import torch
from state_dicts import assert_same, to_torch

from edgekit.converters.weights import timm
from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.open import open_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS

LITE0 = SPECS["lite0"]


@pytest.fixture(scope="module")
def trained():
    return build_graph(LITE0, classes=3, resolution=32, seed=9)


@pytest.fixture(scope="module")
def state(trained):
    return {name: torch.from_numpy(a) for name, a in to_torch(trained, timm.NAMES).items()}


def shapes(path):
    with open_weights(path, limit=0) as file:
        return dict(file.shapes)


OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3, 3)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model_state_dict": state, "epoch": 1, "optimizer_state_dict": OPTIMIZER},
        lambda state: {"net": state, "acc": 0.9},
        lambda state: {"weights_of_the_best_epoch": state, "optimizer": OPTIMIZER},
        lambda state: {"checkpoint": {"model": {"params": state}}, "optim": OPTIMIZER},
        lambda state: (state, OPTIMIZER, 7),
        lambda state: {"state_dict": {f"model.{n}": t for n, t in state.items()}},
        lambda state: {f"_orig_mod.module.{n}": t for n, t in state.items()},
        lambda state: {"state_dict": {f"backbone.body.{n}": t for n, t in state.items()}},
        lambda state: collections.OrderedDict(state, optimizer=OPTIMIZER),
    ],
    ids=[
        *("model_state_dict", "net", "any-key", "nested", "tuple"),
        *("lightning", "compiled", "backbone", "top"),
    ],
)
def test_the_network_is_found_whatever_stands_around_it(trained, state, tmp_path, wrap):
    torch.save(wrap(state), tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", LITE0, resolution=32)
    assert_same(loaded.graph, trained)
    assert loaded.notes == ()


def test_of_several_networks_the_averaged_one_is_taken_or_the_usual_one(trained, state, tmp_path):
    shifted = {name: tensor + 1 for name, tensor in state.items()}
    found = {"ema": {"module": shifted}, "best": dict(shifted), "model": state}
    torch.save(found, tmp_path / "w.pth")
    averaged = load_weights(tmp_path / "w.pth", LITE0)
    raw = load_weights(tmp_path / "w.pth", LITE0, ema=False)
    stem = trained.weights["stem/kernel"]
    np.testing.assert_array_equal(averaged.graph.weights["stem/kernel"], stem + 1)
    np.testing.assert_array_equal(raw.graph.weights["stem/kernel"], stem)
    assert "the averaged weights were used ('ema.module')" in averaged.notes
    assert any("more than once; not used: 'best', 'ema.module'" in note for note in raw.notes)


def test_what_stands_beside_the_network_is_named(trained, state, tmp_path):
    module = {f"encoder.{n}": t for n, t in state.items()} | {"decoder.weight": torch.zeros(9)}
    torch.save({"state_dict": module}, tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", LITE0, resolution=32)
    assert_same(loaded.graph, trained)
    note = "not used, as it stands elsewhere in the file: 'state_dict.decoder.weight'"
    assert loaded.notes == (note,)


def test_what_is_missing_is_named_with_where_the_rest_stands(state, tmp_path):
    few = {name: state[name] for name in ("conv_stem.weight", "bn1.weight")}
    torch.save({"net": {f"module.{n}": t for n, t in few.items()}}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="are not those of lite0") as caught:
        load_weights(tmp_path / "w.pth", LITE0)
    assert "(under 'net.module')" in caught.value.message
    assert caught.value.cause.startswith("'bn1.bias' (stem/beta) is missing; ")


def test_a_dictionary_inside_itself_ends(tmp_path):
    found = {"weight": torch.zeros(2)}
    found["again"] = found
    torch.save({"a": found, "b": found}, tmp_path / "w.pth")
    assert list(shapes(tmp_path / "w.pth").values()) == [(2,)]


def test_two_tensors_of_one_name_are_refused(tmp_path):
    torch.save({"a.b": torch.zeros(1), "a": {"b": torch.zeros(1)}}, tmp_path / "w.pth")
    with pytest.raises(UsageError) as caught:
        load_weights(tmp_path / "w.pth", LITE0)
    assert "two tensors are called 'a.b'" in caught.value.cause


@pytest.mark.parametrize("zipped", [True, False])
def test_a_refused_class_is_named_and_how_to_save_without_it(state, tmp_path, zipped, monkeypatch):
    few = {name: state[name] for name in ("conv_stem.weight", "bn1.weight")}
    found = {"args": argparse.Namespace(lr=0.1), "state_dict": few}
    path = tmp_path / "w.pth.tar"
    torch.save(found, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UsageError, match="holds more than tensors") as caught:
        load_weights(path, LITE0)
    assert "'argparse.Namespace'" in caught.value.cause
    monkeypatch.chdir(tmp_path)
    try:
        exec(caught.value.hint.partition(": ")[2], {})  # noqa: S102  # it is what we advise
    finally:
        torch.serialization.clear_safe_globals()
    assert shapes(tmp_path / "weights.pth").keys() == few.keys()


class Network(torch.nn.Sequential):
    pass


def test_a_pickled_network_is_refused_by_its_class(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    torch.save(Network(torch.nn.Conv2d(3, 4, 1)), path)
    with pytest.raises(UsageError, match="holds more than tensors") as caught:
        load_weights(path, LITE0)
    assert "Network'" in caught.value.cause
    assert "and 1 more" in caught.value.cause or "Conv2d" in caught.value.cause
    monkeypatch.chdir(tmp_path)
    exec(caught.value.hint.partition(": ")[2], {})  # noqa: S102  # it is what we advise
    assert shapes(tmp_path / "weights.pth").keys() == {"0.weight", "0.bias"}


@pytest.mark.parametrize("key", ["model_state_dict", "any", None])
def test_a_refused_number_of_numpys_can_be_left_out(state, tmp_path, monkeypatch, key):
    few = {"conv_stem.weight": state["conv_stem.weight"]}
    rest = {key: few} if key else few
    torch.save({"best": np.float64(0.9), **rest}, tmp_path / "w.pth")
    with pytest.raises(UsageError) as caught:
        load_weights(tmp_path / "w.pth", LITE0)
    assert "numpy" in caught.value.cause
    monkeypatch.chdir(tmp_path)
    exec(caught.value.hint.partition(": ")[2], {})  # noqa: S102  # it is what we advise
    assert next(iter(shapes(tmp_path / "weights.pth"))).endswith("conv_stem.weight")


def test_paths_may_be_text(trained, state, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    path = pathlib.Path(tmp_path / "w.pth")
    for given in (str(path), path):
        assert_same(load_weights(given, LITE0, resolution=32).graph, trained)
