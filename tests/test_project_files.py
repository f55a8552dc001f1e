"""Files that the project has for its users and its hosts: they parse, and say the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from places import ROOT
from prerequisites import NEEDS, skip_without

from edgekit.version import __version__

yaml = pytest.importorskip("yaml", reason=NEEDS["yaml"].reason)
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize(
    "name",
    [
        ".pre-commit-config.yaml",
        "CITATION.cff",
        *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(".github/**/*.yml")),
    ],
)
def test_it_is_yaml(name):
    assert isinstance(yaml.safe_load(text(name)), dict)


def test_all_say_the_same_version():
    assert re.findall(r"^## (\d\S*)", text("CHANGELOG.md"), re.MULTILINE)[0] == __version__
    assert yaml.safe_load(text("CITATION.cff"))["version"] == __version__


def test_every_python_that_is_claimed_is_tested():
    claimed = [
        one.rpartition(" ")[2]
        for one in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", one)
    ]
    matrix = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]["fast-tests"]["strategy"]
    assert matrix["matrix"]["python"] == claimed
    assert PROJECT["requires-python"] == f">={claimed[0]}"
    assert PROJECT["license"] == yaml.safe_load(text("CITATION.cff"))["license"]


def test_a_release_is_of_the_version_that_the_changelog_has(tmp_path):
    steps = yaml.safe_load(text(".github/workflows/release.yml"))["jobs"]["build"]["steps"]
    (script,) = (step["run"] for step in steps if "tag" in step.get("name", ""))
    for tag, code in ((f"v{__version__}", 0), ("v9.9.9", 1)):
        environment = {"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin:/usr/local/bin"}
        line = [
            "bash",
            "-eo",
            "pipefail",
            "-c",
            script.replace("python -c", f"{sys.executable} -c"),
        ]
        done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, check=False)
        assert done.returncode == code, done.stderr


def test_a_checkout_without_links_says_so(tmp_path):
    package = tmp_path / "edgekit"
    package.mkdir()
    for name in ("__init__.py", "version.py"):
        shutil.copy(ROOT / "edgekit" / name, package / name)
    (package / "converters").write_text("../converters")  # as git writes a link without links
    line = [sys.executable, "-c", "import edgekit"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "git config core.symlinks true" in done.stderr


def _answers(tool: str) -> bool:
    """Whether a client has a daemon, or needs none."""
    return subprocess.run([tool, "info"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_the_image_runs(tmp_path):
    found = filter(None, map(shutil.which, ("docker", "podman")))
    tool = next(filter(_answers, found), None) or skip_without("docker")
    base = re.search(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)[1]
    held = [[tool, "image", "inspect", base], [tool, "pull", base]]
    if all(subprocess.run(line, capture_output=True, check=False).returncode for line in held):
        skip_without("base image")
    # Where pip is to find torch's CPU build, as this environment says it.
    said = [name for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS") if name in os.environ]
    words = [word for name in said for word in ("--build-arg", name)]
    subprocess.run([tool, "build", *words, "-t", "edgekit-test", str(ROOT)], check=True)
    line = [tool, "run", "--rm", "edgekit-test", "--version"]
    shown = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    assert shown.strip() == f"edgekit {__version__}"
