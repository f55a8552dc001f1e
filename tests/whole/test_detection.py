"""Whole builds of a detector, small: Pascal VOC's files, 64 px, one epoch."""

from __future__ import annotations

import json

import numpy as np
import pytest
from box_folders import things, write_voc
from narrow import make_narrow
from PIL import Image
from report_page import check_page

import edgekit
from edgekit.cli import run as command
from edgekit.converters.detector import tflite_boxes
from edgekit.converters.tflite.file import read

SMALL = {
    "weights": "none",
    "resolution": 64,
    "epochs": 1,
    "batch_size": 8,
    "calibration_count": 12,
    "threads": 1,
    "decoder": "8,1,1",
    "compile": False,
}
AP = ("ap", "ap50", "ap75")


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """The size proves nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(["lite0"], patch)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    return {
        "data": write_voc(root / "train", things(24)),
        "val": write_voc(root / "val", things(10, 50)),
    }


@pytest.fixture(scope="module")
def raw(photos, tmp_path_factory):
    """A build whose files end with offsets and logits."""
    out = tmp_path_factory.mktemp("raw") / "out"
    targets = ["tflite", "edgetpu", "onnx"]
    return edgekit.build("det-lite0", targets=targets, out=out, **photos, **SMALL)


@pytest.fixture(scope="module")
def boxes(photos, tmp_path_factory):
    """A build whose .tflite files end with boxes."""
    out = tmp_path_factory.mktemp("boxes") / "out"
    return edgekit.build("det-lite0", output="detections", out=out, **photos, **SMALL)


def test_every_field_of_the_report_is_on_its_page(raw):
    report = json.loads((raw.folder / "report.json").read_text())
    check_page(report, has=("preprocessing.anchors", "preprocessing.task"))


def test_every_form_is_a_row_with_ap_and_its_intervals(raw):
    rows = {row["stage"]: row for row in raw.rows}
    assert [*rows] == [
        "fp32-torch",
        "fp32-tflite",
        "fp32-onnx",
        "w8a8-sim",
        "w8a8-tflite",
        "w8a8-onnx",
    ]
    for row in rows.values():
        for name in AP:
            low, high = row[f"{name}_ci95"]
            assert 0 <= low <= row[name] <= high or row["ap"] == 0
        assert row["n"] == 10
    for stage in ("fp32-tflite", "fp32-onnx"):
        assert rows[stage]["ap"] == pytest.approx(rows["fp32-torch"]["ap"], abs=1e-6)
    page = (raw.folder / "report.html").read_text()
    assert "AP50" in page


def test_the_file_that_ends_with_boxes_finds_what_the_network_finds(boxes):
    rows = {row["stage"]: row for row in boxes.rows}
    assert {"fp32-torch-detections", "fp32-tflite", "w8a8-tflite"} <= {*rows}
    # So little was learned that scores are nearly equal: their order depends on the processor.
    assert rows["fp32-tflite"]["ap"] == pytest.approx(rows["fp32-torch"]["ap"], abs=5e-3)
    end = tflite_boxes(read(next(boxes.folder.glob("*w8a8*.tflite"))))
    assert (end.most, end.classes) == (100, 3)


@pytest.mark.parametrize("build", ["raw", "boxes"])
def test_run_draws_with_the_folder_of_a_build(build, photos, request, tmp_path, capsys):
    run, drawn = request.getfixturevalue(build), tmp_path / "drawn.jpg"
    photo = photos["val"] / "JPEGImages/p051.jpg"
    given = ["run", str(run.folder), str(photo), "-o", str(drawn), "--threshold", "0", "--json"]
    assert command(given) == 0
    (found,) = json.loads(capsys.readouterr().out)["photos"]
    assert found["boxes"]
    assert {box["label"] for box in found["boxes"]} <= {"cat", "dog", "zebra"}
    with Image.open(drawn) as image, Image.open(photo) as before:
        assert image.size == before.size
        assert np.abs(np.array(image).astype(int) - np.array(before)).max() > 60


def test_parity_is_of_all_operators_and_refuses_boxes(raw, boxes, capsys):
    # At 64 px the last levels have one place, and the pyramid adds one of them to itself.
    assert command(["parity", str(raw.folder), "--photos", "2"]) == 0
    assert "no operators beyond the tolerance" in capsys.readouterr().out
    assert command(["parity", str(boxes.folder)]) == 2
    assert "ends with boxes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        {"quantize": "qat", "qat_epochs": 1},
        pytest.param({"quantize": "auto", "max_drop": 0.001}, marks=pytest.mark.slow),
        pytest.param({"targets": ["openvino"], "quantizer": "nncf"}, marks=pytest.mark.slow),
        pytest.param(
            {"targets": ["openvino"], "quantizer": "nncf", "quantize": "qat", "qat_epochs": 1},
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_quantization_as_for_classification(photos, options, tmp_path):
    run = edgekit.build("det-lite0", out=tmp_path / "out", **photos, **{**SMALL, **options})
    check_page(run.document, has=("quantization.search.",) if "max_drop" in options else ())
    rows = {row["stage"]: row for row in run.rows}
    int8 = [row for stage, row in rows.items() if stage.startswith("w8a8") and "sim" not in stage]
    assert int8
    for row in int8:
        assert row["ap"] == pytest.approx(rows["fp32-torch"]["ap"], abs=0.05)
