from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import convert, to_builtins

from edgekit.bench import saved as module
from edgekit.bench.saved import Saved, read
from edgekit.errors import GateError, UsageError


def document(files, *, threads=2, cpu="A", cores=4, runtime="LiteRT 1"):
    return {
        "schema_version": 1,
        "host": {"cpu": cpu, "cores": cores},
        "threads": threads,
        "files": [
            {"path": path, "runtime": runtime, "median_ms": median} for path, median in files
        ],
    }


def compare(now, saved, tolerance):
    return module.compare(now, convert(saved, Saved), tolerance)


NOW = document([("new/a.tflite", 11.0), ("new/b.onnx", 4.0)])


@pytest.mark.parametrize(
    ("saved_ms", "tolerance", "slower"),
    [
        (10.0, 10.5, False),
        (10.0, 9.5, True),
        (8.0, 10, True),
        (8.0, 40, False),
        (20.0, 0, False),
        (11.0, 0, False),
    ],
)
def test_a_median_beyond_the_tolerance_is_slower(saved_ms, tolerance, slower):
    saved = document([("old/a.tflite", saved_ms), ("old/b.onnx", 4.0)])
    found = compare(NOW, saved, tolerance)
    first, second = found.changes
    assert (first.slower, second.slower) == (slower, False)
    assert first.fraction == pytest.approx(11.0 / saved_ms - 1)
    assert found.warnings == []


def test_the_gate_names_each_slower_file():
    saved = document([("a.tflite", 8.0), ("b.onnx", 2.0)])
    with pytest.raises(GateError) as caught:
        compare(NOW, saved, 10).check(Path("saved.json"), 10)
    assert "2 files are slower than in saved.json by more than 10 %" in str(caught.value)
    assert "a.tflite: 11.0 ms against 8.00 ms (+37.5 %)" in caught.value.cause
    assert "b.onnx: 4.00 ms against 2.00 ms (+100.0 %)" in caught.value.cause


def test_the_gate_lets_pass():
    compare(NOW, NOW, 0).check(Path("saved.json"), 0)


def test_files_of_one_name_are_told_apart_by_path():
    now = document([("x/m.tflite", 1.0), ("y/m.tflite", 2.0), ("new/n.tflite", 3.0)])
    saved = document([("y/m.tflite", 2.0), ("z/m.tflite", 9.0), ("old/n.tflite", 3.0)])
    found = compare(now, saved, 0)
    assert [change and change.saved_ms for change in found.changes] == [None, 2.0, 3.0]
    assert found.warnings == [
        "x/m.tflite is not in the saved result",
        "z/m.tflite is only in the saved result",
    ]


def test_one_name_on_the_saved_side_alone_is_told_apart_too():
    now, saved = document([("x/m.onnx", 1.0)]), document([("x/m.onnx", 5.0), ("y/m.onnx", 9.0)])
    assert compare(now, saved, 0).changes[0].saved_ms == 5.0


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"cpu": "B"}, "another CPU (B, here A): a saved result of another machine is no evidence"),
        ({"cores": 8}, "another number of cores (8, here 4)"),
        ({"threads": 1}, "of 1 threads, this one of 2"),
        ({"runtime": "LiteRT 0"}, "of LiteRT 0, this one of LiteRT 1"),
    ],
)
def test_what_else_differs_is_said(other, says):
    files = [("a.tflite", 11.0), ("b.onnx", 4.0)]
    (warning,) = compare(NOW, document(files, **other), 10).warnings
    assert says in warning


def test_what_was_saved_is_read(tmp_path):
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(NOW))
    assert to_builtins(read(path)) == NOW | {"files": tuple(NOW["files"])}


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        json.dumps(NOW | {"schema_version": 2}),
        json.dumps(NOW | {"host": None}),
        json.dumps(NOW | {"host": {}}),
        json.dumps(NOW | {"threads": "2"}),
        json.dumps(NOW | {"files": {}}),
        json.dumps(NOW | {"files": [3]}),
        json.dumps(document([("a", 0.0)])),
        json.dumps(document([("a", float("nan"))])),
        json.dumps(document([("a", "1")])),
        json.dumps(document([(None, 1.0)])),
        None,
    ],
)
def test_anything_else_is_refused(tmp_path, contents):
    path = tmp_path / "saved.json"
    if contents is not None:
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(UsageError, match=r"saved\.json"):
        read(path)
