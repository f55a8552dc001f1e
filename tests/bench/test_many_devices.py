"""Twenty devices at once: one refuses, one never answers, and all others are there."""

from __future__ import annotations

import io
import os
import socket
import sys

import pytest
from ports import free_port
from prerequisites import skip_without
from ssh_server import SSHD, serve
from tiny_tflite import TinyModel

from edgekit.bench import devices as bench_devices
from edgekit.cli.bench_devices import table
from edgekit.system.console import Console
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.method import choose_method
from edgekit.targets.measure.photos import load_photos, make_job
from edgekit.tasks.registry import find_task

DEVICES = 20
PORTS = 16  # more are none of OpenSSH's
ALIASES = ("board-one", "board-two")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """One machine with 16 ports, whose only Python is the one of this test."""
    if SSHD is None:
        skip_without("sshd")
    with serve(tmp_path / "device", ports=PORTS) as server:
        python = server.bin / "python3"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        hosts = [f"Host {alias}\n  HostName 127.0.0.1\n  Port {server.port}" for alias in ALIASES]
        (server.home / ".ssh/config").write_text("\n".join(hosts) + "\n")
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)
        yield server


@pytest.mark.slow
def test_twenty_devices_of_which_one_refuses_and_one_hangs(server, tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    photos = load_photos(path, None, None)
    job = make_job(path, photos, threads=(1,), seconds=0.02)
    refuses, said = f"ssh://127.0.0.1:{free_port()}", io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs = f"ssh://127.0.0.1:{silent.getsockname()[1]}"
        aliases = [f"ssh://{alias}" for alias in ALIASES]
        urls = [*server.urls[:7], refuses, hangs, *aliases, *server.urls[7:]]
        assert len(set(urls)) == DEVICES
        before = len(os.listdir("/proc/self/fd"))
        document, problems = bench_devices.measure(
            job, photos, urls, choose_method(None, None), Console(err=said)
        )
    assert [one["device"] for one in document["devices"]] == ["local:", *urls]
    failed = {one["device"]: one["error"] for one in document["devices"] if one["error"]}
    assert failed == {url: f"{url} cannot be reached" for url in (refuses, hangs)}
    assert [problem.exit_code for problem in problems] == [4, 4]
    assert "did not answer in time" in str(problems[1])
    for one in document["devices"]:
        assert one["error"] or one["timings"][0]["median"] > 0
        assert one["error"] or one["accuracy"][0]["differing"] == 0
    lines = said.getvalue().splitlines()
    ended = [line for line in lines if line.startswith("[")]
    assert sorted(int(line[1:].partition("/")[0]) for line in ended) == [*range(1, DEVICES + 2)]
    assert sum(line.startswith("one machine, ") for line in lines) == 1
    rows = table(document["devices"], find_task("classification").metric)
    assert all(any(row.startswith(url) for row in rows) for url in urls)
    assert server.left() == []
    assert len(os.listdir("/proc/self/fd")) <= before
