from __future__ import annotations

import json

import pytest
from tiny_tflite import TinyModel, float_io

from edgekit.cli import run
from edgekit.parity import compare as parity


@pytest.fixture
def path(tmp_path):
    tiny = TinyModel()
    tiny.tensor("gated").name = b"gated\x1b[31m"
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny.pack())
    return path


@pytest.fixture
def faulty(monkeypatch):
    """Makes the next comparison find that an operator is off and a scale is wrong."""
    honest = parity.compare_executions

    def compare(*args, **options):
        found = honest(*args, **options)
        found["operators"][4] |= {"builtin": 3, "xnnpack": None, "ok": False}
        found["first"] = found["operators"][4]
        found["differences"] = [{"tensor": "gate", "kind": "scale", "message": "scale 2, not 1"}]
        found["ok"] = False
        return found

    monkeypatch.setattr(parity, "compare_executions", compare)


def test_json_is_one_document_and_the_file_is_faithful(path, capsys):
    assert run(["parity", str(path), "--photos", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["ok"], found["photos"]) == (1, True, 2)
    assert found["executions"] == ["integer simulation", "tflite builtin", "tflite xnnpack"]
    assert [op["operator"] for op in found["operators"]][:3] == [
        "QUANTIZE",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
    ]


def test_text_has_pairs_the_noise_floor_and_operators(path, capsys):
    assert run(["parity", str(path), "--photos", "3"]) == 0
    out = capsys.readouterr().out
    exact = f"{'integer simulation':20} {'tflite builtin':20} {'100.0%':>11} {'0.000':>9}"
    assert exact in out
    assert "noise floor: the worst pair of int8 forms" in out
    assert f"{'LOGISTIC':20} {1:>6} {0:>12}" in out
    assert "no operators beyond the tolerance" in out
    assert "signal to noise" not in out  # there is no float network to compare with


def test_a_float_file_beside_it_gives_ratios(path, tmp_path, capsys):
    other = tmp_path / "other.tflite"
    other.write_bytes(path.read_bytes())  # the same operators: enough to be lined up
    assert run(["parity", str(path), "--float", str(other), "--photos", "2"]) == 0
    out = capsys.readouterr().out
    assert "signal to noise, worst first" in out
    assert "gated?[31m" in out
    assert "\x1b" not in out


def test_a_fault_ends_with_5_and_its_place(path, faulty, capsys):
    assert run(["parity", str(path), "--photos", "2"]) == 5
    out, err = capsys.readouterr()
    assert "1 operator beyond the tolerance\n  4 MUL gated" in out
    assert f"{'MUL':20} {1:>6} {3:>12} {'refused':>12}" in out
    assert "the file is not what its network says\n  gate: scale 2, not 1" in out
    assert "error: the first operator beyond its tolerance is 4 MUL, tensor gated" in err
    assert "cause: gate: scale 2, not 1" in err


def test_float_ends_are_fed_too(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(float_io().pack())
    assert run(["parity", str(path), "--photos", "2"]) == 0


def test_what_is_no_run_ends_with_2(tmp_path, capsys):
    assert run(["parity", str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
