"""The issue's own measure: real photos, real weights, all rows of the report."""

import numpy as np
import pytest
from places import SHARED
from prerequisites import needs

import edgekit

FLOWERS = SHARED / "data" / "flowers"
WEIGHTS = SHARED / "weights" / "efficientnet-lite0_flowers5_timm.safetensors"

pytestmark = [
    pytest.mark.slow,
    needs("shared", FLOWERS.is_dir()),
]


def build(**options):
    """Builds Lite0 on the flowers from its published weights."""
    data = {"data": FLOWERS / "train", "val": FLOWERS / "val"}
    return edgekit.build("lite0", **data, weights=WEIGHTS, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return build(
        epochs=0,
        targets=["tflite", "edgetpu"],
        compile=False,
        out=tmp_path_factory.mktemp("flowers") / "out",
    )


def test_float_rows_agree_with_each_other_and_with_what_was_published(run):
    reference, control = run.rows[:2]
    assert reference["n"] == control["n"] == 736
    for row in (reference, control):
        assert 0.92 <= row["top1"] <= 0.95
    assert abs(reference["top1"] - control["top1"]) * 736 <= 1


def test_int8_loses_next_to_nothing(run):
    assert run.rows[3]["stage"] == "w8a8-tflite"
    assert run.rows[3]["drop_pp"] <= 0.3


def test_the_simulation_predicts_the_file(run):
    stages = run.folder / "stages"
    answers = [
        np.load(next(stages.glob(f"evaluate-{row}-*")) / "logits.npy").argmax(1)
        for row in ("w8a8-sim", "w8a8-tflite")
    ]
    assert (answers[0] == answers[1]).mean() >= 0.98


def test_openvino_keeps_what_the_other_forms_keep(tmp_path):
    built = build(
        epochs=0,
        targets=["tflite", "openvino", "onnx"],
        out=tmp_path / "out",
    )
    rows = {row["stage"]: row for row in built.rows}
    assert rows["w8a8-openvino"]["kl"] <= 2 * rows["w8a8-tflite"]["kl"]
    assert rows["w8a8-openvino"]["agreement"] >= rows["w8a8-tflite"]["agreement"] - 0.005
    assert rows["w8a8-onnx"]["kl"] <= 1.2 * rows["w8a8-tflite"]["kl"]
    assert built.document["quantization"]["outliers"] == []


def test_one_epoch_of_fine_tuning_improves_or_holds(run, tmp_path):
    tuned = build(
        epochs=1,
        out=tmp_path / "out",
    )
    assert tuned.rows[0]["top1"] >= run.rows[0]["top1"]


def test_one_epoch_in_8_bits_is_no_worse_than_fp32_was(run, tmp_path):
    trained = build(
        epochs=0,
        quantize="qat",
        qat_epochs=1,
        out=tmp_path / "out",
    )
    assert trained.rows[-1]["top1"] >= run.rows[0]["top1"]


def test_a_few_epochs_of_fine_tuning_suffice(tmp_path):
    trained = edgekit.train(
        "v2-b0",
        data=FLOWERS / "train",
        val=FLOWERS / "val",
        weights=SHARED / "weights" / "efficientnetv2-b0_imagenet_keras.weights.h5",
        recipes=["finetune"],
        epochs=3,
        out=tmp_path / "out",
    )
    assert trained.score >= 0.93
