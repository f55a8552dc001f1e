"""benchmarks/emit.py: one table of several writers, of which some may not be there."""

import json
import subprocess
import sys

import places
import pytest
from prerequisites import NEEDS

FOLDER = places.BENCHMARKS


@pytest.fixture(scope="module")
def emit():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        import emit

        yield emit


@pytest.mark.slow  # writes in processes of their own
def test_ours_and_one_that_is_missing_are_in_one_table(emit, tmp_path, capsys):
    path = tmp_path / "figures.json"
    bare = tmp_path / "bare"  # a Python that has numpy, safetensors and no litert-torch
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    bare.chmod(0o755)
    arguments = ["--models", "lite0", "--resolution", "32", "--json", str(path)]
    libraries = ["--libraries", "edgekit", "litert-torch", "--litert-torch", str(bare)]
    assert emit.main([*arguments, *libraries]) == 0
    rows = {(r["library"], r["scheme"]): r for r in json.loads(path.read_text())["rows"]}
    assert len(rows) == 4
    for scheme in ("fp32", "w8a8-static"):
        ours, theirs = rows["edgekit", scheme], rows["litert-torch", scheme]
        assert ours["model"] == "lite0"
        assert ours["problem"] is None
        assert 0 < ours["seconds"] < 30
        assert ours["import_seconds"] > 0
        assert ours["size_bytes"] > 4_000_000
        assert ours["peak_mb"] * 1e6 > ours["size_bytes"]
        if theirs["seconds"] is None:
            assert "not installed" in theirs["problem"]
    floats, integers = (rows["edgekit", scheme] for scheme in ("fp32", "w8a8-static"))
    assert integers["size_bytes"] < 0.3 * floats["size_bytes"]
    assert "MB peak" in capsys.readouterr().out


@pytest.mark.slow
def test_the_converter_writes_the_same_graph(emit, tmp_path):
    pytest.importorskip("tensorflow", reason=NEEDS["tensorflow"].reason)
    path = tmp_path / "figures.json"
    command = [sys.executable, FOLDER / "emit.py", "--models", "b0", "--schemes", "w8a8-static"]
    libraries = ["--libraries", "edgekit", "tensorflow"]
    subprocess.run([*command, *libraries, "--json", path], check=True, capture_output=True)
    ours, theirs = json.loads(path.read_text())["rows"]
    assert ours["size_bytes"] == pytest.approx(theirs["size_bytes"], rel=0.05)
    assert theirs["seconds"] > ours["seconds"]
