from __future__ import annotations

from pathlib import Path

import pytest
from tiny_tflite import TinyModel

from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import UsageError
from edgekit.targets.bisect import bisect

LENGTH = 100


def chain(length: int, path: Path) -> Path:
    """A model of LOGISTIC after LOGISTIC, and one MUL of two of them at the end."""
    tiny = TinyModel()
    tiny.graph.operators = []
    tiny.tensor("image").type = tiny.tensor("stem").type
    last = "image"
    for i in range(length - 1):
        tiny.add(f"t{i}", [1, 8, 8, 3], "INT8", 1 / 256, -128)
        tiny.add_op("LOGISTIC", 2, [last], f"t{i}")
        last = f"t{i}"
    tiny.add("end", [1, 8, 8, 3], "INT8", 1 / 256, -128)
    tiny.add_op("MUL", 2, [last, "t0"], "end", "MulOptions")
    tiny.graph.outputs = [tiny.index("end")]
    path.write_bytes(tiny.pack())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return chain(LENGTH, tmp_path_factory.mktemp("chain") / "chain.tflite")


def holds(name: str, path: Path) -> bool:
    """True for a file with an operator that writes this tensor."""
    found = tflite_file.read(path)
    return any(found.tensors[op.outputs[0]].name == name for op in found.operators)


@pytest.mark.parametrize(
    ("tensor", "index", "name"),
    [("t0", 0, "LOGISTIC"), ("t57", 57, "LOGISTIC"), ("end", LENGTH - 1, "MUL")],
    ids=["the first", "in between", "the last"],
)
def test_an_operator_that_fails_by_itself(model, tmp_path, tensor, index, name):
    notes = []
    found = bisect(model, lambda path: holds(tensor, path), tmp_path / "out", notes.append)
    culprit = found.culprit
    assert (found.fails, found.operators, found.doubt) == (True, LENGTH, None)
    assert (culprit.index, culprit.name, culprit.fails_alone) == (index, name, True)
    assert culprit.outputs == (f"int8 [1, 8, 8, 3] ({tensor})",)
    assert culprit.file == tmp_path / "out" / "chain_failing.tflite"
    assert len(tflite_file.read(culprit.file).operators) == 1
    assert found.runs == len(notes) <= 15
    assert [p.name for p in (tmp_path / "out").iterdir()] == [culprit.file.name]


def test_an_operator_that_fails_only_behind_others(model, tmp_path):
    def fails(path: Path) -> bool:
        return holds("t66", path) and holds("t3", path)

    culprit = bisect(model, fails, tmp_path).culprit
    assert (culprit.index, culprit.fails_alone) == (66, False)
    assert len(tflite_file.read(culprit.file).operators) == 67
    assert fails(culprit.file)


def test_a_file_that_does_not_fail(model, tmp_path):
    found = bisect(model, lambda _: False, tmp_path / "out")
    assert (found.fails, found.culprit, found.doubt, found.runs) == (False, None, None, 1)
    assert not (tmp_path / "out").exists()


def test_a_file_that_fails_only_as_it_is(model, tmp_path):
    whole = model.read_bytes()
    found = bisect(model, lambda path: path.read_bytes() == whole, tmp_path)
    assert (found.fails, found.culprit, found.runs) == (True, None, 2)
    assert "written to a new file do not" in found.doubt


@pytest.mark.parametrize(
    ("failing", "doubt"),
    [
        ({25, *range(50, LENGTH + 1)}, "the first 26 operators pass, although the first 25"),
        ({20, *range(40, LENGTH + 1)}, "the first 20 operators fail as well"),
    ],
    ids=["passes above", "fails below"],
)
def test_a_failure_that_is_not_monotonic_is_said_to_be_so(model, tmp_path, failing, doubt):
    def fails(path: Path) -> bool:
        return len(tflite_file.read(path).operators) in failing

    assert doubt in bisect(model, fails, tmp_path).doubt


def test_a_failure_that_does_not_repeat_is_said_to_be_so(model, tmp_path):
    answers = {}

    def fails(path: Path) -> bool:
        length = len(tflite_file.read(path).operators)
        answers[length] = answers.get(length, 0) + 1
        return length > 33 and not (length == 34 and answers[length] > 1)

    found = bisect(model, fails, tmp_path)
    assert found.culprit.index == 33
    assert "failed once and passed once" in found.doubt


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"x")
    with pytest.raises(UsageError):
        bisect(tmp_path / "x.tflite", lambda _: True, tmp_path)
