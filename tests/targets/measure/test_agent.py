"""The program on the device: its sensors, and both sides of it as real processes."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_tflite import SIZE, TinyModel

from edgekit.runtimes.litert import LiteRT
from edgekit.targets.measure import agent

PIXELS = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
NOTHING = {
    "temperature_c": None,
    "clock_mhz": None,
    "limit_mhz": None,
    "max_clock_mhz": None,
    "governor": None,
    "throttled": None,
}


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def zones(root: Path, *found: tuple[str, str]) -> None:
    for k, (kind, temperature) in enumerate(found):
        put(root / f"class/thermal/thermal_zone{k}/type", f"{kind}\n")
        put(root / f"class/thermal/thermal_zone{k}/temp", f"{temperature}\n")


def cpu(root: Path, number: int, **files: str) -> None:
    for name, text in files.items():
        put(root / f"devices/system/cpu/cpu{number}/cpufreq/{name}", f"{text}\n")


@pytest.fixture
def root(tmp_path):
    """An empty sysfs."""
    return tmp_path / "sys"


@pytest.fixture
def sensors(root, monkeypatch, tmp_path):
    found = agent.Sensors(str(root))
    monkeypatch.setattr(found, "_tool", str(tmp_path / "vcgencmd"))
    return found


def test_a_device_without_sensors_says_nothing(sensors):
    assert sensors.look() == NOTHING


def test_all_sensors(root, sensors):
    zones(root, ("cpu-thermal", "48312"))
    for number, clock in ((0, "600000"), (1, "1800000"), (10, "900000")):
        cpu(
            root,
            number,
            scaling_cur_freq=clock,
            scaling_max_freq="1500000",
            cpuinfo_max_freq="1800000",
            scaling_governor="ondemand",
        )
    put(root / agent.THROTTLED_FILE, "50005\n")
    assert sensors.look() == {
        "temperature_c": 48.3,
        "clock_mhz": 1800.0,
        "limit_mhz": 1500.0,
        "max_clock_mhz": 1800.0,
        "governor": "ondemand",
        "throttled": 0x50005,
    }


@pytest.mark.parametrize(
    ("found", "temperature"),
    [
        ([("battery", "90000"), ("cpu-thermal", "50000")], 50.0),
        ([("CPU0-thermal", "40000"), ("soc-thermal", "45000"), ("gpu", "70000")], 45.0),
        ([("x86_pkg_temp", "61000"), ("acpitz", "99000")], 61.0),
        ([("tsens_tz_sensor1", "52500"), ("pmic", "80000")], 52.5),
        ([("pmic", "30000"), ("acpitz", "35000")], 35.0),
        ([("cpu-thermal", "-5000")], -5.0),
        ([("cpu-thermal", "0")], 0.0),
        ([("cpu-thermal", "300000"), ("acpitz", "35000")], 35.0),
        ([("cpu-thermal", "-273000")], None),
        ([("cpu-thermal", "")], None),
        ([("cpu-thermal", "nonsense"), ("soc", "41000")], 41.0),
        ([("cpu-thermal", "nan")], None),
    ],
)
def test_the_hottest_zone_of_a_processor(root, sensors, found, temperature):
    zones(root, *found)
    assert sensors.look()["temperature_c"] == temperature


def test_zones_that_cannot_be_read(root, sensors):
    zones(root, ("cpu-thermal", "50000"))
    (root / "class/thermal/thermal_zone1").mkdir()
    (root / "class/thermal/thermal_zone2/temp").mkdir(parents=True)
    (root / "class/thermal/thermal_zone3").symlink_to("nowhere")
    assert sensors.look()["temperature_c"] == 50.0


def test_a_core_that_is_off_or_odd_is_left_out(root, sensors):
    cpu(root, 0, scaling_cur_freq="<unknown>", scaling_governor="performance")
    cpu(root, 1, scaling_cur_freq="1200000", scaling_governor="powersave")
    put(root / "devices/system/cpu/cpufreq/scaling_cur_freq", "9900000")
    seen = sensors.look()
    assert (seen["clock_mhz"], seen["governor"], seen["limit_mhz"]) == (1200.0, "performance", None)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("0\n", 0), ("50000\n", 0x50000), ("0xe0008", 0xE0008), ("", None), ("?\n", None)],
)
def test_the_firmware_s_file(root, sensors, text, bits):
    put(root / agent.THROTTLED_FILE, text)
    assert sensors.look()["throttled"] == bits


@pytest.mark.parametrize(
    ("script", "bits"),
    [
        ("[ $1 = get_throttled ] && echo throttled=0x50001", 0x50001),
        ("echo throttled=0x0", 0),
        ("""echo 'error=1 error_msg="Command not registered"'""", None),
        ("exit 1", None),
    ],
)
def test_the_firmware_s_tool_where_there_is_no_file(sensors, tmp_path, script, bits):
    tool = tmp_path / "vcgencmd"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    assert sensors.look()["throttled"] == bits


def test_a_tool_that_may_not_be_run(sensors, tmp_path):
    (tmp_path / "vcgencmd").write_text("no program")
    assert sensors.look()["throttled"] is None


def test_before_during_and_after(root, sensors, monkeypatch):
    monkeypatch.setattr(agent, "SENSE_S", 0.02)
    zones(root, ("cpu", "40000"))
    with sensors:
        zones(root, ("cpu", "60000"))
        time.sleep(0.2)
        zones(root, ("cpu", "50000"))
    seen = sensors.seen()
    assert seen["before"]["temperature_c"] == 40.0
    assert 60.0 in [sample["temperature_c"] for sample in seen["during"]]
    assert seen["after"]["temperature_c"] == 50.0


def test_a_short_body_has_nothing_during(sensors):
    with sensors:
        pass
    assert sensors.seen() == {"before": NOTHING, "during": [], "after": NOTHING}


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 1000.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += max(seconds, 1e-3)


class Cooling:
    """Sensors that give these temperatures, the last of them for ever."""

    def __init__(self, *temperatures):
        self.left = list(temperatures)

    def look(self):
        temperature = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return NOTHING | {"temperature_c": temperature}


@pytest.mark.parametrize(
    ("temperatures", "slept"),
    [
        ((50.0,), []),
        ((49.0,), []),
        ((60.0, 55.0, 50.0), [1.0, 1.0]),
        ((None, 60.0, 45.0), [1.0, 1.0]),
        ((60.0,), [1.0, 1.0, 1.0, 0.5]),
        ((None,), [1.0, 1.0, 1.0, 0.5]),
    ],
)
def test_it_waits_until_the_device_is_cool_or_the_time_is_over(monkeypatch, temperatures, slept):
    clock, told = Clock(), []
    monkeypatch.setattr(agent, "time", clock)
    cool = {"below_c": 50.0, "seconds": 3.5}
    agent.cool_down(Cooling(*temperatures), cool, lambda: told.append(clock.now))
    assert clock.slept == pytest.approx(slept)
    assert len(told) == len(slept)  # a sign of life for each


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_peak_memory_is_of_the_largest():
    data = bytearray(b"x") * (64 << 20)
    peak = agent.peak_memory()
    assert peak > len(data)
    del data
    assert agent.peak_memory() > 0.9 * peak  # the kernel counts in batches


@pytest.mark.parametrize("text", ["", "Name: x\nVmRSS: 5 kB\n", None])
def test_peak_memory_where_the_system_does_not_say(monkeypatch, tmp_path, text):
    status = tmp_path / "status"
    if text is not None:
        status.write_text(text)
    monkeypatch.setattr(agent, "open", lambda _, **how: status.open(**how), raising=False)
    assert agent.peak_memory() is None


@pytest.mark.parametrize(
    ("values", "unit", "value"),
    [
        ([], 1e-3, None),
        ([None, None], 1e-3, None),
        ([None, 1500000.0, 600000.0], 1e-3, 1500.0),
        ([0.0], 1e-3, 0.0),
        ([-3000.0, -5000.0], 1e-3, -3.0),
        ([48312.0], 1e-3, 48.3),
        ([7], 1, 7),
    ],
)
def test_largest(values, unit, value):
    assert agent.largest(values, unit) == value


def step(**changes):
    return {
        "model": "model.tflite",
        "shape": [1, SIZE, SIZE, 3],
        "pixels": "photos.bin",
        "first": 0,
        "table": None,
        "library": None,
        "options": {},
        "plain": False,
        "threads": 1,
        "repeat": 0,
        "seconds": 5.0,
    } | changes


@pytest.fixture
def folder(tmp_path, root):
    """What edgekit has sent to a device."""
    path = tmp_path / "edgekit-x"
    path.mkdir()
    shutil.copyfile(agent.__file__, path / "agent.py")
    (path / "model.tflite").write_bytes(TinyModel().pack())
    (path / "photos.bin").write_bytes(PIXELS.tobytes())
    zones(root, ("cpu", "40000"))
    return path


@pytest.fixture
def start(folder, root):
    """Starts the agent with steps; what still runs at the end is ended."""
    started = []

    def go(*steps, timeout_s=20.0):
        request = {"steps": steps, "timeout_s": timeout_s, "sys": str(root)}
        (folder / "request.json").write_text(json.dumps(request))
        process = subprocess.Popen(
            [sys.executable, "agent.py", "request.json"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield go
    for process in started:
        process.kill()
        process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()


def hear(process, last):
    """All messages up to the result of a step, then signs of life, one of which it waits for."""
    messages = []
    for line in process.stdout:
        messages.append(json.loads(line))
        if messages[-1]["step"] == last and "sensors" in messages[-1]:
            break
    assert process.poll() is None
    end = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"\n")
            process.stdin.flush()
        time.sleep(0.05)
    assert process.poll() == 0
    assert process.stdout.read() == b""
    return messages


def children(folder: Path) -> list[str]:
    """Processes that run the agent in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if str(folder / "agent.py").encode() in line:
            found.append(path.parent.name)
    return found


def test_two_steps(start, folder):
    process = start(step(repeat=4), step(shape=[2, SIZE, SIZE, 3], first=1))
    messages = hear(process, last=1)
    assert folder.exists()  # while stdin is open, it is edgekit that removes it
    assert [message["step"] for message in messages] == sorted(m["step"] for m in messages)
    latency, photos = (message for message in messages if "result" in message)
    assert (latency["step"], photos["step"]) == (0, 1)
    result = latency["result"]
    assert len(result["runs"]) == 5
    assert min(result["runs"]) > 0
    assert result["load"] > 0
    assert result["runtime"].startswith("ai_edge_litert ")
    assert result["memory"] >= result["base_memory"] > 1e6
    assert len(photos["result"]["runs"]) == 2
    for message in (latency, photos):
        assert message["sensors"]["before"]["temperature_c"] == 40.0
        assert message["sensors"]["after"]["temperature_c"] == 40.0
    outputs = [m for m in messages if "output" in m and m["step"] == 1]
    assert [message["photo"] for message in outputs] == [0, 1]
    raw = [np.frombuffer(base64.b64decode(m["output"]), np.uint8) for m in outputs]
    expected = LiteRT(folder / "model.tflite").run(PIXELS[1:])
    np.testing.assert_allclose((np.float32(raw) - 131) * np.float32(0.2), expected, atol=1e-5)


def test_a_step_that_fails_does_not_stop_the_next(start):
    process = start(step(model="missing.tflite"), step())
    last = [message for message in hear(process, last=1) if "sensors" in message]
    assert (last[0]["error"], last[0]["step"]) == ("model", 0)
    assert last[0]["cause"]
    assert len(last[1]["result"]["runs"]) == 1


def test_it_ends_and_cleans_up_when_stdin_ends(start, folder):
    process = start(step(repeat=10**9, seconds=60.0), step())
    for line in process.stdout:
        if json.loads(line).get("phase", "").startswith("in run"):
            break
    assert folder.exists()
    process.stdin.close()
    assert process.wait(10) == 1
    assert not folder.exists()
    end = time.monotonic() + 5
    while children(folder) and time.monotonic() < end:
        time.sleep(0.05)
    assert children(folder) == []


def test_it_cleans_up_when_stdin_ends_before_its_last_word_was_heard(start, folder):
    process = start(step())
    while "sensors" not in json.loads(process.stdout.readline()):
        pass
    process.stdin.close()
    assert process.wait(10) == 1
    assert not folder.exists()


def test_a_folder_of_another_name_is_let_be(folder):
    """It removes only what is edgekit's."""
    mine = folder.rename(folder.with_name("mine"))
    request = {"steps": [step(repeat=10**9, seconds=60.0)], "timeout_s": 20.0}
    (mine / "request.json").write_text(json.dumps(request))
    ran = subprocess.run(
        [sys.executable, "agent.py", "request.json"],
        cwd=mine,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert ran.returncode == 1
    assert (mine / "model.tflite").exists()
