"""The steps of the templates for continuous integration, run in a shell as their runners do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from examples import blocks
from places import ROOT
from prerequisites import NEEDS, skip_without
from two_classes import draw_classes

yaml = pytest.importorskip("yaml", reason=NEEDS["yaml"].reason)

ACTION = yaml.safe_load((ROOT / "ci/github/action.yml").read_text("utf-8"))
JOB = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text("utf-8"))[".edgekit"]
BIN = Path(sys.executable).parent
SMALL = "--width 0.1 --depth 0.1 --resolution 32 --epochs 1 --weights none --batch-size 8"
SMALL += " --threads 1 --calibration-count 16 --quiet"


def test_the_page_names_what_there_is():
    action, job = (yaml.safe_load(block.text) for block in blocks(ROOT / "docs/ci.md", "yaml"))
    assert action[0]["with"].keys() <= ACTION["inputs"].keys()
    assert job["model"]["extends"] == ".edgekit"
    assert job["model"]["variables"].keys() <= JOB["variables"].keys()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    if not (BIN / "edgekit").exists():
        skip_without("edgekit")
    root = tmp_path_factory.mktemp("photos of a job")  # names with spaces are words
    return draw_classes(root, {"train": 16, "val": 10})


def shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a script as both runners do: bash, which ends at the first failure."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **variables}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def act(folder: Path, **given: str) -> tuple[int, str]:
    """Does the steps of the action; returns how it ended, and the summary."""
    inputs = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()} | given
    (folder / "summary").touch()
    files = {
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
    }
    code = 0
    for step in ACTION["runs"]["steps"]:
        condition = step.get("if", "")
        test = re.fullmatch(r"inputs\.([\w-]+) (==|!=) ''", condition)
        wanted = (not inputs[test[1]]) is (test[2] == "==") if test else True
        if not wanted or (code and condition != "always()"):
            continue
        assert step["shell"] == "bash"
        # Never in the script itself, where a value would be a command.
        assert "${{" not in step["run"]
        values = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: inputs[m[1]], text)
            for name, text in step["env"].items()
        }
        code = shell(step["run"], folder, **files, **values).returncode or code
    return code, (folder / "summary").read_text("utf-8")


@pytest.mark.slow
def test_a_build_is_summed_up_and_gated(photos, tmp_path):
    data = {"data": str(photos / "train"), "val": str(photos / "val"), "install": ""}
    (tmp_path / "first").mkdir()
    code, summary = act(tmp_path / "first", model="lite0", options=SMALL, **data)
    assert code == 0
    assert "| w8a8-tflite |" in summary
    assert (tmp_path / "first/output").read_text() == "run=edgekit-run\n"
    accepted = str(tmp_path / "first/edgekit-run")
    (tmp_path / "second").mkdir()
    again = {**data, "against": accepted, "max-drop": "100"}
    code, summary = act(tmp_path / "second", model="lite0", options=f"{SMALL} --seed 1", **again)
    assert code == 0
    assert "noise of 20 photos" in summary


@pytest.mark.slow
def test_a_worse_file_does_not_pass(photos, tmp_path):
    runs = {}
    for name, epochs in (("good", "30"), ("bad", "1")):
        script = f'edgekit build lite0 --data "$DATA" --val "$VAL" --out {name} {SMALL}'
        script += f" --epochs {epochs}"
        done = shell(script, tmp_path, DATA=str(photos / "train"), VAL=str(photos / "val"))
        assert done.returncode == 0, done.stderr
        runs[name] = str(tmp_path / name)
    data = {"data": str(photos / "val"), "install": ""}
    code, summary = act(tmp_path, file=runs["bad"], against=runs["good"], **data)
    assert code == 5
    assert "points of top-1 less" in summary  # a gate that is not met is summed up as well


@pytest.mark.slow
@pytest.mark.parametrize("against", ["", "accepted run"], ids=["alone", "gated"])
def test_the_job_of_gitlab_runs(photos, tmp_path, against):
    assert all("pip install" in line for line in JOB["before_script"])
    variables = {
        **JOB["variables"],
        "EDGEKIT_DATA": str(photos / "train"),
        "EDGEKIT_OPTIONS": SMALL,
    }
    if against:
        variables |= {"EDGEKIT_AGAINST": against, "EDGEKIT_VAL": str(photos / "val")}
        script = f'edgekit build lite0 --data "$DATA" --out "{against}" {SMALL}'
        assert shell(script, tmp_path, DATA=str(photos / "train")).returncode == 0
        variables["EDGEKIT_MAX_DROP"] = "100"
    done = shell("\n".join(JOB["script"]), tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert "| w8a8-tflite |" in (tmp_path / "edgekit.md").read_text("utf-8")
    assert ("noise of 20 photos" in done.stdout) is bool(against)
    kept = [name.replace("$EDGEKIT_OUT", "edgekit-run") for name in JOB["artifacts"]["paths"]]
    assert all((tmp_path / name).exists() for name in kept)
