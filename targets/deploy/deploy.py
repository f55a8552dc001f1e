"""Puts a finished model where it is used: on a Linux device, or into sources for an Android app."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

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
from edgekit.targets.deploy.programs import program_of
from edgekit.targets.deploy.record import Check, Deployed
from edgekit.targets.deploy.templates import render
from edgekit.targets.devices.hosts import Host, LocalHost
from edgekit.targets.devices.open import open_host
from edgekit.tasks.registry import find_task

CHECK_S = 120.0  # how long the first answer of a device may take

# What runtimes say on stderr would otherwise get into the middle of the answer.
_APART = '"$@" 2>said; code=$?; [ $code = 0 ] || cat said; exit $code'


def deploy(
    run: StrPath,
    device: str | None,
    *,
    to: str | None = None,
    file: str | None = None,
    python: str | None = None,
    android: str | None = None,
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
        android: how an app runs the model, a name in `edgekit.targets.deploy.apis.APIS`: makes the
            sources for an app, with or without a phone. With a phone it need not be given.
        check: tries the model on the phone.
        normalization: of a float input whose file does not state it.

    Raises:
        UsageError: the model is neither classifier nor segmenter, or it or the folder cannot be
            used.
        MissingToolError: the device lacks Python, numpy or a TFLite runtime.
        DeviceError: the device cannot be reached, or has no room.
        EdgekitError: the device answers otherwise than this host.
    """
    run = Path(run)
    is_phone = device is not None and device.startswith("adb:")
    if device is None and not android:
        raise UsageError("no device is given", hint="--device ssh://user@host, or --android")
    if android and device is not None and not is_phone:
        raise UsageError(
            f"{device} is no Android phone",
            hint="leave out --device, or --android and --android-api",
        )
    source = find_source(run, file, normalization)
    if is_phone or android:
        from edgekit.targets.deploy.android import write_bundle
        from edgekit.targets.deploy.apis import INTERPRETER, find_api

        api = find_api(android or INTERPRETER)
        folder = Path(to) if to else (source.run or source.path.parent) / "android"
        return write_bundle(source, describe(source), folder, check, api)
    with open_host(device) as host, host.folder() as work:
        return _install(source, host, work, to, python)


def _install(source: Source, host: Host, work: str, to: str | None, python: str | None) -> Deployed:
    description = describe(source)
    program = program_of(description)
    installer = Installer(host, work)
    target = _target(host, installer, to, f"edgekit-{source.title}")
    installer.refuse_foreign(target)  # said before anything takes time
    interpreter = _find_python(host, python)
    expected = expect(source, description.preprocessing)
    files = _files(source, description, expected)
    said = ""

    def check(folder: str) -> None:
        nonlocal said
        said = program.compare(source, expected, _ask(host, work, interpreter, folder, description))

    installer.install(target, files, check)
    command = _command(host, target, interpreter, program.file)
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
        program_of(description).file: find_task(description.task).device_program,
        "check.ppm": ppm(expected.pixels),
    }
    record = description.record | {"files": [*files, "README.md", RECORD]}
    files["README.md"] = render(program_of(description).readme, record)
    files[RECORD] = record_text(record).encode()
    return files


def _ask(
    host: Host, work: str, python: str, folder: str, description: Description
) -> dict[str, Any]:
    """Has the check's photo answered on the device."""
    program = program_of(description)
    arguments = [f"{folder}/{program.file}", *program.question(description), f"{folder}/check.ppm"]
    ran = host.run(["sh", "-c", _APART, "sh", python, *arguments], work, CHECK_S)
    if ran.code is None:
        raise DeviceError(f"{program.file} gave no answer on {host.name} in {CHECK_S:g} s")
    lines = [line for line in ran.text.splitlines() if line.startswith('{"photo"')]
    if ran.code != 0 or not lines:
        said = (ran.text.strip().splitlines() or [f"it ended with {ran.code}"])[-1]
        kind = MissingToolError if "no TFLite runtime" in said or "numpy" in said else EdgekitError
        raise kind(f"{program.file} does not run on {host.name}", cause=said)
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def _command(host: Host, folder: str, python: str, program: str) -> str:
    from edgekit.targets.devices.ssh import SSHHost

    there = f"cd {shlex.quote(folder)} && {shlex.quote(python)} {program} check.ppm"
    return f"{host.address.command} {shlex.quote(there)}" if isinstance(host, SSHHost) else there
