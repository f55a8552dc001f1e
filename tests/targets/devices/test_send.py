from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import DeviceError
from edgekit.targets.devices import send as transfer
from edgekit.targets.devices.hosts import LocalHost, Ran
from edgekit.targets.devices.send import send

PART = 1000
DATA = np.random.default_rng(0).bytes(3500)  # four parts
NAME = "a 'b' $(touch never) ü.tflite"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(transfer, "PART", PART)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "there"
    path.mkdir()
    return path


class Counting(LocalHost):
    """Keeps what is put, breaks off after so many puts, damages one, or cannot hash."""

    def __init__(self, breaks_after=None, damages=None, hashes=True):
        self.puts, self.breaks_after = [], breaks_after
        self.damages, self.hashes = damages, hashes

    def put(self, source, target):
        if len(self.puts) == self.breaks_after:
            raise DeviceError("the connection broke off")
        data = source.read_bytes()
        self.puts.append(data)
        if len(self.puts) - 1 == self.damages:
            source.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        super().put(source, target)

    def run(self, arguments, folder, timeout_s):
        if not self.hashes and "sha256sum" in " ".join(arguments):
            return Ran(1, "sh: sha256sum: not found\n")
        return super().run(arguments, folder, timeout_s)


def parts(data=DATA):
    return [data[k : k + PART] for k in range(0, len(data), PART)]


def arrived(folder, name=NAME, data=DATA):
    """The file is there, and nothing beside it."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} == {name: data}


def test_a_large_file_goes_in_parts(source, folder):
    host, seen = Counting(), []
    target = send(host, source, str(folder), NAME, lambda *n: seen.append(n))
    assert target == f"{folder}/{NAME}"
    assert host.puts == parts()
    assert arrived(folder)
    assert seen == [(0, 3500), (1000, 3500), (2000, 3500), (3000, 3500), (3500, 3500)]


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART])
def test_sizes(source, folder, size):
    source.write_bytes(DATA[:size])
    host, seen = Counting(), []
    send(host, source, str(folder), NAME, lambda *n: seen.append(n))
    assert len(host.puts) == max(1, -(-size // PART))
    assert arrived(folder, data=DATA[:size])
    assert seen == sorted(seen)
    assert seen[-1] == (size, size)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_only_the_missing_parts_are_sent_again(source, folder, k):
    with pytest.raises(DeviceError, match="broke off"):
        send(Counting(breaks_after=k), source, str(folder), NAME)
    host, seen = Counting(), []
    send(host, source, str(folder), NAME, lambda *n: seen.append(n))
    assert host.puts == parts()[k:]
    assert arrived(folder)
    assert seen[0] == (k * PART, 3500)
    assert seen == sorted(seen)


def test_what_progress_raises_stops_it_and_it_goes_on_from_there(source, folder):
    def stop(done, total):
        if done == 2 * PART:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(Counting(), source, str(folder), NAME, stop)
    host = Counting()
    send(host, source, str(folder), NAME)
    assert host.puts == parts()[2:]
    assert arrived(folder)


def test_a_part_that_was_half_appended_is_gone_on_with(source, folder):
    (folder / f"{NAME}.partial").write_bytes(DATA[:1234])
    host = Counting()
    send(host, source, str(folder), NAME)
    assert host.puts == [DATA[1234:2234], DATA[2234:3234], DATA[3234:]]
    assert arrived(folder)


def test_a_partial_file_that_is_whole_is_only_renamed(source, folder):
    (folder / f"{NAME}.partial").write_bytes(DATA)
    host = Counting()
    send(host, source, str(folder), NAME)
    assert host.puts == []
    assert arrived(folder)


@pytest.mark.parametrize("left", [b"x" * 1000, DATA + b"x", b"x" * 9000])
def test_a_partial_file_of_another_content_is_thrown_away(source, folder, left):
    (folder / f"{NAME}.partial").write_bytes(left)
    host = Counting()
    send(host, source, str(folder), NAME)
    assert host.puts == parts()
    assert arrived(folder)


@pytest.mark.parametrize("size", [10, 3500])
def test_what_is_there_is_not_sent(source, folder, size):
    source.write_bytes(DATA[:size])
    send(LocalHost(), source, str(folder), NAME)
    host, seen = Counting(), []
    send(host, source, str(folder), NAME, lambda *n: seen.append(n))
    assert host.puts == []
    assert seen == [(size, size)]
    assert arrived(folder, data=DATA[:size])


@pytest.mark.parametrize("size", [10, 3500])
def test_another_file_of_the_name_is_replaced(source, folder, size):
    source.write_bytes(DATA[:size])
    (folder / NAME).write_bytes(b"x" * size)
    send(LocalHost(), source, str(folder), NAME)
    assert arrived(folder, data=DATA[:size])


@pytest.mark.parametrize("k", [0, 3])
def test_a_damaged_file_is_refused_and_thrown_away(source, folder, k):
    with pytest.raises(DeviceError, match="damaged on its way to this machine") as caught:
        send(Counting(damages=k), source, str(folder), NAME)
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert list(folder.iterdir()) == []
    host = Counting()
    send(host, source, str(folder), NAME)
    assert host.puts == parts()
    assert arrived(folder)


@pytest.mark.parametrize("size", [10, 3500])
def test_without_a_program_that_hashes_all_is_sent(source, folder, size):
    """A small file goes as it is, a large one in parts; what an earlier run left is no help."""
    data = DATA[:size]
    source.write_bytes(data)
    (folder / NAME).write_bytes(data)
    if size > PART:
        (folder / f"{NAME}.partial").write_bytes(data[:PART])
    host = Counting(hashes=False)
    send(host, source, str(folder), NAME)
    assert host.puts == parts(data)
    assert arrived(folder, data=data)


def test_a_device_that_cannot_append_is_said(source, folder):
    (folder / f"{NAME}.partial").mkdir()
    with pytest.raises(DeviceError, match="cannot keep a file in") as caught:
        send(LocalHost(), source, str(folder), NAME)
    assert caught.value.cause
