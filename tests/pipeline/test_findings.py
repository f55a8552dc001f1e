"""A file that is worse than the other forms of its quantization is named by the report itself."""

from __future__ import annotations

import numpy as np
import pytest

import edgekit
from edgekit import synthetic
from edgekit.calibration import pair_sums
from edgekit.cli.build import summary
from edgekit.converters import openvino
from edgekit.pipeline.findings import beyond_noise

SMALL = {"resolution": 32, "epochs": 0, "calibration_count": 16, "threads": 1}
SMALL |= {"width": 0.1, "depth": 0.1, "targets": ["tflite", "openvino", "onnx"]}


def divergences(**means: float) -> dict[str, np.ndarray]:
    """Of 200 photos, about these on average, each photo hard or easy for all forms alike."""
    rng = np.random.default_rng(0)
    photo = rng.exponential(1, 200)
    return {
        f"w8a8-{name}": mean * photo * rng.uniform(0.8, 1.2, 200) for name, mean in means.items()
    }


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({"sim": 0.0004, "tflite": 0.0004, "openvino": 0.002, "onnx": 0.0004}, ["openvino"]),
        ({"sim": 0.0023, "tflite": 0.0023, "openvino": 0.0272, "onnx": 0.0023}, ["openvino"]),
        ({"sim": 0.012, "tflite": 0.0116, "openvino": 0.012, "onnx": 0.0112}, []),
        ({"sim": 0.0004, "tflite": 0.0004, "openvino": 0.0006, "onnx": 0.0004}, []),
        ({"sim": 0.001, "tflite": 0.01}, ["tflite"]),
        ({"sim": 0.01, "tflite": 0.001}, []),  # the simulation is no file
        ({"sim": 1e-6, "tflite": 1e-6, "onnx": 1e-5}, []),  # ten times nothing
        ({"tflite": 0.01}, []),
        ({"sim": 0.001, "tflite": np.nan, "onnx": 0.001}, ["tflite"]),
    ],
)
def test_a_form_beyond_the_noise_of_the_others(means, expected):
    found = beyond_noise(divergences(**means))
    assert list(found) == [f"w8a8-{name}" for name in expected]


def test_a_few_photos_that_make_all_of_the_difference_are_noise():
    values = divergences(sim=0.001, tflite=0.001, onnx=0.001)
    values["w8a8-onnx"] = values["w8a8-onnx"].copy()
    values["w8a8-onnx"][7] += 0.4  # 0.002 on average
    assert beyond_noise(values) == {}


@pytest.fixture
def few_photos(monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_COUNT", 32)
    monkeypatch.setattr(synthetic, "VAL_COUNT", 40)


def test_a_sound_build_has_no_outlier(few_photos, tmp_path):
    run = edgekit.build("lite0", out=tmp_path / "out", **SMALL)
    assert run.document["quantization"]["outliers"] == []


def test_a_planted_fault_is_in_the_report_with_its_operator(few_photos, tmp_path, monkeypatch):
    def broken(graph):
        """The network that the OpenVINO file is written from: a bias is not the others'."""
        bias = graph.weights["logits/bias"].copy()
        bias[0] += 3  # an untrained network hardly notices what is wrong before its classifier
        return graph.with_weights({**graph.weights, "logits/bias": bias})

    monkeypatch.setattr(pair_sums, "fit_pairs", lambda graph: graph)
    monkeypatch.setattr(
        openvino, "fit_pairs", lambda graph: broken(graph) if graph.quant else graph
    )
    run = edgekit.build("lite0", out=tmp_path / "out", **SMALL)
    (outlier,) = run.document["quantization"]["outliers"]
    assert outlier["stage"] == "w8a8-openvino"
    assert (outlier["operator"], outlier["tensor"]) == ("FullyConnected", "logits")
    assert outlier["first"]
    assert outlier["kl"] > 2 * outlier["others_kl"]
    (text,) = (text for text in run.document["warnings"] if "w8a8-openvino loses more" in text)
    assert "FullyConnected 'logits' is the first operator that differs" in text
    assert any(text in line for line in summary(run.folder, run.document))
    assert "w8a8-openvino loses more" in (run.folder / "report.html").read_text()
    assert '"outliers"' in (run.folder / "report.json").read_text()
