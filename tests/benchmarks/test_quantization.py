"""benchmarks/quantization.py: one table of several tools, of which some may not be there."""

import json
import sys

import places
import pytest
from prerequisites import needs

FOLDER = places.BENCHMARKS


@pytest.fixture(scope="module")
def quantization():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        import quantization

        yield quantization


@pytest.fixture
def run(quantization, tmp_path, monkeypatch, capsys):
    """Runs the command on a network that takes no time; its exit code, JSON and output."""
    monkeypatch.setattr(quantization, "find_subject", lambda *_: quantization.tiny_subject())

    def command(*only):
        path = tmp_path / "figures.json"
        code = quantization.main(["--rounds", "1", "--json", str(path), "--only", *only])
        document = json.loads(path.read_text()) if path.exists() else None
        return code, document, capsys.readouterr()

    return command


@needs("tensorflow")
@pytest.mark.slow  # a build and a converter; the next one has a table with rows that fail
def test_ours_and_a_peer_are_in_one_table(run):
    code, document, said = run("ours ptq", "tensorflow")
    assert code == 0
    fp32, ours, peer = document["rows"]
    assert [row["name"] for row in (fp32, ours, peer)] == ["fp32", "ours ptq", "tensorflow"]
    assert (fp32["agreement"], fp32["kl"], fp32["seconds"]) == (1, 0, None)
    for row in (ours, peer):
        assert 0 < row["kl"] < 0.1
        assert row["size_bytes"] < fp32["size_bytes"]
        assert row["seconds"] > 0
        assert row["median_ms"] > 0
        assert row["drop_pp"] == pytest.approx(100 * (fp32["top1"] - row["top1"]))
    share = document["ptq_over_tensorflow"]
    assert share == pytest.approx(ours["seconds"] / peer["seconds"])
    for text in ("ours ptq  ", "tensorflow  ", f"ours ptq took {share:.2f} of TensorFlow's time"):
        assert text in said.out


@needs("openvino")
@pytest.mark.slow  # quantizes twice
def test_ours_runs_in_openvino_too(run):
    code, document, _ = run("ours ptq", "ours ptq, OpenVINO")
    assert code == 0
    _, ours, fewer = document["rows"]
    assert [row["runtime"] for row in (ours, fewer)] == ["LiteRT", "OpenVINO"]
    # It is fed what its file expects, and rounds in fewer places.
    assert 0 < fewer["kl"] < ours["kl"]


@pytest.mark.slow  # quantizes
def test_a_tool_that_is_missing_or_fails_costs_no_other_its_figures(run, quantization, monkeypatch):
    def broken(subject):
        raise ValueError("no such range")

    monkeypatch.setitem(sys.modules, "nncf", None)
    monkeypatch.setitem(quantization.OURS, "ours ptq", broken)
    code, document, said = run("ours ranges", "ours ptq", "nncf")
    assert code == 1
    assert [row["name"] for row in document["rows"]] == ["fp32", "ours ranges"]
    assert list(document["skipped"]) == ["nncf"]
    assert "skipped nncf: " in said.out
    assert "pip install -c constraints.txt nncf openvino" in said.out
    assert list(document["failed"]) == ["ours ptq"]
    assert "failed ours ptq: ValueError: no such range" in said.out
    assert document["ptq_over_tensorflow"] is None


def test_an_unknown_name_is_refused_before_any_work(run):
    code, document, said = run("our ptq")
    assert code == 2
    assert document is None
    assert "did you mean 'ours ptq'" in said.err


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.15, "at most the 0.15"), (0.16, "MORE than the 0.15")]
)
def test_a_share_is_held_against_what_is_wanted(quantization, capsys, share, verdict):
    document = dict.fromkeys(("calibration_photos", "eval_photos", "threads", "resolution"), 1)
    document |= {"model": "b0", "rows": [], "skipped": {}, "failed": {}}
    quantization.print_table({**document, "ptq_over_tensorflow": share})
    assert verdict in capsys.readouterr().out
