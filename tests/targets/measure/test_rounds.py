"""Files that are timed in rounds, on this machine and over a real ssh server."""

from __future__ import annotations

import sys

import device
import numpy as np
import pytest
from narrow import narrow
from prerequisites import skip_without

from edgekit.converters.tflite.untrained import write_untrained
from edgekit.errors import EdgekitError, UsageError
from edgekit.targets.devices.hosts import LocalHost
from edgekit.targets.devices.open import open_host
from edgekit.targets.doctor import examine as doctor
from edgekit.targets.measure.rounds import MOST_BYTES, MOST_FILES, Rounds, in_groups, time_files


@pytest.fixture(scope="module")
def files():
    return [write_untrained(narrow("lite0"), side, classes=5) for side in (32, 320)]


def silent(task, done, total):
    pass


def timed(host, files, rounds):
    name = sys.executable if isinstance(host, LocalHost) else None  # else it tries all Pythons
    python = doctor.choose_python(doctor.examine(host, name))
    return time_files(host, python, files, rounds, silent)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_file_is_timed_in_every_round(files, threads):
    times = np.array(timed(LocalHost(), files, Rounds(threads, 12)))
    assert times.shape == (2, 12)
    assert (times > 0).all()
    small, large = np.percentile(times, 20, axis=1)
    assert 3 * small < large  # 100 times the pixels


def test_a_file_that_does_not_load_is_an_error(files):
    broken = bytes(100) + files[0][100:]
    with pytest.raises(EdgekitError, match="the runtime on this machine fails on a block"):
        timed(LocalHost(), [files[0], broken], Rounds(1, 2))


def test_a_runtime_that_dies_is_an_error(files, monkeypatch, tmp_path):
    # What a crash in native code looks like: the process is gone in the middle.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, os\n"
        "if any('rounds_agent' in word for word in sys.orig_argv):\n"
        "    import threading\n"
        "    threading.Timer(0.3, os.abort).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EdgekitError, match="timing on this machine ended with -6") as caught:
        timed(LocalHost(), files, Rounds(1, 100_000))
    assert "goes on" in caught.value.hint


def test_groups_have_room_for_their_files():
    assert in_groups([1] * (MOST_FILES + 1)) == [[*range(MOST_FILES)], [MOST_FILES]]
    assert in_groups([MOST_BYTES, 1, MOST_BYTES + 1, 5]) == [[0], [1], [2], [3]]
    assert in_groups([]) == []


def test_numbers_below_1_are_refused():
    with pytest.raises(UsageError, match="--threads must be at least 1"):
        Rounds(0)
    with pytest.raises(UsageError, match="--rounds must be at least 1"):
        Rounds(1, 0)


def test_files_are_timed_over_ssh(files, tmp_path, monkeypatch):
    if need := device.missing():
        skip_without(need)
    with device.serve_device(tmp_path) as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        with open_host(server.url) as host:
            times = np.array(timed(host, files, Rounds(1, 5)))
        assert times.shape == (2, 5)
        assert not device.agents(server)
