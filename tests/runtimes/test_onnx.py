from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from pooled import MEAN, STD, plain, quantized
from pooled import pixels as photos
from tiny_onnx import SIZE, WEIGHTS, conditional, outside, scores, tiny

from edgekit.converters.onnx.package import KERNELS_KEY, PAIR_SUMS, package_onnx
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, MissingToolError, UsageError
from edgekit.runtimes import onnx as runtime_onnx
from edgekit.runtimes.base import Classifier, measure
from edgekit.runtimes.onnx import OnnxRuntime
from edgekit.runtimes.open import open_classifier

OURS = Preprocessing(64, (MEAN,) * 3, (STD,) * 3, tuple("abcdef"))
RECORD = Preprocessing(SIZE, (120.0, 110.0, 100.0), (60.0, 57.0, 55.0), ())


@pytest.fixture
def pixels() -> np.ndarray:
    return photos(3, SIZE)


@pytest.fixture
def save(tmp_path):
    def write(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


def nchw(pixels: np.ndarray, record: Preprocessing = RECORD) -> np.ndarray:
    return np.ascontiguousarray(record.normalize(pixels).transpose(0, 3, 1, 2))


def test_our_own_files_say_how_they_are_fed(save):
    graph = quantized(plain("b0"))
    answers = []
    for io in ("uint8", "float32"):
        path = save(package_onnx(graph, preprocessing=OURS, scheme="w8a8-static", io=io))
        model: Classifier = OnnxRuntime(path)
        assert (model.path, model.side) == (path, 64)
        assert model.runtime == f"ONNX Runtime {onnxruntime.__version__}"
        assert model.load_seconds > 0
        answers.append(model.run(photos(3)))
    assert (answers[0].shape, answers[0].dtype) == ((3, 6), np.float32)
    np.testing.assert_array_equal(*answers)
    assert len(np.unique(answers[0])) > 6


def test_bytes_are_fed_as_they_are(save):
    contents = package_onnx(plain("b0"), preprocessing=OURS, scheme="fp32", io="uint8")
    fed = OnnxRuntime(save(contents)).feed(photos(1)[0])
    np.testing.assert_array_equal(fed, photos(1))
    assert fed.dtype == np.uint8


def test_the_files_own_record_goes_before_the_one_that_is_given(save):
    path = save(package_onnx(plain("b0"), preprocessing=OURS, scheme="fp32"))
    fed = OnnxRuntime(path, preprocessing=RECORD).feed(photos(1)[0])
    np.testing.assert_array_equal(fed, nchw(photos(1), OURS))


@pytest.mark.parametrize(
    "shape", [(1, 3, 4, 4), ("n", 3, 4, 4), ("n", 3, "h", "w"), (1, 3, "h", 4)]
)
def test_foreign_files_are_fed_with_a_preprocessing(save, pixels, shape):
    model = OnnxRuntime(save(tiny(shape)), preprocessing=RECORD)
    assert model.side == SIZE
    np.testing.assert_array_equal(model.feed(pixels[0]), nchw(pixels[:1]))
    np.testing.assert_allclose(model.run(pixels), scores(nchw(pixels)), rtol=1e-4, atol=1e-4)


def test_channels_may_come_last(save, pixels):
    turn = helper.make_node("Transpose", ["photo"], ["image"], perm=[0, 3, 1, 2])
    model = tiny(("n", SIZE, SIZE, 3))
    model.graph.input[0].name = "photo"
    model.graph.node.insert(0, turn)
    found = OnnxRuntime(save(model), preprocessing=RECORD).run(pixels)
    np.testing.assert_allclose(found, scores(nchw(pixels)), rtol=1e-4, atol=1e-4)


def test_weights_beside_the_file_are_loaded(save, pixels, tmp_path):
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    path = save(tiny(weights=outside("weights.bin")))
    found = OnnxRuntime(path, preprocessing=RECORD).run(pixels)
    np.testing.assert_allclose(found, scores(nchw(pixels)), rtol=1e-4, atol=1e-4)


def test_it_opens_by_its_ending_and_can_be_measured(save, pixels):
    model = open_classifier(save(tiny()), preprocessing=RECORD, threads=2)
    assert isinstance(model, OnnxRuntime)
    figures = measure(model, pixels[0], warm=3)
    assert figures["n"] == 3
    assert 0 < figures["p5"] <= figures["median"] <= figures["p95"]


@pytest.mark.parametrize(
    ("model", "preprocessing", "message"),
    [
        (tiny, None, "how a photo is normalised"),
        (lambda: tiny((2, 3, 4, 4)), RECORD, "not an image classifier"),
        (lambda: tiny((1, 4, 4, 4)), RECORD, "not an image classifier"),
        (lambda: tiny((1, 3)), RECORD, "not an image classifier"),
        (lambda: tiny((1, 3, 4, 5)), RECORD, "photos of no one size"),
        (lambda: tiny(dtype=TensorProto.INT64), RECORD, "it takes int64"),
        (lambda: tiny(("n", 3, "h", "w"), dtype=TensorProto.UINT8), None, "photos of no one size"),
    ],
)
def test_what_cannot_be_fed_is_refused(save, model, preprocessing, message):
    with pytest.raises(UsageError) as raised:
        OnnxRuntime(save(model()), preprocessing=preprocessing)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: tiny(more=[conditional()]), "it holds a graph of its own"),
        (
            lambda: tiny(more=[helper.make_node("Magic", ["map"], ["y"], domain="other")]),
            "the operators of 'other' are not known",
        ),
        (lambda: tiny(weights=outside("../weights.bin")), "outside its own folder"),
    ],
)
def test_unsafe_files_never_reach_onnx_runtime(save, model, message, monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    with pytest.raises(UsageError, match=message):
        OnnxRuntime(save(model()), preprocessing=RECORD)


def test_what_onnx_runtime_refuses_is_an_error_of_ours(save):
    nonsense = helper.make_node("Relu", ["nowhere"], ["y"])
    with pytest.raises(EdgekitError, match="ONNX Runtime cannot run") as raised:
        OnnxRuntime(save(tiny(more=[nonsense])), preprocessing=RECORD)
    assert "nowhere" in str(raised.value)


def test_a_run_that_fails_is_an_error_of_ours(save):
    model = OnnxRuntime(save(tiny()), preprocessing=RECORD)
    model.set_input(np.zeros((1, 3, 2, 2), np.float32))
    with pytest.raises(EdgekitError, match="ONNX Runtime failed to run"):
        model.invoke()


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3), np.float32), np.zeros((5, 4, 3), np.uint8)])
def test_other_pixels_are_refused(save, wrong):
    with pytest.raises(UsageError, match="takes uint8 pixels"):
        OnnxRuntime(save(tiny()), preprocessing=RECORD).feed(wrong)


def test_no_threads_are_refused(save):
    with pytest.raises(UsageError, match="0 threads"):
        OnnxRuntime(save(tiny()), preprocessing=RECORD, threads=0)


@pytest.mark.parametrize(
    ("cpu", "fits", "exact"),
    [("vnni", False, "0"), ("avx2", False, "1"), ("any", False, "1"), ("avx2", True, "0")],
)
def test_int8_weights_are_exact_where_there_is_no_vnni(save, monkeypatch, cpu, fits, exact):
    monkeypatch.setattr(runtime_onnx, "this_cpu", lambda: cpu)
    made = onnxruntime.InferenceSession
    seen = []

    def session(source, options, **rest):
        seen.append(options)
        return made(source, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    model = tiny()
    if fits:
        helper.set_model_props(model, {KERNELS_KEY: PAIR_SUMS})
    OnnxRuntime(save(model), preprocessing=RECORD, threads=2)
    assert seen[0].get_session_config_entry("session.x64quantprecision") == exact
    assert (seen[0].intra_op_num_threads, seen[0].inter_op_num_threads) == (2, 1)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_a_package_the_extra_is_named(save, monkeypatch, package):
    path = save(tiny())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingToolError, match=f"package {package}"):
        OnnxRuntime(path, preprocessing=RECORD)
