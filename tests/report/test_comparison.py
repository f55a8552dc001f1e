"""Two runs beside each other: from their folders alone, photo by photo where that can be."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from two_classes import draw_classes

from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.report.comparison import Paired, compare_runs, render
from edgekit.report.run_list import find_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on the same photos, of another seed and more epochs."""
    root = tmp_path_factory.mktemp("runs")
    draw_classes(root, {"train": 16, "val": 20}, (100, 150), noise=40, spread=25)
    for name, more in (("a", ["--epochs", "1"]), ("b", ["--epochs", "3", "--seed", "1"])):
        words = f"build lite0 --width 0.1 --depth 0.1 --data {root / 'train'} --val {root / 'val'}"
        words += " --resolution 32 --weights none --batch-size 8 --threads 1 --quiet"
        words += f" --calibration-count 16 --out {root / 'runs' / name}"
        assert run([*words.split(), *more]) == 0
    return root / "runs"


def rows(folder):
    return {row["stage"]: row for row in json.loads((folder / "report.json").read_text())["rows"]}


def test_runs_on_the_same_photos_are_compared_photo_by_photo(runs):
    found = compare_runs(runs / "a", runs / "b")
    assert found.why_not is None
    before, after = rows(runs / "a"), rows(runs / "b")
    for stage in ("fp32-torch", "fp32-tflite", "w8a8-tflite"):
        pair = found.paired[stage]
        less = 100 * (before[stage]["top1"] - after[stage]["top1"])
        assert pair.drop_pp == pytest.approx(less)
        assert 0 <= pair.agreement <= 1
    assert found.differing == {"epochs": (1, 3), "seed": (0, 1)}
    same = compare_runs(runs / "a", runs / "a")
    assert {pair.drop_pp for pair in same.paired.values()} == {0}
    assert {pair.agreement for pair in same.paired.values()} == {1}
    assert same.differing == {}


@pytest.mark.parametrize(
    ("drop", "error", "p", "beyond"),
    [
        (0.0, 0.0, 1.0, False),
        (1.0, 1.0, 0.3173, False),
        (-3.0, 1.0, 0.0027, True),
        (0.5, 0.0, 0.0, True),
    ],
)
def test_a_difference_counts_from_two_standard_errors_on(drop, error, p, beyond):
    found = Paired.of({"drop_pp": drop, "drop_se_pp": error, "agreement": 0.9})
    assert found.p_value == pytest.approx(p, abs=1e-4)
    assert found.is_beyond_noise is beyond
    assert not math.isnan(found.p_value)
    assert ("more" if drop < 0 else "less") in found.sentence("b", "top-1", 10)


def test_the_page_says_what_differs_and_asks_for_nothing(runs):
    page = render(compare_runs(runs / "a", runs / "b"))
    assert "<td>1</td><td>3</td>" in page
    assert "noise of 40 photos" in page
    assert page.count('<th scope="row">w8a8-tflite</th>') == 1
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_run_without_its_stages_is_compared_by_its_report(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "runs")
    assert run(["runs", "prune", str(tmp_path / "runs"), "--keep", "1"]) == 0
    assert (tmp_path / "runs/a/stages").is_dir()  # it was only said
    assert run(["runs", "prune", str(tmp_path / "runs"), "--keep", "1", "--yes"]) == 0
    assert "stages of 1 runs" in capsys.readouterr().err
    assert not (tmp_path / "runs/a/stages").exists()
    assert (tmp_path / "runs/b/stages").is_dir()
    found = compare_runs(tmp_path / "runs/a", tmp_path / "runs/b")
    assert "removed" in found.why_not
    page = tmp_path / "page.html"
    words = ["runs", "compare", str(tmp_path / "runs/a"), str(tmp_path / "runs/b")]
    assert run([*words, "--html", str(page)]) == 0
    assert "not compared photo by photo" in capsys.readouterr().out
    assert "not compared photo by photo" in page.read_text()
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["paired"] == {}


def test_a_list_has_the_newest_first_and_leaves_other_folders_out(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "runs")
    (tmp_path / "runs/c").mkdir()
    (tmp_path / "runs/d").mkdir()
    (tmp_path / "runs/d/report.json").write_text("{}")
    found = find_runs(tmp_path / "runs")
    assert [one.folder.name for one in found] == ["b", "a"]
    assert found[0].int8_score == rows(runs / "b")["w8a8-tflite"]["top1"]
    assert found[0].stage_bytes > 0
    assert run(["runs", "list", str(tmp_path / "runs")]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("b  ")
    assert run(["runs", "list", str(tmp_path / "runs"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-10-25T02:59:00.000001+02:00", "2026-10-25T02:10:00+01:00"),  # the clock went back
        ("2026-11-30T23:57:42.100000+00:00", "2026-11-30T23:57:42.100001+00:00"),
    ],
)
def test_the_newest_is_so_by_the_clock_of_the_world(runs, tmp_path, earlier, later):
    shutil.copytree(runs, tmp_path / "runs", ignore=shutil.ignore_patterns("stages"))
    for name, created in (("b", earlier), ("a", later)):
        report = tmp_path / "runs" / name / "report.json"
        report.write_text(json.dumps(json.loads(report.read_text()) | {"created": created}))
    assert [one.folder.name for one in find_runs(tmp_path / "runs")] == ["a", "b"]


def test_what_is_no_run_is_said(runs, tmp_path, capsys):
    with pytest.raises(UsageError, match="holds no finished run"):
        compare_runs(runs / "a", tmp_path)
    assert run(["runs", "list", str(tmp_path)]) == 2
    assert "the folder holds no runs" in capsys.readouterr().err
    assert run(["runs", "list", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(("shift", "code"), [(0.0, 0), (4.0, 5)])
def test_a_log_is_compared_with_the_runs_own_answers(runs, tmp_path, capsys, shift, code):
    (answers,) = (runs / "b/stages").glob("evaluate-w8a8-tflite-*/logits.npy")
    header = {"log": 1, "model": "m", "kind": "logits", "labels": ["dark", "light"]}
    lines = [json.dumps(header)]
    for row in np.load(answers):
        scores = (row + np.array([shift, 0])).tolist()
        lines.append(json.dumps({"time": "2026-11-30T00:00:00+00:00", "scores": scores, "ms": 2}))
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(lines))
    assert run(["drift", str(log), "--run", str(runs / "b"), "--gate"]) == code
    shown = capsys.readouterr()
    assert ("has changed" if code else "has not changed") in shown.out
    assert ("otherwise than before: confidence" in shown.err) is bool(code)
    assert run(["drift", str(log), "--run", str(runs / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 40
    log.write_text(lines[0].replace("light", "bright") + "\n" + lines[1])
    assert run(["drift", str(log), "--run", str(runs / "b")]) == 2
    assert "the log is not of" in capsys.readouterr().err


def test_a_report_is_markdown_for_a_summary(runs, tmp_path, capsys):
    assert run(["report", str(runs / "b"), "--markdown"]) == 0
    shown = capsys.readouterr().out
    table = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(table) == len(rows(runs / "b")) + 2
    assert len({line.count("|") for line in table}) == 1
    assert "- **tflite**: ready" in shown
    damaged = tmp_path / "report.json"
    damaged.write_text(json.dumps({"rows": []}))
    assert run(["report", str(damaged), "--markdown"]) == 2
    assert "is damaged" in capsys.readouterr().err
