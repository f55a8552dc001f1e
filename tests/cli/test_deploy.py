from __future__ import annotations

import json
import sys

import pytest
from foreign_files import labelled
from tiny_tflite import TinyModel, float_io

from edgekit.cli import run


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    return path


def test_text_goes_to_stdout_and_progress_to_stderr(model, tmp_path, capsys):
    to = tmp_path / "to"
    arguments = ["--device", "local:", "--to", str(to), "--python", sys.executable]
    assert run(["deploy", str(model), *arguments]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{to} on this machine:\n  tiny.tflite\n")
    assert "check: answers as this host does on test picture" in out
    assert out.endswith(f"  cd {to} && {sys.executable} classify.py check.ppm\n")
    assert err.startswith("[1/1] deploy to local:")


def test_json_is_one_document(model, tmp_path, capsys):
    assert run(["deploy", str(model), "--android", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(tmp_path / "android")
    assert found["checked"] == "not run on the phone"
    assert found["command"] is None


def test_an_api_makes_an_apps_sources(model, tmp_path, capsys):
    assert run(["deploy", str(model), "--android-api", "compiled-model"]) == 0
    assert "Model.kt" in capsys.readouterr().out
    assert "litert:2.3.0" in (tmp_path / "android/README.md").read_text()


def test_what_is_refused_ends_with_2(model, tmp_path, capsys):
    assert run(["deploy", str(model)]) == 2
    assert "--android" in capsys.readouterr().err
    (tmp_path / "to").mkdir()
    assert run(["deploy", str(model), "--device", "local:", "--to", str(tmp_path / "to")]) == 2


def test_labels_that_do_not_fit_are_said(tmp_path, capsys):
    path = tmp_path / "m.tflite"
    path.write_bytes(labelled(b"a\nb\n"))
    assert run(["deploy", str(path), "--android"]) == 0
    assert "labels: the file has 2 labels for 5 classes" in capsys.readouterr().out


@pytest.mark.parametrize("option", [[], ["--mean", "127", "--std", "128"]])
def test_a_float_file_needs_a_normalization(tmp_path, capsys, option):
    path = tmp_path / "float.tflite"
    path.write_bytes(float_io().pack())
    assert run(["deploy", str(path), "--android", *option]) == (0 if option else 2)
    assert ("--mean R,G,B --std R,G,B" in capsys.readouterr().err) == (not option)
