"""Whole searches, small: a few photos at 32 px, networks of some thousand parameters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from math import inf

import pytest
from narrow import make_narrow
from two_classes import draw_classes

from edgekit.cli import run as command
from edgekit.errors import DeviceError, MissingToolError, UsageError
from edgekit.networks.efficientnet.find import find_spec
from edgekit.search.study.objective import Objective
from edgekit.search.study.run import Wanted, _settle, _Worker, join, search
from edgekit.search.study.settings import Settings
from edgekit.system.console import Console

TRAINED = 4


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(["lite0"], patch)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes that a mean tells apart, 16 photos each."""
    return draw_classes(tmp_path_factory.mktemp("photos"), {"train": 16, "val": 8})


def words(photos, out, *more):
    given = ["search", "--model", "lite0", "--macs", "800K", "--data", str(photos / "train")]
    given += ["--val", str(photos / "val"), "--resolution", "32", "--trials", str(TRAINED)]
    given += ["--epochs", "1", "--finalists", "1", "--final-epochs", "2", "--threads", "1"]
    return [*given, "--out", str(out), *more]


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """A search that is done, and what it printed."""
    out = tmp_path_factory.mktemp("search") / "out"
    assert command(words(photos, out)) == 0
    return out


def test_a_search_ends_with_a_network_that_a_build_takes(finished, photos, tmp_path):
    found = json.loads((finished / "search.json").read_text())
    trained = [trial for trial in found["trials"] if trial["accuracy"] is not None]
    assert len(trained) == TRAINED
    assert {trial["of"] for trial in found["finalists"]} == {
        0,
        max(trained, key=lambda trial: trial["reward"])["number"],
    }
    text = (finished / "best.toml").read_text()
    assert text.startswith("# Found by edgekit search in the space mbconv around lite0")
    best = next(t for t in found["finalists"] if t["of"] == found["best"])
    spec = find_spec(str(finished / "best.toml"))
    assert (spec.resolution, list(spec.stages)) == (32, best["stages"])
    build = ["build", str(finished / "best.toml"), "--data", str(photos / "train"), "--epochs", "1"]
    build += ["--val", str(photos / "val"), "--out", str(tmp_path / "run"), "--batch-size", "8"]
    assert command([*build, "--calibration-count", "16", "--threads", "1"]) == 0
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert report["model"] == f"found-{found['best']}"


def test_the_same_command_goes_on_and_repeats_nothing(finished, photos, capsys):
    before = (finished / "journal.log").read_text().count("\n")
    assert command(words(photos, finished, "--json")) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["best"] == json.loads((finished / "search.json").read_text())["best"]
    assert (finished / "journal.log").read_text().count(
        "\n"
    ) <= before + 3  # each of the three studies is opened
    assert join(finished).best.of == again["best"]


def test_more_trials_are_added_to_a_search(finished, photos, tmp_path, capsys):
    import shutil

    larger = tmp_path / "larger"
    shutil.copytree(finished, larger)
    given = words(photos, larger, "--json")
    given[given.index("--trials") + 1] = str(TRAINED + 1)
    assert command(given) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert sum(trial["accuracy"] is not None for trial in trials) == TRAINED + 1


def test_another_search_or_other_photos_are_refused(finished, photos, tmp_path):
    def asked(**changes):
        options = {"data": str(photos / "train"), "val": str(photos / "val"), "resolution": 32}
        own = {"trials": TRAINED, "epochs": 1, "finalists": 1, "final_epochs": 2}
        target = changes.pop("target", 800_000)
        wanted = Wanted("lite0", "mbconv", Objective("macs", target), options=options, **own)
        for name, value in changes.items():
            object.__setattr__(wanted, name, value)
        return wanted

    with pytest.raises(UsageError, match="holds a search with another objective"):
        search(asked(target=900_000), finished)
    other = {"data": str(photos / "val"), "resolution": 32}
    with pytest.raises(UsageError, match="holds a search with other photos"):
        search(asked(options=other), finished)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        search(asked(), tmp_path / "full")
    with pytest.raises(UsageError, match="no network of the space has 1,000 macs") as caught:
        search(asked(target=1000), tmp_path / "none")
    assert "the smallest has" in str(caught.value.cause)
    with pytest.raises(UsageError, match="holds no search"):
        join(tmp_path / "full")


def test_the_photos_of_another_machine_must_be_the_same(photos, tmp_path):
    import shutil

    own = tmp_path / "photos"
    shutil.copytree(photos, own)
    assert command(words(own, tmp_path / "out")) == 0
    next((own / "train/dark").glob("*.png")).unlink()
    with pytest.raises(UsageError, match="are others here"):
        join(tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--parameters", "1M"], "what the network may cost is one number"),
        (["--exponent", "a"], "is neither one number nor two"),
        (["--exponent", "0.5"], "reward a higher cost"),
        (["--sampler", "luck"], "unknown sampler 'luck'"),
        (["--trials", "1"], "--trials must be at least 2"),
        (["--macs", "many"], "--macs 'many' is not a number"),
        (["--space", "all"], "unknown space 'all'"),
    ],
)
def test_what_cannot_be_searched_for_is_said(photos, tmp_path, capsys, more, says):
    assert command(words(photos, tmp_path / "out", *more)) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_optuna_the_extra_is_named(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    wanted = Wanted("lite0", "mbconv", Objective("macs", 800_000), options={"resolution": 32})
    with pytest.raises(MissingToolError) as caught:
        search(wanted, tmp_path / "out")
    assert "edgekit[search]" in str(caught.value.hint)


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing_and_two_share_a_search(photos, tmp_path):
    out = tmp_path / "out"

    def start(*arguments):
        program = [sys.executable, "-m", "edgekit", *arguments]
        return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    given = words(photos, out)
    given[given.index("--trials") + 1] = "6"
    given[given.index("800K")] = "1M"  # processes of their own have the real networks
    first = start(*given)
    deadline = time.monotonic() + 120
    while len(list(out.glob("trainings/short-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    both = [start(*given), start("search", "--join", str(out), "--threads", "1")]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    found = json.loads((out / "search.json").read_text())
    trained = [trial for trial in found["trials"] if trial["accuracy"] is not None]
    assert len(trained) == 6
    assert len({tuple(trial["stages"]) for trial in trained}) == 6
    assert all(trial["accuracy"] is not None for trial in found["finalists"])
    folders = {path.name for path in (out / "trainings").iterdir()}
    assert folders >= {f"short-{trial['number']}" for trial in trained}
    assert os.path.exists(out / "best.toml")


def test_the_size_space_trains_each_network_at_its_own_side(photos, tmp_path, capsys):
    own = tmp_path / "own.toml"
    own.write_text('base = "lite0"\nname = "mine"\nresolution = 64\n')
    given = words(photos, tmp_path / "out", "--space", "size", "--json")
    given[given.index("lite0")] = str(own)
    given[given.index("800K")] = "3M"
    given[given.index("--resolution") + 1] = "64"
    assert command(given) == 0
    found = json.loads(capsys.readouterr().out)
    sides = set()
    for trial in found["trials"]:
        if trial["accuracy"] is not None:
            report = tmp_path / f"out/trainings/short-{trial['number']}/report.json"
            side = json.loads(report.read_text())["preprocessing"]["resolution"]
            assert side == max(32, round(64 * trial["picks"]["resolution"] / 8) * 8)
            sides.add(side)
    assert len(sides) > 1
    best = find_spec(str(tmp_path / "out/best.toml"))
    wanted = next(t["picks"]["resolution"] for t in found["trials"] if t["number"] == found["best"])
    assert best.resolution == max(32, round(64 * wanted / 8) * 8)
    assert best.squeeze_excite is False  # as lite0 has it, though the file is another


def test_a_training_that_diverges_is_a_result_too(photos, tmp_path, monkeypatch, capsys):
    from edgekit.errors import DivergedError
    from edgekit.pipeline import train

    trained, run = [], train.run_training

    def diverging(options, console):
        trained.append(options.model)
        if len(trained) == 2:
            raise DivergedError("training diverged in epoch 1")
        return run(options, console)

    monkeypatch.setattr(train, "run_training", diverging)
    assert command(words(photos, tmp_path / "out", "--json")) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert [t["problem"] for t in trials if t["problem"]].count("training diverged in epoch 1") == 1
    assert sum(trial["accuracy"] is not None for trial in trials) == TRAINED


def test_a_space_that_has_no_more_networks_is_said(photos, tmp_path, monkeypatch, capsys):
    from edgekit.search.study.store import Store

    claimed, claim = [], Store.claim

    def at_most_two(self):
        claimed.append(claim(self) if len(claimed) < 2 else None)
        return claimed[-1]

    monkeypatch.setattr(Store, "claim", at_most_two)
    assert command(words(photos, tmp_path / "out")) == 0
    assert "warning: 2 of 4 networks were trained: 500 in a row cost too" in capsys.readouterr().err


def test_what_is_on_the_front_is_said_as_it_is_found(photos, tmp_path, capsys):
    assert command(words(photos, tmp_path / "out", "--trials", "2", "--finalists", "0")) == 0
    said = capsys.readouterr().err
    found = json.loads((tmp_path / "out/search.json").read_text())
    assert f"found-0: {100 * found['trials'][0]['accuracy']:.2f} % at " in said
    assert "on the front of 1" in said


def test_a_device_that_goes_away_leaves_a_search_that_goes_on(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(words(photos, out, "--trials", "2", "--finalists", "0")) == 0
    settings = replace(Settings.load(out), trials=4)
    asked = []

    def away(spec, side, classes):
        asked.append(spec)
        if len(asked) == 2:
            raise DeviceError("the board does not answer")
        return 700_000.0

    with pytest.raises(DeviceError):
        _Worker(settings, out, away, Console(), 1).run()
    assert "nothing is lost, and the same command goes on" in capsys.readouterr().err
    results = _Worker(settings, out, lambda *of: 700_000.0, Console(), 1).run()
    trained = [trial for trial in results.trials if trial.accuracy is not None]
    assert len(trained) == 4
    assert len({trial.number for trial in trained}) == 4


@pytest.mark.slow
def test_short_trainings_may_see_smaller_images(photos, tmp_path, capsys):
    out = tmp_path / "out"
    given = ["search", "--model", "lite0", "--macs", "2M", "--data", str(photos / "train")]
    given += ["--val", str(photos / "val"), "--resolution", "48", "--short-resolution", "32"]
    given += ["--epochs", "1", "--finalists", "1", "--trials", "2", "--final-epochs", "1"]
    assert command([*given, "--threads", "1", "--out", str(out)]) == 0
    sides = {
        path.parent.name: json.loads(path.read_text())["preprocessing"]["resolution"]
        for path in out.glob("trainings/*/report.json")
    }
    assert {side for name, side in sides.items() if name.startswith("short")} == {32}
    assert {side for name, side in sides.items() if name.startswith("long")} == {48}
    assert find_spec(str(out / "best.toml")).resolution == 48
    assert command([*given, "--short-resolution", "64", "--out", str(tmp_path / "other")]) == 2
    assert "--short-resolution must be from 32 to 48" in capsys.readouterr().err


@pytest.mark.slow
def test_networks_of_others_are_scaled_to_the_cost_and_trained_as_long(photos, tmp_path, capsys):
    out = tmp_path / "out"
    more = ["--trials", "2", "--beside", "mnasnet-b1,mnasnet-a1"]
    assert command(words(photos, out, *more)) == 0
    shown = capsys.readouterr().out
    found = json.loads((out / "search.json").read_text())
    assert [one["name"].partition("-w")[0] for one in found["beside"]] == [
        "mnasnet-b1",
        "mnasnet-a1",
    ]
    for one in found["beside"]:
        assert abs(one["cost"] / 800_000 - 1) < 0.3  # as few channels as there may be
        assert one["accuracy"] is not None
        assert f"{one['name'][:12]}" in shown
        assert one["name"] in (out / "report.html").read_text()
        history = out / "trainings" / f"beside-{one['number']}"
        assert history.is_dir()
    assert found["best"] in {trial["of"] for trial in found["finalists"]}
    assert command(words(photos, out, "--trials", "2", "--beside", "mobilenet-v2")) == 2
    assert "another networks beside it" in capsys.readouterr().err


def test_a_space_that_fits_no_memory_says_so(photos):
    wanted = Wanted(
        "lite0",
        "mbconv",
        Objective("microseconds", 1000),
        options={"data": str(photos / "train"), "val": str(photos / "val"), "resolution": 32},
    )
    with pytest.raises(UsageError, match="no network of the space has 1,000 microseconds") as said:
        _settle(wanted, lambda spec, side, classes: inf)
    assert "more memory than is allowed" in said.value.cause


def test_the_papers_ways_of_scaling_are_all_tried(photos, tmp_path, capsys):
    given = ["search", "--space", "scaling", "--model", "lite0", "--macs", "2.2M", "--data"]
    given += [str(photos / "train"), "--val", str(photos / "val"), "--resolution", "32"]
    given += ["--epochs", "1", "--finalists", "0", "--trials", "3", "--threads", "1"]
    assert command([*given, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("alpha ") == 3
    assert "base, alpha 1.2, beta 1.1, gamma 1.15, phi " in shown
    page = (tmp_path / "out/report.html").read_text()
    assert "by the paper&#39;s coefficients" in page or "nothing that was tried is better" in page
    assert page.count("gamma 1.15") >= 1
