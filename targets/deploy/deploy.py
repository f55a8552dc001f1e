"""Puts a finished model where it is used: on a Linux device, or into sources for an Android app."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.data.normalization import Normalization
from edgekit.errors import DeviceError, EdgekitError, MissingToolError, UsageError
from edgekit.system.paths import StrPath
from edgekit.targets.deploy.install import Files, Installer
from edgekit.targets.deploy.model import (
    RECORD,
    Description,
    Expected,
    Source,
    describe,
    expect,
    find_source,
    labels_text,
    ppm,
    record_text,
)
from edgekit.targets.deploy.record import Check, Deployed
from edgekit.targets.deploy.templates import render
from edgekit.targets.devices.hosts import Host, LocalHost
from edgekit.targets.devices.open import open_host
from edgekit.tasks.registry import find_task

CHECK_S = 120.0  # how long the first answer of a device may take

# What runtimes say on stderr would otherwise get into the middle of the answer.
_APART = '"$@" 2>said; code=$?; [ $code = 0 ] || cat said; exit $code'


STEPS = 8.0


def deploy(
    run: StrPath,
    device: str | None,
    *,
    to: str | None = None,
    file: str | None = None,
    python: str | None = None,
    android: bool = False,
    check: Check | None = None,
    normalization: Normalization | None = None,
) -> Deployed:
    """Deploys a model, as ``edgekit deploy`` does.

    Args:
        run: a run's folder, or a .tflite file.
        device: ``local:``, ``ssh://...`` or ``adb:...``; None with ``android``.
        to: the folder; on a device relative to the login folder.
        file: the name of another file of the run than its int8 one.
        python: the device's Python; found there unless given.
        android: make the sources for an app, with or without a phone.
        check: tries the model on the phone.
        normalization: of a float input whose file does not state it.

    Raises:
        UsageError: the model is no image classifier, or it or the folder cannot be used.
        MissingToolError: the device lacks Python, numpy or a TFLite runtime.
        DeviceError: the device cannot be reached, or has no room.
        EdgekitError: the device answers otherwise than this host.
    """
    run = Path(run)
    is_phone = device is not None and device.startswith("adb:")
    if device is None and not android:
        raise UsageError("no device is given", hint="--device ssh://user@host, or --android")
    if android and device is not None and not is_phone:
        raise UsageError(f"{device} is no Android phone", hint="leave out --device or --android")
    source = find_source(run, file, normalization)
    if is_phone or android:
        from edgekit.targets.deploy.android import write_bundle

        folder = Path(to) if to else (source.run or source.path.parent) / "android"
        return write_bundle(source, describe(source), folder, check)
    with open_host(device) as host, host.folder() as work:
        return _install(source, host, work, to, python)


def _install(source: Source, host: Host, work: str, to: str | None, python: str | None) -> Deployed:
    description = describe(source)
    installer = Installer(host, work)
    target = _target(host, installer, to, f"edgekit-{source.title}")
    installer.refuse_foreign(target)  # said before anything takes time
    interpreter = _find_python(host, python)
    expected = expect(source, description.preprocessing)
    files = _files(source, description, expected)
    said = ""

    def check(folder: str) -> None:
        nonlocal said
        answer = _ask(host, work, interpreter, folder, len(description.labels))
        said = _compare(source, expected, answer)

    installer.install(target, files, check)
    command = _command(host, target, interpreter)
    note = description.labels_note
    return Deployed(host.name, target, tuple(files), said, command, note)


def _target(host: Host, installer: Installer, to: str | None, default: str) -> str:
    """The folder's absolute path; on this machine relative to where the user is."""
    if to is not None and isinstance(host, LocalHost):
        return os.path.abspath(os.path.expanduser(to))
    name = (to or default).removeprefix("~/").rstrip("/")
    if not name or "\0" in name or set(name.split("/")) & {".", ".."}:
        raise UsageError(f"{to!r} is no folder to deploy to", hint="name one, without '..'")
    return name if name.startswith("/") else f"{installer.home()}/{name}"


def _find_python(host: Host, given: str | None) -> str:
    if given is not None:
        found = host.which(given)
        if found is None:
            raise MissingToolError(f"there is no {given} on {host.name}")
        return found
    from edgekit.targets.doctor.examine import choose_python, examine, runtime_missing

    facts = examine(host)
    python = choose_python(facts)
    if python is None:
        raise runtime_missing(host.name, facts)
    return str(python.path)


def _files(source: Source, description: Description, expected: Expected) -> Files:
    files: dict[str, Path | bytes] = {
        source.path.name: source.path,
        "labels.txt": labels_text(description.labels).encode("utf-8", "replace"),
        "classify.py": find_task(description.preprocessing.task).device_program,
        "check.ppm": ppm(expected.pixels),
    }
    record = description.record | {"files": [*files, "README.md", RECORD]}
    files["README.md"] = render("README.device.md.j2", record)
    files[RECORD] = record_text(record).encode()
    return files


def _ask(host: Host, work: str, python: str, folder: str, top: int) -> dict[str, Any]:
    """Classifies the check's photo on the device."""
    program, photo = f"{folder}/classify.py", f"{folder}/check.ppm"
    arguments = [python, program, "--json", "--top", str(top), photo]
    ran = host.run(["sh", "-c", _APART, "sh", *arguments], work, CHECK_S)
    if ran.code is None:
        raise DeviceError(f"classify.py gave no answer on {host.name} in {CHECK_S:g} s")
    lines = [line for line in ran.text.splitlines() if line.startswith('{"photo"')]
    if ran.code != 0 or not lines:
        said = (ran.text.strip().splitlines() or [f"it ended with {ran.code}"])[-1]
        kind = MissingToolError if "no TFLite runtime" in said or "numpy" in said else EdgekitError
        raise kind(f"classify.py does not run on {host.name}", cause=said)
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def _compare(source: Source, expected: Expected, answer: dict[str, Any]) -> str:
    """Raises EdgekitError where the device's answer is not this host's; else says what is."""
    where = f"on {expected.photo} with {answer['runtime']}"
    if expected.outputs is None:
        return f"it runs {where}; this host has nothing to compare that with"
    there = np.empty(len(expected.outputs))
    for place in answer["top"]:
        there[place["index"]] = place["output"]
    best = int(expected.outputs.argmax())
    off = float(np.abs(there - expected.outputs).max())
    if source.target:  # another file ran here: only the class must be the same
        is_same, rule = answer["index"] == best, "same class"
    else:
        allowed = tolerance(expected.outputs, source.scores.dtype == "float32")
        is_same = answer["index"] == best and off <= allowed
        rule = f"same class, outputs within {allowed:.3g}"
    if not is_same:
        raise EdgekitError(
            "the device does not answer as this host does",
            cause=f"class {answer['index']} instead of {best} {where}, outputs up to {off:.3g} off "
            f"({expected.runtime} here)",
            hint="update the runtime on the older side; the folder there is as it was",
        )
    return f"answers as this host does {where}: {rule} (largest difference {off:.3g})"


def tolerance(outputs: npt.NDArray[Any], is_float: bool) -> float:
    """A few steps of an integer, since runtimes round differently; floats are added up in another
    order. Between tflite-runtime 2.14 and LiteRT 2.3, Lite0's outputs for 200 photos of flowers
    were up to 5 of 255 steps apart (`edgekit bench --device`); a photo that is fed wrongly is far
    beyond that.
    """
    return 1e-3 * max(float(np.abs(outputs).max()), 1.0) if is_float else STEPS


def _command(host: Host, folder: str, python: str) -> str:
    from edgekit.targets.devices.ssh import SSHHost

    there = f"cd {shlex.quote(folder)} && {shlex.quote(python)} classify.py check.ppm"
    return f"{host.address.command} {shlex.quote(there)}" if isinstance(host, SSHHost) else there
