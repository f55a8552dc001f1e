"""The programs that `edgekit inspect` prints, run on files of other tools."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys

import numpy as np
import pytest
from described import attach
from foreign_files import (
    FOREIGN,
    GREEN,
    activated,
    arg_max,
    custom,
    ending_in,
    input_shape,
    labelled,
    reshaped,
    with_files,
    zipped,
)
from PIL import Image
from prerequisites import NEEDS
from tiny_tflite import TinyModel, float_io, with_classes

from edgekit.converters.tflite import metadata_schema as fields
from edgekit.errors import UsageError
from edgekit.targets.inspection.inspect import inspect_file


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Inspects a file, runs its program on a photo, and returns what it prints.

    In this process where not asked otherwise: another loads its libraries again.
    """

    def run(data: bytes, photo: bytes | None = None, *, in_process: bool = True) -> str:
        path = tmp_path / "model's.tflite"
        path.write_bytes(data)
        if photo is None:
            noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / "photo.jpg")
        else:
            (tmp_path / "photo.jpg").write_bytes(photo)
        code = inspect_file(path)["snippet"]
        if in_process:
            monkeypatch.chdir(tmp_path)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, {"__name__": "__main__"})  # noqa: S102 - what the test is about
            return out.getvalue()
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("name", ["labels_background_1_more", "labels_one_dict"])
def test_a_green_photo_is_green(program, name):
    data = (FOREIGN / f"{name}.tflite").read_bytes()
    assert program(data, GREEN.read_bytes(), in_process=False).split()[0] == "green"


def test_the_difference_between_labels_and_outputs_is_said():
    found = inspect_file(FOREIGN / "labels_background_1_more.tflite")
    assert found["labels_note"] == (
        "the file has 4 labels for 3 classes: the output has no class for the first, 'background'"
    )
    assert inspect_file(FOREIGN / "labels_one_dict.tflite")["labels_note"] is None


def test_labels_that_do_not_fit_are_not_used(program, tmp_path):
    out = program(labelled(b"a\nb\n"))
    assert out.split()[0].isdigit()
    code = inspect_file(tmp_path / "model's.tflite")["snippet"]
    assert "# the file has 2 labels for 5 classes: classes are numbers here" in code


def test_labels_of_a_table_that_cannot_be_read(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(labelled(b"{'cats': 3}"))
    found = inspect_file(path)
    assert found["metadata"]["labels"] == ()
    assert found["labels_note"].startswith("the labels cannot be read")
    assert "print(best, scores[best])" in found["snippet"]


def many(classes: int = 30) -> bytes:
    return with_classes(classes).pack()


@pytest.mark.parametrize(
    ("break_", "mark", "first", "short"),
    [
        ("\n", "", "", True),
        ("\r\n", "", "", True),
        ("\r\n", "\ufeff", "", True),
        ("\n", "", "background\n", True),
        ("\n", "\ufeff", "background\n", True),
        ("\r", "", "", True),
        ("\x85\r", "", "", False),  # of which splitlines makes two breaks, and split("\n") none
    ],
)
def test_many_labels_of_any_form_are_read_from_the_file(
    program, tmp_path, break_, mark, first, short
):
    names = [f"class-{i}" for i in range(30)]
    content = mark + first + break_.join(names) + break_
    out = program(labelled(content.encode(), many()))
    assert out.split()[0].startswith("class-")
    code = inspect_file(tmp_path / "model's.tflite")["snippet"]
    assert ("ZipFile" in code) == short
    listed = {"best": 29, "scores": [0] * 30}
    code = next(line for line in code.splitlines() if line.startswith("labels ="))
    exec("from zipfile import ZipFile\n" + code, listed)  # noqa: S102 - our own line
    assert [name.strip("\x85") for name in listed["labels"]] == names


def test_many_labels_of_a_dict_are_written_out(program):
    table = repr({"names": {i: f"class-{i}" for i in range(30)}})
    assert program(labelled(table.encode(), many())).startswith("class-")


def test_of_a_map_the_classes_of_its_pixels_are_counted(program):
    shares = [line.split() for line in program(ending_in("gated").pack()).splitlines()]
    assert all(int(at) in range(8) for at, _ in shares)
    assert sum(float(share) for _, share in shares) == 1


@pytest.mark.parametrize(
    ("tiny", "printed"),
    [
        (ending_in("scores", "gated"), ["scores uint8 (1, 5)", "gated int8 (1, 4, 4, 8)"]),
        (arg_max(), ["best int64 (1,)"]),
        (input_shape(4, 8, 8, 3), ["scores uint8 (4, 5)"]),
    ],
)
def test_what_is_no_classifier_prints_shapes(program, tiny, printed):
    assert program(tiny.pack()).splitlines() == printed


@pytest.mark.parametrize(
    "tiny", [reshaped(1, 1, 1, 5), reshaped(1, 5, 1, 1), reshaped(5), activated("SOFTMAX")]
)
def test_scores_of_any_shape_name_a_class(program, tiny):
    assert program(tiny.pack()).split()[0] in "01234"


def test_no_program_for_operators_that_litert_lacks(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(custom("MyOwnOperator").pack())
    assert inspect_file(path)["snippet"] is None


def test_a_float_file_says_what_is_missing(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(float_io().pack())
    found = inspect_file(path)
    assert (found["needs_normalization"], found["snippet"]) == (True, None)


def test_of_several_label_files_that_without_a_language_counts(tmp_path):
    path = tmp_path / "m.tflite"
    files = {name: b"\n".join([name.encode()] * 5) for name in ("de", "en", "ids", "unused")}
    order = [{"name": "de", "locale": "de"}, {"name": "en", "locale": "en"}, {"name": "ids"}]
    path.write_bytes(with_files(TinyModel().pack(), files, order))
    assert inspect_file(path)["metadata"]["labels"] == ("ids",) * 5
    path.write_bytes(with_files(TinyModel().pack(), files, order[:2]))
    assert inspect_file(path)["metadata"]["labels"] == ("en",) * 5
    path.write_bytes(with_files(TinyModel().pack(), files))
    assert inspect_file(path)["metadata"]["labels"] == ()


def test_the_table_behind_a_file_without_metadata(tmp_path):
    path = tmp_path / "m.tflite"
    table = b'{"task": "classify", "names": {"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}}'
    path.write_bytes(zipped(TinyModel().pack(), metadata_json=table))
    found = inspect_file(path)
    assert (found["metadata"]["labels"], found["not_a_classifier"]) == (tuple("abcde"), None)
    path.write_bytes(
        zipped(TinyModel().pack(), metadata_json=table.replace(b"classify", b"detect"))
    )
    assert "its task is 'detect'" in inspect_file(path)["not_a_classifier"]


def test_boxes_in_the_metadata_are_a_detector_s(tmp_path):
    path = tmp_path / "m.tflite"
    boxes = {"content_properties_type": 3}
    path.write_bytes(with_files(TinyModel().pack(), {}, content=boxes))
    assert "'detect'" in inspect_file(path)["not_a_classifier"]


def test_an_onnx_file_with_its_weights_beside_it(tmp_path):
    pytest.importorskip("onnx", reason=NEEDS["onnx"].reason)
    for name in ("external.onnx", "external.onnx.data"):
        shutil.copy(FOREIGN / name, tmp_path)
    found = inspect_file(tmp_path / "external.onnx")
    assert found["size_bytes"] == 356 + 512
    assert found["files"] == ["external.onnx", "external.onnx.data"]
    assert (found["scheme"], found["not_a_classifier"]) == ("fp32", None)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{'a': 1}", b"\xff\xfe", b"[1, 2]", b"null"])
def test_a_table_of_something_else_is_no_label_file(tmp_path, content):
    path = tmp_path / "m.tflite"
    path.write_bytes(zipped(TinyModel().pack(), metadata_json=content))
    found = inspect_file(path)
    assert (found["metadata"]["labels"], found["labels_note"]) == ((), None)
    assert found["not_a_classifier"] is None


def test_a_record_that_is_nested_without_end_is_damaged(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(zipped(TinyModel().pack(), edgekit_json=b"[" * 100_000))
    with pytest.raises(UsageError, match="metadata is damaged"):
        inspect_file(path)


@pytest.mark.parametrize("numbers", [([1.0, 2.0], [1.0]), ([0.0], [0.0]), ([float("nan")], [1.0])])
def test_a_normalization_that_nothing_can_be_fed_with_is_not_used(tmp_path, numbers):
    mean, std = numbers
    unit = {"options_type": 1, "options": {"mean": mean, "std": std}}
    metadata = {"subgraph_metadata": [{"input_tensor_metadata": [{"process_units": [unit]}]}]}
    path = tmp_path / "m.tflite"
    path.write_bytes(attach(float_io().pack(), fields.encode(metadata)))
    found = inspect_file(path)
    assert (found["metadata"]["mean"], found["needs_normalization"]) == ((), True)
