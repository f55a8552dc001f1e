"""Damaged and crafted files end in an answer or in an EdgekitError, soon and in little room.

Every case is a number: `mutate` gives the same bytes for it again.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import places
import pytest
from described import embed
from edgetpu_packages import compiled
from tiny_tflite import SIZE, TinyModel, float_io

from edgekit.converters.tflite import file as tflite_file
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, UsageError
from edgekit.targets.edgetpu.executable import read_package
from edgekit.targets.edgetpu.options import CUSTOM_OP
from edgekit.targets.edgetpu.target import EdgeTPUTarget
from edgekit.targets.inspection.inspect import inspect_file

PAIRS = places.SHARED / "edgetpu/pairs"
REAL = ("split_concat", "keras_lstm_mnist_ptq", "mobilenet_v1_0.25_128_quant")
CASES, WORKERS, CHUNK = 10_000, 2, 100
FREQUENCIES = (0.3, 0.3, 0.25, 0.1, 0.05)  # of the kinds of faults, in the order of `mutate`
MARKS = (b"TFL3", b"DWN1", b"beagle", b"edgetpu-custom-op", b"PK\1\2", b"M001")
ROOM = 1 << 30  # bytes above what a worker takes before its first case
LIMIT = 10.0  # seconds per case
scratch = Path()  # a worker's file
EXTREMES = (0, 1, 4, 0x7F, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


def read_packages(path: Path) -> object:
    """Decodes what is in every `edgetpu-custom-op` of a file."""
    operators = tflite_file.read(path).operators
    return [read_package(op.custom_options) for op in operators if op.name == CUSTOM_OP]


def check(path: Path) -> object:
    """What `edgekit check` says of a file."""
    examined = EdgeTPUTarget().examine(path)
    return examined.findings, json.dumps(examined.prediction.to_dict())


#: What is tested: each takes a file that may hold anything.
READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("inspect", inspect_file),
    ("packages", read_packages),
    ("check", check),
]


@functools.cache
def seeds() -> list[bytes]:
    """What is mutated: small models of ours, and really compiled ones where they are at hand."""
    photo = Preprocessing(SIZE, (128.0,) * 3, (64.0,) * 3, tuple("abcde"))
    packed = embed(
        TinyModel().pack(), name="n", description="d", labels=photo.labels, preprocessing=photo
    )
    own = [TinyModel().pack(), float_io().pack(), compiled().pack(), packed]
    real = [PAIRS / f"{name}_edgetpu.tflite" for name in REAL]
    return own + [path.read_bytes() for path in real if path.is_file()]


def mutate(case: int) -> bytes:
    """A file with one to eight faults of one or more kinds."""
    rng = np.random.default_rng(case)
    data = bytearray(seeds()[int(rng.integers(len(seeds())))])
    for _ in range(int(rng.integers(1, 9))):
        fault = (flip, extreme, offset, splice, truncate)[int(rng.choice(5, p=FREQUENCIES))]
        data = fault(data, rng)
    return bytes(data)


def place(data: bytearray, rng: np.random.Generator) -> int:
    """A byte: mostly near an end or one of the `MARKS`, where tables are rather than weights."""
    near = int(rng.integers(min(len(data), 4096)))
    kind = int(rng.integers(4))
    if kind == 0:
        return int(rng.integers(len(data)))
    if kind == 1:
        return near
    if kind == 2:
        return len(data) - 1 - near
    mark = MARKS[int(rng.integers(len(MARKS)))]
    found = data.find(mark) if rng.integers(2) else data.rfind(mark)
    return min(max(found + int(rng.integers(-256, 257)), 0), len(data) - 1)


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    if data:
        data[place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def word(data: bytearray, rng: np.random.Generator) -> int:
    """Where a word of 32 bits begins."""
    return max(0, place(data, rng) // 4 * 4 - 4)


def extreme(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A length or an offset that no file can have."""
    if len(data) >= 4:
        at = word(data, rng)
        data[at : at + 4] = int(rng.choice(EXTREMES)).to_bytes(4, "little")
    return data


def offset(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A word changed by a little, or made to point somewhere else in the file."""
    if len(data) >= 8:
        at = word(data, rng)
        value = int.from_bytes(data[at : at + 4], "little") + int(rng.integers(-64, 65))
        value = int(rng.integers(len(data))) if rng.integers(2) else value
        data[at : at + 4] = (value % 2**32).to_bytes(4, "little")
    return data


def splice(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A part of the file copied over another part of it."""
    if data:
        size = int(rng.integers(1, 65))
        source = place(data, rng)
        at = place(data, rng)
        data[at : at + size] = data[source : source + size]
    return data


def truncate(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(len(data) + 1))]


class TooSlow(BaseException):
    """No `Exception`, so that nothing under test can take it for one of its own."""


def judge(reader: Callable[[Path], object], path: Path, limit: float = LIMIT) -> str | None:
    """What is wrong with how a reader takes a file; None where it answers or refuses it."""

    def stop(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        reader(path)
    except EdgekitError:
        return None
    except (Exception, TooSlow) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def start(folder: Path) -> None:
    """Prepares a worker: it reads once what it imports and keeps, then may take little more."""
    global scratch
    scratch = folder / f"{os.getpid()}.tflite"
    for _, reader in READERS:
        try_on(compiled().pack(), reader)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def try_on(data: bytes, reader: Callable[[Path], object]) -> str | None:
    scratch.write_bytes(data)
    return judge(reader, scratch)


def work(cases: range) -> list[str]:
    """The faults found in some cases."""
    faults = (
        (case, name, try_on(mutate(case), reader)) for case in cases for name, reader in READERS
    )
    return [f"{name}, case {case}: {fault}" for case, name, fault in faults if fault]


@pytest.fixture
def pool(tmp_path):
    if not Path("/proc/self/statm").is_file():
        pytest.skip("needs Linux, to limit a worker's memory")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, context, initializer=start, initargs=(tmp_path,)) as workers:
        yield workers


@pytest.mark.slow
def test_nothing_crashes_hangs_or_takes_much_memory(pool):
    """A worker that dies raises BrokenProcessPool, one that hangs in C a TimeoutError."""
    parts = [range(i, i + CHUNK) for i in range(0, CASES, CHUNK)]
    faults = [fault for found in pool.map(work, parts, timeout=3600) for fault in found]
    assert faults == []


def raises(path: Path) -> object:
    raise KeyError(path)


def hangs(path: Path) -> object:
    time.sleep(60)
    return path


def hoards(path: Path) -> object:
    return bytearray(ROOM + (64 << 20))


def refuses(path: Path) -> object:
    raise UsageError("no")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "fault"),
    [(raises, "KeyError"), (hangs, "TooSlow"), (hoards, "MemoryError"), (refuses, None)],
)
def test_the_judge_sees_what_is_wrong(pool, tmp_path, reader, fault):
    found = pool.submit(judge, reader, tmp_path, 1.0).result(60)
    assert (found and found.split(":")[0]) == fault


@pytest.mark.slow
def test_cases_are_the_same_again_and_differ():
    some = [mutate(case) for case in range(300)]
    assert some == [mutate(case) for case in range(300)]
    assert len(set(some) - set(seeds())) > 250
