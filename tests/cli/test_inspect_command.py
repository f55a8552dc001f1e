from __future__ import annotations

import json

import pytest
from edgetpu_packages import STAND_ALONE, compiled, executable, options, package
from flatbuffers import number_types
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


@pytest.fixture
def show(tmp_path, capsys):
    def run(content: bytes | None = None) -> str:
        path = tmp_path / "model_edgetpu.tflite"
        path.write_bytes(compiled(content).pack())
        inspect(path)
        return capsys.readouterr().out

    return run


def test_a_compiled_model_says_what_runs_where_and_what_it_needs(show):
    out = show()
    assert "edgetpu: 1 subgraph on the Edge TPU, uint8 in, uint8 out" in out
    assert "operator 3: execution-only, parameter-caching" in out
    assert "600 B cached on the chip, 48 B streamed for every inference" in out
    assert "instructions 120 B, scratch 40 B" in out
    assert "Edge TPU runtime 13 or newer, chip beagle" in out
    assert "compiler     cl/343520747" in out
    assert "cycles       not stated" in out
    assert "cache token  0x8000000000000005; models that were compiled together" in out
    assert "on the CPU   0 QUANTIZE, 1 CONV_2D, 2 DEPTHWISE_CONV_2D, 4 MUL, 5 MEAN, 6 FULLY" in out
    assert " ms" not in out


def test_a_compiled_model_without_a_cache(show):
    cycles = {"f16": (number_types.Int64Flags, 1234567)}
    out = show(options(package(executable(STAND_ALONE, 70, **cycles))))
    assert "operator 3: stand-alone" in out
    assert "0 B cached on the chip, 70 B streamed" in out
    assert "cycles       1,234,567 (an estimate)" in out
    assert "cache token  none" in out


def test_what_cannot_be_decoded_is_said(show):
    out = show(b"nonsense")
    assert "operator 3: its contents cannot be read: the custom options are no map" in out
    assert "on the CPU   0 QUANTIZE" in out


def test_control_characters_of_a_package_do_not_reach_the_terminal(show):
    out = show(options(package(executable(STAND_ALONE, 1, f10=b"\x1b[31m"))))
    assert "\x1b" not in out
    assert "chip ?[31m" in out
