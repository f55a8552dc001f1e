"""Weights in: whose they are, what does not fit, and nothing unsafe."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from test_timm import to_timm

from edgekit.architecture import build_graph
from edgekit.converters.weights import load_weights
from edgekit.errors import UsageError
from edgekit.spec import SPECS

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="module")
def trained():
    return build_graph(SPECS["lite0"], classes=5, resolution=32, seed=9)


@pytest.fixture(scope="module")
def fresh():
    return build_graph(SPECS["lite0"], classes=5, resolution=32, seed=0)


def assert_same(graph, other):
    for name, array in other.weights.items():
        np.testing.assert_array_equal(graph.weights[name], array)


def test_a_graph_of_ours(trained, fresh, tmp_path):
    trained.save(tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", fresh)
    assert (loaded.source, loaded.note) == ("edgekit", "")
    assert_same(loaded.graph, trained)


def test_a_graph_of_ours_under_any_name(trained, fresh, tmp_path):
    trained.save(tmp_path / "lite0.graph")
    assert_same(load_weights(tmp_path / "lite0.graph", fresh).graph, trained)


def test_timm_as_safetensors(trained, fresh, tmp_path):
    save_file(to_timm(trained), tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", fresh)
    assert loaded.source == "timm"
    assert_same(loaded.graph, trained)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_timm_as_a_torch_checkpoint(trained, fresh, tmp_path, wrapper):
    state = {name: torch.from_numpy(array) for name, array in to_timm(trained).items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    assert_same(load_weights(tmp_path / "w.pth", fresh).graph, trained)


def test_half_precision_is_widened(trained, fresh, tmp_path):
    state = {name: torch.from_numpy(a).bfloat16() for name, a in to_timm(trained).items()}
    torch.save(state, tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", fresh)
    np.testing.assert_allclose(
        loaded.graph.weights["stem/kernel"], trained.weights["stem/kernel"], rtol=0.01
    )


def test_another_number_of_classes_gets_a_new_head(trained, tmp_path):
    trained.save(tmp_path / "w.safetensors")
    target = build_graph(SPECS["lite0"], classes=3, resolution=32, seed=0)
    loaded = load_weights(tmp_path / "w.safetensors", target, seed=1)
    assert loaded.graph.classes == 3
    assert "5 classes, the data 3: replaced" in loaded.note
    np.testing.assert_array_equal(
        loaded.graph.weights["head/kernel"], trained.weights["head/kernel"]
    )


@pytest.mark.parametrize(
    ("model", "tensor"),
    [
        ("b0", "block1a_se_reduce/kernel"),
        ("lite1", "block2c_expand/kernel"),
        ("lite3", "block1a_project/kernel"),
    ],
)
def test_another_architecture_is_refused_by_its_tensors(trained, tmp_path, model, tensor):
    save_file(to_timm(trained), tmp_path / "w.safetensors")
    target = build_graph(SPECS[model], classes=5, resolution=32, seed=0)
    with pytest.raises(UsageError, match=f"are not those of {model}") as caught:
        load_weights(tmp_path / "w.safetensors", target)
    assert tensor in caught.value.cause


class Payload:
    """Touches a file when it is unpickled the unsafe way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


def test_a_pickle_with_a_payload_does_not_run(fresh, tmp_path):
    torch.save({"model": Payload(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="holds more than tensors"):
        load_weights(tmp_path / "w.pth", fresh)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "damage", ["missing", "empty", "text", "truncated", "truncated.pth", "zeros"]
)
def test_a_damaged_file_is_refused(trained, fresh, tmp_path, damage):
    path = tmp_path / ("w.pth" if damage.endswith("pth") else "w.safetensors")
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("<html>not found</html>")
        case "truncated":
            trained.save(path)
            path.write_bytes(path.read_bytes()[:1000])
        case "truncated.pth":
            torch.save({"stem": torch.zeros(1000)}, path)
            path.write_bytes(path.read_bytes()[:500])
        case "zeros":
            path.write_bytes(bytes(4096))
    with pytest.raises(UsageError, match="weights file"):
        load_weights(path, fresh)


def test_weights_that_are_not_numbers_are_refused(trained, fresh, tmp_path):
    state = to_timm(trained)
    state["bn1.weight"] = np.full_like(state["bn1.weight"], np.nan)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="NaN or infinity"):
        load_weights(tmp_path / "w.safetensors", fresh)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared with real weights is absent")
def test_real_timm_weights_load():
    path = SHARED / "weights" / "efficientnet-lite0_flowers5_timm.safetensors"
    loaded = load_weights(path, build_graph(SPECS["lite0"], classes=5, seed=None))
    assert loaded.source == "timm"
    assert np.abs(loaded.graph.weights["stem/kernel"]).max() > 0
