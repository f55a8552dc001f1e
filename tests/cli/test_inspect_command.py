from __future__ import annotations

import json

import pytest
from tiny_tflite import TinyModel

from edgekit.cli.inspect import inspect
from edgekit.inspection import inspect_file


@pytest.fixture
def path(tmp_path):
    tiny = TinyModel()
    tiny.tensor("gate").quantization.scale = [1 / 255]
    tiny.tensor("scores").name = b"scores\x1b[31m"
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny.pack())
    return path


def test_json_is_the_document(path, capsys):
    inspect(path, json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(json.dumps(inspect_file(path)))
    assert err == ""


def test_text_names_types_operators_and_findings(path, capsys):
    inspect(path)
    out = capsys.readouterr().out
    assert "w8a8-static" in out
    assert "input       uint8 [1, 8, 8, 3], scale 0.0078125, zero point 127  (image)" in out
    assert "labels      none in the file" in out
    assert f"{'DEPTHWISE_CONV_2D':28} {3:>7} {6:>7} {1:>6}" in out
    assert "tflite: 1 finding\n  error: 3 LOGISTIC" in out
    assert "edgetpu: 1 finding\n  error: 3 LOGISTIC" in out
    assert "model.invoke()" in out


def test_control_characters_of_the_file_do_not_reach_the_terminal(path, capsys):
    inspect(path)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "scores?[31m" in out
