from __future__ import annotations

import json

import pytest
from tiny_tflite import TinyModel, float_io

from edgekit.bench import side_by_side as bench
from edgekit.cli import run
from edgekit.errors import EdgekitError, MissingToolError

SHORT = ["--rounds", "1", "--seconds", "0.01", "--threads", "1"]


def file(path, median=4.0):
    return bench.File(
        path=path,
        runtime="LiteRT 1",
        scheme="fp32",
        size_bytes=5_300_000,
        not_a_classifier=None,
        memory_bytes=None,
        load_ms=20.0,
        first_ms=9.0,
        median_ms=median,
        p5_ms=3.5,
        p95_ms=6.5,
        n=77,
        round_medians_ms=[median],
        ratio=0.5,
        ratio_low=0.25,
        ratio_high=0.75,
    )


@pytest.fixture
def document():
    return bench.Document(
        schema_version=1,
        host={"machine": "m", "cpu": "A", "cores": 2, "python": "3", "versions": {}},
        int8_dot_product=True,
        threads=2,
        rounds=1,
        seconds=1.0,
        photo=None,
        reference="in/a.tflite",
        files=[file("in/a.tflite"), file("in/b\x1b.onnx", 143.0)],
        failed=[],
    )


@pytest.fixture
def measured(document, monkeypatch):
    """Lets the command show a document that nobody measured, and problems that nobody had."""
    problems = []
    monkeypatch.setattr(bench, "measure", lambda *_, **__: (document, problems))
    return problems


@pytest.fixture
def saved(document, tmp_path):
    """A saved document in which b.onnx took this long."""

    def save(median):
        path = tmp_path / "saved.json"
        files = [document["files"][0], document["files"][1] | {"median_ms": median}]
        path.write_text(json.dumps(document | {"files": files}))
        return str(path)

    return save


def test_a_real_file_is_measured_and_saved(tmp_path, capsys):
    model, out = tmp_path / "tiny.tflite", tmp_path / "out.json"
    model.write_bytes(TinyModel().pack())
    assert run(["bench", str(model), "--json", "--out", str(out), *SHORT]) == 0
    printed, err = capsys.readouterr()
    found = json.loads(printed)
    assert found == json.loads(out.read_text())
    assert found["files"][0]["path"] == str(model)
    assert (found["files"][0]["scheme"], found["files"][0]["ratio"]) == ("w8a8-static", 1.0)
    assert err.startswith("[1/1] bench")
    assert run(["bench", str(model), "--against", str(out), "--tolerance", "1e6", *SHORT]) == 0


def test_the_table(measured, capsys):
    assert run(["bench", "a.tflite"]) == 0
    titles, first, second, how = capsys.readouterr().out.splitlines()
    assert titles.split()[:2] == ["file", "runtime"]
    assert "change" not in titles
    assert "5.3 MB" in first
    assert "4.00  3.50 to 6.50    77  0.50 (0.25 to 0.75)" in first
    assert second.startswith("b?.onnx")
    assert "  143  " in second
    assert how.startswith("2 threads, 1 round of 1 s; ratio to a.tflite: ")


@pytest.mark.parametrize(
    ("median", "tolerance", "code", "change"),
    [
        (143.0, "0", 0, "+0.0 %"),
        (100.0, "10", 5, "+43.0 % slower"),
        (100.0, "50", 0, "+43.0 %"),
        (286.0, "10", 0, "-50.0 %"),
    ],
)
def test_a_slower_file_is_marked_and_ends_with_5(
    measured, saved, capsys, median, tolerance, code, change
):
    arguments = ["bench", "a", "--against", saved(median), "--tolerance", tolerance]
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out.splitlines()[2].endswith(f"  {change}")
    assert ("143 ms against 100 ms" in err) == (code == 5)


def test_another_machine_is_warned_of(measured, document, saved, capsys):
    path = saved(143.0)
    document["host"]["cpu"] = "B"
    assert run(["bench", "a", "--against", path]) == 0
    assert "warning: the saved result is of another CPU" in capsys.readouterr().err


def test_what_was_measured_is_shown_before_what_was_not(measured, saved, tmp_path, capsys):
    measured += [MissingToolError("b.onnx needs more"), EdgekitError("c.xml crashed")]
    out = tmp_path / "out.json"
    assert run(["bench", "a", "--out", str(out), "--against", saved(1.0)]) == 3
    printed, err = capsys.readouterr()
    assert "a.tflite" in printed
    assert "b.onnx needs more" in err
    assert "c.xml crashed" in err
    assert out.exists()


def test_without_any_result_there_is_no_table(measured, document, capsys):
    document["files"].clear()
    measured.append(EdgekitError("a crashed"))
    assert run(["bench", "a"]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "wrong",
    [
        ["--rounds", "0"],
        ["--seconds", "nan"],
        ["--tolerance", "nan"],
        ["--tolerance", "-1"],
        ["--photo", "none.png"],
        ["--against", "none.json"],
    ],
)
def test_wrong_options_are_refused_before_anything_is_measured(monkeypatch, wrong):
    monkeypatch.setattr(bench, "measure", lambda *_, **__: pytest.fail("it measured"))
    assert run(["bench", "a.tflite", *wrong]) == 2


def test_what_is_no_classifier_is_said_to_be_none(measured, document, capsys):
    document["files"][0]["not_a_classifier"] = "it has 4 outputs"
    assert run(["bench", "a.tflite"]) == 0
    out = capsys.readouterr().out
    assert "a.tflite is no image classifier: it has 4 outputs" in out
    assert "b?.onnx is" not in out


def test_a_normalization_is_for_devices(capsys):
    assert run(["bench", "a.tflite", "--mean", "1", "--std", "1"]) == 2
    assert "add --device URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [[], pytest.param(["--mean", "127", "--std", "128"], marks=pytest.mark.slow)]
)
def test_a_float_file_on_devices_needs_a_normalization(tmp_path, capsys, option):
    path = tmp_path / "float.tflite"
    path.write_bytes(float_io().pack())
    code = run(["bench", str(path), "--device", "local:", *SHORT, *option])
    err = capsys.readouterr().err
    assert (code == 2) == (not option), err
    assert ("--mean R,G,B --std R,G,B" in err) == (not option)
