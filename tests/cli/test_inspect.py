from __future__ import annotations

import json

import pytest
from edgetpu_packages import STAND_ALONE, compiled, executable, options, package
from flatbuffers import number_types
from foreign_files import FOREIGN, depth
from map_files import write_map_file
from prerequisites import NEEDS
from tiny_tflite import TinyModel

from edgekit.cli.inspect import inspect
from edgekit.targets.inspection.inspect import inspect_file


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


def test_what_is_no_classifier_is_said_to_be_none(tmp_path, capsys):
    path = tmp_path / "map.tflite"
    path.write_bytes(depth().pack())
    inspect(path)
    out = capsys.readouterr().out
    assert "classifier  no: its output [1, 4, 4, 1] is no single list of scores" in out
    assert "argmax" not in out


def test_labels_are_compared_with_the_output(capsys):
    inspect(FOREIGN / "labels_background_1_more.tflite")
    out = capsys.readouterr().out
    assert "the file has 4 labels for 3 classes" in out
    assert "labels = ['red', 'green', 'blue']" in out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aeq_weight_only_wi8_afp32", "int8 weights, which become float before they are used"),
        ("aeq_dynamic_wi4b32_afp32", "weights     fp32 in 3, w4-dynamic-blocks32 in 2 operators"),
        ("tf_16x8", "int8 weights, int16 activations"),
    ],
)
def test_a_scheme_is_said_in_words(name, words, capsys):
    inspect(FOREIGN / f"{name}.tflite")
    out = capsys.readouterr().out
    assert words in out
    assert "edgekit run takes --mean and --std" in out


def test_an_onnx_file(capsys):
    pytest.importorskip("onnx", reason=NEEDS["onnx"].reason)
    inspect(FOREIGN / "external.onnx")
    out = capsys.readouterr().out
    assert "external.onnx: fp32, 868 B" in out
    assert "files       external.onnx, external.onnx.data" in out
    assert "output      float32 [1, 5]  (y)" in out


def test_an_openvino_model(tmp_path, capsys):
    pytest.importorskip("openvino", reason=NEEDS["openvino"].reason)
    from tiny_openvino import float_graph, write

    inspect(write(tmp_path / "m.xml", float_graph()))
    out = capsys.readouterr().out
    assert "files       m.xml, m.bin" in out
    assert "labels      tench, great white shark" in out
    assert "openvino: no findings" in out


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("logits", "segmenter   5 logits at each of 32 x 32 pixels (5.1 kB a photo)"),
        ("classes", "segmenter   the class at each of 32 x 32 pixels (4.1 kB a photo)"),
    ],
)
def test_a_segmenter_is_said_to_be_one(tmp_path, capsys, output, says):
    path = write_map_file(tmp_path / "m.tflite", "unet", output)
    inspect(path)
    out = capsys.readouterr().out
    assert says in out
    assert "labels      background, road, car, tree, sky" in out
    assert "classifier  no" not in out
    assert "fit pad" in out
