"""Checkpoints survive full disks, crashes and damage, and run no code."""

import os
import resource
from pathlib import Path

import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.training.checkpoint import CHECKPOINT, NEXT, PREVIOUS, Checkpoints, read

CPU = torch.device("cpu")


def state(number):
    return {"network": {"w": torch.full((1000,), float(number))}, "position": {"step": number}}


def step(checkpoints):
    """The number of the state that is loaded, whole."""
    loaded = read(checkpoints.contents(), CPU)
    number = loaded["position"]["step"]
    assert torch.equal(loaded["network"]["w"], state(number)["network"]["w"])
    return number


@pytest.fixture
def told():
    return []


@pytest.fixture
def checkpoints(tmp_path, told):
    """Three saves; of the second and the third, something is kept."""
    made = Checkpoints(tmp_path, told.append)
    for number in (1, 2, 3):
        made.save(state(number))
    return made


def test_the_last_two_are_kept(checkpoints, tmp_path, told):
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS, CHECKPOINT]
    assert step(checkpoints) == 3
    checkpoints.latest.unlink()
    assert step(checkpoints) == 2
    assert told == []


def test_there_is_none_before_the_first(tmp_path):
    assert Checkpoints(tmp_path).contents() == b""


def test_none_is_left_once_they_are_removed(checkpoints, tmp_path):
    (tmp_path / NEXT).write_bytes(b"of a crash")
    checkpoints.remove()
    assert list(tmp_path.iterdir()) == []
    checkpoints.remove()


def zeroed(contents):
    """A page of the tensors that never reached the disk; the archive around it is whole."""
    at = contents.index(state(3)["network"]["w"].numpy().tobytes()[:64])
    return contents[:at] + bytes(512) + contents[at + 512 :]


DAMAGE = {
    "empty": lambda contents: b"",
    "cut off": lambda contents: contents[: len(contents) // 2],
    "no checkpoint": lambda contents: b"<!doctype html>\n" * 50,
    "zeroed": zeroed,
    "one bit": lambda contents: contents[:1500] + bytes([contents[1500] ^ 4]) + contents[1501:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_one_is_passed_over_with_a_warning(checkpoints, told, damage):
    checkpoints.latest.write_bytes(damage(checkpoints.latest.read_bytes()))
    assert step(checkpoints) == 2
    (text,) = told
    assert text.startswith(f"a damaged checkpoint is passed over; {CHECKPOINT}: ")
    assert "\n" not in text


def test_an_older_damaged_one_is_not_looked_at(checkpoints, told):
    checkpoints.previous.write_bytes(b"")
    assert step(checkpoints) == 3
    assert told == []


def test_two_damaged_ones_end_the_run_with_both_reasons(checkpoints):
    checkpoints.latest.write_bytes(b"")
    checkpoints.previous.write_bytes(b"nonsense")
    with pytest.raises(EdgekitError, match="no checkpoint") as caught:
        checkpoints.contents()
    assert f"{CHECKPOINT}: " in caught.value.cause
    assert f"{PREVIOUS}: " in caught.value.cause
    assert "--no-resume" in caught.value.hint


def test_a_full_disk_leaves_both(checkpoints, tmp_path):
    """No file of this process may grow beyond half of a checkpoint: writing it fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    half = checkpoints.latest.stat().st_size // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (half, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            checkpoints.save(state(4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS, CHECKPOINT]
    assert step(checkpoints) == 3
    checkpoints.latest.unlink()
    assert step(checkpoints) == 2


@pytest.mark.parametrize("target", [NEXT, PREVIOUS, CHECKPOINT])
def test_a_crash_at_any_rename_leaves_one_that_loads(checkpoints, told, monkeypatch, target):
    replace = os.replace

    def crash(source, goal):
        if Path(goal).name == target:
            raise SystemExit
        replace(source, goal)

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(SystemExit):
        checkpoints.save(state(4))
    monkeypatch.undo()
    assert step(checkpoints) == 3
    checkpoints.save(state(5))
    assert step(checkpoints) == 5
    checkpoints.latest.unlink()
    assert step(checkpoints) in (2, 3)
    assert told == []


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_malicious_one_runs_no_code(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"network": Malicious(trace)}, tmp_path / CHECKPOINT)
    with pytest.raises(EdgekitError):
        Checkpoints(tmp_path).contents()
    assert not trace.exists()
    torch.load(tmp_path / CHECKPOINT, weights_only=False)
    assert trace.exists()  # it would have been
