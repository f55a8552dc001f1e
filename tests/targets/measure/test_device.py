"""On a device behind a real ssh server, with tflite-runtime 2.14 and nothing of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace

import device
import numpy as np
import pytest
from prerequisites import skip_without
from ssh_server import make_key
from stand_in import build_library
from tiny_tflite import CLASSES, SIZE, TinyModel

from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import DeviceError, EdgekitError, MissingToolError
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.devices.hosts import LocalHost
from edgekit.targets.devices.open import open_host
from edgekit.targets.doctor.examine import Facts
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.device import Job, Step, measure, thread_counts
from edgekit.targets.measure.isolated import Delegate
from edgekit.targets.measure.raw import dequantize

PIXELS = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3)).astype(np.uint8)
LONG = {"runs": 10**9, "seconds": 60.0}  # a step that is not over when something happens


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    if lacking := device.missing():
        skip_without(lacking)
    with device.serve_device(tmp_path_factory.mktemp("device")) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch, tmp_path):
    home = shutil.copytree(running.home, tmp_path / "home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    running.client = home / ".ssh"
    yield running
    assert running.left() == []
    assert device.agents(running) == []


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Journals in a folder of the test."""
    monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "edgekit/devices"


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "tiny $(touch never) 'ü'.tflite"
    path.write_bytes(TinyModel().pack())
    model = tflite_file.read(path)
    return Job(path, model, PIXELS, None, threads=(1,), runs=20, seconds=1.0)


def silent(*_):
    pass


def on(url, job, progress=silent, python=None):
    with open_host(url) as host:
        return measure(host, job, progress, python)


def test_on_the_device(server, job, cache):
    measured = on(server.url, replace(job, threads=(1, 2)))
    assert measured.how.startswith("tflite_runtime 2.14.0, Python 3.")
    assert [(s.kind, s.threads, f["n"]) for s, f in measured.latency.items()] == [
        ("latency", 1, 20),
        ("latency", 2, 20),
    ]
    for figures in measured.latency.values():
        assert 0 < figures["p5"] <= figures["median"] <= figures["p95"]
        assert figures["memory_bytes"] > figures["runtime_memory_bytes"] > 1e6
    scores = dequantize(job.model, measured.outputs["xnnpack"])
    assert scores.shape == (len(PIXELS), CLASSES)
    expected = LiteRT(job.path).run(PIXELS)
    assert np.abs(scores - expected).max() <= job.model.tensors[job.model.outputs[0]].scale * 1.01
    assert measured.problems == []
    assert list(cache.iterdir()) == []


def test_here_it_gives_what_litert_gives(job):
    measured = measure(LocalHost(), job, silent, sys.executable)
    scores = dequantize(job.model, measured.outputs["xnnpack"])
    np.testing.assert_array_equal(scores, LiteRT(job.path).run(PIXELS))


def wait(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.slow  # the next ones break off as well
def test_a_server_that_dies_costs_only_the_step_that_ran(server, job, cache):
    """The first latency is kept, and the device cleans up by itself."""
    job = replace(job, runs=30_000, threads=(1, 2))

    def progress(task, done, total):
        if task == "latency xnnpack 2":
            server.kill_sessions()

    with pytest.raises(DeviceError, match="broke off") as caught:
        on(server.url, job, progress)
    assert caught.value.exit_code == 4
    assert wait(lambda: not device.agents(server) and not server.left())
    (journal,) = cache.iterdir()
    kept = [json.loads(line)["step"] for line in journal.read_text().splitlines()]
    assert kept == ["latency xnnpack 1"]
    tasks = []
    measured = on(server.url, job, lambda task, *_: tasks.append(task))
    assert "latency xnnpack 1" not in tasks
    assert len(measured.latency) == 2
    assert measured.outputs["xnnpack"].shape == (len(PIXELS), CLASSES)


def test_photos_go_on_with_the_first_that_is_missing(server, job, monkeypatch):
    answered = []

    def stop(task, done, total):
        if task.startswith("photos") and done == 7:
            answered.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on(server.url, job, stop)
    assert server.left() == []
    counts = []
    measured = on(server.url, job, lambda task, done, _: counts.append((task, done)))
    photos = [done for task, done in counts if task.startswith("photos")]
    assert min(photos) >= 7
    np.testing.assert_array_equal(
        measured.outputs["xnnpack"], on(server.url, job).outputs["xnnpack"]
    )


@pytest.mark.parametrize(
    ("switch", "says"),
    [
        # On this machine: test_isolated.py.
        pytest.param(
            "CRASH",
            "the runtime was killed by SIGSEGV while loading the delegate",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "HANG",
            "the runtime hung while loading the delegate and was stopped",
            marks=pytest.mark.slow,
        ),
        pytest.param("NO_DEVICE", "no Edge TPU could be opened (any)", marks=pytest.mark.slow),
    ],
)
def test_native_code_that_dies_or_hangs_is_a_message(server, job, tmp_path, switch, says):
    delegate = Delegate("edgetpu", build_library(tmp_path, switch))
    bad = replace(job, delegates=(delegate, Delegate()), threads=(1,), timeout_s=1.5)
    measured = on(server.url, bad)
    assert [error.message for error in measured.problems] == [says, says]
    assert [step.delegate.name for step in measured.latency] == ["xnnpack"]
    assert list(measured.outputs) == ["xnnpack"]
    with_other = replace(bad, delegates=(Delegate(),))
    assert on(server.url, with_other).problems == []


def test_without_a_runtime_it_says_what_to_install(server, job, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([device.VENV / "bin/python", "-m", "venv", "--without-pip", bare], check=True)
    with pytest.raises(MissingToolError, match="TFLite runtime") as caught:
        on(server.url, job, python=str(bare / "bin/python"))
    assert caught.value.exit_code == 3
    assert "pip install" in caught.value.hint


def test_an_old_python_is_named(server, job):
    old = server.install(
        "python3.7",
        "import json, sys\n"
        f"import subprocess\n"
        f"out = subprocess.run(['{device.VENV}/bin/python', *sys.argv[1:]],"
        " capture_output=True, text=True).stdout\n"
        "import re\n"
        "print(re.sub(r'\\b3\\.(9|1\\d)\\.\\d+', '3.7.16', out))\n",
    )
    with pytest.raises(MissingToolError) as caught:
        on(server.url, job, python=str(old))
    old.unlink()
    assert "3.7" in str(caught.value)


def test_a_key_that_is_not_the_known_one_is_refused(server, job, tmp_path):
    make_key(tmp_path / "other")
    known = server.client / "known_hosts"
    name = known.read_text().split(" ")[0]
    known.write_text(f"{name} {(tmp_path / 'other.pub').read_text()}")
    with pytest.raises(DeviceError, match="not trusted"):
        on(server.url, job)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_is_said_and_nothing_is_left(server, job):
    line = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(server.tmp)]
    if subprocess.run(line, check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        with pytest.raises(DeviceError) as caught:
            on(server.url, job)
        assert caught.value.exit_code == 4
        assert "room" in caught.value.message
        assert server.left() == []
    finally:
        subprocess.run(["umount", str(server.tmp)], check=True)
    assert on(server.url, job).problems == []


@pytest.mark.slow  # waits for it
def test_a_silent_connection_ends_the_agent(server, job, tmp_path, monkeypatch):
    """Where the network is cut nothing is closed: only the signs of life cease."""
    monkeypatch.setattr("edgekit.targets.devices.ssh.BEAT_S", 1e9)
    quick = tmp_path / "agent.py"
    quick.write_text(measuring.CHILD.read_text().replace("GONE_S = 30.0", "GONE_S = 1.0"))
    monkeypatch.setattr(measuring, "CHILD", quick)
    with pytest.raises(EdgekitError, match=r"the agent on ssh://.* ended with 1"):
        on(server.url, replace(job, **LONG))
    assert device.agents(server) == []


@pytest.mark.slow  # waits; bench/test_devices has several
def test_two_devices_at_once(server, job):
    found = {}
    threads = [
        threading.Thread(target=lambda *a: found.update({a[0]: on(a[0], job, python=a[1])}), args=a)
        for a in ((server.url, None), ("local:", sys.executable))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {server.url, "local:"}


def test_a_device_without_room_is_refused_before_anything_is_sent(job, monkeypatch):
    facts = replace(measuring.doctor.examine(LocalHost(), sys.executable), disk_free_bytes=1000)
    monkeypatch.setattr(measuring.doctor, "examine", lambda *_: facts)
    with pytest.raises(DeviceError, match="not enough room"):
        measure(LocalHost(), job, silent)


@pytest.mark.parametrize(
    ("cores", "counts"),
    [(1, (1,)), (2, (1, 2)), (4, (1, 2, 3, 4)), (6, (1, 2, 3, 4, 6)), (16, (1, 2, 3, 4, 8, 16))],
)
def test_threads(cores, counts):
    assert thread_counts(cores) == counts


def test_the_plan(job):
    steps = measuring.plan(replace(job, threads=None), Facts(cores=2))
    assert [step.name for step in steps] == [
        "latency xnnpack 1",
        "latency xnnpack 2",
        "photos xnnpack 2",
    ]
    assert steps[0] == Step("latency", Delegate(), 1)


@pytest.fixture
def far(tmp_path, monkeypatch):
    """A device in a network namespace of its own, at the other end of a cable."""
    if os.getuid() != 0:
        pytest.skip("needs root, for a network namespace")
    if lacking := device.missing() or ("ip" if shutil.which("ip") is None else None):
        skip_without(lacking)
    name = f"edgekit{os.getpid() % 10000}"
    here, there = f"{name}a", f"{name}b"

    def ip(*words):
        return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0

    made = ip("netns", "add", name) and ip("link", "add", here, "type", "veth", "peer", there)
    try:
        if not (made and ip("link", "set", there, "netns", name)):
            pytest.skip("may not make a network namespace")
        ip("addr", "add", "10.213.0.1/30", "dev", here)
        ip("link", "set", here, "up")
        ip("-n", name, "addr", "add", "10.213.0.2/30", "dev", there)
        ip("-n", name, "link", "set", there, "up")
        inside = ["ip", "netns", "exec", name]
        with device.serve_device(tmp_path / "far", address="10.213.0.2", inside=inside) as server:
            monkeypatch.setenv("HOME", str(server.home))
            monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
            server.cable = lambda state: ip("link", "set", here, state)
            yield server
            assert server.left() == []
    finally:
        ip("link", "del", here)
        ip("netns", "del", name)


@pytest.mark.slow
def test_a_network_that_is_cut_in_the_middle(far, job, monkeypatch):
    """Nothing is closed: both sides find out by silence."""
    monkeypatch.setattr("edgekit.targets.devices.ssh.KEEPALIVE_S", 2)
    cut = []

    def progress(task, done, total):
        if task.startswith("latency xnnpack") and not cut:
            cut.append(far.cable("down"))

    with pytest.raises(DeviceError, match="broke off"):
        on(far.url, replace(job, **LONG | {"seconds": 15.0, "runs": 20_000}), progress)
    assert cut == [True]
    assert wait(lambda: not device.agents(far) and not far.left(), 60)
    far.cable("up")
    assert on(far.url, job).problems == []
