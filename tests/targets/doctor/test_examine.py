from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time

import pytest
from prerequisites import skip_without
from ssh_server import SSHD, serve

from edgekit.errors import DeviceError, MissingToolError
from edgekit.targets.devices.hosts import LocalHost, Ran
from edgekit.targets.devices.open import open_host
from edgekit.targets.doctor import discover as doctor_devices
from edgekit.targets.doctor.examine import (
    Facts,
    Missing,
    Python,
    choose_python,
    examine,
    look,
    missing,
    runtime_missing,
)
from edgekit.targets.doctor.facts import LONGEST, Attached, make_facts, parse_python, parse_said
from edgekit.targets.doctor.script import CODE, make_script
from edgekit.targets.edgetpu.target import EdgeTPUTarget

SYSTEM = "/usr/bin/python3"
HOME = "python3 -m venv ~/edgekit && ~/edgekit/bin/pip install "
TFLITE = 'tflite-runtime==2.14.0 "numpy<2"'
OLD_TFLITE = 'tflite-runtime==2.13.0 "numpy<2"'
SHARED = HOME.replace("venv ", "venv --system-site-packages ")
NUMPY = "sudo apt-get install python3-numpy"
PYTHON = "sudo apt-get install python3 python3-venv"

# What a Raspberry Pi 4 and a phone print, with what start-up files may print in between.
PI = """\
Welcome to the lab!
@edgekit machine=aarch64
@edgekit kernel=Linux 6.1.0-rpi7-rpi-v8
@edgekit release=PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
@edgekit raspbian=/etc/rpi-issue
@edgekit board=Raspberry Pi 4 Model B Rev 1.4
@edgekit cpu=CPU part	: 0xd08
@edgekit cores=4
@edgekit memory=MemTotal:        3884432 kB
@edgekit memory=MemAvailable:    3400000 kB
@edgekit disk=Filesystem     1024-blocks     Used Available Capacity Mounted on
@edgekit disk=/dev/mmcblk0p2    29534720 12000000  16300000      43% /
@edgekit libc=glibc 2.36
@edgekit musl=/lib/ld-musl-aarch64.so.1
@edgekit governor=ondemand
@edgekit clock=600000
@edgekit max_clock=1800000
@edgekit heat=41000 wifi
@edgekit heat=-273000 gpu-cpu
@edgekit heat=48312 cpu-thermal
@edgekit throttled=throttled=0x50005
@edgekit usb=18d1:9302
@edgekit installer=apt-get
@edgekit done=yes
"""
PHONE = """\
@edgekit machine=aarch64
@edgekit android=14
@edgekit maker=Google
@edgekit model=Pixel 7
@edgekit cpu=CPU part	: 0xd05
@edgekit cpu=CPU part	: 0xd44
"""

SCRIPT = make_script({"edgetpu": EdgeTPUTarget.delegate})


def stick(*places: str, library: str | None = None) -> tuple[Attached, ...]:
    """What is known of Edge TPUs."""
    return (Attached("edgetpu", EdgeTPUTarget.delegate, places, library),)


def python(version: str, path: str = SYSTEM, **more: object) -> Python:
    return Python(path, version, **more)


def device(*pythons: Python, machine: str = "aarch64", glibc: str | None = "2.36", **more) -> Facts:
    return Facts(machine=machine, glibc=glibc, pythons=pythons, **{"installer": "apt-get", **more})


def test_a_raspberry_pi():
    facts = make_facts(parse_said(PI))
    assert facts == Facts(
        machine="aarch64",
        system="Raspberry Pi OS, Debian GNU/Linux 12 (bookworm)",
        kernel="Linux 6.1.0-rpi7-rpi-v8",
        board="Raspberry Pi 4 Model B Rev 1.4",
        cpu="Cortex-A72",
        cores=4,
        memory_bytes=3884432 * 1024,
        memory_free_bytes=3400000 * 1024,
        disk_free_bytes=16300000 * 1024,
        glibc="2.36",
        governor="ondemand",
        clock_mhz=600,
        max_clock_mhz=1800,
        temperature_c=48.312,
        sensor="cpu-thermal",
        throttled="0x50005",
        accelerators=stick("18d1:9302"),
        installer="apt-get",
    )
    assert json.loads(json.dumps(facts.to_dict()))["edgetpu"] == ["18d1:9302"]


def test_a_phone():
    facts = make_facts(parse_said(PHONE))
    assert (facts.system, facts.board, facts.android) == ("Android 14", "Google Pixel 7", True)
    assert facts.cpu == "Cortex-A55, Cortex-X1"
    assert facts.glibc is facts.memory_bytes is facts.temperature_c is None


def test_words_of_a_device_are_not_trusted():
    said = parse_said(
        "@edgekit machine=x\x1b[2J\x07\u202e86" + "y" * 9999 + "\n"
        "@edgekit cores=many\n@edgekit clock=-5\n@edgekit usb=dead:beef\n"
        "@edgekit throttled=0xzz\n@edgekit heat=99999999999999999999 cpu\n"
        "@edgekit cpu=CPU part: 0xnothing\n@edgekit disk=\n" + "@edgekit heat=1 a\n" * 5000
    )
    facts = make_facts(said)
    assert facts.machine is not None
    assert facts.machine.isprintable()
    assert len(facts.machine) == LONGEST
    assert len(said["heat"]) == 200
    assert (facts.cores, facts.clock_mhz, facts.accelerators) == (None, None, stick())
    assert (facts.throttled, facts.cpu, facts.disk_free_bytes) == (None, None, None)


@pytest.mark.parametrize(
    "text", ["", "@edgekit ", "@edgekit []", "@edgekit {}", '@edgekit {"version": 3}', "[" * 99999]
)
def test_a_python_that_prints_junk_is_none(text):
    assert parse_python("/p", text) is None
    assert parse_python("/p", "@edgekit " + text) is None


@pytest.mark.parametrize("shell", [["sh"], ["bash"], ["dash"], ["mksh"], ["busybox", "sh"]])
def test_the_script_in_shells(shell, tmp_path):
    program = shutil.which(shell[0])
    if program is None:
        skip_without(shell[0])
    for path in (tmp_path / "venv/bin/python", tmp_path / "my env/bin/python3"):
        path.parent.mkdir(parents=True)
        path.touch(0o755)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [program, *shell[1:], "-c", SCRIPT, "sh", "home"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    said = parse_said(ran.stdout)
    pythons = [f"{tmp_path}/venv/bin/python", f"{tmp_path}/my env/bin/python3"]
    assert said["python"][:2] == pythons
    assert said["done"] == ["yes"]
    facts = make_facts(said)
    assert None not in (facts.machine, facts.system, facts.kernel, facts.cores, facts.memory_bytes)


def test_the_script_without_any_program(tmp_path):
    environment = {"PATH": str(tmp_path), "HOME": "/"}
    line = [
        shutil.which("sh"),
        "-c",
        SCRIPT,
        "sh",
        "home",
    ]
    ran = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert ran.stderr == ""
    assert parse_said(ran.stdout)["done"] == ["yes"]
    assert "'" not in SCRIPT + CODE  # they would grow on their way


def test_this_machine():
    with open_host("local:") as host:
        facts = examine(host)
    assert facts.pythons[0].path == sys.executable
    assert facts.pythons[0].numpy
    assert "ai_edge_litert" in facts.pythons[0].runtimes
    assert choose_python(facts) == facts.pythons[0]
    assert not [found for found in missing(facts) if found.needed]


@pytest.mark.parametrize("asked", ["no-such-python", "./no/python", "/etc/passwd", "/bin/true"])
def test_a_python_that_does_not_run(asked):
    with pytest.raises(MissingToolError, match="no Python that runs") as caught:
        examine(LocalHost(), asked)
    assert caught.value.cause


class Mute(LocalHost):
    name = "ssh://mute"

    def run(self, arguments, folder, timeout_s):
        return Ran(1, "This account is\x1b not available.\n")


def test_a_host_without_a_shell():
    with pytest.raises(DeviceError, match="does not say what it is") as caught:
        look(Mute())
    assert caught.value.cause == "This account is not available."


def test_the_first_python_that_fits_is_chosen():
    runtime = {"tflite_runtime": "2.14.0"}
    too_old = python("3.7.16", numpy="1.21.0", runtimes=runtime)
    bare = python("3.11.2", numpy="1.24.2")
    no_numpy = python("3.11.2", runtimes=runtime)
    broken = python("3.11.2", numpy="2.1.0", runtimes=runtime)
    good = python("3.11.2", "/home/pi/edgekit/bin/python3", numpy="1.26.4", runtimes=runtime)
    new = python("3.14.0", numpy="2.3.0", runtimes={"ai_edge_litert": "2.3.0"})
    assert choose_python(device(too_old, bare, no_numpy, broken)) is None
    assert choose_python(device(too_old, bare, no_numpy, broken, good, new)) is good
    assert choose_python(device(new, good)) is new
    assert missing(device(good)) == []


@pytest.mark.parametrize(
    ("facts", "commands", "why"),
    [
        (device(python("3.11.2")), [HOME + TFLITE], "no NumPy and no TFLite runtime"),
        (device(python("3.9.2"), machine="x86_64", glibc="2.31"), [HOME + TFLITE], ""),
        (device(python("3.9.2"), glibc="2.31"), [HOME + OLD_TFLITE], ""),
        (device(python("3.12.3")), [HOME + "ai-edge-litert"], ""),
        (device(python("3.13.5"), machine="x86_64"), [HOME + "ai-edge-litert"], ""),
        (device(python("3.13.5"), machine="arm64"), [HOME + "ai-edge-litert"], ""),
        (device(python("3.13.5"), python("3.11.2", "/usr/bin/python3.11"), machine="armv7l"),
         [NUMPY, SHARED.replace("python3 ", "/usr/bin/python3.11 ") + TFLITE], ""),
        (device(python("3.13.5"), machine="armv7l"), [None], "Python 3.9 to 3.11 have one"),
        (device(python("3.11.2", bits=32)), [NUMPY, SHARED + TFLITE], "no wheel for armv7l"),
        (device(python("3.11.2", numpy="1.24.2"), machine="armv7l"), [SHARED + TFLITE], ""),
        (device(python("3.11.2"), machine="armv6l"), [None], "on armv6l"),
        (device(python("3.11.2", venv=False)),
         ["sudo apt-get install python3-venv", HOME + TFLITE], "virtual environments"),
        (device(python("3.11.2", numpy="2.1", runtimes={"tflite_runtime": "2.14.0"})),
         [HOME + TFLITE], "needs NumPy 1"),
        (device(python("3.11.2", "/home/pi/my env/bin/python3")),
         ["'/home/pi/my env/bin/python3'" + HOME.removeprefix("python3") + TFLITE], ""),
        (device(python("3.7.16")), [None], "python3 is 3.7.16; 3.9 is needed"),
        (device(python("3.8.1", "/opt/p/bin/python3")), [PYTHON], "is 3.8.1; 3.9 is needed"),
        (device(), [PYTHON], "no Python"),
        (device(installer="dnf"), ["sudo dnf install python3 python3-pip"], ""),
        (device(installer=None), [None], ""),
        (device(installer="apk", glibc=None, musl=True), [None], "glibc is needed"),
        (device(python("3.11.2"), android=True),
         ["edgekit bench MODEL_FILE --device URL --benchmark-binary FILE"], "benchmark_model"),
    ],
)  # fmt: skip
def test_what_is_missing(facts, commands, why):
    found = missing(facts)
    assert [each.command for each in found] == commands
    assert all(each.needed for each in found)
    assert why in " ".join(each.why for each in found)
    error = runtime_missing("ssh://pi", facts)
    assert error.exit_code == 3
    assert error.message == "ssh://pi has no Python with a TFLite runtime"
    assert error.hint == (" && ".join(filter(None, commands)) or error.hint)
    assert why in error.cause


def test_a_library_for_an_edge_tpu_is_not_needed_to_run():
    good = python("3.11.2", numpy="1.26.4", runtimes={"tflite_runtime": "2.14.0"})
    (found,) = missing(device(good, accelerators=stick("1a6e:089a")))
    assert (found.needed, found.command) == (False, "sudo apt-get install libedgetpu1-std")
    assert isinstance(found, Missing)
    assert missing(device(good, accelerators=stick("/dev/apex_0", library="/usr/lib/l.so.1"))) == []


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    if SSHD is None:
        skip_without("sshd")
    with serve(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    monkeypatch.setenv("HOME", str(running.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield running
    for tool in running.bin.iterdir():
        tool.unlink()
    shutil.rmtree(running.bin.parent / "venv", ignore_errors=True)
    assert running.left() == []


def stand_in(version: str, **found: object) -> str:
    said = {"version": version, "bits": 64, "prefix": f"/p/{version}", "venv": True, **found}
    return f"print('junk'); print({'@edgekit ' + json.dumps(said)!r})"


def test_an_old_python_behind_a_real_server(server):
    for name in ("python3", *(f"python3.{minor}" for minor in range(9, 15))):
        server.install(name, stand_in("3.7.16"))
    with open_host(server.url) as host:
        facts = examine(host)
    assert [(p.path, p.version) for p in facts.pythons] == [(f"{server.bin}/python3", "3.7.16")]
    assert "3.7.16; 3.9 is needed" in runtime_missing(host.name, facts).cause


def test_an_environment_of_the_login_folder_comes_first(server):
    server.install("python3", stand_in("3.12.1", numpy="2.0.0"))
    venv = server.bin.parent / "venv/bin"
    venv.mkdir(parents=True)
    program = stand_in("3.11.2", numpy="1.26.4", tflite_runtime="2.14.0")
    server.install("python", program).rename(venv / "python")
    with open_host(server.url) as host:
        facts = examine(host)
        named = examine(host, "venv/bin/python")
        other = examine(host, "python3")
    assert [p.version for p in facts.pythons][:2] == ["3.11.2", "3.12.1"]
    assert choose_python(facts) == facts.pythons[0] == named.pythons[0]
    assert facts.pythons[0].path == str(venv / "python")
    assert [p.version for p in other.pythons] == ["3.12.1"]


def test_hosts_of_an_openssh_configuration(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/one").write_text("host=third\nInclude config\n")
    (tmp_path / "config").write_text(
        "Include more/* none\n# Host no\nHost pi *.lab !x \"second\"\n  HostName 10.0.0.1\n"
        "Host pi\nMatch all\nHost 'open\n"
    )  # fmt: skip
    assert doctor_devices.configured(tmp_path / "config") == ["third", "pi", "second"]
    assert doctor_devices.configured(tmp_path / "absent") == []


@pytest.mark.slow  # waits for the slowest
def test_devices_are_asked_at_the_same_time(server, monkeypatch):
    monkeypatch.setattr("edgekit.targets.devices.adb.attached", list)
    (server.home / ".ssh/config").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {server.port}\nHost no-such.invalid\n"
    )
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        urls = [f"ssh://127.0.0.1:{port.getsockname()[1]}" for port in silent]
        began = time.monotonic()
        found = doctor_devices.find([*urls, "ssh://127.0.0.1:1", "http://x"], 2)
        assert time.monotonic() - began < 8
    (server.home / ".ssh/config").unlink()
    states = {device.url: (device.state, device.detail) for device in found}
    assert states["local:"][0] == "ok"
    assert states["ssh://127.0.0.1:1"] == ("no answer", "refused")
    assert states["http://x"] == ("no answer", "it does not begin with ssh://")
    assert states["ssh://no-such.invalid"][0] == "no answer"
    assert [states[url] for url in urls] == [("no answer", "timeout")] * 3
    assert states["ssh://board"][0] == "ok"
