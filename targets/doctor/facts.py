"""What is known of a device, and how its words are read. They are not trusted: any may be junk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edgekit.targets import registry
from edgekit.targets.delegates import DelegateLibrary
from edgekit.targets.doctor.script import MARK

OLDEST = (3, 9)  # the Python that the agent needs
LONGEST = 300  # characters of a value, and of a path
MANY = 200  # values of one kind that are read
RUNTIMES = ("ai_edge_litert", "tflite_runtime", "tensorflow")

# Arm's numbers of its cores, for kernels that name no model.
ARM_CORES = {
    0xB76: "ARM1176",
    0xC07: "Cortex-A7",
    0xC08: "Cortex-A8",
    0xC09: "Cortex-A9",
    0xC0F: "Cortex-A15",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
}

Said = dict[str, list[str]]


@dataclass(frozen=True)
class Python:
    """A Python of the device.

    Attributes:
        path: as the device names it; a virtual environment keeps its own.
        version: for example ``3.11.2``.
        numpy: its version; None where it is not installed.
        runtimes: the TFLite runtimes that it has, by module, with their versions.
        bits: 32 or 64; a 64-bit kernel may run a 32-bit Python.
        venv: whether it can make virtual environments.
    """

    path: str
    version: str
    numpy: str | None = None
    runtimes: dict[str, str] = field(default_factory=dict)
    bits: int = 64
    venv: bool = True

    @property
    def release(self) -> tuple[int, ...]:
        """The first two numbers of its version."""
        return tuple(int(number) for number in re.findall(r"\d+", self.version)[:2])

    @property
    def usable(self) -> tuple[str, ...]:
        """The runtimes that work: tflite_runtime is built for NumPy 1, and fails with NumPy 2."""
        if self.numpy is None:
            return ()
        is_old = self.numpy.startswith(("0.", "1."))
        return tuple(name for name in self.runtimes if is_old or name != "tflite_runtime")


@dataclass(frozen=True)
class Attached:
    """The accelerator of a target, as a device shows it.

    Attributes:
        target: its name.
        delegate: its library.
        places: the USB ids and the device files of those that are attached.
        library: path of the library; None where it is not installed.
    """

    target: str
    delegate: DelegateLibrary
    places: tuple[str, ...] = ()
    library: str | None = None


@dataclass(frozen=True)
class Facts:
    """What a device says of itself; None where it does not say.

    Attributes:
        machine: as in ``uname -m``.
        boot: what tells this start of its kernel from any other; containers of a machine share it.
        system: for example ``Debian GNU/Linux 12 (bookworm)``.
        disk_free_bytes: where its temporary files are.
        musl: whether its C library is musl, for which there are no wheels.
        clock_mhz: of the fastest core, as its governor has set it just now.
        sensor: whose temperature it is.
        throttled: the Raspberry Pi's bits, for example ``0x50005``.
        accelerators: one entry for each target with a delegate, attached or not.
        installer: the program that installs its packages.
        pythons: in the order in which they are tried.
    """

    machine: str | None = None
    boot: str | None = None
    system: str | None = None
    kernel: str | None = None
    board: str | None = None
    cpu: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    disk_free_bytes: int | None = None
    glibc: str | None = None
    musl: bool = False
    governor: str | None = None
    clock_mhz: float | None = None
    max_clock_mhz: float | None = None
    temperature_c: float | None = None
    sensor: str | None = None
    throttled: str | None = None
    accelerators: tuple[Attached, ...] = ()
    installer: str | None = None
    android: bool = False
    pythons: tuple[Python, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns them as JSON values; an accelerator under the names of target and library."""
        record = asdict(replace(self, accelerators=()))
        del record["accelerators"]
        for found in self.accelerators:
            record |= {found.target: list(found.places), found.delegate.name: found.library}
        return record


def choose_python(facts: Facts) -> Python | None:
    """Returns the first Python on which edgekit's agent can run."""
    return next((p for p in facts.pythons if p.release >= OLDEST and p.usable), None)


def clean(text: str) -> str:
    """Makes one short line of a device's words, without what a terminal would obey."""
    return "".join(c for c in text if c.isprintable()).strip()[:LONGEST]


def parse_said(text: str) -> Said:
    """Reads the lines of the script; all others are the host's start-up files'."""
    said: Said = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if key.startswith(MARK) and equals and len(values := said.setdefault(key, [])) < MANY:
            values.append(clean(value))
    return {key[len(MARK) :]: values for key, values in said.items()}


def parse_python(path: str, text: str) -> tuple[str, Python] | None:
    """Reads what a Python printed: its prefix, and what it is; None where that makes no sense."""
    line = next((line for line in text.splitlines()[::-1] if line.startswith(MARK)), "")
    try:
        found = json.loads(line[len(MARK) :])
        version = found["version"]
        if not re.fullmatch(r"\d{1,3}\.\d{1,3}\.\d{1,3}", version):
            return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    have = {name: clean(str(found[name])) for name in ("numpy", *RUNTIMES) if found.get(name)}
    return clean(str(found.get("prefix", path))), Python(
        path=path,
        version=version,
        numpy=have.pop("numpy", None),
        runtimes=have,
        bits=32 if found.get("bits") == 32 else 64,
        venv=found.get("venv") is True,
    )


def make_facts(said: Said) -> Facts:
    """Makes facts, without Pythons, of what the script said."""
    sensor, temperature = _heat(said)
    throttled = re.search(r"0x[0-9a-fA-F]{1,8}\b", _first(said, "throttled") or "")
    libc = _libc(said)
    return Facts(
        machine=_first(said, "machine"),
        boot=_first(said, "boot"),
        system=_system(said),
        kernel=_first(said, "kernel"),
        board=_board(said),
        cpu=_cpu(said.get("cpu", [])),
        cores=_number(_first(said, "cores")),
        memory_bytes=_memory(said, "MemTotal"),
        memory_free_bytes=_memory(said, "MemAvailable") or _memory(said, "MemFree"),
        disk_free_bytes=_disk(said),
        glibc=libc,
        musl="musl" in said and libc is None,
        governor=_first(said, "governor"),
        clock_mhz=_mhz(said, "clock"),
        max_clock_mhz=_mhz(said, "max_clock"),
        temperature_c=temperature,
        sensor=sensor,
        throttled=throttled[0] if throttled else None,
        accelerators=tuple(_attached(said)),
        installer=_first(said, "installer"),
        android="android" in said,
    )


def _attached(said: Said) -> Iterator[Attached]:
    for target in registry.usable():
        if delegate := target.delegate:
            usb = [name for name in said.get("usb", []) if name in delegate.usb_ids]
            places = (*usb, *said.get(f"{target.name}_device", []))
            library = _first(said, f"{target.name}_library")
            yield Attached(target.name, delegate, places, library)


def _first(said: Said, key: str) -> str | None:
    return next(filter(None, said.get(key, [])), None)


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,15}", text) else None


def _system(said: Said) -> str | None:
    if "android" in said:
        return f"Android {said['android'][0]}"
    lines = dict(line.split("=", 1) for line in said.get("release", []) if "=" in line)
    named = lines.get("PRETTY_NAME", "").strip("\"'")
    if "raspbian" in said:  # its 64-bit releases call themselves Debian
        return f"Raspberry Pi OS, {named}".rstrip(", ")
    return named or (_first(said, "kernel") or "").split(" ")[0] or None


def _board(said: Said) -> str | None:
    maker, model = _first(said, "maker") or "", _first(said, "model")
    if model is None:
        return _first(said, "board")
    return model if model.lower().startswith(maker.lower()) else f"{maker} {model}"


def _cpu(lines: list[str]) -> str | None:
    pairs = [(key.strip(), value.strip()) for key, _, value in (ln.partition(":") for ln in lines)]
    models = list(dict.fromkeys(value for key, value in pairs if key == "model name"))
    parts = [int(v, 16) for k, v in pairs if k == "CPU part" and re.fullmatch("0x[0-9a-f]+", v)]
    cores = [ARM_CORES[part] for part in parts if part in ARM_CORES]
    hardware = [value for key, value in pairs if key == "Hardware"]
    return ", ".join(cores or models or hardware) or None


def _memory(said: Said, key: str) -> int | None:
    for line in said.get("memory", []):
        if match := re.match(rf"{key}:\s*(\d{{1,15}}) kB", line):
            return 1024 * int(match[1])
    return None


def _disk(said: Said) -> int | None:
    """The figure before the percentage; the device's name before it may stand on another line."""
    match = re.search(r"(\d{1,15})\s+\d+%", (said.get("disk") or [""])[-1])
    return 1024 * int(match[1]) if match else None


def _libc(said: Said) -> str | None:
    for line in said.get("libc", []):
        if match := re.search(r"(?i)(?:glibc|gnu libc).*?(\d+\.\d+)", line):
            return match[1]
    return None


def _mhz(said: Said, key: str) -> float | None:
    khz = _number(_first(said, key))
    return None if khz is None else khz / 1000


def _heat(said: Said) -> tuple[str | None, float | None]:
    """The processor's sensor where its name says so, else the first that makes sense."""
    found = sorted(_sensors(said.get("heat", [])), key=lambda sensor: _rank(sensor[0]))
    return found[0] if found else (None, None)


def _sensors(lines: list[str]) -> Iterator[tuple[str, float]]:
    for line in lines:
        heat, _, name = line.partition(" ")
        value = _number(heat)
        if value is not None:
            degrees = value / 1000 if value > 200 else float(value)  # a few give whole degrees
            if 0 < degrees < 150:
                yield name, degrees


def _rank(name: str) -> int:
    name = name.lower().replace("_", "-")
    if name.startswith(("cpu-thermal", "x86-pkg-temp")):
        return 0
    return 1 if "cpu" in name else 2 if "soc" in name else 3
