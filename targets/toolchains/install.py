"""Makes and removes the environments of toolchains.

``NAME`` is the environment, complete once its marker is in it; ``NAME.partial`` has the wheels that
have arrived for it, and is removed with the last step; ``NAME.lock`` keeps two installations apart.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from edgekit.errors import EdgekitError, MissingToolError
from edgekit.system.console import Progress
from edgekit.system.download import locked, writing
from edgekit.system.files import write_json
from edgekit.system.text import size
from edgekit.targets.toolchains.borrow import lend
from edgekit.targets.toolchains.fetch import fetch
from edgekit.targets.toolchains.imports import find_broken
from edgekit.targets.toolchains.pip_calls import (
    HASHED,
    make_environment,
    pip_of,
    run_pip,
    without_configuration,
)
from edgekit.targets.toolchains.requirements import Requirement, read_requirements
from edgekit.targets.toolchains.toolchain import (
    MARKER,
    Toolchain,
    packages_in,
    partial,
    python_in,
    this_python,
    toolchains_folder,
)
from edgekit.version import __version__

VARIABLE = "EDGEKIT_TOOLCHAINS"
POLL_S = 0.2
Note = Callable[[str], None]


def describe(toolchain: Toolchain) -> list[str]:
    """Returns what is to be known before a toolchain is installed, a line each."""
    count = len(read_requirements(toolchain.requirements))
    lines = {
        toolchain.name: f"{toolchain.title}, {toolchain.package} {toolchain.pinned}",
        "licence": toolchain.licence,
        "note": toolchain.note,
        "fetches": f"{_about(toolchain.download_mb)} in {count} packages, from the index of pip",
        "needs": f"{_about(toolchain.installed_mb)} in {toolchain.folder}",
        "borrows": ", ".join(toolchain.borrows) and f"{', '.join(toolchain.borrows)} of edgekit's",
        "programs": ", ".join(
            f"{program.name} ({'is there' if shutil.which(program.name) else program.hint})"
            for program in toolchain.programs
        ),
    }
    width = max(map(len, lines)) + 2
    return [f"{name:<{width}}{text}" for name, text in lines.items() if text]


def install(
    toolchain: Toolchain, *, progress: Progress | None = None, note: Note | None = None
) -> Path:
    """Makes the environment of a toolchain, and returns it.

    What has arrived before is used. A complete environment stays as it is until all that replaces
    it has arrived.

    Args:
        toolchain: to install.
        progress: called with the packages that there are, and those that are to come.
        note: called with what is to be known before it.

    Raises:
        MissingToolError: a program that it needs is not there.
        EdgekitError: it cannot be fetched or installed, or does not work afterwards.
    """
    for line in describe(toolchain):
        if note is not None:
            note(line)
    for program in toolchain.programs:
        if shutil.which(program.name) is None:
            raise MissingToolError(
                f"{toolchain.title} needs the program {program.name}",
                cause="it is not on PATH",
                hint=program.hint,
            )
    folder = toolchain.folder
    with locked(folder, progress, VARIABLE), writing(folder.parent, VARIABLE):
        if toolchain.is_ready:
            return folder
        marker = toolchain.marker or {}
        is_made = marker.get("requirements_sha256") == toolchain.digest
        if is_made and marker.get("python") == this_python() and python_in(folder).exists():
            (folder / MARKER).unlink()
        else:
            _make(toolchain, progress)
        _finish(toolchain, progress)
    return folder


def remove(name: str) -> int | None:
    """Removes an environment, and what is left of an installation that did not end.

    Args:
        name: of a toolchain, ours or one that nothing uses any more.

    Returns:
        Bytes that are free now; None where there was nothing.

    Raises:
        EdgekitError: the folder cannot be written to.
    """
    folder = toolchains_folder() / name
    places = [folder, partial(folder)]
    if not any(place.exists() for place in places):
        return None
    with locked(folder, None, VARIABLE), writing(folder.parent, VARIABLE):
        taken = sum(disk_bytes(place) for place in places)
        (folder / MARKER).unlink(missing_ok=True)
        for place in filter(Path.exists, places):
            shutil.rmtree(place)
    folder.with_name(folder.name + ".lock").unlink(missing_ok=True)
    return taken


def unused(names: Collection[str]) -> list[str]:
    """Returns the environments, complete or not, of tools that have none of these names."""
    folder = toolchains_folder()
    found = {path.name.removesuffix(".partial") for path in folder.glob("*") if path.is_dir()}
    return sorted(found - set(names))


def disk_bytes(folder: Path) -> int:
    """Returns what the files of a folder take, without what links in it point to."""
    found = (os.path.join(place, name) for place, _, files in os.walk(folder) for name in files)
    return sum(os.lstat(path).st_size for path in found)


def _about(megabytes: int) -> str:
    return f"about {size(megabytes * 1e6)}" if megabytes else "an unknown size"


def _make(toolchain: Toolchain, progress: Progress | None) -> None:
    """Fetches the packages, and installs them without the network."""
    folder, rest = toolchain.folder, partial(toolchain.folder)
    requirements = read_requirements(toolchain.requirements)
    wheels = fetch(requirements, rest, progress)
    (folder / MARKER).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    make_environment(folder)
    _install_wheels(toolchain, requirements, wheels, progress)


def _install_wheels(
    toolchain: Toolchain,
    requirements: list[Requirement],
    wheels: Path,
    progress: Progress | None,
) -> None:
    python, rest = python_in(toolchain.folder), partial(toolchain.folder)
    command = [*pip_of(python, rest / "pip"), "install", *HASHED, "--no-index"]
    command += ["--find-links", str(wheels), "-r", str(toolchain.requirements)]
    stop = threading.Event()

    def show() -> None:
        while progress is not None and not stop.wait(POLL_S):
            count = len(list(packages_in(toolchain.folder).glob("*.dist-info")))
            progress("install", min(count, len(requirements)), len(requirements))

    shown = threading.Thread(target=show, daemon=True)
    shown.start()
    try:
        failure = run_pip(command, rest / "log", environment=without_configuration())
    finally:
        stop.set()
        shown.join()
    if failure is not None:
        raise EdgekitError(
            f"pip cannot install {toolchain.title}",
            cause=failure.last_error,
            hint=f"edgekit toolchain remove {toolchain.name}, and install it again",
        )


def _finish(toolchain: Toolchain, progress: Progress | None) -> None:
    """Lends it what it borrows, sees whether it works, and says that it is complete."""
    folder, began = toolchain.folder, time.time()
    borrowed = lend(toolchain)
    if progress is not None:
        progress(f"import {', '.join(toolchain.modules)}", 0, 0)
    if broken := find_broken(python_in(folder), toolchain.modules):
        raise EdgekitError(
            f"{toolchain.title} is installed, and does not work: "
            f"the module {broken.module} cannot be imported",
            cause=broken.cause,
            hint=f"edgekit toolchain install {toolchain.name}, once that is mended",
        )
    write_json(
        folder / MARKER,
        {
            "requirements_sha256": toolchain.digest,
            "package": toolchain.package,
            "version": toolchain.pinned,
            "python": this_python(),
            "borrowed": borrowed,
            "bytes": disk_bytes(folder),
            "edgekit": __version__,
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        },
    )
    shutil.rmtree(partial(folder), ignore_errors=True)
