"""Targets with a runtime of their own: one training, one quantization, a row per file."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import edgekit
from edgekit.cli import run as command
from edgekit.data import synthetic
from edgekit.parity.compare import compare_executions
from edgekit.runtimes.open import open_classifier

SMALL = {"resolution": 32, "epochs": 0, "calibration_count": 16, "threads": 1, "compile": False}
SMALL |= {"width": 0.1, "depth": 0.1, "ranges": "minmax"}


@pytest.fixture(scope="module", params=["ours", pytest.param("nncf", marks=pytest.mark.slow)])
def quantizer(request):
    """Who makes OpenVINO's int8 files."""
    return request.param


@pytest.fixture(scope="module")
def run(quantizer, tmp_path_factory):
    """A build for everything, from random weights and few photos."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "TRAIN_COUNT", 64)
        patch.setattr(synthetic, "VAL_COUNT", 40)
        yield edgekit.build(
            "b0",
            targets=["tflite", "openvino", "onnx"],
            quantizer=quantizer,
            schemes=["fp16"],
            dynamic_batch=True,
            out=tmp_path_factory.mktemp("run") / "out",
            **SMALL,
        )


def test_every_file_is_a_row_of_one_table(run, quantizer):
    assert [row["stage"] for row in run.rows] == [
        "fp32-torch",
        "fp32-tflite",
        "fp16-tflite",
        "fp32-openvino",
        "fp16-openvino",
        "fp32-onnx",
        "w8a8-sim",
        "w8a8-tflite",
        "w8a8-openvino",
        *(["w8a8-openvino-nncf"] if quantizer == "nncf" else []),
        "w8a8-onnx",
    ]
    for row in run.rows[3:6] + run.rows[7:]:
        assert row["size_bytes"] > 0
        assert row["latency_ms"]["threads"] == 1
    names = [stage["name"] for stage in run.document["stages"]]
    quantized = [name for name in names if name.startswith("quantize")]
    assert quantized == ["quantize w8a8-static", "quantize w8a8-at-kernels"]
    assert [target["status"] for target in run.document["targets"]] == ["ready"] * 3


def test_float_forms_agree_with_torch(run):
    for row in run.rows[1:6]:
        half = row["stage"].startswith("fp16")
        assert row["agreement"] >= (0.95 if half else 1)
        assert row["kl"] < (1e-3 if half else 1e-6)


def test_the_integers_of_onnx_are_those_of_the_network(run):
    by_stage = {row["stage"]: row for row in run.rows}
    assert by_stage["w8a8-onnx"]["kl"] == pytest.approx(by_stage["w8a8-sim"]["kl"], abs=2e-4)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("fp32-openvino", "fp32.xml"),
        ("fp16-openvino", "fp16.xml"),
        ("w8a8-openvino", "w8a8-static.xml"),
        ("fp32-onnx", "fp32.onnx"),
        ("w8a8-onnx", "w8a8-static.onnx"),
    ],
)
def test_the_files_run_where_they_were_put(run, role, name):
    path = run.files[role]
    assert path.name.endswith(name)
    assert path.parent == run.folder
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert open_classifier(path).run(pixels).shape == (2, 10)


def test_parity_takes_them_as_executions(run, quantizer):
    found = compare_executions(run.folder, photos=3)
    assert {"openvino float", "openvino int8", "onnx int8"} <= {*found["executions"]}
    assert ("openvino int8 by nncf" in found["executions"]) == (quantizer == "nncf")
    apart = {(pair["a"], pair["b"]): pair["mean_lsb"] for pair in found["pairs"]}
    assert apart["torch float", "onnx float"] < 0.01
    assert apart["torch float", "openvino float"] < 0.01


def test_onnx_files_take_several_photos_where_asked(run):
    import onnxruntime

    session = onnxruntime.InferenceSession(run.files["w8a8-onnx"].read_bytes())
    photos = np.zeros((3, 32, 32, 3), np.uint8)
    assert session.run(None, {session.get_inputs()[0].name: photos})[0].shape == (3, 10)


@pytest.mark.parametrize(("target", "extra"), [("onnx", "onnx"), ("openvino", "openvino")])
def test_a_missing_extra_ends_with_3_before_any_work(tmp_path, monkeypatch, capsys, target, extra):
    monkeypatch.setitem(sys.modules, "onnxruntime" if target == "onnx" else "nncf", None)
    out = tmp_path / "out"
    assert command(["build", "b0", "--target", target, "--out", str(out)]) == 3
    assert f'pip install "edgekit[{extra}]"' in capsys.readouterr().err
    assert not (out / "stages").exists()


def test_nncf_is_for_openvino(capsys):
    assert command(["build", "b0", "--quantizer", "nncf"]) == 2
    assert "--target openvino" in capsys.readouterr().err
