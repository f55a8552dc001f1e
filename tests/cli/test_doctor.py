from __future__ import annotations

import json

import pytest

from edgekit.cli import run
from edgekit.cli.doctor import throttling
from edgekit.errors import DeviceError, MissingToolError
from edgekit.targets.devices import adb
from edgekit.targets.doctor import examine as doctor
from edgekit.targets.doctor.examine import Facts, Python
from edgekit.targets.doctor.facts import Attached
from edgekit.targets.edgetpu.target import EdgeTPUTarget


def stick(*places: str, library: str | None = None) -> tuple[Attached, ...]:
    """What is known of Edge TPUs."""
    return (Attached("edgetpu", EdgeTPUTarget.delegate, places, library),)


@pytest.fixture
def found(monkeypatch, tmp_path):
    """What the doctor finds; a test may change it. There is no ~/.ssh/config and no phone."""
    runtimes = {"tflite_runtime": "2.14.0"}
    facts = [
        Facts(
            machine="aarch64",
            system="Raspberry Pi OS",
            board="Pi\x1b[2J",
            clock_mhz=600,
            max_clock_mhz=1800,
            governor="ondemand",
            temperature_c=48.3,
            sensor="cpu-thermal",
            throttled="0x50005",
            memory_bytes=4_000_000_000,
            memory_free_bytes=3_000_000_000,
            installer="apt-get",
            pythons=(Python("/usr/bin/python3", "3.11.2", "1.26.4", runtimes),),
        )
    ]
    monkeypatch.setattr(doctor, "examine", lambda host, python: facts[0])
    monkeypatch.setattr(doctor, "toolchains", list)
    monkeypatch.setattr("edgekit.targets.doctor.discover.look", lambda host, timeout_s: facts[0])
    monkeypatch.setattr(adb, "attached", list)
    monkeypatch.setenv("HOME", str(tmp_path))
    return facts


def test_a_list_for_people(found, capsys):
    assert run(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "clock        600 MHz of 1800 MHz, governor ondemand" in out
    assert "temperature  48.3 °C (cpu-thermal)" in out
    assert "memory       3.0 GB free of 4.0 GB" in out
    assert "now under-voltage, throttled; since it started under-voltage, throttled" in out
    assert "* /usr/bin/python3\n    3.11.2, numpy 1.26.4, tflite_runtime 2.14.0" in out
    assert "\x1b" not in out


def test_what_is_missing_ends_with_3_and_its_command(found, capsys):
    found[0] = Facts(machine="aarch64", pythons=(Python("/usr/bin/python3", "3.12.3"),))
    assert run(["doctor"]) == 3
    out, err = capsys.readouterr()
    command = "python3 -m venv ~/edgekit && ~/edgekit/bin/pip install ai-edge-litert"
    assert f"\n  {command}\n" in out
    assert "error: this machine has no Python with a TFLite runtime" in err
    assert f"try:   {command}" in err


def test_one_json_document_whatever_is_missing(found, capsys):
    found[0] = Facts(machine="x86_64", accelerators=stick("1a6e:089a"))
    assert run(["doctor", "--device", "local:", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["device"]) == (1, "local:")
    assert document["facts"]["edgetpu"] == ["1a6e:089a"]
    assert [(each["what"], each["needed"]) for each in document["missing"]] == [
        ("Python", True),
        ("libedgetpu", False),
    ]


def test_a_library_that_is_not_needed_does_not_fail(found, capsys):
    found[0] = Facts(accelerators=stick("/dev/apex_0"), pythons=found[0].pythons)
    assert run(["doctor"]) == 0
    assert "sudo apt-get install libedgetpu1-std" in capsys.readouterr().out


@pytest.mark.parametrize(("url", "code"), [("ssh://127.0.0.1:1", 4), ("http://pi", 2)])
def test_a_device_that_is_not_there(url, code, capsys):
    assert run(["doctor", "--device", url]) == code
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        ("0x0", "no trouble (0x0)"),
        ("0x2", "now clock capped (0x2)"),
        ("0x80000", "since it started near its heat limit (0x80000)"),
    ],
)
def test_throttling(bits, words):
    assert throttling(bits) == words


def test_devices(found, capsys, monkeypatch):
    known = [adb.Attached("R58", "device", "Pixel_7"), adb.Attached("F2", "unauthorized", None)]
    monkeypatch.setattr(adb, "attached", lambda: known)
    assert run(["devices", "ssh://127.0.0.1:1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["local:", "ok"],
        ["adb://R58", "ok"],
        ["adb://F2", "unauthorized"],
        ["ssh://127.0.0.1:1", "no"],
    ]
    assert lines[1].endswith("Pixel_7")
    assert lines[3].endswith("no answer     refused")


@pytest.mark.parametrize(
    ("error", "devices"),
    [
        (MissingToolError("adb is not installed"), ["local:"]),
        (DeviceError("adb names no phones", cause="broken"), ["local:", "adb:"]),
    ],
)
def test_devices_where_adb_fails(error, devices, found, capsys, monkeypatch):
    def fail():
        raise error

    monkeypatch.setattr(adb, "attached", fail)
    assert run(["devices", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert [device["url"] for device in document["devices"]] == devices
