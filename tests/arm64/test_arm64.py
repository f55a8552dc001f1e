"""Against an arm64 Debian 12 under qemu, as on a Raspberry Pi; `make test-arm64` makes it."""

from __future__ import annotations

import numpy as np
import places
import pytest
from arm64_server import missing, serve
from tiny_tflite import SIZE, TinyModel

from edgekit.converters.tflite import file as tflite_file
from edgekit.targets.devices.hosts import LocalHost
from edgekit.targets.devices.ssh import SSHHost, parse_url
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.device import Job, measure

ROOT = places.ROOT / ".arm64"
PYTHON = "/home/pi/edgekit/bin/python"
SLOW_S = 120.0  # for a small program under qemu

pytestmark = pytest.mark.arm64


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    if reason := missing(ROOT):
        pytest.skip(reason)
    with serve(ROOT, tmp_path_factory.mktemp("arm64")) as server:
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


def test_it_has_the_runtime_of_a_device(host):
    code = "import tflite_runtime.interpreter, numpy; print(numpy.__version__)"
    with host.folder() as folder:
        ran = host.run([PYTHON, "-c", code], folder, SLOW_S)
    assert ran.code == 0, ran.text
    assert ran.text.startswith("1.24.")


def test_a_model_answers_there_as_here(host, tmp_path, monkeypatch):
    """The agent on arm64 Python, numpy and tflite-runtime; qemu says nothing about its speed."""
    monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    pixels = np.random.default_rng(0).integers(0, 256, (10, SIZE, SIZE, 3)).astype(np.uint8)
    job = Job(path, tflite_file.read(path), pixels, None, threads=(1, 2), runs=5, timeout_s=SLOW_S)
    measured = measure(host, job, lambda *_: None)
    assert measured.how == "tflite_runtime 2.14.0, Python 3.11.2"
    assert measured.facts.machine == "aarch64"
    assert [figures["n"] for figures in measured.latency.values()] == [5, 5]
    here = measure(LocalHost(), job, lambda *_: None)
    apart = measured.outputs["xnnpack"].astype(int) - here.outputs["xnnpack"]
    assert np.abs(apart).max() <= 1
    assert measured.problems == []
