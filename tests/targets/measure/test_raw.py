"""What a runtime gave, byte for byte, as arrays and as reals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detector_graph import ANCHORS, COLUMNS, ROWS, SIDE, int8
from map_graphs import MEAN, STD, pixels
from single_operators import Blank

from edgekit.converters.tflite.file import TFLiteModel, parse, read
from edgekit.converters.tflite.write import write_tflite
from edgekit.data.boxes.anchors import OLD_RATIOS, Anchors
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.detection.outputs import with_detections
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.devices.open import open_host
from edgekit.targets.measure.device import Job, measure
from edgekit.targets.measure.isolated import Effort, run
from edgekit.targets.measure.raw import answer_outputs, dequantize, raw_outputs

RECORD = Preprocessing(SIDE, (MEAN,) * 3, (STD,) * 3, ())


def file_in(folder: Path, io: str) -> Path:
    write_tflite(int8(), folder / "m.tflite", io=io)
    return folder / "m.tflite"


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_a_process_of_its_own_answers_with_all_rows(io, tmp_path):
    path, photos = file_in(tmp_path, io), pixels(int8(), 3)
    found = run(path, photos, preprocessing=RECORD, effort=Effort(repeat=1))
    assert found.scores.shape == (3, ROWS, COLUMNS)
    assert found.scores.dtype == np.float32
    np.testing.assert_allclose(
        found.scores, LiteRT(path, preprocessing=RECORD).run(photos), atol=1e-5
    )


def test_a_device_s_answers_are_all_rows_in_the_file_s_integers(tmp_path):
    path, photos = file_in(tmp_path, "uint8"), pixels(int8(), 2)
    job = Job(path, read(path), photos, None, threads=(1,), runs=1)
    with open_host("local:") as host:
        found = measure(host, job, lambda task, done, total: None)
    assert found.problems == []
    (raw,) = found.outputs.values()
    assert (raw.dtype, raw.shape) == (np.uint8, (2, ROWS, COLUMNS))
    wanted = LiteRT(path).run(photos)
    np.testing.assert_allclose(dequantize(job.model, raw), wanted, atol=1e-5)


def test_a_file_that_ends_with_boxes_answers_with_them(tmp_path):
    anchors = Anchors(scale=3.0, ratios=OLD_RATIOS[:ANCHORS], octaves=1, levels=(1, 2, 3))
    path, photos = tmp_path / "m.tflite", pixels(int8(), 2)
    write_tflite(with_detections(int8(), anchors, max_detections=20), path, io="uint8")
    wanted = LiteRT(path).run(photos)
    assert wanted.shape == (2, 20, 6)
    assert (wanted[..., 4] > 0).any()
    answered = run(path, photos, effort=Effort(repeat=1), compiled_only=False)
    np.testing.assert_array_equal(answered.scores, wanted)


def two(*outputs: tuple[str, list[int], float, int]) -> TFLiteModel:
    """A file with outputs of these types, shapes, scales and zero points."""
    blank = Blank(0)
    blank.activation("x", [1, 4, 4, 3])
    for number, (dtype, shape, scale, zero_point) in enumerate(outputs):
        blank.add(f"y{number}", shape, dtype, scale, zero_point)
        blank.add_op("RESHAPE", 1, ["x"], f"y{number}")
    blank.finish(["x"], "y0")
    blank.graph.outputs = [blank.index(f"y{number}") for number in range(len(outputs))]
    return parse(blank.pack())


def test_columns_have_the_scale_and_the_zero_point_of_their_output():
    model = two(("INT8", [1, 3, 2], 0.5, -4), ("INT8", [1, 3, 1], 2.0, 10))
    assert len(answer_outputs(model)) == 2
    boxes, logits = np.arange(6, dtype=np.int8), np.array([-1, 10, 127], np.int8)
    raw = raw_outputs(model, [boxes.tobytes() + logits.tobytes()] * 2)
    assert raw.dtype == np.int8
    assert raw.tolist() == [[[0, 1, -1], [2, 3, 10], [4, 5, 127]]] * 2
    reals = dequantize(model, raw)
    assert reals.tolist() == [[[2, 2.5, -22], [3, 3.5, 0], [4, 4.5, 234]]] * 2


def test_columns_of_floats_are_left_alone():
    model = two(("FLOAT32", [1, 2, 2], 0, 0), ("INT8", [1, 2, 1], 0.5, 1))
    floats, bytes_ = np.array([0.25, -3, 7, 1e3], np.float32), np.array([1, 3], np.int8)
    reals = dequantize(model, raw_outputs(model, [floats.tobytes() + bytes_.tobytes()]))
    assert reals.tolist() == [[[0.25, -3, 0], [7, 1000, 1]]]


def test_what_is_not_rows_gives_its_first_output():
    model = two(("INT8", [1, 4], 0.5, 0), ("INT8", [1, 2, 2], 0.5, 0))
    raw = raw_outputs(model, [np.array([2, 4, 6, 8], np.int8).tobytes()])
    assert dequantize(model, raw).tolist() == [[1, 2, 3, 4]]


def test_an_output_that_holds_no_numbers_is_refused():
    model = two(("STRING", [1, 4], 0, 0))
    with pytest.raises(UsageError, match="the model's output is string"):
        raw_outputs(model, [b""])
