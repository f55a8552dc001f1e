"""``edgekit init`` and the builds that take its file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tomllib
from PIL import Image

from edgekit.cli import run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with photos of two classes in it."""
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(10):
            pixels = np.full((40, 40, 3), 20 * k, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_for_photos_is_taken_by_a_build_and_overridden(here, capsys):
    assert run(["init", "photos"]) == 0
    said = capsys.readouterr().err
    assert "2 classes: cats, dogs" in said
    text = (here / "edgekit.toml").read_text()
    assert tomllib.loads(text) == {"model": "lite0", "data": "photos", "target": ["tflite"]}
    assert "{targets}" not in text
    (here / "edgekit.toml").write_text(text.replace("#epochs =", "epochs = 7"))
    assert run(["build", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "lite0 at 224 px into" in shown.out
    assert "options of edgekit.toml: model, data, epochs, target" in shown.err
    assert run(["build", "b0", "--resolution", "64", "--dry-run", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert "b0 at 64 px into" in shown.out
    assert "options of" not in shown.err


def test_what_is_given_counts_and_else_the_file(here, capsys):
    (here / "edgekit.toml").write_text(
        'model = "lite0"\ndata = "photos"\nepochs = 1\nweights = "none"\nresolution = 32\n'
        'calibration-count = 10\nrecipe = "scratch"\nresume = false\nbatch-size = 2\n'
    )
    assert run(["train", "--width", "0.1", "--out", "run", "--quiet"]) == 0
    capsys.readouterr()
    report = json.loads((here / "run/report.json").read_text())
    assert report["model"] == "lite0-w0.1"
    assert report["preprocessing"]["resolution"] == 32


def test_an_option_that_train_lacks_is_of_the_build_alone(here, capsys):
    (here / "edgekit.toml").write_text('model = "lite0"\ntarget = "edgetpu"\nmax-drop = 1\n')
    assert run(["train", "--data", "photos", "--epochs", "many"]) == 2
    assert "epochs" in capsys.readouterr().err


def test_a_file_that_cannot_be_used_stops_a_build_but_not_its_help(here, capsys):
    (here / "edgekit.toml").write_text('model = "lite0"\nepoch = 3\n')
    assert run(["build", "--dry-run"]) == 2
    shown = capsys.readouterr().err
    assert "edgekit.toml: there is no option 'epoch'" in shown
    assert "did you mean 'epochs'" in shown
    assert run(["build", "--help"]) == 0
    assert run(["models"]) == 0


def test_a_file_that_is_there_is_not_overwritten(here, capsys):
    (here / "edgekit.toml").write_text("epochs = 3\n")
    assert run(["init", "photos"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (here / "edgekit.toml").read_text() == "epochs = 3\n"
    assert run(["init", "photos", "--model", "b1", "--out", "other.toml"]) == 0
    assert tomllib.loads((here / "other.toml").read_text())["model"] == "b1"


def test_without_photos_the_file_is_of_the_built_in_ones(here):
    assert run(["init"]) == 0
    assert tomllib.loads((here / "edgekit.toml").read_text()) == {
        "model": "lite0",
        "target": ["tflite"],
    }


def test_what_holds_no_photos_is_said(here, capsys):
    (here / "empty").mkdir()
    assert run(["init", "empty"]) == 2
    assert "empty" in capsys.readouterr().err
    assert not (here / "edgekit.toml").exists()
