"""What some tests need and a machine may lack; skipped tests are counted by it at the end of a run.

The reason of every such skip is made here, so that the summary can name the command that brings
what was missing. A test that a machine can never run (no root, no GPU) has a reason of its own.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest


@dataclass(frozen=True)
class Need:
    """A program, a package or a folder.

    Attributes:
        what: its name.
        how: the command that brings it, or a word on where it comes from.
    """

    what: str
    how: str

    @property
    def reason(self) -> str:
        """Why a test is skipped without it."""
        return f"needs {self.what} ({self.how})"


def _package(extra: str, *names: str) -> dict[str, Need]:
    return {name: Need(f"the package {name}", f'pip install -e ".[{extra}]"') for name in names}


#: Minor versions of Python in which a wheel is tried.
NEWER = range(10, 15)
NEEDS = {
    **{
        name: Need(name, f"apt-get install {name}")
        for name in (
            *("adb", "bash", "busybox", "chromium", "dash", "fish", "g++", "gcc", "make"),
            *("mandoc", "mksh", "zsh"),
        )
    },
    "java": Need("Java", "apt-get install default-jre-headless"),
    "javac": Need("a Java compiler", "apt-get install default-jdk-headless"),
    "kotlin": Need("a Kotlin compiler", "make .android/ready, with npm"),
    "libtensorflowlite_c": Need("TensorFlow Lite's C library", "make .android/ready, with npm"),
    "sshd": Need("OpenSSH's server", "apt-get install openssh-server"),
    "git": Need("a git checkout", "git clone"),
    "edgekit": Need("edgekit as a program", "pip install -e ."),
    "docker": Need("docker or podman that runs", "apt-get install podman"),
    "base image": Need(
        "the image that ours begins with", "a registry that docker or podman reaches"
    ),
    **{f"python3.{k}": Need(f"a Python 3.{k}", f"apt-get install python3.{k}") for k in NEWER},
    "ip": Need("the program ip", "apt-get install iproute2"),
    "device": Need("the environment of a device", "make .venv-device/ready"),
    "tflite_runtime": Need(
        "a device with tflite-runtime, which is for Python 3.11 at most",
        "rm -r .venv-device; make .venv-device/ready PYTHON=python3.11",
    ),
    "python3.8": Need("a Python 3.8 with TensorFlow 2.5", "make test-legacy PYTHON38=PATH"),
    "arm64": Need("an arm64 userland", "make test-arm64"),
    "shared": Need("../shared", "the development data: photos, weights, compiled files"),
    **_package("tensorflow", "tensorflow", "keras"),
    **_package("openvino", "openvino", "nncf"),
    **_package("onnx", "onnx", "onnxruntime"),
    **_package("hub", "huggingface_hub"),
    **_package("datasets", "pyarrow"),
    **_package("docs", "zensical"),
    **_package("dev", "build", "xdist", "yaml"),
    **{
        name: Need(f"the package {name}", f"pip install {name}")
        for name in ("efficientnet_pytorch", "mediapipe", "timm", "torchvision")
    },
}


def needs(name: str, present: bool | None = None) -> pytest.MarkDecorator:
    """The mark of a test that is skipped where something is missing.

    Args:
        name: in `NEEDS`.
        present: whether it is there; None: it is a package, and is looked up.
    """
    if present is None:
        present = is_installed(name)
    return pytest.mark.skipif(not present, reason=NEEDS[name].reason)


def skip_without(name: str, *, module: bool = False) -> NoReturn:
    """Skips the running test, or the module that is being imported, for want of something."""
    pytest.skip(NEEDS[name].reason, allow_module_level=module)


def is_installed(package: str) -> bool:
    """Whether a package can be found; it is not imported."""
    return importlib.util.find_spec(package) is not None


def summary(reports: list[Any]) -> list[str]:
    """A line for everything that was missing, with what it cost and the command that brings it.

    Args:
        reports: of what was skipped. One of a module counts as a file: its tests are not known.
    """
    tests: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        counts = files if isinstance(report, pytest.CollectReport) else tests
        counts[reason.removeprefix("Skipped: ")] += 1
    lines = []
    for need in NEEDS.values():
        counted = [
            f"{count} {word}{'s' * (count != 1)}"
            for count, word in ((tests[need.reason], "test"), (files[need.reason], "file"))
            if count
        ]
        if counted:
            lines.append(f"{' and '.join(counted)} for want of {need.what}: {need.how}")
    return lines


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the summary in front of pytest's last line; with xdist, in the one that collects."""
    lines = summary(terminalreporter.stats.get("skipped", []))
    if lines:
        terminalreporter.section("skipped, and what brings what was missing")
        for line in lines:
            terminalreporter.line(line)
