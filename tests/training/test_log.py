"""The log of a run is what TensorBoard reads, goes on where a run goes on, and stops no run."""

from __future__ import annotations

import csv
import errno
import struct
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from edgekit.tasks.classification.task import TASK
from edgekit.training import log as log_module
from edgekit.training.epochs import Epoch
from edgekit.training.log import TrainingLog

HYPERPARAMETERS = {"optimizer": "adamw", "learning_rate": 0.002}
START = SessionLog.START
EPOCHS = [
    Epoch(1, 1.25, 0.5, 2e-3, 10.0, images_per_s=312.5, waiting=0.03, resolution=128),
    Epoch(2, 0.75, None, 1e-3, 11.0, images_per_s=300.0, waiting=0.05, resolution=160),
    Epoch(3, 0.5, 0.875, 1e-4, 12.0),
]


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum bit by bit, as RFC 3720 has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_events(folder: Path) -> list[Event]:
    """All events of a folder, the files in the order in which TensorBoard reads them."""
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    events = []
    for path in sorted(folder.glob("*tfevents*")):
        data = path.read_bytes()
        while data:
            (length,), (head,) = struct.unpack("<Q", data[:8]), struct.unpack("<I", data[8:12])
            record = data[12 : 12 + length]
            (tail,) = struct.unpack("<I", data[12 + length : 16 + length])
            assert head == masked(data[:8])
            assert tail == masked(record)
            events.append(Event.FromString(record))
            data = data[16 + length :]
    return events


def scalars(events: list[Event], tag: str) -> list[tuple[int, float]]:
    return [
        (event.step, pytest.approx(value.simple_value))
        for event in events
        for value in event.summary.value
        if value.tag == tag
    ]


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the log sees, and names its files by."""
    now = [1000.0]
    monkeypatch.setattr(log_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(log_module.time, "time", lambda: now[0])
    return now


def refuse(text: str) -> None:
    raise AssertionError(text)


def test_writes_what_tensorboard_reads(tmp_path: Path, clock: list[float]) -> None:
    folder = tmp_path / "run" / "log"
    with TrainingLog(folder, HYPERPARAMETERS, 0, [], refuse, TASK.metric) as log:
        for step in range(10):
            log.step(step, 2.0 - step / 10, 1e-3, 100.0, 0.25)
            clock[0] += 0.5
        log.epoch(EPOCHS[0], magnitude=7.5)
    events = read_events(folder)
    assert events[0].file_version == "brain.Event:2"
    assert (events[1].step, events[1].session_log.status) == (0, START)
    (value,) = events[2].summary.value
    assert value.metadata.plugin_data.plugin_name == "text"
    assert b"| optimizer | adamw |" in value.tensor.string_val[0]
    assert scalars(events, "step/loss") == [(0, 2.0), (4, 1.6), (8, 1.2)]  # every 2 seconds
    assert scalars(events, "step/learning_rate") == [(0, 1e-3), (4, 1e-3), (8, 1e-3)]
    assert scalars(events, "step/images_per_s")[0] == (0, 100.0)
    assert scalars(events, "step/waiting")[0] == (0, 0.25)
    for name, expected in {
        "train_loss": 1.25,
        "val_top1": 0.5,
        "images_per_s": 312.5,
        "waiting": 0.03,
        "resolution": 128,
        "magnitude": 7.5,
    }.items():
        assert scalars(events, f"epoch/{name}") == [(9, expected)]
    assert {event.wall_time >= 1000 for event in events} == {True}


def test_can_be_watched_while_it_is_written(tmp_path: Path, clock: list[float]) -> None:
    with TrainingLog(tmp_path, {}, 0, [], refuse, TASK.metric) as log:
        for step in range(7):
            log.step(step, 1.0, 1e-3, 100.0, 0.0)
            clock[0] += 2
        # The last of them is younger than the last flush, 10 seconds after the first.
        assert [step for step, _ in scalars(read_events(tmp_path), "step/loss")] == list(range(6))


def test_the_table_has_a_line_per_epoch(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, {}, 0, [], refuse, TASK.metric) as log:
        assert table(tmp_path) == []
        for epoch in EPOCHS:
            log.epoch(epoch)
            assert len(table(tmp_path)) == epoch.epoch
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        "epoch,train_loss,val_top1,learning_rate,seconds,images_per_s,waiting,resolution",
        "1,1.25,0.5,0.002,10.0,312.5,0.03,128",
        "2,0.75,,0.001,11.0,300.0,0.05,160",
        "3,0.5,0.875,0.0001,12.0,,,",
    ]


def test_what_is_not_known_is_not_drawn(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, {}, 0, [], refuse, TASK.metric) as log:
        log.step(0, float("nan"), 1e-3, 100.0, 0.0)  # a GPU's first loss is not read yet
        log.epoch(EPOCHS[2])
    events = read_events(tmp_path)
    assert scalars(events, "step/loss") == []
    assert len(scalars(events, "step/images_per_s")) == 1
    assert scalars(events, "epoch/resolution") == []


def test_a_run_goes_on(tmp_path: Path, clock: list[float]) -> None:
    with TrainingLog(tmp_path, {}, 0, [], refuse, TASK.metric) as log:
        for step in range(24):  # ten steps an epoch; the checkpoint is of step 15
            log.step(step, 1.0, 1e-3, 100.0, 0.0)
            clock[0] += 3
            if step % 10 == 9:
                log.epoch(EPOCHS[step // 10])
    assert len(table(tmp_path)) == 2
    with TrainingLog(tmp_path, {}, 15, EPOCHS[:1], refuse, TASK.metric) as log:
        assert [line["epoch"] for line in table(tmp_path)] == ["1"]
        log.step(15, 0.5, 1e-3, 100.0, 0.0)
        log.epoch(EPOCHS[1])
    assert [line["epoch"] for line in table(tmp_path)] == ["1", "2"]
    assert len(list(tmp_path.glob("*tfevents*"))) == 2
    events = read_events(tmp_path)
    marks = [i for i, event in enumerate(events) if event.session_log.status == START]
    first, again = events[: marks[1]], events[marks[1] :]
    assert again[0].step == 15
    assert max(event.step for event in first) == 23
    assert scalars(again, "step/loss") == [(15, 0.5)]


class FullDisk:
    """A file that takes so many bytes, and then no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: bytes) -> None:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        self.write(b"")

    def close(self) -> None:
        self.write(b"")


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("room", [0, 100, 300, 1000])
def test_a_full_disk_is_told_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float], room: int
) -> None:
    told: list[str] = []
    monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda path: FullDisk(room))
    monkeypatch.setattr(log_module, "write_bytes", full)
    with TrainingLog(tmp_path, HYPERPARAMETERS, 0, [], told.append, TASK.metric) as log:
        for step in range(20):
            log.step(step, 1.0, 1e-3, 100.0, 0.0)
            clock[0] += 3
        log.epoch(EPOCHS[0])
        monkeypatch.undo()
        log.epoch(EPOCHS[1])  # there is room again
    (text,) = told
    assert "No space left on device" in text
    assert len(table(tmp_path)) == 2


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    with TrainingLog(tmp_path / "file" / "log", {}, 0, [], told.append, TASK.metric) as log:
        log.step(0, 1.0, 1e-3, 100.0, 0.0)
        log.epoch(EPOCHS[0])
    assert len(told) == 1
    assert "training goes on" in told[0]
