"""benchmarks/latency.py: pairs of files, each measured by itself."""

import json
import sys

import places
import pytest
from tiny_tflite import TinyModel

FOLDER = places.BENCHMARKS


@pytest.fixture
def main(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import latency

    return latency.main


@pytest.mark.slow  # measures
def test_pairs_are_measured_and_saved(main, tmp_path, capsys):
    ours, theirs, out = (tmp_path / name for name in ("o.tflite", "t.tflite", "out.json"))
    for path in (ours, theirs):
        path.write_bytes(TinyModel().pack())
    short = ["--rounds", "1", "--seconds", "0.01", "--threads", "1", "--json", str(out)]
    assert main(["--pair", "tiny", str(ours), str(theirs), *short]) == 0
    (pair,) = json.loads(out.read_text())["pairs"]
    paths = [pair[side]["path"] for side in ("ours", "theirs")]
    assert (pair["name"], paths) == ("tiny", [str(ours), str(theirs)])
    expected = pair["theirs"]["median_ms"] / pair["ours"]["median_ms"]
    assert pair["ratio"] == pytest.approx(expected, rel=0.1)
    assert capsys.readouterr().out.splitlines()[1].startswith("tiny ")


def test_peers_that_are_missing_are_left_out(main, tmp_path, monkeypatch, capsys):
    import latency
    import quantization_subject

    subject = quantization_subject.tiny_subject()
    monkeypatch.setattr(quantization_subject, "find_subject", lambda *_: subject)
    for package in ("nncf", "onnxruntime", "tensorflow"):
        monkeypatch.setitem(sys.modules, package, None)
    for suffix in ("tflite", "xml", "onnx"):
        (tmp_path / f"{subject.graph.name}-w8a8-static.{suffix}").touch()
    assert list(latency.pairs_of(tmp_path, tmp_path)) == []
    said = capsys.readouterr().err
    for packages in ("nncf openvino", "onnx onnxruntime", '-e ".[tensorflow]"'):
        assert f"python -m pip install -c constraints.txt {packages}\n" in said


def test_a_file_that_cannot_be_measured_ends_it(main, tmp_path, capsys):
    missing = str(tmp_path / "none.tflite")
    assert main(["--pair", "tiny", missing, missing]) == 2
    assert missing in capsys.readouterr().err
