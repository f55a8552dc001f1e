"""Heads of others: the backbone is read, what is surplus is named, the classifier is fresh."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from state_dicts import to_torch

from edgekit.converters.weights import lukemelas, timm, torchvision
from edgekit.converters.weights.load import load_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS

B0 = SPECS["b0"]
NAMES = {"timm": timm.NAMES, "torchvision": torchvision.NAMES, "lukemelas": lukemelas.NAMES}
FILES = {"timm": "efficientnet_b0.pth", "torchvision": "w.pth", "lukemelas": "w.pth"}


@pytest.fixture(scope="module")
def trained():
    return build_graph(B0, classes=4, resolution=32, seed=3)


def without_head(trained, source):
    names = NAMES[source].of(trained)
    state = {n: torch.from_numpy(a) for n, a in to_torch(trained, NAMES[source]).items()}
    for part in ("kernel", "bias"):
        del state[names[f"logits/{part}"]]
    return state


#: Heads as people build them in place of the classifier, and how many classes those have.
HEADS = {
    "timm": {"classifier.1": (7, 1280)},
    "torchvision": {"classifier.1": (64, 1280), "classifier.4": (7, 64)},
    "lukemelas": {"_fc.0": (64, 1280), "_fc.3": (7, 64)},
}


@pytest.mark.parametrize("classes", [None, 2])
@pytest.mark.parametrize("source", HEADS)
def test_another_head_leaves_the_backbone(trained, tmp_path, source, classes):
    state = without_head(trained, source)
    for layer, shape in HEADS[source].items():
        state |= {f"{layer}.weight": torch.randn(shape), f"{layer}.bias": torch.randn(shape[0])}
    torch.save(state, tmp_path / FILES[source])
    loaded = load_weights(tmp_path / FILES[source], B0, classes=classes, resolution=32)
    assert (loaded.source, loaded.fresh_head) == (source, True)
    assert loaded.graph.classes == (classes or 7)
    surplus = next(note for note in loaded.notes if note.startswith("not used"))
    assert all(f"'{layer}.weight'" in surplus for layer in HEADS[source])
    assert any("is another: a fresh one took its place" in note for note in loaded.notes)
    guessed = any(text.startswith("7 classes") for text in loaded.assumptions)
    assert guessed == (classes is None)
    for name, array in trained.weights.items():
        if not name.startswith("logits/"):
            np.testing.assert_array_equal(loaded.graph.weights[name], array)


def test_a_first_layer_of_another_head_is_not_taken_for_the_classifier(trained, tmp_path):
    """Torchvision's classifier is its layer 1, and so is the hidden layer of a longer head."""
    state = without_head(trained, "torchvision")
    state |= {"classifier.1.weight": torch.randn(7, 1280), "classifier.1.bias": torch.randn(7)}
    state |= {"classifier.3.weight": torch.randn(2, 7), "classifier.3.bias": torch.randn(2)}
    torch.save(state, tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", B0, resolution=32)
    assert (loaded.fresh_head, loaded.graph.classes) == (True, 2)


def test_constants_of_the_input_do_not_cost_the_head(trained, tmp_path):
    state = to_torch(trained, timm.NAMES) | {"mean": np.zeros((1, 3, 1, 1), np.float32)}
    save_file(state, tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", B0, resolution=32)
    assert not loaded.fresh_head
    assert "not used, as the network has no place for it: 'mean'" in loaded.notes


def test_a_head_that_does_not_say_its_classes_needs_them_said(trained, tmp_path):
    state = without_head(trained, "timm")
    state |= {f"{n}.weight": torch.randn(3, 1280) for n in ("age", "kind")}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="have no classifier") as caught:
        load_weights(tmp_path / "w.pth", B0)
    assert caught.value.hint == "the number of classes: classes=N"
    loaded = load_weights(tmp_path / "w.pth", B0, classes=3)
    assert "'age.weight', 'kind.weight'" in " ".join(loaded.notes)


def test_a_block_too_many_is_another_network(trained, tmp_path):
    """All of B0's tensors are in B1: what is surplus in the backbone decides."""
    state = to_torch(build_graph(SPECS["b1"], classes=2, resolution=32, seed=1), timm.NAMES)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="are not those of b0") as caught:
        load_weights(tmp_path / "w.safetensors", B0)
    assert "has no place" in caught.value.cause
    assert caught.value.hint == "the weights fit b1"
