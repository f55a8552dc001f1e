"""Weights in: strict names and shapes, fresh classifiers, and what comes with the weights."""

import dataclasses

import numpy as np
import pytest
import torch
from places import SHARED
from prerequisites import needs
from safetensors.numpy import load_file, save_file
from state_dicts import assert_same, to_torch

import edgekit
from edgekit.converters.weights import timm
from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.sources import SOURCES
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.options import training as options

LITE0 = SPECS["lite0"]


@pytest.fixture(scope="module")
def trained():
    return build_graph(LITE0, classes=5, resolution=32, seed=9)


def test_a_graph_of_ours(trained, tmp_path):
    trained.save(tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", LITE0, resolution=32)
    assert (loaded.source, loaded.notes) == ("edgekit", ())
    assert (loaded.graph.classes, loaded.graph.resolution) == (5, 32)
    assert_same(loaded.graph, trained)


def test_every_call_takes_a_path_as_text_too(trained, tmp_path):
    trained.save(tmp_path / "w.safetensors")
    loaded = edgekit.load_weights(str(tmp_path / "w.safetensors"), LITE0, resolution=32)
    assert_same(loaded.graph, trained)


def test_the_command_line_knows_every_source():
    assert ("auto", *SOURCES) == options.SOURCES


def test_a_graph_of_ours_keeps_what_belongs_to_its_weights(tmp_path):
    theirs = dataclasses.replace(
        LITE0, padding="symmetric", epsilon=1e-5, mean=(1.0, 2.0, 3.0), crop=0.5
    )
    build_graph(theirs, classes=2, resolution=32).save(tmp_path / "w")
    loaded = load_weights(tmp_path / "w", LITE0, resolution=64)
    assert spec_of(loaded.graph) == theirs
    assert loaded.graph.node("stem").padding == "symmetric"
    assert loaded.graph.resolution == 64


def test_a_state_of_ours_without_a_header(trained, tmp_path):
    save_file(dict(trained.weights), tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", LITE0, resolution=32)
    assert loaded.source == "edgekit"
    assert spec_of(loaded.graph) == LITE0
    assert_same(loaded.graph, trained)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_a_torch_checkpoint(trained, tmp_path, wrapper):
    state = {f"module.{n}": torch.from_numpy(a) for n, a in to_torch(trained, timm.NAMES).items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    assert_same(load_weights(tmp_path / "w.pth", LITE0, resolution=32).graph, trained)


@pytest.mark.parametrize("ema", [True, False])
def test_averaged_weights_of_a_torch_checkpoint(trained, tmp_path, ema):
    raw = {n: torch.from_numpy(a) for n, a in to_torch(trained, timm.NAMES).items()}
    averaged = {name: tensor + 1 for name, tensor in raw.items()}
    torch.save({"state_dict": raw, "state_dict_ema": averaged}, tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", LITE0, ema=ema)
    expected = trained.weights["stem/kernel"] + ema
    np.testing.assert_array_equal(loaded.graph.weights["stem/kernel"], expected)
    assert any("averaged" in note for note in loaded.notes) == ema


def test_torchs_old_format(trained, tmp_path):
    """Many published files were written before torch 1.6."""
    state = {n: torch.from_numpy(a) for n, a in to_torch(trained, timm.NAMES).items()}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert_same(load_weights(tmp_path / "w.pth", LITE0, resolution=32).graph, trained)


def test_half_precision_is_widened(trained, tmp_path):
    state = {n: torch.from_numpy(a).bfloat16() for n, a in to_torch(trained, timm.NAMES).items()}
    torch.save(state, tmp_path / "w.pth")
    weights = load_weights(tmp_path / "w.pth", LITE0).graph.weights
    assert weights["stem/kernel"].dtype == np.float32
    np.testing.assert_allclose(weights["stem/kernel"], trained.weights["stem/kernel"], rtol=0.01)


def test_another_number_of_classes_gets_a_new_head(trained, tmp_path):
    trained.save(tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", LITE0, classes=3, seed=1)
    assert loaded.graph.classes == loaded.graph.weights["logits/bias"].size == 3
    assert "has 5 classes, not 3: a fresh one" in loaded.notes[0]
    assert loaded.graph.weights["logits/kernel"].std() > 0
    np.testing.assert_array_equal(
        loaded.graph.weights["head/kernel"], trained.weights["head/kernel"]
    )


def test_weights_without_a_classifier(trained, tmp_path):
    state = {k: v for k, v in trained.weights.items() if not k.startswith("logits/")}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="no classifier"):
        load_weights(tmp_path / "w.safetensors", LITE0)
    loaded = load_weights(tmp_path / "w.safetensors", LITE0, classes=4)
    assert loaded.graph.weights["logits/kernel"].shape == (1280, 4)
    assert "classifier is missing: a fresh one" in loaded.notes[0]


def test_half_a_classifier_is_refused(trained, tmp_path):
    state = {k: v for k, v in trained.weights.items() if k != "logits/bias"}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="classifier"):
        load_weights(tmp_path / "w.safetensors", LITE0, classes=5)


@pytest.mark.parametrize(
    ("model", "tensor"),
    [
        ("b0", "(block1a_se_reduce/kernel) is missing"),
        ("lite1", "(block2c_expand/kernel) is missing"),
        ("lite3", "(block1a_project/kernel) has shape [16, 32, 1, 1], not [24, 32, 1, 1]"),
    ],
)
def test_another_architecture_is_refused_by_its_tensors(trained, tmp_path, model, tensor):
    save_file(to_torch(trained, timm.NAMES), tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match=f"are not those of {model}") as caught:
        load_weights(tmp_path / "w.safetensors", SPECS[model], classes=5)
    assert tensor in caught.value.cause
    assert caught.value.hint == "the weights fit lite0"


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_every_tensor_counts(trained, tmp_path, change):
    state = dict(trained.weights)
    match change:
        case "missing":
            del state["block4b_depthwise/beta"]
        case "extra":
            state["block4z_depthwise/beta"] = np.zeros(1, np.float32)
        case "shape":
            state["block4b_depthwise/beta"] = np.zeros(3, np.float32)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UsageError) as caught:
        load_weights(tmp_path / "w.safetensors", LITE0)
    said = {
        "missing": "'block4b_depthwise/beta' is missing",
        "extra": "'block4z_depthwise/beta' has no place",
        "shape": "'block4b_depthwise/beta' has shape [3], not [480]",
    }
    assert caught.value.cause == said[change]


def test_names_of_nobody(tmp_path):
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="is not known") as caught:
        load_weights(tmp_path / "w.safetensors", LITE0)
    assert "'a'" in caught.value.cause


def test_an_unknown_source_and_a_wrong_one(trained, tmp_path):
    trained.save(tmp_path / "w")
    with pytest.raises(UsageError, match="unknown source 'tim'"):
        load_weights(tmp_path / "w", LITE0, source="tim")
    for source in SOURCES.keys() - {"edgekit"}:
        with pytest.raises(UsageError, match=f"are not from {source}\n"):
            load_weights(tmp_path / "w", LITE0, source=source)


@needs("shared", SHARED.is_dir())
def test_real_timm_weights_load():
    path = SHARED / "weights" / "efficientnet-lite0_flowers5_timm.safetensors"
    loaded = load_weights(path, LITE0)
    assert (loaded.source, loaded.graph.classes) == ("timm-tf", 5)
    named = load_file(path)["conv_stem.weight"]
    np.testing.assert_array_equal(
        loaded.graph.weights["stem/kernel"], named.astype(np.float32).transpose(2, 3, 1, 0)
    )
