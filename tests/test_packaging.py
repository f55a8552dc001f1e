"""What a user installs: one package, nothing generic beside it."""

import shutil
import subprocess
import sys
import zipfile

import pytest
from places import ROOT
from prerequisites import NEEDS, skip_without
from tiny_tflite import TinyModel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what is under version control, as a release would be."""
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
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


PYTHONS = [f"python3.{minor}" for minor in range(10, 15)]


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_a_wheel_works_in_an_environment_of_its_own(wheel, python, tmp_path):
    if shutil.which(python) is None:
        skip_without(python)
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    bin_ = tmp_path / "venv/bin"
    install = [bin_ / "python", "-m", "pip", "install", "--quiet", wheel.filename]
    subprocess.run([*install, "-c", ROOT / "constraints.txt"], check=True)
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
