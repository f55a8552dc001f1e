from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from places import TESTS
from tiny_tflite import TinyModel, float_io

from edgekit.bench import side_by_side as bench
from edgekit.bench.side_by_side import Settings, int8_notes, measure, summarize, turns
from edgekit.errors import EdgekitError, MissingToolError, UsageError

LOADED = {
    "runtime": "LiteRT 1",
    "scheme": "fp32",
    "load_ms": 3.0,
    "first_ms": 2.0,
    "memory_bytes": None,
    "size_bytes": 1234,
    "not_a_classifier": None,
}
SHORT = Settings(rounds=2, seconds=0.01, threads=1)


@pytest.fixture
def started(monkeypatch):
    """The processes that a measurement starts."""
    processes = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(bench, "PAUSE_S", 0)
    return processes


@pytest.fixture
def stand_in(started, monkeypatch, tmp_path):
    """Makes files that do what their names say."""
    child = (sys.executable, str(TESTS / "support" / "bench_stand_in.py"))
    monkeypatch.setattr(bench, "CHILD", child)

    def make(*names):
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.touch()
        return paths

    return make


def ended(processes):
    return bool(processes) and all(process.poll() is not None for process in processes)


def names(document):
    return [Path(file["path"]).name for file in document["files"]]


def test_ratios_are_taken_within_rounds():
    own, other = [[2.0, 4.0, 90.0], [30.0], [3.0]], [[2.0], [10.0, 10.0], [4.0]]
    file = summarize(Path(__file__), LOADED, own, other)
    assert file["round_medians_ms"] == [4.0, 30.0, 3.0]
    assert (file["ratio"], file["ratio_low"], file["ratio_high"]) == (2.0, 0.75, 3.0)
    assert (file["median_ms"], file["n"]) == (4.0, 5)
    assert (file["p5_ms"], file["p95_ms"]) == pytest.approx((2.2, 78.0))
    assert file["size_bytes"] == 1234


def test_a_file_is_1_of_itself():
    bursts = [[2.0, 3.0], [5.0]]
    file = summarize(Path(__file__), LOADED, bursts, bursts)
    assert file["ratio"] == file["ratio_low"] == file["ratio_high"] == 1.0


def test_no_file_is_always_behind_another():
    before = Counter(
        (order[i], order[i + 1]) for order in (turns([0, 1, 2], r) for r in (0, 1)) for i in (0, 1)
    )
    assert before == {(0, 1): 1, (1, 2): 1, (2, 1): 1, (1, 0): 1}


@pytest.mark.parametrize(
    ("dot_product", "scheme", "median", "runtime", "said"),
    [
        (False, "w8a8-static", 9.0, "LiteRT 1", True),
        (False, "w8a8-mixed", 9.0, "LiteRT 1", True),
        (False, "w8a8-static", 7.0, "LiteRT 1", False),
        (False, "w8a8-static", 9.0, "OpenVINO 1", False),
        (False, "fp32", 9.0, "LiteRT 1", False),
        (True, "w8a8-static", 9.0, "LiteRT 1", False),
        (None, "w8a8-static", 9.0, "LiteRT 1", False),
    ],
)
def test_a_slow_int8_file_is_explained_where_the_cpu_is_why(
    dot_product, scheme, median, runtime, said
):
    floats = {"path": "a/fp32.tflite", "scheme": "fp32", "median_ms": 8.0, "runtime": "LiteRT 1"}
    int8 = {"path": "a/i.tflite", "scheme": scheme, "median_ms": median, "runtime": runtime}
    notes = int8_notes({"int8_dot_product": dot_product, "files": [int8, floats]})
    assert len(notes) == said
    assert all("i.tflite is slower" in note and "VNNI" in note for note in notes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds": 0},
        {"seconds": 0.0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"threads": 0},
        {"timeout_s": -1.0},
        {"photo": Path(__file__)},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UsageError):
        Settings(**wrong)


def test_files_are_measured_and_bad_ones_named(tmp_path, started):
    paths = [tmp_path / name for name in ("int8.tflite", "bad.tflite", "float.tflite", "a.txt")]
    contents = [TinyModel().pack(), b"bad", float_io().pack(), b""]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    document, problems = measure(paths, SHORT)
    assert names(document) == ["int8.tflite", "float.tflite"]
    assert document["reference"] == str(paths[0])
    assert (document["threads"], document["rounds"]) == (1, 2)
    for file in document["files"]:
        assert file["runtime"].startswith("LiteRT ")
        assert len(file["round_medians_ms"]) == 2
        assert 0 < file["p5_ms"] <= file["median_ms"] <= file["p95_ms"]
        assert file["n"] > 2
    assert [failed["path"] for failed in document["failed"]] == [str(paths[1]), str(paths[3])]
    assert [type(problem) for problem in problems] == [UsageError, UsageError]
    assert str(paths[1]) in str(problems[0])
    assert ended(started)


@pytest.mark.parametrize(
    ("name", "says", "kind"),
    [
        ("crash.onnx", "killed by SIGKILL while it loaded", EdgekitError),
        ("late-crash.onnx", "killed by SIGKILL while it ran", EdgekitError),
        pytest.param("hang.onnx", "hung while it loaded", EdgekitError, marks=pytest.mark.slow),
        pytest.param("late-hang.onnx", "hung while it ran", EdgekitError, marks=pytest.mark.slow),
        ("refuse.onnx", "refuse.onnx needs more", MissingToolError),
        ("late-refuse.onnx", "late-refuse.onnx needs more", MissingToolError),
    ],
)
def test_what_happens_to_one_file_happens_to_no_other(stand_in, started, name, says, kind):
    paths = stand_in("a.onnx", name, "b.onnx", "c.xml")
    settings = Settings(rounds=2, seconds=0.01, timeout_s=2 if "hang" in name else 60)
    document, problems = measure(paths, settings)
    assert names(document) == ["a.onnx", "b.onnx", "c.xml"]
    assert all(len(file["round_medians_ms"]) == 2 for file in document["files"])
    assert [type(problem) for problem in problems] == [kind]
    assert says in str(problems[0])
    assert name.partition(".")[0] in str(problems[0])
    assert ended(started)


def test_nothing_can_be_measured(stand_in):
    document, problems = measure(stand_in("refuse.onnx"), SHORT)
    assert (document["files"], document["reference"]) == ([], None)
    assert (problems[0].cause, problems[0].hint) == ("it says so", "get it")


def test_a_file_that_stands_twice_is_measured_twice(stand_in):
    (path,) = stand_in("a.onnx")
    assert names(measure([path, path], SHORT)[0]) == ["a.onnx", "a.onnx"]


@pytest.mark.parametrize("task", ["load", "measure"])
def test_an_interrupt_ends_the_processes(stand_in, started, task):
    def interrupt(at, done, total, note=""):
        if at == task and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(stand_in("a.onnx", "b.xml"), SHORT, progress=interrupt)
    assert ended(started)


def test_the_turns_go_back_and_forth(stand_in):
    shown = []
    measure(
        stand_in("a.onnx", "b.xml"),
        Settings(rounds=3, seconds=0.01),
        progress=lambda task, done, total, note="": shown.append((task, done, total, note)),
    )
    order = [note for task, _, _, note in shown if task == "measure"]
    assert order == ["a.onnx", "b.xml", "b.xml", "a.onnx", "a.onnx", "b.xml"]
    assert shown[-1][1:3] == (5, 6)
