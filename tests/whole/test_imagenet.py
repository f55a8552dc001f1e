"""Real ImageNet weights of Keras on real photos: what comes in is what was trained."""

import pytest
from places import SHARED
from prerequisites import needs

import edgekit

SAMPLE = SHARED / "data" / "imagenet-sample"


pytestmark = [
    pytest.mark.slow,
    needs("shared", SHARED.is_dir()),
]
OPTIONS = {
    "data": SAMPLE,
    "val": SAMPLE.with_name("imagenet-sample-eval.txt"),
    "calibration": SAMPLE.with_name("imagenet-sample-calibration.txt"),
    "weights": SHARED / "weights" / "efficientnetv2-b0_imagenet_keras.weights.h5",
    "epochs": 0,
}


def test_v2_b0_keeps_its_accuracy_in_every_runtime(tmp_path):
    targets = ["tflite", "openvino", "onnx"]
    run = edgekit.build("v2-b0", targets=targets, quantizer="nncf", out=tmp_path / "out", **OPTIONS)
    rows = {row["stage"]: row for row in run.rows}
    # Keras itself gives these answers. The rounding of the crop alone moves the 800 photos'
    # accuracy from 0.889 to 0.901: 90.0 % was measured with a crop that is not on record.
    assert rows["fp32-torch"]["top1"] == pytest.approx(0.900, abs=0.006)
    assert rows["fp32-tflite"]["top1"] == rows["fp32-torch"]["top1"]
    assert rows["fp32-tflite"]["agreement"] == 1.0
    assert rows["w8a8-tflite"]["drop_pp"] <= 0.8
    assert rows["w8a8-tflite"]["agreement"] >= 0.97
    assert rows["w8a8-tflite"]["kl"] <= 0.015
    for stage in ("fp32-openvino", "fp32-onnx"):
        assert rows[stage]["agreement"] == 1.0
        assert rows[stage]["kl"] < 1e-8
    int8 = rows["w8a8-tflite"]["top1"]
    assert rows["w8a8-openvino"]["drop_pp"] <= 0.8
    # It is rounded in fewer places, with biases for those.
    assert rows["w8a8-openvino"]["kl"] <= 0.75 * rows["w8a8-tflite"]["kl"]
    assert rows["w8a8-openvino"]["agreement"] >= 0.98
    assert run.document["quantization"]["outliers"] == []
    assert rows["w8a8-onnx"]["top1"] == pytest.approx(int8, abs=0.003)
    assert rows["w8a8-openvino-nncf"]["agreement"] == pytest.approx(0.963, abs=0.02)


def test_the_float_ir_gives_torchs_logits(tmp_path):
    import torch

    from edgekit.data.batches import eval_batches
    from edgekit.networks.graph import Graph
    from edgekit.networks.predict import to_input
    from edgekit.networks.torch_network import Network
    from edgekit.runs import read_preprocessing
    from edgekit.runtimes.open import open_classifier

    run = edgekit.build("v2-b0", targets=["openvino"], out=tmp_path / "out", **OPTIONS)
    weights = next((run.folder / "stages").glob("weights-*"))
    preprocessing = read_preprocessing(weights)
    network = Network(Graph.load(run.files["graph"])).eval()
    openvino = open_classifier(run.files["fp32-openvino"], threads=2)
    photos = edgekit_photos(run).subset(range(0, 800, 8))
    for pixels, _ in eval_batches(photos, preprocessing, 20):
        with torch.inference_mode():
            wanted = network(to_input(pixels, preprocessing, "cpu")).numpy()
        assert abs(openvino.run(pixels) - wanted).max() < 1e-3


def edgekit_photos(run):
    """The validation photos of a build."""
    from edgekit.runs import read_splits

    return read_splits(next((run.folder / "stages").glob("data-*"))).val


def test_a_search_to_three_tenths_of_a_point(tmp_path):
    run = edgekit.build("v2-b0", quantize="auto", max_drop=0.3, out=tmp_path / "out", **OPTIONS)
    assert run.problem is None
    row = run.rows[-1]
    assert row["stage"] == "w8a8-tflite"
    assert row["drop_pp"] <= 0.3
    assert row["agreement"] >= 0.98
    assert row["kl"] <= 0.010
