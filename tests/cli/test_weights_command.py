"""``edgekit weights import`` and ``verify``."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgekit.architecture import build_graph
from edgekit.cli import run
from edgekit.converters import originals
from edgekit.graph import Graph
from edgekit.hashing import hash_file
from edgekit.spec import SPECS

SHARED = Path(__file__).parents[3] / "shared" / "weights"


@pytest.fixture
def ours(tmp_path):
    path = tmp_path / "ours.safetensors"
    build_graph(SPECS["lite0"], classes=3, resolution=64, seed=2).save(path)
    return path


def test_import_writes_a_network_and_says_what_it_read(ours, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    words = ["weights", "import", str(ours), "--model", "lite0", "-o", str(out)]
    assert run([*words, "--classes", "5", "--resolution", "96", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    graph = Graph.load(out)
    assert (graph.classes, graph.resolution, graph.spec) == (5, 96, SPECS["lite0"])
    assert record["sha256"] == hash_file(out)
    assert record["source"] == "edgekit"
    assert record["tensors"] == len(graph.weights)
    assert record["parameters"] == 4652008 - 995 * 1281
    assert (record["padding"], record["mean"]) == ("same", [127.0] * 3)
    assert "a fresh one took its place" in record["notes"][0]


def test_import_for_people(ours, tmp_path, capsys):
    words = ["weights", "import", str(ours), "--model", "lite0", "-o", str(tmp_path / "out")]
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert "padding            same\n" in out
    assert "mean               127, 127, 127\n" in out
    assert err == ""


def test_import_does_not_overwrite_unasked(ours, tmp_path, capsys):
    out = tmp_path / "out"
    out.write_text("mine")
    words = ["weights", "import", str(ours), "--model", "lite0", "-o", str(out)]
    assert run(words) == 2
    assert out.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    assert run([*words, "--overwrite"]) == 0
    assert Graph.load(out).classes == 3


@pytest.mark.parametrize("wrong", ["--model b1", "--model x", "--source timm", "--source x"])
def test_what_does_not_fit_writes_nothing(ours, tmp_path, wrong, capsys):
    words = ["weights", "import", str(ours), "-o", str(tmp_path / "out"), *wrong.split()]
    assert run(words if "--model" in wrong else [*words, "--model", "lite0"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_verify_says_plainly_what_was_not_compared(ours, capsys):
    assert run(["weights", "verify", str(ours), "--model", "lite0"]) == 0
    out = capsys.readouterr().out
    assert "not compared: no library runs the original of edgekit weights here" in out
    assert "checked            names, shapes and values of every tensor" in out


@pytest.mark.parametrize("right", [True, False])
def test_verify_against_a_reference(ours, tmp_path, right, capsys):
    graph = Graph.load(ours)
    inputs = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    logits = originals.run(graph, inputs) + (0 if right else 1)
    np.savez(tmp_path / "reference.npz", input_nhwc=inputs, logits=logits)
    words = ["weights", "verify", str(ours), "--model", "lite0", "--json"]
    code = run([*words, "--reference", str(tmp_path / "reference.npz")])
    out, err = capsys.readouterr()
    assert code == (0 if right else 5)
    assert (json.loads(out)["largest_difference"] < 1e-4) == right
    assert err == "" or "the logits are not the original's" in err


@pytest.mark.parametrize("contents", ["text", "logits", "classes"])
def test_a_reference_that_cannot_be_used(ours, tmp_path, contents, capsys):
    path = tmp_path / "reference.npz"
    if contents == "text":
        path.write_text("nothing")
    else:
        arrays = {"input_nhwc": np.zeros((1, 64, 64, 3)), "logits": np.zeros((1, 9))}
        np.savez(
            path, **{k: v for k, v in arrays.items() if contents == "classes" or k != contents}
        )
    words = ["weights", "verify", str(ours), "--model", "lite0", "--reference", str(path)]
    assert run(words) == 2
    assert "reference" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared with real weights is absent")
def test_verify_runs_keras_itself(tmp_path, capsys):
    pytest.importorskip("keras")
    real = SHARED / "efficientnetv2-b0_imagenet_keras.weights.h5"
    assert run(["weights", "verify", str(real), "--model", "v2-b0", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["compared"].startswith("with keras ")
    assert record["largest_difference"] < 1e-4


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared with real weights is absent")
def test_verify_fails_where_keras_differs(tmp_path, capsys, monkeypatch):
    """The gate is real: with other preprocessing, the logits are not Keras'."""
    pytest.importorskip("keras")
    real = tmp_path / "v2.weights.h5"
    shutil.copy(SHARED / "efficientnetv2-b0_imagenet_keras.weights.h5", real)
    honest = originals.normalised
    monkeypatch.setattr(originals, "normalised", lambda graph, pixels: honest(graph, pixels + 9))
    assert run(["weights", "verify", str(real), "--model", "v2-b0"]) == 5
    assert "the logits are not the original's" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared with real weights is absent")
def test_verify_a_checkpoint_of_the_full_width_names_what_differs(capsys):
    folder = SHARED / "tf1" / "efficientnet-lite0-w0.5-c10"
    assert run(["weights", "verify", str(folder), "--model", "lite0"]) == 2
    assert "not those of lite0" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared with real weights is absent")
@pytest.mark.parametrize(("more", "code"), [([], 0), (["--no-ema"], 5)])
def test_verify_googles_checkpoint_of_half_the_width(more, code, capsys):
    folder = SHARED / "tf1" / "efficientnet-lite0-w0.5-c10"
    words = ["weights", "verify", str(folder), "--model", "lite0", "--width", "0.5", *more]
    assert run([*words, "--reference", str(folder / "reference.npz"), "--json"]) == code
    assert json.loads(capsys.readouterr().out)["compared"].endswith("reference.npz")
