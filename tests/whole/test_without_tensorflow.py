"""The plain package, as installed without an extra: all that it promises runs, the rest says why.

TensorFlow and Keras are hidden from a process of its own and from all that it starts.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hidden import path_without
from PIL import Image
from state_dicts import to_tensorflow, write_hdf5

from edgekit.converters.weights.keras_applications import NAMES
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph

#: Runs one command after the other, so that torch is loaded once for all of them.
PROGRAM = """
import contextlib, io, json, os, sys
from edgekit.cli import run
for line in sys.stdin:
    folder, words = json.loads(line)
    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""
INSTALL = 'try:   pip install "edgekit[tensorflow]"'


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The environment of a process that finds no TensorFlow."""
    path = path_without(tmp_path_factory.mktemp("hidden"), "tensorflow", "keras")
    return os.environ | {"PYTHONPATH": path}


@pytest.fixture(scope="module")
def plain(without):
    """Runs an edgekit command where there is no TensorFlow: code, output, messages."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=without,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def run(*arguments):
            words = list(map(str, arguments))
            print(json.dumps([str(Path.cwd()), words]), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for label in "ab":
        (root / label).mkdir()
        for n in range(8):
            pixels = rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The names of a checkpoint's files: it is refused before it is read."""
    folder = tmp_path_factory.mktemp("checkpoint")
    for suffix in ("index", "data-00000-of-00001"):
        (folder / f"model.ckpt.{suffix}").touch()
    return folder


@pytest.mark.parametrize("package", ["tensorflow", "keras"])
def test_they_are_hidden_there(without, package):
    ran = subprocess.run(
        [sys.executable, "-c", f"import {package}"],
        env=without,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "ModuleNotFoundError" in ran.stderr


def test_a_build_and_what_takes_its_files(plain, photos, tmp_path):
    small = ["--width", "0.1", "--depth", "0.1", "--resolution", "32", "--threads", "1"]
    more = ["--epochs", "0", "--weights", "none", "--scheme", "fp16", "--no-compile"]
    out = tmp_path / "run"
    code, _, err = plain(
        "build", "b0", "--data", photos, "--target", "edgetpu", "--out", out, *small, *more
    )
    assert code == 0, err
    (model,) = out.glob("*-w8a8-static.tflite")
    for words in (
        ["check", model],
        ["inspect", model],
        ["run", model, photos / "a" / "0.png"],
        ["bench", model, "--rounds", "1", "--seconds", "0.01", "--threads", "1"],
    ):
        code, _, err = plain(*words)
        assert code == 0, (words, err)


@pytest.mark.parametrize(
    "words",
    [
        ["weights", "import", "{}", "--model", "lite0", "-o", "out.safetensors"],
        ["weights", "verify", "{}", "--model", "lite0"],
        ["build", "lite0", "--weights", "{}", "--out", "out"],
        ["train", "lite0", "--weights", "{}", "--out", "out"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_checkpoint_ends_with_3_and_the_command(plain, checkpoint, tmp_path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = plain(*(word.format(checkpoint) for word in words))
    assert (code, out) == (3, "")
    assert err.splitlines() == [
        "error: a TensorFlow checkpoint needs the package tensorflow",
        "cause: it is not installed",
        INSTALL,
    ]
    assert not list(tmp_path.glob("out*/stages"))
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    """A file as Keras writes weights."""
    graph = build_graph(SPECS["b0"], classes=3, resolution=32, seed=2)
    variables = to_tensorflow(graph, NAMES.of(graph))
    path = tmp_path_factory.mktemp("keras") / "b0.h5"
    return write_hdf5(path, {f"{name}:0": array for name, array in variables.items()}), graph


def test_weights_of_keras_are_read(plain, keras_file, tmp_path):
    path, graph = keras_file
    out = tmp_path / "out.safetensors"
    code, said, err = plain("weights", "import", path, "--model", "b0", "-o", out, "--json")
    assert (code, err) == (0, "")
    assert json.loads(said)["source"] == "keras"
    np.testing.assert_array_equal(
        Graph.load(out).weights["stem/kernel"], graph.weights["stem/kernel"]
    )


def test_weights_of_keras_are_checked_up_to_where_keras_is_needed(plain, keras_file):
    code, out, err = plain("weights", "verify", keras_file[0], "--model", "b0", "--json")
    assert code == 3
    assert json.loads(out)["source"] == "keras"
    assert "running the original of these weights needs the package keras" in err
    assert INSTALL in err
