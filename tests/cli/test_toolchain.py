"""``edgekit toolchain``: install, list, path, remove."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from wheels import make_wheel, write_requirements

from edgekit.cli import run
from edgekit.targets import registry
from edgekit.targets.base import Examination, Target
from edgekit.targets.toolchains.toolchain import Toolchain


class Carved(Target):
    """A target with two tools: one beside edgekit, one in its own environment."""

    name = "carved"
    scheme = "w8a8-static"
    about = "a chip of wood"

    def examine(self, path, model=None):
        """Takes any file."""
        return Examination(Path(path), model, ())


@pytest.fixture
def carved(carver, monkeypatch):
    """The target, which is known; returns its second tool."""
    tool = carver(download_mb=3, installed_mb=5, note="not to be passed on")
    beside = Toolchain("beside", "Beside", "numpy", ("numpy",), "BSD", tool.requirements, extra="x")
    monkeypatch.setattr(Carved, "toolchains", (tool, beside))
    monkeypatch.setitem(registry.OWN, "carved", f"{__name__}:Carved")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Carved.__module__])
    known = [registry.find(name) for name in ("edgetpu", "carved")]
    monkeypatch.setattr(registry, "usable", lambda: iter(known))
    return tool


def test_from_nothing_to_removed(carved, package_index, capsys):
    assert run(["toolchain", "install", "carver", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert package_index.begun == []
    for word in ("The carver, carver 1.5", "licence", "MIT", "not to be passed on", "3.0 MB"):
        assert word in said
    assert run(["toolchain", "path", "carver"]) == 3
    assert "try:   edgekit toolchain install carver" in capsys.readouterr().err
    assert run(["toolchain", "list"]) == 0
    _, beside, own = capsys.readouterr().out.splitlines()
    assert beside.split()[:2] == ["beside", "carved"]
    assert "beside edgekit" in beside
    assert " ".join(own.split()) == "carver carved carver 1.5 MIT not installed 3.0 MB 5.0 MB"
    assert run(["toolchain", "install", "--all"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{carved.folder}\n"
    assert "licence   MIT" in err
    assert "Beside " in err
    assert "[2/2] install carver" in err
    assert run(["toolchain", "path", "carver"]) == 0
    assert capsys.readouterr().out == f"{carved.python}\n"
    assert run(["toolchain", "install", "carver"]) == 0
    assert "install carver  cached" in capsys.readouterr().err
    (carved.folder.parent / "old.partial").mkdir()
    assert run(["toolchain", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    beside, own = document["toolchains"]
    assert (beside["state"], own["state"], own["targets"]) == ("beside", "own", ["carved"])
    assert own["disk_bytes"] > 1 << 18
    assert (own["licence"], own["command"], document["unused"]) == ("MIT", None, ["old"])
    assert run(["toolchain", "list"]) == 0
    assert "edgekit toolchain remove old" in capsys.readouterr().out
    for name in ("carver", "old"):
        assert run(["toolchain", "remove", name]) == 0
        assert "removed" in capsys.readouterr().err
    assert list(carved.folder.parent.iterdir()) == []
    assert run(["toolchain", "remove", "carver"]) == 0
    assert "carver is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["install"], "no tool is named"),
        (["install", "carve"], "did you mean 'carver'?"),
        (["remove", "beside"], "pip uninstall numpy"),
        (["remove", "../carver"], "unknown toolchain"),
        (["path", "nothing"], "unknown toolchain"),
    ],
)
def test_what_cannot_be_done_is_said(carved, words, says, capsys):
    assert run(["toolchain", *words]) == 2
    assert says in capsys.readouterr().err


def test_one_that_fails_does_not_keep_the_others(
    carved, package_index, tmp_path, capsys, monkeypatch
):
    folder = tmp_path / "absent"
    folder.mkdir()
    absent = make_wheel(folder, "absent", "1", {"absent.py": ""})
    requirements = write_requirements(folder / "absent.txt", [absent])
    tools = [
        Toolchain(name, name.title(), "absent", ("absent",), "MIT", requirements)
        for name in ("absent", "zero")
    ]
    monkeypatch.setattr(Carved, "toolchains", (*tools, carved))
    assert run(["toolchain", "install", "absent", "carver"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{carved.folder}\n"
    assert "error: the package index has no absent 1" in err


def test_the_doctor_and_the_targets_know_it(carved, capsys):
    assert run(["targets"]) == 0
    said = capsys.readouterr().out
    assert "carved       a chip of wood\n  takes      int8 .tflite\n" in said
    assert "The carver 1.5, not installed: edgekit toolchain install carver" in said
    assert "edgetpu      Coral's USB stick" in said
    run(["doctor"])
    said = capsys.readouterr().out
    assert "makers' tools\n  beside " in said
    assert ", ready\n  carver 1.5, not installed\n    edgekit toolchain install carver" in said
    run(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert [found["state"] for found in document["toolchains"]] == ["beside", "no"]
