"""What a device lacks to run edgekit's agent, and the command that installs it there.

The wheels that exist, and for which Pythons and C libraries, are those of November 2026.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from edgekit.errors import MissingToolError
from edgekit.targets.doctor.facts import OLDEST, Facts, Python, choose_python

NEEDS = "Python 3.9 or newer, NumPy and a TFLite runtime"
TFLITE_NEWEST = (3, 11)  # the last Python for which tflite-runtime has wheels
TFLITE_MACHINES = ("x86_64", "aarch64", "armv7l")
LITERT_MACHINES = ("x86_64", "aarch64")
TFLITE_GLIBC_ARM = (2, 34)  # tflite-runtime 2.14's wheels for Arm; 2.13's do with less
NEWER_SYSTEM = "a newer release of the system has one, for example Debian 12"

INSTALL_PYTHON = {
    "apt-get": "sudo apt-get install python3 python3-venv",
    "dnf": "sudo dnf install python3 python3-pip",
    "pacman": "sudo pacman -S python",
    "zypper": "sudo zypper install python3 python3-pip",
}


@dataclass(frozen=True)
class Missing:
    """Something that a device lacks.

    Attributes:
        what: its name.
        why: what was found instead, and what it means.
        command: what installs it; None where no command does.
        needed: whether the agent does not run without it.
    """

    what: str
    why: str
    command: str | None
    needed: bool = True


def missing(facts: Facts) -> list[Missing]:
    """Says what a device lacks, in the order in which it is to be installed."""
    lacking = [] if choose_python(facts) else _for_agent(facts)
    for attached in facts.accelerators:
        if attached.places and not attached.library:
            found = attached.delegate
            lacking.append(Missing(found.name, found.missing, found.install, needed=False))
    return lacking


def runtime_missing(host_name: str, facts: Facts) -> MissingToolError:
    """Makes the error for a device on which the agent cannot run."""
    lacking = [found for found in missing(facts) if found.needed]
    commands = [found.command for found in lacking if found.command]
    return MissingToolError(
        f"{host_name} has no Python with a TFLite runtime",
        cause="; ".join(found.why for found in lacking) or None,
        hint=" && ".join(commands)
        or "another device, or `edgekit bench --python PATH` if there is such a Python",
    )


def _for_agent(facts: Facts) -> list[Missing]:
    if facts.android:
        return [
            Missing(
                "TFLite runtime",
                "there is no official wheel for Android's C library. Latency and accuracy are "
                "measured with Google's benchmark_model program instead",
                "edgekit bench MODEL_FILE --device URL --benchmark-binary FILE",
            )
        ]
    if facts.musl:
        why = "its C library is musl, and no TFLite runtime has a wheel for that: a system with "
        return [Missing("glibc", f"{why}glibc is needed, for example Debian", None)]
    if not facts.pythons:
        return [_no_python(facts, "there is no Python that runs")]
    new_enough = [python for python in facts.pythons if python.release >= OLDEST]
    if not new_enough:
        return [_old_python(facts)]
    fitting = [python for python in new_enough if _packages(python, facts)]
    if not fitting:
        return [_no_wheel(new_enough[0], facts)]
    return _environment(fitting[0], facts)


def _no_python(facts: Facts, why: str) -> Missing:
    return Missing(
        "Python", f"{why}: {NEEDS} are needed", INSTALL_PYTHON.get(facts.installer or "")
    )


def _old_python(facts: Facts) -> Missing:
    newest = max(facts.pythons, key=lambda python: python.release)
    why = f"{_short(newest)} is {newest.version}; {OLDEST[0]}.{OLDEST[1]} is needed"
    if any(python.path.startswith("/usr/bin/") for python in facts.pythons):
        return Missing("Python", f"{why}, and {NEWER_SYSTEM}", None)
    return _no_python(facts, why)


def _no_wheel(python: Python, facts: Facts) -> Missing:
    """All Pythons are too new for the machine, or the machine has no wheels at all."""
    machine = _machine(python, facts)
    why = f"no TFLite runtime has a wheel for {_short(python)} {python.version} on {machine}"
    if machine in TFLITE_MACHINES:
        return Missing("Python 3.11", f"{why}; Python 3.9 to 3.11 have one", None)
    kinds = ", ".join(TFLITE_MACHINES)
    return Missing("TFLite runtime", f"{why}; there are some for {kinds}", None)


def _environment(python: Python, facts: Facts) -> list[Missing]:
    """The runtime in an environment of its own, and what making that needs."""
    steps = []
    name = python.path.rsplit("/", 1)[-1]
    is_system = python.path.startswith("/usr/bin/")
    if not python.venv and facts.installer == "apt-get":
        package = f"{name}-venv" if is_system else "python3-venv"
        why = f"{_short(python)} cannot make virtual environments"
        steps.append(Missing("venv", why, f"sudo apt-get install {package}"))
    option = ""
    if _machine(python, facts) == "armv7l" and is_system:  # NumPy itself has no wheels for it
        option = "--system-site-packages "
        if python.numpy is None and facts.installer == "apt-get":
            why = "NumPy has no wheel for armv7l; the system's package has it"
            steps.append(Missing("NumPy", why, "sudo apt-get install python3-numpy"))
    command = (
        f"{_short(python)} -m venv {option}~/edgekit && "
        f"~/edgekit/bin/pip install {_packages(python, facts)}"
    )
    return [*steps, Missing("TFLite runtime", _lacks(python), command)]


def _lacks(python: Python) -> str:
    known = f"{_short(python)} is {python.version}"
    if python.numpy and python.runtimes:
        return f"{known}; its tflite_runtime fails with its NumPy {python.numpy}, and needs NumPy 1"
    lacking = [] if python.numpy else ["NumPy"]
    lacking += [] if python.runtimes else ["TFLite runtime"]
    return f"{known} and has no {' and no '.join(lacking)}"


def _packages(python: Python, facts: Facts) -> str | None:
    """What pip is to install for a Python; None where there is no wheel."""
    machine = _machine(python, facts)
    if python.release > TFLITE_NEWEST:
        return "ai-edge-litert" if machine in LITERT_MACHINES else None
    if machine not in TFLITE_MACHINES:
        return None
    is_old = machine != "x86_64" and facts.glibc and _numbers(facts.glibc) < TFLITE_GLIBC_ARM
    return f'tflite-runtime=={"2.13.0" if is_old else "2.14.0"} "numpy<2"'


def _machine(python: Python, facts: Facts) -> str:
    """The machine that wheels are for: a 64-bit kernel may run a 32-bit system."""
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(facts.machine or "", facts.machine or "?")
    narrow = {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}
    return narrow.get(machine, machine) if python.bits == 32 else machine


def _short(python: Python) -> str:
    """How a shell there is told to start it."""
    return "python3" if python.path == "/usr/bin/python3" else shlex.quote(python.path)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])
