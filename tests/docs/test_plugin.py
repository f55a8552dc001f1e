"""The target of docs/plugin.md: its package is built from the page's blocks, installed and used."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tomllib
from examples import ROOT, blocks
from narrow import make_narrow
from tiny_tflite import CLASSES, SIZE, TinyModel

import edgekit
from edgekit.cli import run
from edgekit.runtimes.litert import LiteRT
from edgekit.targets import registry
from edgekit.targets.toolchains.requirements import read_requirements

PAGE = ROOT / "docs/plugin.md"


def files() -> dict[str, str]:
    """The package's files: each is named at the beginning of the paragraph above its block."""
    lines = PAGE.read_text("utf-8").splitlines()
    found = {}
    for block in blocks(PAGE):
        paragraph = block.line - 2  # of the fence; an empty line is above it
        begin = max(k for k in range(paragraph - 1) if not lines[k]) + 1
        if named := re.match(r"`([\w./]+)`", lines[begin]):
            found[named[1]] = block.text
    return found


def write(folder: Path) -> Path:
    """Writes the package as its author has it."""
    for name, text in files().items():
        path = folder / "edgekit-larch" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder / "edgekit-larch"


@pytest.fixture
def larch(tmp_path, monkeypatch):
    """The package on the path, as pip would have installed it."""
    source = write(tmp_path)
    project = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))
    about = project["project"]
    info = source / f"edgekit_larch-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n", "utf-8"
    )
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in about["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")
    monkeypatch.syspath_prepend(str(source))
    importlib.invalidate_caches()
    yield source
    for name in [name for name in sys.modules if name.partition(".")[0] == "edgekit_larch"]:
        del sys.modules[name]


@pytest.fixture
def tiny(tmp_path):
    """A small int8 file."""
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    return path


def test_every_file_is_shown():
    shown = files()
    package = tomllib.loads(shown["pyproject.toml"])["tool"]["setuptools"]["packages"]
    assert package == ["edgekit_larch"]
    names = ("__init__.py", "target.py", "worker.py", "requirements.txt")
    assert set(shown) == {"pyproject.toml", *(f"edgekit_larch/{name}" for name in names)}


def test_it_is_found_and_listed(larch, capsys):
    target = registry.find("larch", {"ram_kb": 256})
    assert (type(target).__module__, target.options.ram_kb) == ("edgekit_larch.target", 256)
    (item,) = read_requirements(target.toolchains[0].requirements)
    assert (item.name, len(item.hashes) > 10) == ("ai-edge-litert", True)
    assert run(["targets", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["targets"]}
    assert rows["larch"]["options"][0]["name"] == "ram-kb"
    assert rows["larch"]["needs"][0]["is_installed"]
    assert run(["toolchain", "list"]) == 0
    assert "larch" in capsys.readouterr().out
    assert run(["toolchain", "install", "larch", "--dry-run"]) == 0
    assert "Apache-2.0" in capsys.readouterr().out


def test_a_file_is_checked(larch, tiny, capsys):
    assert run(["check", str(tiny), "--target", "larch"]) == 0
    assert "nothing in it breaks a rule of the target" in capsys.readouterr().out
    tight = registry.find("larch", {"ram_kb": 0})
    assert [found.rule for found in tight.examine(tiny).refusals] == ["ram"]
    figures = tight.estimate(tiny)
    assert (figures.fits, figures.memory["flash"]) == (False, tiny.stat().st_size)


def test_its_arithmetic_is_that_of_the_reference_kernels(larch, tiny):
    target = registry.find("larch")
    (execution,) = target.executions(None)
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    shown: list[tuple[int, int]] = []
    answers = execution.run(tiny, pixels, lambda *given: shown.append(given))
    assert (answers.outputs.shape, answers.outputs.dtype) == ((3, CLASSES), np.float32)
    assert answers.figures.memory["flash"] == tiny.stat().st_size
    assert shown[-1] == (3, 3)
    reference = LiteRT(tiny, kernels="reference")
    np.testing.assert_array_equal(answers.outputs, reference.run(pixels))


@pytest.mark.slow
def test_a_build_with_it(larch, tmp_path, monkeypatch):
    make_narrow(["lite0"], monkeypatch)
    made = edgekit.build(
        "lite0",
        out=tmp_path / "run",
        targets=("larch",),
        target_options=("larch.ram-kb=2048",),
        weights="none",
        resolution=32,
        epochs=0,
        calibration_count=16,
        threads=1,
        quantize="ranges",
        simulator_limit=20,
    )
    assert made.problem is None
    (chip,) = made.document["chips"]
    assert (chip["target"], chip["same"], chip["row"]["n"]) == ("larch", 1.0, 20)


@pytest.mark.slow
def test_pip_installs_it(tmp_path):
    source, place = write(tmp_path), tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(place)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    code = "from edgekit.targets import registry; print(registry.find('larch').about)"
    said = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(place)!r}); {code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "the Larch N1" in said.stdout
