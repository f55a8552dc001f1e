"""What a user installs: one package, nothing generic beside it."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import ROOT
from prerequisites import NEEDS, skip_without
from tiny_tflite import TinyModel


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is under version control."""
    pytest.importorskip("build", reason=NEEDS["build"].reason)
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()]
    archive = subprocess.run(
        ["tar", "-c", "--null", "-T", "-"],
        cwd=ROOT,
        input="\0".join(names).encode(),
        capture_output=True,
        check=True,
    )
    subprocess.run(["tar", "-x"], cwd=source, input=archive.stdout, check=True)
    return source


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel, built from that copy, as a release would be."""
    return zipfile.ZipFile(build_wheel(source, tmp_path_factory.mktemp("wheel")))


def build_wheel(source: Path, out: Path) -> Path:
    """Builds the wheel of a checkout, without leaving anything there but setuptools' folder."""
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
    subprocess.run(line, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def find_python(minor: int) -> str | None:
    """A Python 3 of this minor version that runs: of PATH, or of pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [
        shutil.which(f"python3.{minor}"),
        *map(str, sorted(versions.glob(f"3.{minor}.*/bin/python"))),
    ]
    for python in filter(None, found):
        # One of pyenv's may be on PATH without being chosen: it ends with an error.
        if not subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
            return python
    return None


PYTHONS = range(10, 15)
TOO_OLD = range(7, 10)


def install(python: str, folder: Path, *what: object) -> subprocess.CompletedProcess[str]:
    """Makes an environment and installs there."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    line = [folder / "bin/python", "-m", "pip", "install", "--quiet", *what]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=900)


def requirements_of(wheel: zipfile.ZipFile) -> list[str]:
    """What a plain installation brings, without torch: several GB, but for the Python of its CPU
    build.
    """
    (name,) = (name for name in wheel.namelist() if name.endswith("dist-info/METADATA"))
    lines = email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist") or []
    return [line for line in lines if "extra ==" not in line and not line.startswith("torch>")]


@pytest.mark.slow
@pytest.mark.parametrize("minor", PYTHONS)
def test_a_wheel_works_in_an_environment_of_its_own(wheel, minor, tmp_path):
    python = find_python(minor) or skip_without(f"python3.{minor}")
    constraints, bin_ = ("-c", ROOT / "constraints.txt"), tmp_path / "venv/bin"
    requirements = requirements_of(wheel)
    assert any(line.startswith("numpy") for line in requirements)
    for what in (requirements, ["--no-deps", wheel.filename]):
        done = install(python, tmp_path / "venv", *what, *constraints)
        assert done.returncode == 0, done.stderr
    (tmp_path / "empty").mkdir()
    model = tmp_path / "empty/m.tflite"
    model.write_bytes(TinyModel().pack())
    for words in (["build", "--help"], ["inspect", model], ["check", model, "--target", "edgetpu"]):
        ran = subprocess.run(
            [bin_ / "edgekit", *words],
            cwd=tmp_path / "empty",
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("minor", TOO_OLD)
def test_an_older_python_refuses_the_wheel(wheel, minor, tmp_path):
    python = find_python(minor)
    if python is None:
        pytest.skip(f"needs a Python 3.{minor}")
    done = install(python, tmp_path / "venv", wheel.filename, "--no-deps")
    assert done.returncode == 1
    assert "requires a different Python" in done.stderr


@pytest.mark.slow  # builds a second wheel
def test_a_checkout_without_links_makes_the_same_wheel(source, wheel, tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(source, plain, symlinks=True)
    for link in (plain / "edgekit").iterdir():
        if link.is_symlink():  # git writes it as a text file
            text = os.readlink(link)
            link.unlink()
            link.write_text(text)
    assert zipfile.ZipFile(build_wheel(plain, tmp_path)).namelist() == wheel.namelist()


def test_a_wheel_installs_nothing_but_edgekit(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"edgekit", next(top for top in tops if top.endswith(".dist-info"))}


def test_a_wheel_holds_every_module_and_template(wheel):
    names = set(wheel.namelist())
    for folder, prefix in (
        ("edgekit", "edgekit"),
        ("converters", "edgekit/converters"),
        ("calibration", "edgekit/calibration"),
        ("targets", "edgekit/targets"),
    ):
        for path in (ROOT / folder).rglob("*"):
            if (
                path.suffix in (".py", ".j2", ".css", ".json", ".toml", ".txt", ".typed")
                and not path.is_symlink()
            ):
                assert f"{prefix}/{path.relative_to(ROOT / folder).as_posix()}" in names


def test_a_wheel_announces_its_command_and_its_targets(wheel):
    (path,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    text = wheel.read(path).decode()
    assert "edgekit = edgekit.cli:main" in text
    assert "edgetpu = edgekit.targets.edgetpu.target:EdgeTPUTarget" in text
