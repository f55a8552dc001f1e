"""``edgekit train``: alone, stopped and resumed, and in several processes that torchrun starts."""

import contextlib
import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from ports import free_port

from edgekit.cli import run
from edgekit.data.synthetic import LABELS, SyntheticPhotos
from edgekit.networks.graph import Graph

SIZE = 32
#: Narrow and shallow: how processes agree and go on is the same for every network.
NAME, SHARES = "lite0-w0.1-d0.1", ("--width", "0.1", "--depth", "0.1")
#: Nothing random but what depends on the photo alone, and steps as large as their gradients.
#: Full precision, for bfloat16, the default on some processors, adds up parts with larger errors.
STILL = ("--freeze-norm", "--dropout", "0", "--optimizer", "sgd", "--precision", "fp32")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Shapes as files, in class folders: 160 to learn from and 40 to validate on."""
    root = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 160), ("val", 40)):
        drawn = SyntheticPhotos(count, 0, split, SIZE)
        for index in range(count):
            folder = root / split / LABELS[drawn.labels[index]]
            folder.mkdir(parents=True, exist_ok=True)
            drawn.load(index).save(folder / f"{index:04}.png")
    return root


def arguments(photos, out, *more):
    return [
        *("train", "lite0", "--data", str(photos / "train"), "--val", str(photos / "val")),
        *("--weights", "none", "--resolution", str(SIZE), "--epochs", "2", "--batch-size", "30"),
        *(*SHARES, "--threads", "1", "--calibration-count", "20", "--out", str(out), *more),
    ]


def start(*words, processes=0):
    """Starts the command in a process of its own, or in several that torchrun starts."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [sys.executable, *(launcher if processes else ()), "-m", "edgekit", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


#: The command in two processes with the variables that torchrun sets, and torch loaded once.
FORKED = """
import os, sys
import torch._dynamo  # which all that trains loads
from edgekit.cli import main
children = []
for rank in range(2):
    child = os.fork()
    if not child:
        os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
        main()
    children.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


def start_two(*words):
    """Starts the command in two processes without torchrun, which takes as long as one of them."""
    variables = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), "2") | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", FORKED, *words],
        env=os.environ | variables | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def weights(out):
    return Graph.load(out / f"{NAME}.graph").weights


def history(out):
    return list(csv.DictReader((out / f"{NAME}-history.csv").open()))


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory):
    """A run in one process, and what it printed."""
    out = tmp_path_factory.mktemp("alone") / "run"
    printed, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
        code = run(arguments(photos, out, "--json", *STILL))
    assert code == 0, told.getvalue()
    return out, json.loads(printed.getvalue()), told.getvalue()


def test_a_run_tells_how_it_went(alone):
    out, document, told = alone
    assert [row["stage"] for row in document["rows"]] == ["fp32-torch"]
    assert document["training"]["recipe"]["freeze_norm"] is True
    assert document["quantization"] is None
    assert f"report: {out / 'report.html'}" in told
    assert "edgekit build lite0" in told.splitlines()[-1]
    assert [row["epoch"] for row in history(out)] == ["1", "2"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["recipe"] == document["training"]["recipe"]
    assert list(out.glob("stages/train-*/events.out.tfevents.*"))


def test_a_build_goes_on_from_a_training(alone, photos, capsys):
    out, *_ = alone
    words = ["build", *arguments(photos, out, *STILL, "--dry-run")[1:]]
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "] train  cached" in line]


@pytest.mark.slow  # training/test_world has what they tell each other
@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_learn_what_one_does(alone, photos, tmp_path, processes):
    out = tmp_path / "run"
    words = arguments(photos, out, *STILL)
    process = start_two(*words) if processes == 2 else start(*words, processes=processes)
    _, told = process.communicate(timeout=180)
    assert process.returncode == 0, told
    assert told.count("[3/5] train") == 1  # the first process alone tells
    for name, values in weights(alone[0]).items():
        np.testing.assert_allclose(weights(out)[name], values, rtol=1e-3, atol=2e-3, err_msg=name)
    for one, several in zip(history(alone[0]), history(out), strict=True):
        loss = float(one["train_loss"])
        assert float(several["train_loss"]) == pytest.approx(loss, abs=2e-3)


def stopped(process, out):
    """Sends SIGTERM once the process has written a checkpoint."""
    deadline = time.monotonic() + 60
    while not list(out.glob("stages/train-*.partial/checkpoint.pt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=60)


@pytest.mark.slow  # tests/training/test_trainer.py sends the signals to a trainer
def test_a_terminated_run_is_saved_and_ends_with_the_same_weights(alone, photos, tmp_path):
    out = tmp_path / "run"
    words = arguments(photos, out, *STILL, "--save-minutes", "0.0001")
    process = start(*words)
    _, told = stopped(process, out)
    assert process.returncode == 130, told
    assert "the run is saved" in told
    assert run(words) == 0
    for name, values in weights(alone[0]).items():
        np.testing.assert_array_equal(weights(out)[name], values)


# In the fast tests, two processes train to the end, and one goes on from its own checkpoint.
@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (2, 3)])
def test_another_number_of_processes_goes_on_from_a_checkpoint(
    alone, photos, tmp_path, before, after
):
    out = tmp_path / "run"
    words = arguments(photos, out, *STILL, "--save-minutes", "0.0001")
    process = start(*words, processes=before)
    stopped(process, out)
    assert process.returncode != 0
    assert list(out.glob("stages/train-*.partial/checkpoint.pt"))
    if after == 1:
        assert run(words) == 0
    else:
        process = start(*words, processes=after)
        _, told = process.communicate(timeout=180)
        assert process.returncode == 0, told
    for name, values in weights(alone[0]).items():
        np.testing.assert_allclose(weights(out)[name], values, rtol=1e-3, atol=2e-3)


def test_shards_train_as_the_folders_that_they_were_made_of(alone, photos, tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        files = sorted((photos / split).rglob("*.png"))
        for number in range(count):
            with tarfile.open(tmp_path / f"{split}-{number}.tar", "w") as shard:
                for path in files[number::count]:
                    shard.add(path, path.relative_to(photos / split))
    out = tmp_path / "run"
    words = arguments(photos, out, *STILL)
    words[words.index("--data") + 1] = str(tmp_path / "train-{0..1}.tar")
    words[words.index("--val") + 1] = f"pipe:cat {shlex.quote(str(tmp_path / 'val-0.tar'))}"
    assert run(words) == 0
    for name, values in weights(alone[0]).items():
        np.testing.assert_array_equal(weights(out)[name], values)


def test_a_student_learns_from_a_teacher(photos, tmp_path, capsys):
    labelled, unlabelled = tmp_path / "labelled.txt", tmp_path / "more.txt"
    files = [str(path) for path in sorted((photos / "train").rglob("*.png"))]
    labelled.write_text("\n".join(files[::2]))
    unlabelled.write_text("\n".join(files[1::2]))
    out = tmp_path / "run"
    words = arguments(photos, out, "--recipe", "noisy-student", "--student-confidence", "0")
    words[words.index("--data") + 1] = str(labelled)
    teacher = tmp_path / "teacher.toml"
    teacher.write_text("epochs = 1\nlearning_rate = 1e-3\n")
    words += ["--unlabelled", str(unlabelled), "--student-teacher", str(teacher)]
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [training["name"] for training in document["earlier"]] == ["teacher"]
    assert len(document["earlier"][0]["history"]) == 1
    assert len(document["training"]["history"]) == 2
    assert len(history(out)) == 2
    assert "teacher" in (out / "report.html").read_text()


def test_no_epochs_are_refused(capsys):
    assert run(["train", "lite0", "--epochs", "0"]) == 2
    assert "train nothing" in capsys.readouterr().err


def test_a_build_does_not_run_as_one_of_several_processes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(["build", "lite0", "--out", str(tmp_path / "run")]) == 2
    assert "a build runs in one process" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_build_does_not_run_in_several_processes(tmp_path):
    process = start("build", "lite0", "--out", str(tmp_path / "run"), processes=2)
    _, told = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "a build runs in one process" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.slow  # tests/training/test_world.py has what each process is told
def test_a_failed_first_process_ends_the_others(tmp_path):
    process = start("train", "lite0", "--data", str(tmp_path / "none"), processes=2)
    _, told = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "does not exist" in told
