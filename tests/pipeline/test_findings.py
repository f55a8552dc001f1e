"""Files that are worse than they should be are named by the report itself."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import edgekit
from edgekit.calibration import pair_sums
from edgekit.cli.build import summary
from edgekit.converters.openvino import write as openvino
from edgekit.data import synthetic
from edgekit.pipeline.findings import beyond_noise, inversions
from edgekit.pipeline.post_training import Candidate
from edgekit.pipeline.stages.schemes import FROM_INT8
from edgekit.report.diagnosis import explain_inversion
from edgekit.tasks.classification.metrics import kl_by_photo

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


def test_a_form_that_is_rounded_in_fewer_places_makes_no_other_an_outlier():
    values = divergences(sim=0.004, tflite=0.004, openvino=0.0001)
    assert beyond_noise(values, ["w8a8-openvino"]) == {}
    values = divergences(sim=0.004, tflite=0.004, openvino=0.02)
    assert list(beyond_noise(values, ["w8a8-openvino"])) == ["w8a8-openvino"]
    # Two of them are no measure for each other.
    values = divergences(sim=0.004, tflite=0.004, one=0.0001, two=0.004)
    assert beyond_noise(values, ["w8a8-one", "w8a8-two"]) == {}


def test_a_few_photos_that_make_all_of_the_difference_are_noise():
    values = divergences(sim=0.001, tflite=0.001, onnx=0.001)
    values["w8a8-onnx"] = values["w8a8-onnx"].copy()
    values["w8a8-onnx"][7] += 0.4  # 0.002 on average
    assert beyond_noise(values) == {}


def scheme_divergences(**noise):
    """By scheme its KL on 200 made-up photos, from logits with that much noise."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (200, 5))
    found = {}
    for name, amount in noise.items():
        noisy = logits + rng.normal(0, amount, logits.shape)
        found[name.replace("_", "-")] = kl_by_photo(logits, noisy)
    return found


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        ({"fp32": 0.0, "w8a16_static": 0.01, "w8_dynamic": 0.05, "w8a8_static": 0.2}, {}),
        ({"fp32": 0.0, "w8a16_static": 0.2, "w8_dynamic": 0.2, "w8a8_static": 0.2}, {}),
        ({"w8a16_static": 0.4, "w8a8_static": 0.1}, {"w8a16-static": "w8a8-static"}),
        ({"w8a16_static": 0.4, "w8a8_mixed": 0.1}, {"w8a16-static": "w8a8-mixed"}),
        ({"w8a8_static": 0.4, "w8a16_static": 0.1}, {}),  # that is how it should be
        ({"w8a16_static": 0.008, "w8a8_static": 0.001}, {}),  # no answer changes
        (  # the best of the coarser ones is named
            {"w8a16_static": 0.4, "w8_dynamic": 0.2, "w8a8_static": 0.1},
            {"w8a16-static": "w8a8-static", "w8-dynamic": "w8a8-static"},
        ),
        ({"fp16": np.nan, "w8a8_static": 0.2}, {"fp16": "w8a8-static"}),
    ],
)
def test_a_scheme_that_is_worse_than_a_coarser_one(noise, expected):
    found = inversions(scheme_divergences(**noise))
    assert {one["scheme"]: one["coarser"] for one in found} == expected
    for one in found:
        assert not one["kl"] <= one["coarser_kl"]


def test_equal_answers_are_no_inversion():
    values = scheme_divergences(fp16=0.3)["fp16"]
    assert inversions(dict.fromkeys(("fp16", "w8a16-static", "w8a8-static"), values)) == []


def test_a_few_photos_make_no_inversion():
    values = scheme_divergences(w8a16_static=0.2, w8a8_static=0.2)
    values["w8a16-static"][7] += 0.4  # 0.002 on average
    assert inversions(values) == []


def test_an_inversion_in_words():
    (found,) = inversions(scheme_divergences(w8a16_static=0.4, w8a8_static=0.1))
    text = explain_inversion(found, 200)
    kl, coarser_kl = (f"{found[name]:.4f}" for name in ("kl", "coarser_kl"))
    assert text.startswith("w8a16-static is worse than w8a8-static, which is coarser")
    assert f"KL {kl} against {coarser_kl}" in text


@pytest.fixture(scope="module")
def few_photos():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "TRAIN_COUNT", 32)
        patch.setattr(synthetic, "VAL_COUNT", 40)
        yield


@pytest.fixture(scope="module")
def sound(few_photos, tmp_path_factory):
    return edgekit.build("lite0", out=tmp_path_factory.mktemp("sound") / "out", **SMALL)


def test_a_sound_build_has_no_outlier(sound):
    assert sound.document["quantization"]["outliers"] == []
    assert sound.document["quantization"]["inversions"] == []


def test_a_planted_inversion_is_in_the_report(few_photos, tmp_path, monkeypatch):
    def broken(self, best):
        made = exact(self, best)
        bias = made.quantized.weights["logits/bias"].copy()
        bias[0] += 3
        weights = {**made.quantized.weights, "logits/bias": bias}
        return Candidate(made.graph, made.quantized.with_weights(weights))

    exact = FROM_INT8["w8-dynamic"]
    monkeypatch.setitem(FROM_INT8, "w8-dynamic", broken)
    options = {**SMALL, "targets": ["tflite"], "schemes": ["w8-dynamic"], "quantize": "ranges"}
    run = edgekit.build("lite0", out=tmp_path / "out", **options)
    (found,) = run.document["quantization"]["inversions"]
    assert (found["scheme"], found["coarser"]) == ("w8-dynamic", "w8a8-static")
    (text,) = (text for text in run.document["warnings"] if "which is coarser" in text)
    assert any(text in line for line in summary(run.folder, run.document))
    assert text in (run.folder / "report.html").read_text()


@pytest.mark.slow  # parity/test_departures plants them too
def test_a_planted_fault_is_in_the_report_with_its_operator(sound, tmp_path, monkeypatch):
    def broken(graph):
        """The network that the OpenVINO file is written from: a bias is not the others'."""
        bias = graph.weights["logits/bias"].copy()
        bias[0] += 3  # an untrained network hardly notices what is wrong before its classifier
        return graph.with_weights({**graph.weights, "logits/bias": bias})

    monkeypatch.setattr(pair_sums, "fit_pairs", lambda graph, **_: graph)
    monkeypatch.setattr(
        openvino, "fit_pairs", lambda graph: broken(graph) if graph.quant else graph
    )
    shutil.copytree(sound.folder, tmp_path / "out")
    for written in (tmp_path / "out" / "stages").glob("*w8a8-openvino*"):
        shutil.rmtree(written)
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
