"""A file says itself how it is fed: its record alone gives the answers of the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data import synthetic
from edgekit.data.preprocessing import Preprocessing
from edgekit.runs import read_splits

SMALL = {"resolution": 32, "epochs": 0, "calibration_count": 16, "threads": 1, "compile": False}
SMALL |= {"width": 0.1, "depth": 0.1, "targets": ["tflite", "openvino", "onnx"]}
SMALL |= {"ranges": "minmax"}  # the fastest: how good they are is not looked at
#: By row of the report: the file in a run's `files`.
ROWS = {
    "fp32-tflite": "fp32",
    "w8a8-tflite": "w8a8-static",
    "fp32-openvino": "fp32-openvino",
    "w8a8-openvino": "w8a8-openvino",
    "fp32-onnx": "fp32-onnx",
    "w8a8-onnx": "w8a8-onnx",
}
PHOTOS = 4


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build whose weights expect another mean and std in each channel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "TRAIN_COUNT", 32)
        patch.setattr(synthetic, "VAL_COUNT", 20)
        out = tmp_path_factory.mktemp("run") / "out"
        yield edgekit.build("b0", io="uint8", out=out, **SMALL)


@pytest.fixture(
    scope="module",
    params=["uint8", *(pytest.param(io, marks=pytest.mark.slow) for io in ("int8", "float32"))],
)
def run(request, built, tmp_path_factory):
    """The same with another input: of a copy, only what depends on it is done again."""
    if request.param == "uint8":
        return request.param, built
    out = shutil.copytree(built.folder, tmp_path_factory.mktemp("other") / "out")
    for answers in (out / "stages").glob("evaluate-*"):
        shutil.rmtree(answers)  # of the other input
    return request.param, edgekit.build("b0", io=request.param, out=out, **SMALL)


def record_of(path: Path) -> dict:
    """What the file itself holds."""
    if path.suffix == ".tflite":
        return read_metadata(path).preprocessing
    if path.suffix == ".onnx":
        import onnx

        said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        return json.loads(said["edgekit"])
    import openvino

    said = openvino.Core().read_model(path).get_rt_info(["edgekit", "preprocessing"])
    return {**json.loads(said.astype(str)), "labels": []}


def answer(path: Path, fed: np.ndarray) -> np.ndarray:
    """The runtime's own interface, with nothing of edgekit between it and the file."""
    if path.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        (image,), (scores,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.set_tensor(image["index"], fed)
        interpreter.invoke()
        found = interpreter.get_tensor(scores["index"])[0].astype(np.float32)
        scale, zero_point = scores["quantization"]
        return (found - zero_point) * np.float32(scale) if scale else found
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: fed})[0][0]
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(str(path), "CPU", settings)(fed)[0][0]


@pytest.mark.parametrize("row", ROWS)
def test_the_record_alone_feeds_the_file(run, row):
    io, built = run
    path = built.files[ROWS[row]]
    record = Preprocessing.from_dict(record_of(path))
    takes = io if row != "fp32-tflite" else "float32"  # which has no --io
    if not row.endswith("tflite") and takes == "int8":
        takes = "uint8"  # the nearest that these runtimes take
    assert record.dtype == takes
    assert record.layout == ("NHWC" if row.endswith("tflite") or takes == "uint8" else "NCHW")
    stages = built.folder / "stages"
    photos = read_splits(next(stages.glob("data-*"))).val
    scheme = "w8a8-static" if row == "w8a8-tflite" else row
    (folder,) = {*stages.glob(f"evaluate-{row}-*"), *stages.glob(f"evaluate-{scheme}-*")}
    wanted = np.load(folder / "logits.npy")
    for index in range(PHOTOS):
        fed = record.feed(record.pixels(photos.load(index)))
        # Kernels of other versions of a session may round a tie the other way.
        np.testing.assert_allclose(answer(path, fed), wanted[index], rtol=1e-4, atol=1e-4)
