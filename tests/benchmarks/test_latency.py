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
    short = ["--rounds", "1", "--seconds", "0.01", "--json", str(out)]
    threads = ["--threads", "1", "--threads", "2"]
    assert main(["--pair", "tiny", str(ours), str(theirs), *short, *threads]) == 0
    pair, other = json.loads(out.read_text())["pairs"]
    assert (pair["threads"], other["threads"]) == (1, 2)
    paths = [pair[side]["path"] for side in ("ours", "theirs")]
    assert (pair["name"], paths) == ("tiny", [str(ours), str(theirs)])
    expected = pair["theirs"]["median_ms"] / pair["ours"]["median_ms"]
    assert pair["ratio"] == pytest.approx(expected, rel=0.1)
    assert capsys.readouterr().out.splitlines()[1].startswith("tiny ")


@pytest.fixture
def run(tmp_path, monkeypatch, main):
    """The folder of a build whose files are empty, and what its peers are given."""
    import quantization_subject

    subject = quantization_subject.tiny_subject()
    monkeypatch.setattr(quantization_subject, "find_subject", lambda *_: subject)
    for suffix in ("tflite", "xml", "onnx"):
        (tmp_path / f"{subject.graph.name}-w8a8-static.{suffix}").touch()
    return tmp_path


def test_peers_that_are_missing_are_left_out(run, monkeypatch, capsys):
    import latency

    for package in ("nncf", "onnxruntime", "tensorflow", "litert_quantizer", "executorch"):
        monkeypatch.setitem(sys.modules, package, None)
    assert list(latency.pairs_of(run, run)) == []
    said = capsys.readouterr().err
    for packages in ("nncf openvino", "onnx onnxruntime", '-e ".[tensorflow]"', '-e ".[bench]"'):
        assert f"python -m pip install -c constraints.txt {packages}\n" in said


def test_both_files_of_a_pair_are_of_one_kind(run, monkeypatch):
    import latency
    import onnx
    import quantization_peers
    from planted import quantized
    from tiny_onnx import tiny

    from edgekit.converters.onnx.file import read as read_onnx
    from edgekit.converters.tflite.file import read as read_tflite

    theirs = run / "theirs"
    onnx.save(tiny(), theirs)
    emitted = quantization_peers.Emitted(theirs, None)
    peer = quantization_peers.Peer(lambda *_: lambda: emitted, "")
    monkeypatch.setattr(quantization_peers, "PEERS", dict.fromkeys(quantization_peers.PEERS, peer))
    graph = quantized("lite0")[1]
    (own,) = run.glob("*.tflite")
    graph.save(own.with_suffix(".graph"))
    (run / "written").mkdir()
    pairs = {pair.name: pair for pair in latency.pairs_of(run, run / "written")}
    assert list(pairs) == [name for name, *_ in latency.PEERS]
    assert {pair.network for pair in pairs.values()} == {run.name}
    ends = read_tflite(pairs["litert-quantizer"].ours)
    assert {ends.tensors[end].dtype for end in (*ends.inputs, *ends.outputs)} == {"int8"}
    assert read_onnx(pairs["ONNX Runtime's own"].theirs).fits_pairs


def test_a_file_that_cannot_be_measured_ends_it(main, tmp_path, capsys):
    missing = str(tmp_path / "none.tflite")
    assert main(["--pair", "tiny", missing, missing]) == 2
    assert missing in capsys.readouterr().err
