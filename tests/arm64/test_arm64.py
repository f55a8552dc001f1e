"""Against arm64 Debians under qemu, as on a Raspberry Pi; `make test-arm64` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import places
import pytest
from arm64_server import missing, serve
from described import embed
from detector_files import write_detector_file
from map_files import write_map_file
from tiny_tflite import CLASSES, SIZE, TinyModel

from edgekit.converters.tflite import file as tflite_file
from edgekit.data.preprocessing import Preprocessing
from edgekit.targets.deploy.deploy import deploy
from edgekit.targets.devices.address import parse_url
from edgekit.targets.devices.hosts import LocalHost
from edgekit.targets.devices.ssh import SSHHost
from edgekit.targets.doctor.examine import choose_python, examine
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.device import Job, measure

ROOT = places.ROOT / ".arm64"


@dataclass(frozen=True)
class Userland:
    """What a suite of Debian has.

    Attributes:
        system: how it calls itself.
        python: its Python, as far as it stays the same.
        numpy: likewise.
        runtime: what runs models there.
    """

    system: str
    python: str
    numpy: str
    runtime: str


USERLANDS = {
    "bookworm": Userland(
        "Debian GNU/Linux 12 (bookworm)", "3.11.", "1.24.", "tflite_runtime 2.14.0"
    ),
    "trixie": Userland(
        "Debian GNU/Linux 13 (trixie)",
        "3.13.",
        "2.2.",
        f"ai_edge_litert {version('ai-edge-litert')}",
    ),
}
SLOW_S = 120.0  # for a small program under qemu

pytestmark = pytest.mark.arm64


@pytest.fixture(scope="module", params=USERLANDS)
def suite(request):
    return request.param


@pytest.fixture(scope="module")
def running(suite, tmp_path_factory):
    if reason := missing(ROOT / suite):
        pytest.skip(reason)
    with serve(ROOT / suite, tmp_path_factory.mktemp(suite)) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    """The server, with the HOME of its client as ours."""
    monkeypatch.setenv("HOME", str(running.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield running
    assert running.left() == []


@pytest.fixture
def host(server):
    with SSHHost(parse_url(server.url)) as found:
        yield found


def test_it_is_an_arm64_machine(host):
    with host.folder() as folder:
        ran = host.run(["uname", "-m"], folder, SLOW_S)
    assert (ran.code, ran.text) == (0, "aarch64\n")


def test_its_runtime_is_found(host, suite):
    userland = USERLANDS[suite]
    facts = examine(host)
    python = choose_python(facts)
    assert facts.system == userland.system
    assert python.version.startswith(userland.python)
    assert python.numpy.startswith(userland.numpy)
    assert [" ".join(pair) for pair in python.runtimes.items()] == [userland.runtime]


def test_a_model_answers_there_as_here(host, suite, tmp_path, monkeypatch):
    """The agent on an arm64 Python, numpy and runtime; qemu says nothing about its speed."""
    monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    pixels = np.random.default_rng(0).integers(0, 256, (10, SIZE, SIZE, 3)).astype(np.uint8)
    job = Job(path, tflite_file.read(path), pixels, None, threads=(1, 2), runs=5, timeout_s=SLOW_S)
    measured = measure(host, job, lambda *_: None)
    userland = USERLANDS[suite]
    assert measured.how.startswith(f"{userland.runtime}, Python {userland.python}")
    assert measured.facts.machine == "aarch64"
    assert [figures["n"] for figures in measured.latency.values()] == [5, 5]
    here = measure(LocalHost(), job, lambda *_: None)
    apart = measured.outputs["xnnpack"].astype(int) - here.outputs["xnnpack"]
    assert np.abs(apart).max() <= 1
    assert measured.problems == []


def write_classifier(path):
    labels = tuple("abcde"[:CLASSES])
    record = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, labels)
    described = {"name": "n", "description": "d", "labels": labels}
    path.write_bytes(embed(TinyModel().pack(), preprocessing=record, **described))
    return path


@pytest.mark.parametrize(
    ("write", "program", "checked"),
    [
        (write_classifier, "classify.py", "same class"),
        (write_detector_file, "detect.py", "of the 10 best boxes are the same"),
        (write_map_file, "segment.py", "pixels have the same class"),
    ],
)
def test_a_program_answers_there_as_here(server, suite, tmp_path, write, program, checked):
    """The program of a task beside its file; what it says is compared with this host's answer."""
    done = deploy(write(tmp_path / "m.tflite"), server.url, to=f"/tmp/{program}.d")  # noqa: S108
    assert checked in done.checked
    assert USERLANDS[suite].runtime.split(" ")[0] in done.checked
    assert (server.tmp / f"{program}.d" / program).is_file()
